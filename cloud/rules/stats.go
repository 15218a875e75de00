package rules

import (
	"context"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// Stats are a rule's counters since this hub started, or since its actions were replaced. Where nodes share a store, they are those of
// one node: of the shards that it delivers. Totals are of all nodes, and survive them.
type Stats struct {
	Rule    int64
	Matched int64        // messages for which WHERE was true
	Failed  int64        // evaluations that failed: messages that the rule could not be evaluated on: not JSON, or an operation without a meaning
	Faults  []FaultStats // what went wrong with messages, by kind
	Actions []ActionStats

	FailedTotal int64 // Failed on all nodes since the rule was made
}

// Stats returns a rule's counters.
func (r *Rules) Stats(ctx context.Context, id int64) (Stats, error) {
	if err := r.sync(ctx); err != nil {
		return Stats{}, err
	}
	c := r.set.Load().rule(id)
	if c == nil {
		return Stats{}, ErrNotFound
	}
	s := Stats{Rule: id, Failed: c.faults.failed.Load(), Faults: c.faults.stats()}
	for a := range c.all() {
		s.Actions = append(s.Actions, a.stats())
	}
	if len(s.Actions) > 0 {
		s.Matched = s.Actions[0].Matched
	}
	return s, r.sumTotals(ctx, &s)
}

type metrics struct {
	failed   prometheus.Counter
	damaged  prometheus.Counter
	orphaned *prometheus.CounterVec // by reason: dropStopped, dropNotFound
	blocked  prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, r *Rules) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		failed:  counter("hawser_rule_failed_total", "Messages that a rule could not be evaluated on."),
		damaged: counter("hawser_rule_damaged_records_total", "Outbox records that could not be read."),
		orphaned: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hawser_rule_orphaned_records_total",
			Help: "Records of actions that were deleted, by reason: stopped (they waited) or not_found (they were read afterwards)."}, []string{"reason"}),
		blocked: counter("hawser_rule_blocked_messages_total", "Messages that were not taken because an action that blocks has no room."),
	}
	if reg != nil {
		reg.MustRegister(m.failed, m.damaged, m.orphaned, m.blocked, ledger{r})
	}
	return m
}

// ledger shows the books of all actions as metrics; those of a rule that is deleted are gone with it.
type ledger struct{ rules *Rules }

var (
	actionLabels = []string{"rule", "action", "sink"}
	matchedDesc  = desc("matched_total", "Records that came to an action.")
	sentDesc     = desc("delivered_total", "Records delivered.")
	deadDesc     = desc("dead_letters_total", "Records that became dead letters.")
	fellBackDesc = desc("fallback_total", "Records given up and handed to the fallback action.")
	retriesDesc  = desc("retries_total", "Deliveries that failed and were tried again.")
	droppedDesc  = desc("dropped_total", "Records dropped, by reason.", "reason")
	handedDesc   = desc("handed_over_total", "Records that waited when another node took their shard over.")
	openDesc     = desc("waiting_records", "Records that are not settled, by state: in_flight, queued in memory, late in the outbox alone.", "state")
	bytesDesc    = desc("waiting_bytes", "Bytes of the records that are not settled.")
	lettersDesc  = desc("dead_letters", "Dead letters that are there, as last counted.")
	upDesc       = desc("target_connected", "Whether the target answers.")
)

func desc(name, help string, more ...string) *prometheus.Desc {
	return prometheus.NewDesc("hawser_rule_"+name, help, append(append([]string(nil), actionLabels...), more...), nil)
}

// Describe implements prometheus.Collector.
func (ledger) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{matchedDesc, sentDesc, deadDesc, fellBackDesc, retriesDesc, droppedDesc, handedDesc, openDesc, bytesDesc, lettersDesc, upDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (l ledger) Collect(ch chan<- prometheus.Metric) {
	for _, a := range l.rules.set.Load().actions.all() {
		labels := []string{strconv.FormatInt(a.rule, 10), strconv.FormatInt(a.id, 10), a.kind}
		put := func(d *prometheus.Desc, kind prometheus.ValueType, v int64, more ...string) {
			ch <- prometheus.MustNewConstMetric(d, kind, float64(v), append(labels[:3:3], more...)...)
		}
		s := a.stats()
		put(matchedDesc, prometheus.CounterValue, s.Matched+s.handed)
		put(handedDesc, prometheus.CounterValue, s.handed)
		put(sentDesc, prometheus.CounterValue, s.Delivered)
		put(deadDesc, prometheus.CounterValue, s.Dead)
		put(fellBackDesc, prometheus.CounterValue, s.FellBack)
		put(retriesDesc, prometheus.CounterValue, s.Retries)
		for reason, n := range s.Dropped {
			put(droppedDesc, prometheus.CounterValue, n, reason)
		}
		put(openDesc, prometheus.GaugeValue, s.InFlight, "in_flight")
		put(openDesc, prometheus.GaugeValue, s.Queued, "queued")
		put(openDesc, prometheus.GaugeValue, s.Late, "late")
		put(bytesDesc, prometheus.GaugeValue, s.Bytes)
		put(lettersDesc, prometheus.GaugeValue, s.Letters)
		up := int64(0)
		if s.Status == Connected {
			up = 1
		}
		put(upDesc, prometheus.GaugeValue, up)
	}
}
