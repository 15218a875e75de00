package series

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hawser-iot/hawser/cloud/segment"
)

var (
	keptDesc    = prometheus.NewDesc("hawser_series_reports_total", "Reports of properties that were taken into the history.", nil, nil)
	droppedDesc = prometheus.NewDesc("hawser_series_dropped_total", "Reports that were lost: the writer did not keep up, or the disk did not take them.", []string{"cause"}, nil)
	bytesDesc   = prometheus.NewDesc("hawser_series_bytes", "Bytes of the history of properties on disk.", nil, nil)
)

// collector shows the log's counters.
type collector struct{ log *segment.Log }

// Describe is prometheus.Collector's.
func (collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- keptDesc
	ch <- droppedDesc
	ch <- bytesDesc
}

// Collect is prometheus.Collector's.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	s := c.log.Stats()
	ch <- prometheus.MustNewConstMetric(keptDesc, prometheus.CounterValue, float64(s.Appended))
	ch <- prometheus.MustNewConstMetric(droppedDesc, prometheus.CounterValue, float64(s.DroppedBy.Queue), "queue")
	ch <- prometheus.MustNewConstMetric(droppedDesc, prometheus.CounterValue, float64(s.DroppedBy.Disk), "disk")
	ch <- prometheus.MustNewConstMetric(bytesDesc, prometheus.GaugeValue, float64(s.Bytes))
}
