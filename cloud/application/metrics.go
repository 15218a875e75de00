package application

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	sent, dropped, forwarded, evicted, unnoted, undelivered prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	count := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: "hawser_application_" + name, Help: help})
	}
	return &metrics{
		sent:        count("sent_total", "Messages handed to connected applications that are not rows of the queue."),
		dropped:     count("dropped_total", "Messages that a connected application could not take."),
		forwarded:   count("forwarded_total", "Messages sent to other nodes for their applications."),
		evicted:     count("evicted_total", "Messages that gave way in the full queue of a persistent session."),
		unnoted:     count("unnoted_total", "Acknowledged messages whose rows could not be deleted: they come again."),
		undelivered: count("undelivered_total", "Messages of applications that no device took."),
	}
}
