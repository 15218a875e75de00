package api

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	limited prometheus.Counter
	streams *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		limited: f.NewCounter(prometheus.CounterOpts{Name: "hawser_api_limited_total",
			Help: "Requests that were refused because their caller asked too often."}),
		streams: f.NewCounterVec(prometheus.CounterOpts{Name: "hawser_api_streams_ended_total",
			Help: "Event streams that ended, by reason: gone (the client), slow (the client did not read), stopped (the hub)."}, []string{"reason"}),
	}
}
