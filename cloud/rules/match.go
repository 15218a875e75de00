package rules

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/rulesql"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// scratch is what one evaluation needs; pooled.
type scratch struct {
	hits []*compiled
	env  rulesql.Env
	raw  []byte // a derived message's payload
	rows rulesql.Rows
}

// Match appends a record for each action of each rule that wants the message. See uplink.Matcher.
func (r *Rules) Match(m *uplink.Message, topicName string, payload func() (codec.Value, error), out [][]byte) [][]byte {
	s := r.set.Load()
	if s.empty() {
		return out
	}
	return r.match(s, m, topicName, origin{}, payload, out)
}

func (r *Rules) match(s *set, m *uplink.Message, topicName string, from origin, payload func() (codec.Value, error), out [][]byte) [][]byte {
	sc := r.scratch.Get().(*scratch)
	defer r.free(sc)
	sc.hits = r.own(m, s.find(topicName, sc.hits[:0]))
	if len(sc.hits) == 0 {
		return out
	}
	rec := Record{MessageID: m.ID, DeviceID: m.DeviceID, Device: m.Device, Topic: topicName, Time: m.At, Hop: from.hop, Index: from.index}
	sc.env = rulesql.Env{Device: m.Device, Topic: topicName, MessageID: m.ID, QoS: m.QoS, Time: m.At, Replayed: m.Replayed, Raw: m.Payload}
	var root codec.Value
	var unreadable error
	if sc.decodes(topicName != m.Name) {
		root, unreadable = payload()
	}
	if topicName != m.Name && unreadable == nil {
		rec.Index = indexOf(topicName)
		sc.raw = root.AppendJSON(sc.raw[:0])
		sc.env.Raw = sc.raw
	}
	for _, c := range sc.hits {
		if sc.env.Payload = root; c.DataType == Binary {
			sc.env.Payload = codec.Value{}
		} else if unreadable != nil {
			r.fail(c, m, topicName, unreadable)
			continue
		}
		out = r.fire(c, m, sc, &rec, out)
	}
	return out
}

// decodes tells whether one of the rules looks at the payload. Those for JSON do, if only to see that it is JSON.
func (sc *scratch) decodes(derived bool) bool {
	return derived || slices.ContainsFunc(sc.hits, func(c *compiled) bool { return c.DataType != Binary })
}

// errBlocked says why a message is not taken.
var errBlocked = errors.New("rules: an action that blocks has no room")

// own keeps the rules of the project that the message's product belongs to: others must not hear of it, whatever their
// filters say.
func (r *Rules) own(m *uplink.Message, hits []*compiled) []*compiled {
	if len(hits) == 0 {
		return hits
	}
	product := m.Product
	if product == nil {
		var err error
		if product, err = r.Deps.Registry.Product(context.Background(), m.Device.Product); err != nil {
			return hits[:0] // it is gone, or the store is: then the message cannot be stored either
		}
	}
	kept := hits[:0]
	for _, c := range hits {
		if c.Project == product.Project {
			kept = append(kept, c)
		}
	}
	return kept
}

// origin says where a republished message comes from.
type origin struct{ hop, index int }

// originOf makes the same index each time that the same output is republished, and different ones for several outputs of
// one message. Those of derived messages are below 256.
func originOf(p Publication) origin {
	return origin{hop: p.Hop, index: int(crc32.ChecksumIEEE([]byte(p.Key))) | 1<<32}
}

// maxScratch bounds the memory that a pooled scratch keeps.
const maxScratch = 64 << 10

func (r *Rules) free(sc *scratch) {
	clear(sc.hits[:cap(sc.hits)])
	sc.env = rulesql.Env{}
	if cap(sc.raw)+sc.rows.Size() > maxScratch {
		sc.raw, sc.rows = nil, rulesql.Rows{}
	}
	r.scratch.Put(sc)
}

// indexOf numbers derived messages by their kind: a message causes at most one of each.
func indexOf(topicName string) int {
	t, err := topic.Parse(topicName)
	if err != nil {
		return 0
	}
	return int(t.Kind)
}

// fire evaluates one rule.
func (r *Rules) fire(c *compiled, m *uplink.Message, sc *scratch, rec *Record, out [][]byte) [][]byte {
	sc.rows.Reset()
	ok, err := c.program.Match(&sc.env)
	if err == nil && ok {
		err = c.program.Select(&sc.env, &sc.rows)
	}
	c.faults.note(&sc.env, m, rec.Topic, r.now)
	if err != nil {
		r.fail(c, m, rec.Topic, err)
		return out
	}
	if !ok {
		return out
	}
	if r.blocks(c) && m.Hold(errBlocked) {
		r.metrics.blocked.Inc()
		return out
	}
	m.Hop(uplink.Hop{Name: "rule", Result: uplink.OK, Detail: c.Name, Reason: derivedFrom(m, rec.Topic)})
	base := rec.Index
	r.matched(c, m, sc.rows.Len()*len(c.actions))
	for i := range sc.rows.Len() {
		rec.Result, rec.Index = sc.rows.Row(i), rowIndex(base, sc.rows.Index(i))
		for _, a := range c.actions {
			rec.Action = a.id
			out = append(out, rec.Append(make([]byte, 0, rec.size())))
		}
	}
	rec.Index = base
	return out
}

// rowIndex tells the results of one message apart: base is that of the message, row the position of the element that FOREACH made the
// result of. Both are the same at each repeat, and no two pairs make the same index.
func rowIndex(base, row int) int {
	if base < 1<<8 {
		return base | row<<8
	}
	return base | row<<33 // a republished message's base has 33 bits
}

// SplitIndex is the inverse of what made a Record's Index: what the message is among those that come of one, 0 for itself, and the row among its results.
func SplitIndex(index int) (base, row int) {
	if index < 1<<32 {
		return index & (1<<8 - 1), index >> 8
	}
	return index & (1<<33 - 1), index >> 33
}

// derivedFrom says for the journal that a rule did not match the message itself but what the hub made of it.
func derivedFrom(m *uplink.Message, topicName string) string {
	if topicName == m.Name {
		return ""
	}
	return topicName
}

// errHops is permanent: a message that goes round is a dead letter, where somebody sees it.
var errHops = fmt.Errorf("%w: republished too often: do the rules republish to each other?", ErrPermanent)

// publish is Env.Publish for the rules of a project, which reach no other project's devices.
func (r *Rules) publish(ctx context.Context, project string, p Publication) error {
	if p.Hop > r.cfg.MaxHops {
		return errHops
	}
	t, err := topic.Parse(p.Topic)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPermanent, err)
	}
	if t.Kind != topic.Custom || t.Device != p.Device {
		return fmt.Errorf("%w: %s is no custom topic of a device", ErrPermanent, p.Topic)
	}
	d, err := r.Deps.Registry.Device(ctx, p.Device)
	if err == nil && d.Project != project {
		err = registry.ErrDeviceNotFound
	}
	if errors.Is(err, registry.ErrDeviceNotFound) {
		return fmt.Errorf("%w: %w: the rule's project has no device %s", ErrPermanent, err, p.Device)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if r.Deps.Sender == nil {
		return fmt.Errorf("%w: this hub sends nothing to devices", ErrUnavailable)
	}
	if err := r.Deps.Sender.Publish(message.WithID(ctx, p.MessageID), p.Device, p.Topic, p.Payload, p.QoS); err != nil {
		return err
	}
	return r.inject(ctx, d.ID, t, p)
}

// inject lets rules see a republished message.
func (r *Rules) inject(ctx context.Context, deviceID int64, t topic.Topic, p Publication) error {
	s := r.set.Load()
	if s.empty() {
		return nil
	}
	m := &uplink.Message{ID: p.MessageID, Device: p.Device, DeviceID: deviceID, Topic: t, Name: p.Topic, Payload: p.Payload,
		QoS: p.QoS, At: r.now()}
	out := r.match(s, m, m.Name, originOf(p), m.Root, nil)
	if len(out) == 0 {
		return nil
	}
	if err := r.Deps.Store.Do(ctx, &store.Unit{Device: deviceID, Out: out}); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}
