package messagelog

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/hawser-iot/hawser/cloud/segment"
)

type metrics struct {
	written, left prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, records *segment.Log) *metrics {
	f := promauto.With(reg)
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "hawser_messagelog_bytes", Help: "Size of the message log on disk."},
		func() float64 { return float64(records.Stats().Bytes) })
	f.NewCounterFunc(prometheus.CounterOpts{Name: "hawser_messagelog_lost_total",
		Help: "Records that could not be written to the disk."},
		func() float64 { return float64(records.Stats().DroppedBy.Disk) })
	f.NewCounterFunc(prometheus.CounterOpts{Name: "hawser_messagelog_damaged_total",
		Help: "Damaged places of the message log that were met, when it was opened or read."},
		func() float64 { return float64(records.Stats().Corrupt) })
	return &metrics{
		written: f.NewCounter(prometheus.CounterOpts{Name: "hawser_messagelog_records_total", Help: "Records that the message log took."}),
		left: f.NewCounter(prometheus.CounterOpts{Name: "hawser_messagelog_left_out_total",
			Help: "Records that the message log left out because it did not keep up."}),
	}
}
