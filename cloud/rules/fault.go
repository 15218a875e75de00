package rules

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/rulesql"
)

// faultKinds are the kinds that rulesql knows, and messages that are neither JSON nor CBOR.
const (
	notJSON    = 15
	faultKinds = notJSON + 1
)

// faults counts what went wrong with the messages of a rule. A message may be counted for several kinds.
type faults struct {
	failed  atomic.Int64 // messages that the rule could not be evaluated on
	matched atomic.Int64 // records that the rule has made of messages
	counts  [faultKinds]atomic.Int64

	due     [faultKinds]atomic.Int64 // Unix ms from which on the next message is taken for a sample
	mu      sync.Mutex               // guards samples
	samples [faultKinds]*FaultStats
}

// sampleEvery is how long a sample stays before a newer message takes its place: enough to read it, and no work for each message.
const sampleEvery = time.Minute

// FaultStats is one kind of fault and the latest message that is kept of it.
type FaultStats struct {
	Kind      string // as rulesql.Fault has it, or not_json
	Count     int64
	MessageID message.ID
	Topic     string
	Text      string // what went wrong, with the expression
	At        time.Time
}

// add counts a fault; text is called only when the message is taken for a sample.
func (f *faults) add(kind int, m *uplink.Message, topicName string, now time.Time, text func() string) {
	f.counts[kind].Add(1)
	due := f.due[kind].Load()
	if now.UnixMilli() < due || !f.due[kind].CompareAndSwap(due, now.Add(sampleEvery).UnixMilli()) {
		return
	}
	name := "not_json"
	if kind != notJSON {
		name = rulesql.Fault(kind).String()
	}
	sample := &FaultStats{Kind: name, MessageID: m.ID, Topic: strings.Clone(topicName), Text: strings.Clone(text()), At: now}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.samples[kind] = sample
}

// note counts what the evaluation under way has found.
func (f *faults) note(e *rulesql.Env, m *uplink.Message, topicName string, now func() time.Time) {
	if !e.Faulty() {
		return
	}
	at := now()
	e.Faults(func(kind rulesql.Fault, text func() string) { f.add(int(kind), m, topicName, at, text) })
}

// stats lists the kinds that there were, most frequent first.
func (f *faults) stats() []FaultStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []FaultStats
	for i, s := range f.samples {
		if s != nil {
			one := *s
			one.Count = f.counts[i].Load()
			list = append(list, one)
		}
	}
	slices.SortFunc(list, func(a, b FaultStats) int { return cmp.Compare(b.Count, a.Count) })
	return list
}

// fail counts a message that a rule could not be evaluated on.
func (r *Rules) fail(c *compiled, m *uplink.Message, topicName string, err error) {
	c.faults.failed.Add(1)
	r.metrics.failed.Inc()
	if _, ok := errors.AsType[*rulesql.EvalError](err); !ok { // what a program finds is noted with all else that it found
		c.faults.add(notJSON, m, topicName, r.now(), err.Error)
	}
	if m.Journaled() {
		m.Hop(uplink.Hop{Name: "rule", Result: uplink.Failed, Detail: c.Name, Reason: err.Error()})
	}
	r.Deps.Log.Debug("rule not evaluated", "rule", c.Name, "product", m.Device.Product, "device", m.Device.SN, "topic", topicName,
		"message_id", m.ID, "err", err)
}
