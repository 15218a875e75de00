// Package republish puts rule outputs on a custom topic of a device: the device gets them, and rules see them as they see
// any message.
//
// The topic may hold fields of the output: /${productSN}/${deviceSN}/set. A field is looked up in the result first, by
// its whole name and then as a path, and deviceSN and productSN then in the message that the rule fired on. How often one
// message may go round is the hub's to bound.
package republish

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Kind is the kind of action.
const Kind = "republish"

// Config is an action's configuration.
type Config struct {
	Topic string `json:"topic"`
	QoS   byte   `json:"qos"`
}

// New is the factory of the kind.
func New(config json.RawMessage, env rules.Env) (rules.Sink, error) {
	var c Config
	dec := json.NewDecoder(bytes.NewReader(config))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	if c.QoS > 1 {
		return nil, fmt.Errorf("qos must be 0 or 1")
	}
	t, err := parse(c.Topic)
	if err != nil {
		return nil, err
	}
	if !t.custom() {
		return nil, fmt.Errorf("topic %q is no custom topic of a device, like /${productSN}/${deviceSN}/set", c.Topic)
	}
	return &Sink{cfg: c, topic: t, publish: env.Publish}, nil
}

// Sink is the sink of one action.
type Sink struct {
	cfg     Config
	topic   template
	publish func(context.Context, rules.Publication) error
}

var _ rules.Sink = (*Sink)(nil)

// MaxBatch implements rules.Sink.
func (*Sink) MaxBatch() int { return 1 }

// Linger implements rules.Sink.
func (*Sink) Linger() time.Duration { return 0 }

// Close implements rules.Sink.
func (*Sink) Close() error { return nil }

// Send implements rules.Sink.
func (s *Sink) Send(ctx context.Context, records []rules.Record) error {
	for i := range records {
		r := &records[i]
		name, err := s.topic.fill(r)
		if err != nil {
			return err
		}
		t, err := topic.Parse(name)
		if err != nil || t.Kind != topic.Custom {
			return fmt.Errorf("%w: %q is no custom topic of a device", rules.ErrPermanent, name)
		}
		err = s.publish(ctx, rules.Publication{Device: t.Device, Topic: name, Payload: r.Result, QoS: s.cfg.QoS,
			MessageID: r.MessageID, Key: r.Key(), Hop: r.Hop + 1})
		if err != nil {
			return fmt.Errorf("republish to %s: %w", name, err)
		}
	}
	return nil
}

// template is text and fields in turn: text[0] field[0] text[1] …
type template struct{ text, fields []string }

func parse(s string) (template, error) {
	var t template
	for {
		before, rest, found := strings.Cut(s, "${")
		t.text = append(t.text, before)
		if !found {
			return t, nil
		}
		field, after, closed := strings.Cut(rest, "}")
		if !closed || field == "" {
			return t, fmt.Errorf("topic: ${ without a field and }")
		}
		t.fields = append(t.fields, field)
		s = after
	}
}

// custom tells whether the template makes custom topics, with names in the place of the fields that would fit anywhere.
func (t template) custom() bool {
	const anyName = "0123456789abcdef"
	name, err := topic.Parse(t.join(func(string) string { return anyName }))
	return err == nil && name.Kind == topic.Custom && !name.Parse
}

func (t template) join(value func(field string) string) string {
	var b strings.Builder
	for i, text := range t.text {
		b.WriteString(text)
		if i < len(t.fields) {
			b.WriteString(value(t.fields[i]))
		}
	}
	return b.String()
}

// fill makes the topic for one record.
func (t template) fill(r *rules.Record) (string, error) {
	if len(t.fields) == 0 {
		return t.text[0], nil
	}
	doc, err := codec.Decode(r.Result, codec.DefaultLimits())
	if err != nil {
		return "", fmt.Errorf("%w: result: %w", rules.ErrPermanent, err)
	}
	defer doc.Release()
	missing := ""
	name := t.join(func(field string) string {
		s, ok := lookup(doc.Root(), field, r)
		if !ok {
			missing = field
		}
		return s
	})
	if missing != "" {
		return "", fmt.Errorf("%w: the result has no field %q that could be part of a topic", rules.ErrPermanent, missing)
	}
	return name, nil
}

func lookup(root codec.Value, field string, r *rules.Record) (string, bool) {
	v := root.Get(field)
	if v.Kind() == codec.Missing {
		v = root.Path(strings.Split(field, ".")...)
	}
	switch v.Kind() {
	case codec.String:
		s, _ := v.Str()
		return s, s != "" && !strings.ContainsAny(s, "/+#")
	case codec.Int:
		return string(v.AppendJSON(nil)), true
	case codec.Missing:
		switch field {
		case "deviceSN", "deviceSN()":
			return r.Device.SN, true
		case "productSN", "productSN()":
			return r.Device.Product, true
		}
	}
	return "", false
}
