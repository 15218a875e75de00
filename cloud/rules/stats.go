package rules

import (
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// books are an action's counters. They are under one lock, so that a reader finds them balanced.
type books struct {
	mu                                        sync.Mutex // guards the fields below
	matched, delivered, queued, dead, retries int64
	dropped                                   map[string]int64
	last                                      error
	lastAt                                    time.Time
	down                                      bool // the last attempt failed
}

func (b *books) queue(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.matched += int64(n)
	b.queued += int64(n)
}

// deliver tells whether the attempt before had failed.
func (b *books) deliver(n int) (recovered bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	recovered = b.down
	b.delivered += int64(n)
	b.queued -= int64(n)
	b.down = false
	return recovered
}

func (b *books) bury() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dead++
	b.queued--
}

func (b *books) drop(reason string, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queued -= int64(n)
	if b.dropped == nil {
		b.dropped = make(map[string]int64)
	}
	b.dropped[reason] += int64(n)
}

// fail notes a failed attempt; it tells whether the one before had gone well.
func (b *books) fail(err error, now time.Time) (first bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	first = !b.down
	b.retries++
	b.last, b.lastAt, b.down = err, now, true
	return first
}

// Stats are a rule's counters since this hub started, or since its actions were replaced.
type Stats struct {
	Rule    int64
	Matched int64 // messages for which WHERE was true
	Failed  int64 // evaluations that failed: messages that the rule could not be evaluated on: not JSON, or an operation without a meaning
	Actions []ActionStats
}

// ActionStats are an action's counters: Matched = Delivered + Queued + Dead + the sum of Dropped. What waited in the
// outbox when this hub started counts as matched.
type ActionStats struct {
	Action                           int64
	Kind                             string
	Matched, Delivered, Queued, Dead int64
	Dropped                          map[string]int64 // by reason; never nil
	Retries                          int64
	Connected                        bool   // the last attempt to deliver went well, or there was none
	LastError                        string // "" when there was none
	LastErrorAt                      time.Time
}

func (a *action) stats() ActionStats {
	b := &a.books
	b.mu.Lock()
	defer b.mu.Unlock()
	s := ActionStats{Action: a.id, Kind: a.kind, Matched: b.matched, Delivered: b.delivered, Queued: b.queued, Dead: b.dead,
		Dropped: maps.Clone(b.dropped), Retries: b.retries, Connected: !b.down, LastErrorAt: b.lastAt}
	if s.Dropped == nil {
		s.Dropped = map[string]int64{}
	}
	if b.last != nil {
		s.LastError = b.last.Error()
	}
	return s
}

// Stats returns a rule's counters.
func (r *Rules) Stats(id int64) (Stats, error) {
	c := r.set.Load().rules[id]
	if c == nil {
		return Stats{}, ErrNotFound
	}
	s := Stats{Rule: id, Failed: c.failed.Load()}
	for _, a := range c.actions {
		s.Actions = append(s.Actions, a.stats())
	}
	if len(s.Actions) > 0 {
		s.Matched = s.Actions[0].Matched
	}
	return s, nil
}

type metrics struct {
	failed    prometheus.Counter
	delivered *prometheus.CounterVec // by kind of sink
	dead      *prometheus.CounterVec
	retries   *prometheus.CounterVec
	damaged   prometheus.Counter
	orphaned  prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	vec := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"sink"})
	}
	m := &metrics{
		failed:    counter("hawser_rule_failed_total", "Messages that a rule could not be evaluated on."),
		delivered: vec("hawser_rule_delivered_total", "Records delivered, by kind of sink."),
		dead:      vec("hawser_rule_dead_letters_total", "Records that became dead letters, by kind of sink."),
		retries:   vec("hawser_rule_retries_total", "Deliveries that failed and are tried again, by kind of sink."),
		damaged:   counter("hawser_rule_damaged_records_total", "Outbox records that could not be read."),
		orphaned:  counter("hawser_rule_orphaned_records_total", "Outbox records of actions that were deleted."),
	}
	if reg != nil {
		reg.MustRegister(m.failed, m.delivered, m.dead, m.retries, m.damaged, m.orphaned)
	}
	return m
}
