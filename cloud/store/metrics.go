package store

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are the store's figures; with a nil registerer they are counted and not exported.
type metrics struct {
	commits  prometheus.Counter
	units    *prometheus.CounterVec // by result
	batch    prometheus.Histogram
	seconds  prometheus.Histogram
	depth    prometheus.Gauge
	failures *prometheus.CounterVec // by kind of error
	tailMiss prometheus.Counter

	stored, conflict, fenced, failed prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	m := &metrics{
		commits: f.NewCounter(prometheus.CounterOpts{Name: "hawser_store_commits_total",
			Help: "Group commits that succeeded."}),
		units: f.NewCounterVec(prometheus.CounterOpts{Name: "hawser_store_units_total",
			Help: "Units by how they ended: stored, conflict, fenced or failed."}, []string{"result"}),
		batch: f.NewHistogram(prometheus.HistogramOpts{Name: "hawser_store_commit_units",
			Help: "Units in a group commit.", Buckets: []float64{1, 2, 5, 10, 25, 50, 100, 250, 500, 1000}}),
		seconds: f.NewHistogram(prometheus.HistogramOpts{Name: "hawser_store_commit_seconds",
			Help:    "Seconds that a group commit took, from its first statement to the disk.",
			Buckets: []float64{.0002, .0005, .001, .002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5}}),
		depth: f.NewGauge(prometheus.GaugeOpts{Name: "hawser_store_queue_units",
			Help: "Units that waited for the committer when it last looked."}),
		failures: f.NewCounterVec(prometheus.CounterOpts{Name: "hawser_store_failures_total",
			Help: "Batches that failed, by kind of error: unit, unique, retry, unavailable, full, readonly or corrupt."}, []string{"kind"}),
		tailMiss: f.NewCounter(prometheus.CounterOpts{Name: "hawser_store_outbox_reads_total",
			Help: "Outbox reads that had to go to the database."}),
	}
	m.stored = m.units.WithLabelValues("stored")
	m.conflict = m.units.WithLabelValues("conflict")
	m.fenced = m.units.WithLabelValues("fenced")
	m.failed = m.units.WithLabelValues("failed")
	return m
}
