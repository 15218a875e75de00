package broker

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

type metrics struct {
	denied  *prometheus.CounterVec
	repeats prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, engine *server.Server) *metrics {
	if reg != nil {
		reg.MustRegister(&engineCollector{engine})
	}
	return &metrics{denied: promauto.With(reg).NewCounterVec(prometheus.CounterOpts{Name: "hawser_broker_denied_total",
		Help: "Publishes and subscriptions to topics that the device may not use."},
		[]string{"what"}),
		repeats: promauto.With(reg).NewCounter(prometheus.CounterOpts{Name: "hawser_broker_repeats_total",
			Help: "QoS 1 publishes that were repeats of messages that are stored: acknowledged, and nothing more."})}
}

// engineCollector shows the engine's counters; the engine itself knows no Prometheus.
type engineCollector struct{ engine *server.Server }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("hawser_mqtt_"+name, help, labels, nil)
}

var (
	descConnections  = desc("connections", "Open connections.")
	descSessions     = desc("sessions", "Sessions known, offline persistent ones included.")
	descAccepted     = desc("accepted_total", "Connections taken from listeners.")
	descAcceptErrors = desc("accept_errors_total", "Accept calls that failed.")
	descConnects     = desc("connects_total", "CONNECTs welcomed.")
	descIn           = desc("publish_in_total", "Publishes from clients.", "qos")
	descOut          = desc("publish_out_total", "Publishes to clients, repeats included.", "qos")
	descRepeats      = desc("redelivered_total", "Publishes to clients that were repeats.")
	descBytes        = desc("bytes_total", "Bytes from and to clients.", "direction")
	descWrites       = desc("writes_total", "Writes to connections.")
	descPaused       = desc("paused_total", "Times that reading from a connection stopped.")
	descClosed       = desc("closed_total", "Ended connections, by cause.", "cause")
	descRefused      = desc("refused_total", "Refused CONNECTs, by return code.", "code")
	descDropped      = desc("dropped_total", "Dropped messages, by reason.", "reason")
	descBroken       = desc("malformed_total", "Malformed packets, by reason.", "reason")
)

// Describe implements prometheus.Collector.
func (c *engineCollector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c *engineCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.engine.Stats()
	gauge := func(d *prometheus.Desc, v int) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v))
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge(descConnections, s.Connections)
	gauge(descSessions, s.Sessions)
	count(descAccepted, s.Accepted)
	count(descAcceptErrors, s.AcceptErrors)
	count(descConnects, s.Connects)
	count(descRepeats, s.Redelivered)
	count(descBytes, s.BytesIn, "in")
	count(descBytes, s.BytesOut, "out")
	count(descWrites, s.Writes)
	count(descPaused, s.Paused)
	for qos, name := range []string{"0", "1", "2"} {
		count(descIn, s.PublishIn[qos], name)
		count(descOut, s.PublishOut[qos], name)
	}
	for cause, n := range s.Closed {
		count(descClosed, n, cause.String())
	}
	for code, n := range s.Refused {
		count(descRefused, n, code.String())
	}
	for reason, n := range s.Dropped {
		count(descDropped, n, reason.String())
	}
	for reason, n := range s.Broken {
		count(descBroken, n, reason)
	}
}
