package rules

import (
	"context"
	"encoding/json"
	"errors"
	"hash/crc32"
	"time"

	"github.com/hawser-iot/hawser/cloud/monitor/meter"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/message"
)

// giveUpBatch is how many records are given up in one unit.
const giveUpBatch = 64

// Envelope is what is known of a record that was given up: what the error action gets, and what is shown of a dead letter.
type Envelope struct {
	RuleName   string     `json:"ruleName"`
	RuleID     string     `json:"ruleID"`
	ActionID   string     `json:"actionID"`
	ActionKind string     `json:"actionKind"`
	Topic      string     `json:"topic"`
	TraceID    message.ID `json:"traceId"` // the MessageID
	Key        string     `json:"key"`
	ClientID   string     `json:"clientId"` // of the device's MQTT session
	ProductSN  string     `json:"productSN"`
	DeviceSN   string     `json:"deviceSN"`
	Time       time.Time  `json:"time"` // when the message was taken
	Payload    []byte     `json:"base64Payload"`
	PayloadIs  string     `json:"payloadIs"` // "result": what the rule made of the message
	Attempts   int        `json:"attempts"`
	Failures   []Failure  `json:"failures"` // the first and the last ones
}

// giveUp settles parcels that will not be delivered by this action: its fallback action gets them, else they are dead letters, or
// dropped when those have no more room. The rule's error action is told of each. It returns an error only when ctx has ended or the
// shard is another node's.
func (p *pack) giveUp(ctx context.Context, why error) error {
	for len(p.parcels) > 0 {
		part := *p
		part.parcels = p.parcels[:min(len(p.parcels), giveUpBatch)]
		if err := part.giveUpPart(ctx, why); err != nil {
			return err
		}
		p.parcels = p.parcels[len(part.parcels):]
	}
	return nil
}

// relieve gives up the oldest parcels while the lane has too much.
func (p *pack) relieve(ctx context.Context) error {
	for len(p.parcels) > 0 {
		over := p.lane.over()
		if over <= 0 {
			return nil
		}
		part := *p
		n := 0
		for ; n < len(p.parcels) && over > 0; n++ {
			over -= int64(p.parcels[n].size)
		}
		part.parcels, p.parcels = p.parcels[:n], p.parcels[n:]
		if err := part.giveUp(ctx, errFull); err != nil {
			return err
		}
	}
	return nil
}

func (p *pack) giveUpPart(ctx context.Context, why error) error {
	ln := p.lane
	r, a := ln.shard.rules, ln.action
	f := p.fate(why)
	ln.shard.mu.Lock()
	epoch := ln.shard.epoch
	ln.shard.mu.Unlock()
	err := ln.persist(ctx, "give up", func() error {
		u := f.unit()
		u.Ops = append([]store.Op{r.outbox.Fence(consumer, ln.shard.number, epoch)}, u.Ops...)
		return r.Deps.Store.Do(ctx, u)
	})
	if err != nil {
		return err
	}
	w := p.waiting()
	switch {
	case f.fallback != nil:
		a.books.end(w, &a.books.fellBack)
	case f.dropped:
		a.drop(w, dropFull)
		p.meter(meter.Dropped)
		p.failedFor(f.ruleName)
		r.alarm(a)
	default:
		a.books.end(w, &a.books.dead)
		p.meter(meter.Dead)
		p.failedFor(f.ruleName)
	}
	for i := range p.parcels {
		rec := &p.parcels[i].record
		ln.journal([]Record{*rec}, 0, why, true)
		r.Deps.Log.Debug("rule output given up", "rule", a.rule, "action", a.id, "sink", a.kind, "topic", rec.Topic,
			"product", rec.Device.Product, "device", rec.Device.SN, "message_id", rec.MessageID, "err", why)
	}
	r.warnGivenUp(a, len(p.parcels), why)
	return nil
}

// fate is what becomes of parcels that are given up.
type fate struct {
	pack              *pack
	rules             *Rules
	fallback, onError *action
	ruleName          string
	dropped           bool
	failures          []Failure
	at                time.Time
}

func (p *pack) fate(why error) *fate {
	r, a := p.lane.shard.rules, p.lane.action
	f := &fate{pack: p, rules: r, failures: p.failed, at: r.now().UTC().Truncate(time.Millisecond)}
	if len(f.failures) == 0 || errors.Is(why, errFull) {
		f.failures = append(f.failures[:len(f.failures):len(f.failures)], Failure{f.at, shorten(why)})
	}
	if c := r.set.Load().rule(a.rule); c != nil {
		f.ruleName = c.Name
		f.fallback = c.fallbacks[a.id]
		if a.role != RoleError {
			f.onError = c.onError
		}
	}
	f.dropped = f.fallback == nil && !a.letters.reserve(&r.cfg, len(p.parcels), p.waiting().bytes)
	return f
}

// unit is what is to be stored. All parcels are of one shard, so that any of their devices names it.
func (f *fate) unit() *store.Unit {
	u := &store.Unit{Device: f.pack.parcels[0].record.DeviceID}
	for i := range f.pack.parcels {
		rec := f.pack.parcels[i].record
		switch {
		case f.fallback != nil:
			next := rec
			next.Action = f.fallback.id
			u.Out = append(u.Out, next.Append(nil))
		case !f.dropped:
			u.Ops = append(u.Ops, f.letter(&rec))
		}
		if f.onError != nil {
			u.Out = append(u.Out, f.told(&rec))
		}
	}
	return u
}

// told is the record that the error action gets.
func (f *fate) told(rec *Record) []byte {
	next := *rec
	next.Action = f.onError.id
	// The outputs of several actions for one message are told of under keys of their own.
	next.Index = int(crc32.ChecksumIEEE([]byte(rec.Key()))) | 1<<32
	next.Result, _ = json.Marshal(f.envelope(rec)) // strings, numbers and times always encode
	return next.Append(nil)
}

func (f *fate) envelope(rec *Record) *Envelope {
	a := f.pack.lane.action
	return envelopeOf(rec, a.kind, f.ruleName, a.rule, f.pack.tries, f.failures)
}

func envelopeOf(rec *Record, kind, ruleName string, rule int64, attempts int, failures []Failure) *Envelope {
	return &Envelope{RuleName: ruleName, RuleID: message.ID(rule).String(), ActionID: message.ID(rec.Action).String(), ActionKind: kind,
		Topic: rec.Topic, TraceID: rec.MessageID, Key: rec.Key(), ClientID: rec.Device.Product + "." + rec.Device.SN, ProductSN: rec.Device.Product,
		DeviceSN: rec.Device.SN, Time: rec.Time, Payload: rec.Result, PayloadIs: "result", Attempts: attempts, Failures: failures}
}
