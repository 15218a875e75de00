package actionapi

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct{ requests *prometheus.CounterVec }

func newMetrics(reg prometheus.Registerer) *metrics {
	return &metrics{requests: promauto.With(reg).NewCounterVec(prometheus.CounterOpts{Name: "hawser_action_api_requests_total",
		Help: "Requests to the Action API, by action (unknown: none of them) and RetCode."}, []string{"action", "code"})}
}
