package auth

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	logins   *prometheus.CounterVec
	refusals *prometheus.CounterVec
	delayed  prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		logins: f.NewCounterVec(prometheus.CounterOpts{Name: "hawser_auth_logins_total",
			Help: "Logins that were granted, by authmode."}, []string{"mode"}),
		refusals: f.NewCounterVec(prometheus.CounterOpts{Name: "hawser_auth_refusals_total",
			Help: "Logins that were refused, by reason."}, []string{"reason"}),
		delayed: f.NewCounter(prometheus.CounterOpts{Name: "hawser_auth_delayed_total",
			Help: "Refusals whose answer was delayed because the same pair of identity and address had been wrong before."}),
	}
}
