package agentlink

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	batches, records, repeats, refused, held, gaps, slowed prometheus.Counter

	diagnoses *prometheus.CounterVec // by state
}

func newMetrics(reg prometheus.Registerer, l *Links) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "hawser_agent_" + name + "_total", Help: help})
	}
	m := &metrics{
		batches: counter("batches", "Batches of records taken from agents."),
		records: counter("records", "Records of batches that went up the path."),
		repeats: counter("repeats", "Records of batches that had come before."),
		refused: counter("refused", "Records of batches that the agent was told to keep."),
		held:    counter("held_records", "Records of batches that the agent was told to bring again, because a rule that blocks had no room."),
		gaps:    counter("gaps", "Losses that agents have reported."),
		slowed:  counter("slowed", "Times that an agent was asked for less."),
	}
	m.diagnoses = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hawser_agent_diagnoses_total",
		Help: "Bundles that agents were asked for (asked), and how that ended: done, failed."}, []string{"state"})
	if reg != nil {
		reg.MustRegister(m.diagnoses, m.batches, m.records, m.repeats, m.refused, m.held, m.gaps, m.slowed,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "hawser_agents", Help: "Agents that are connected to this node."},
				func() float64 { return float64(l.agents.Load()) }))
	}
	return m
}
