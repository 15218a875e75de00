package thingmodel

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	clamped prometheus.Counter
	stale   prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		clamped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hawser_thingmodel_clamped_total",
			Help: "Property values whose Time was too far ahead of the hub's clock and was replaced by it."}),
		stale: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hawser_thingmodel_stale_total",
			Help: "Property values older than the latest one, which stayed."}),
	}
	if reg != nil {
		reg.MustRegister(m.clamped, m.stale)
	}
	return m
}
