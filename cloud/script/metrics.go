package script

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct{ parsed, failed, refused, encoded prometheus.Counter }

func newMetrics(reg prometheus.Registerer) *metrics {
	messages := promauto.With(reg).NewCounterVec(prometheus.CounterOpts{Name: "hawser_script_messages_total",
		Help: "Messages that parse scripts were for: parsed on their way up, encoded on their way down, failed in the script, refused because there is none or it is paused."},
		[]string{"result"})
	return &metrics{parsed: messages.WithLabelValues("parsed"), failed: messages.WithLabelValues("failed"),
		refused: messages.WithLabelValues("refused"), encoded: messages.WithLabelValues("encoded")}
}
