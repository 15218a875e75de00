package retained

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	changed, refused, sent prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	count := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: "hawser_retained_" + name, Help: help})
	}
	return &metrics{
		changed: count("changed_total", "Retained messages that were kept, replaced or removed."),
		refused: count("refused_total", "Retained messages refused because the product keeps as many as it may."),
		sent:    count("sent_total", "Retained messages handed to new subscriptions."),
	}
}
