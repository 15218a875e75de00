package presence

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	events  *prometheus.CounterVec
	races   prometheus.Counter
	orphans prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, p *Presence) *metrics {
	f := promauto.With(reg)
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "hawser_presence_sessions",
		Help: "Devices that are online over this node, sub-devices included."}, func() float64 { return float64(p.local.len()) })
	return &metrics{
		events: f.NewCounterVec(prometheus.CounterOpts{Name: "hawser_presence_events_total",
			Help: "Changes of devices' status."}, []string{"status"}),
		races: f.NewCounter(prometheus.CounterOpts{Name: "hawser_presence_races_total",
			Help: "Logins that had to be repeated because another login of the device was quicker."}),
		orphans: f.NewCounter(prometheus.CounterOpts{Name: "hawser_presence_orphans_total",
			Help: "Sessions that a dead process left online and whose devices did not come back in time."}),
	}
}

func (m *metrics) event(online bool) {
	if online {
		m.events.WithLabelValues("online").Inc()
		return
	}
	m.events.WithLabelValues("offline").Inc()
}
