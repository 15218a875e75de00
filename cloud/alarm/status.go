package alarm

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
)

// isOnline reads the hub's own message device/status.
func isOnline(root codec.Value) bool {
	s, _ := root.Get("Status").Str()
	return s == message.StatusOnline
}

type metrics struct {
	opened     *prometheus.CounterVec
	suppressed prometheus.Counter
	lost       prometheus.Counter
	sent       *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		opened: f.NewCounterVec(prometheus.CounterOpts{Name: "hawser_alarms_opened_total", Help: "Alarms opened."}, []string{"severity"}),
		suppressed: f.NewCounter(prometheus.CounterOpts{Name: "hawser_alarms_suppressed_total",
			Help: "Alarms that were not opened because their rule has as many open as it may have."}),
		lost: f.NewCounter(prometheus.CounterOpts{Name: "hawser_alarm_judgements_lost_total",
			Help: "Judgements that were dropped because too many waited."}),
		sent: f.NewCounterVec(prometheus.CounterOpts{Name: "hawser_alarm_messages_total", Help: "Messages to alarm channels, by kind and by what became of them."},
			[]string{"kind", "result"}),
	}
}
