package downlink

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/hawser-iot/hawser/cloud/monitor/meter"
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

// count counts what became of a message, in all and for its product.
func (d *Downlink) count(m *Message, out Outcome, err error) {
	result := resultOf(out, err)
	d.metrics.messages.WithLabelValues(result).Inc()
	switch {
	case err != nil:
		d.Meter.Of(m.Device.Product).Add(meter.DownErrors, 1)
		d.Meter.Fail(meter.Error{Where: "down", Product: m.Device.Product, What: result})
	case out == Delivered:
		d.Meter.Of(m.Device.Product).Message(meter.Down, len(m.Payload))
	}
}

func resultOf(out Outcome, err error) string {
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
	return result
}
