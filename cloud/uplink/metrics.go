package uplink

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hawser-iot/hawser/protocol/topic"
)

type result uint8

const (
	resultAccepted result = iota
	resultRefused
	resultUnavailable
	resultFenced
	resultFault
	results
)

var resultNames = [results]string{"accepted", "refused", "unavailable", "fenced", "fault"}

type metrics struct {
	messages   *prometheus.CounterVec
	byKind     [256][results]atomic.Pointer[prometheus.Counter] // messages, looked up once
	conflicts  prometheus.Counter
	unanswered prometheus.Counter
	seconds    prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hawser_uplink_messages_total",
			Help: "Messages from devices, by kind of topic and by what became of them.",
		}, []string{"kind", "result"}),
		conflicts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hawser_uplink_conflicts_total",
			Help: "Messages handled anew because somebody else changed the same state at the same moment.",
		}),
		unanswered: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hawser_uplink_unanswered_total",
			Help: "Answers that could not be sent: the device has gone or is not subscribed.",
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "hawser_uplink_seconds",
			Help:    "Time from taking a message to its acknowledgement.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}),
	}
	if reg != nil {
		reg.MustRegister(m.messages, m.conflicts, m.unanswered, m.seconds)
	}
	return m
}

func (m *metrics) count(k topic.Kind, r result) {
	p := &m.byKind[k][r]
	c := p.Load()
	if c == nil {
		made := m.messages.WithLabelValues(k.String(), resultNames[r])
		c = &made
		p.Store(c)
	}
	(*c).Inc()
}
