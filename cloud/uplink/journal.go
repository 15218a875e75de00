package uplink

import (
	"errors"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Journal keeps what became of messages, and why; *messagelog.Log is one. A message that is not journaled costs the path one call
// of Level.
type Journal interface {
	// Level says how much of a product's messages is wanted; product may be nil. It is asked for every message and must be cheap.
	Level(product *registry.Product) Level
	// Ended is told of a message when its way has ended: what its hops were, and what came of it all. It must not block nor keep m.
	Ended(m *Message, result Result, took time.Duration)
}

// Level is how much a journal wants.
type Level uint8

// The levels. LevelErrors wants only messages that did not end well.
const (
	LevelOff Level = iota
	LevelErrors
	LevelAll
)

// Result is what came of a message, or of one hop of its way.
type Result string

// The results.
const (
	OK      Result = "ok"
	Refused Result = "refused" // the sender is at fault
	Failed  Result = "failed"  // the hub, or a target, is
	Waiting Result = "waiting" // it is not over
	None    Result = "none"    // nothing was to be done
)

// Hop is one step of a message's way and what came of it. Its strings need to live only as long as the message.
type Hop struct {
	Name   string // topic, script, shadow, model, provision, clock, agent, log, rules, rule, store, answer
	Result Result
	Code   message.Code // what the sender was told; CodeOK when nothing is wrong
	Reason string
	Detail string
	Took   time.Duration
}

// maxHops bounds what is kept of one message; more are only counted.
const maxHops = 32

// usualHops are those of a property post that one rule wants: topic, model, rules, rule, store, answer.
const usualHops = 6

// trace is what is noted of a message for the journal.
type trace struct {
	level Level
	note  Hop // what the handler said of itself, see Note
	begun time.Time
	mark  time.Time // when the last hop ended
	hops  []Hop
	more  int
	asked bool // the store was asked
}

// Journaled tells whether somebody wants to know of the message's hops: before a Reason or Detail is made that costs something.
func (m *Message) Journaled() bool { return m.trace.level != LevelOff }

// Hop notes a step of the message's way.
func (m *Message) Hop(h Hop) {
	switch {
	case m.trace.level == LevelOff:
	case len(m.trace.hops) >= maxHops:
		m.trace.more++
	default:
		if m.trace.hops == nil {
			m.trace.hops = make([]Hop, 0, usualHops)
		}
		m.trace.hops = append(m.trace.hops, h)
	}
}

// Note says why a handler that has staged its answer and returns nil has not done what the message asked for: the message
// then counts as refused in the journal.
func (m *Message) Note(code message.Code, reason string) {
	if m.trace.level != LevelOff {
		m.trace.note.Code, m.trace.note.Reason = code, reason
	}
}

// Hops are the steps so far, and how many more there were that were not kept.
func (m *Message) Hops() (hops []Hop, more int) { return m.trace.hops, m.trace.more }

// beginTrace asks the journal about m.
func (p *Path) beginTrace(m *Message) {
	if p.Journal == nil {
		return
	}
	m.trace.level = p.Journal.Level(m.Product)
	if m.trace.level == LevelOff {
		return
	}
	if m.trace.begun.IsZero() {
		m.trace.begun = p.Now()
	}
	m.trace.mark = m.trace.begun
	m.Hop(Hop{Name: "topic", Result: OK})
}

// lap is the time since the last hop ended.
func (p *Path) lap(m *Message) time.Duration {
	now := p.Now()
	d := now.Sub(m.trace.mark)
	m.trace.mark = now
	return d
}

// over is when m's way ended: when its last hop did, for one that is journaled.
func (p *Path) over(m *Message) time.Time {
	if m.trace.level == LevelOff {
		return p.Now()
	}
	return m.trace.mark
}

// Over is when the message's last hop ended; a [Journal] may ask.
func (m *Message) Over() time.Time { return m.trace.mark }

// handled notes what the handler of m's kind made of it.
func (p *Path) handled(m *Message, err error) {
	if m.trace.level == LevelOff || m.Topic.Kind == topic.Custom {
		return
	}
	h := m.trace.note
	h.Name, h.Result = handlerName(m.Topic.Kind), OK
	if !h.Code.OK() {
		h.Result = Refused
		if h.Reason == "" {
			h.Reason = h.Code.Text()
		}
	}
	if err != nil {
		if r, ok := refusalOf(err); ok {
			h.Result, h.Code, h.Reason = Refused, r.Code, r.Reason
		} else {
			h.Result, h.Code, h.Reason = Failed, message.CodeInternal, err.Error()
		}
	}
	if m.tries > 0 {
		h.Detail = "handled anew, because somebody else changed the same state"
	}
	h.Took = p.lap(m)
	m.Hop(h)
}

// handlerName is the name of the hop in which messages of kind k are handled.
func handlerName(k topic.Kind) string {
	switch k {
	case topic.ShadowUpstream, topic.ShadowGet:
		return "shadow"
	case topic.PropertyPost, topic.EventPost, topic.PropertySetReply, topic.CommandReply, topic.PropertyRestore, topic.DesiredGet,
		topic.DesiredDelete, topic.TemplateGet:
		return "model"
	case topic.LogPost:
		return "log"
	case topic.NTPRequest:
		return "clock"
	case topic.AgentUp:
		return "agent"
	}
	return "provision"
}

// matched notes the rules' part: the hops from at on are those of rules that wanted the message.
func (p *Path) matched(m *Message, at int) {
	if m.trace.level == LevelOff || p.Rules == nil || at >= len(m.trace.hops) {
		return
	}
	h := &m.trace.hops[at]
	h.Took = p.lap(m)
	if len(m.trace.hops) == at+1 {
		h.Result = None
	}
}

// stored notes what the store said.
func (p *Path) stored(m *Message, err error) {
	if m.trace.level == LevelOff || !m.trace.asked {
		return
	}
	m.trace.asked = false
	h := Hop{Name: "store", Result: OK, Took: p.lap(m)}
	switch {
	case err == nil:
	case errors.Is(err, store.ErrFenced):
		h.Result, h.Reason = Failed, "the device has connected again: this message was of the connection before"
	default:
		h.Result, h.Reason = Failed, err.Error()
	}
	m.Hop(h)
}

// answered notes that an answer was sent.
func (p *Path) answered(m *Message, r *Reply, err error) {
	if m.trace.level == LevelOff {
		return
	}
	h := Hop{Name: "answer", Result: OK, Detail: r.Topic, Took: p.lap(m)}
	switch {
	case errors.Is(err, server.ErrNotSubscribed):
		h.Result, h.Reason = None, "the device does not listen to answers"
	case err != nil:
		h.Result, h.Reason = Failed, err.Error()
	}
	m.Hop(h)
}

// journal tells the journal of the end.
func (p *Path) journal(m *Message, err error) {
	if m.trace.level == LevelOff {
		return
	}
	result := Failed
	switch {
	case m.refused != nil || err == nil && !m.trace.note.Code.OK():
		result = Refused
	case err == nil:
		result = OK
	}
	if result != OK || m.trace.level == LevelAll {
		p.Journal.Ended(m, result, m.trace.mark.Sub(m.trace.begun))
	}
}

// retrace forgets the hops of a try that was in vain.
func (m *Message) retrace() {
	keep := min(1, len(m.trace.hops))
	if len(m.trace.hops) > 1 && m.trace.hops[1].Name == scriptHop {
		keep = 2 // it is not parsed again
	}
	clear(m.trace.hops[keep:])
	m.trace.hops, m.trace.more, m.trace.note, m.trace.asked = m.trace.hops[:keep], 0, Hop{}, false
}

// scriptHop is the name of the hop in which a payload was parsed.
const scriptHop = "script"
