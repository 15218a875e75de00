package downlink

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	messages   *prometheus.CounterVec // by result
	evicted    prometheus.Counter
	expired    prometheus.Counter
	replayed   prometheus.Counter
	unnoted    prometheus.Counter
	unanswered prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		messages: f.NewCounterVec(prometheus.CounterOpts{Name: "hawser_downlink_messages_total",
			Help: "Messages to devices, by what became of them."}, []string{"result"}),
		evicted: f.NewCounter(prometheus.CounterOpts{Name: "hawser_downlink_queue_evicted_total",
			Help: "Queued messages that gave way to newer ones."}),
		expired: f.NewCounter(prometheus.CounterOpts{Name: "hawser_downlink_queue_expired_total",
			Help: "Queued messages whose time was over when their device came back."}),
		replayed: f.NewCounter(prometheus.CounterOpts{Name: "hawser_downlink_queue_replayed_total",
			Help: "Queued messages handed to devices that came back."}),
		unnoted: f.NewCounter(prometheus.CounterOpts{Name: "hawser_downlink_queue_unnoted_total",
			Help: "Acknowledged messages whose row could not be deleted; they are delivered once more."}),
		unanswered: f.NewCounter(prometheus.CounterOpts{Name: "hawser_downlink_calls_unanswered_total",
			Help: "Calls that got no answer in time."}),
	}
}

func (m *metrics) count(out Outcome, err error) {
	result := out.String()
	switch {
	case err == nil:
	case errors.Is(err, ErrOffline):
		result = "offline"
	case errors.Is(err, ErrNotSubscribed):
		result = "not_subscribed"
	case errors.Is(err, ErrTooLargeForDevice):
		result = "too_large"
	case errors.Is(err, ErrFull):
		result = "full"
	default:
		result = "failed"
	}
	m.messages.WithLabelValues(result).Inc()
}
