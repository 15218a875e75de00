package job

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	jobs *prometheus.CounterVec
	done *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		jobs: f.NewCounterVec(prometheus.CounterOpts{Name: "hawser_jobs_total",
			Help: "Jobs that ended, by kind and state."}, []string{"kind", "state"}),
		done: f.NewCounterVec(prometheus.CounterOpts{Name: "hawser_job_rows_total",
			Help: "Rows of jobs, by kind and result."}, []string{"kind", "result"}),
	}
}

func (m *metrics) ended(kind string, s State) { m.jobs.WithLabelValues(kind, s.String()).Inc() }

func (m *metrics) rows(kind string, succeeded, failed int64) {
	m.done.WithLabelValues(kind, "ok").Add(float64(succeeded))
	m.done.WithLabelValues(kind, "error").Add(float64(failed))
}
