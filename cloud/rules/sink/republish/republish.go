// Package republish puts rule outputs on a custom topic of a device: the device gets them, and rules see them as they see
// any message.
//
// The topic may hold fields of the output, as package template has them: /${productSN}/${deviceSN}/set. How often one message
// may go round is the hub's to bound.
package republish

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/template"
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
	t, err := template.Parse(c.Topic)
	if err != nil {
		return nil, fmt.Errorf("topic: %w", err)
	}
	if !custom(t) {
		return nil, fmt.Errorf("topic %q is no custom topic of a device, like /${productSN}/${deviceSN}/set", c.Topic)
	}
	return &Sink{cfg: c, topic: t, publish: env.Publish}, nil
}

// Sink is the sink of one action.
type Sink struct {
	cfg     Config
	topic   *template.Template
	publish func(context.Context, rules.Publication) error
}

var (
	_ rules.Sink      = (*Sink)(nil)
	_ rules.Previewer = (*Sink)(nil)
)

// MaxBatch implements rules.Sink.
func (*Sink) MaxBatch() int { return 1 }

// Linger implements rules.Sink.
func (*Sink) Linger() time.Duration { return 0 }

// Close implements rules.Sink.
func (*Sink) Close() error { return nil }

// Send implements rules.Sink.
func (s *Sink) Send(ctx context.Context, records []rules.Record) error {
	for i := range records {
		p, err := s.publication(&records[i])
		if err != nil {
			return err
		}
		if err := s.publish(ctx, p); err != nil {
			return fmt.Errorf("republish to %s: %w", p.Topic, err)
		}
	}
	return nil
}

func (s *Sink) publication(r *rules.Record) (rules.Publication, error) {
	name, err := s.fill(r)
	if err != nil {
		return rules.Publication{}, err
	}
	t, err := topic.Parse(name)
	if err != nil || t.Kind != topic.Custom {
		return rules.Publication{}, fmt.Errorf("%w: %q is no custom topic of a device", rules.ErrPermanent, name)
	}
	return rules.Publication{Device: t.Device, Topic: name, Payload: r.Result, QoS: s.cfg.QoS, MessageID: r.MessageID, Key: r.Key(), Hop: r.Hop + 1}, nil
}

// Preview implements rules.Previewer. Whether the device is there shows only when the message is sent.
func (s *Sink) Preview(r *rules.Record) (rules.Preview, error) {
	p, err := s.publication(r)
	if err != nil {
		return rules.Preview{}, err
	}
	text := string(p.Payload)
	if !utf8.ValidString(text) {
		text = "base64:" + base64.StdEncoding.EncodeToString(p.Payload)
	}
	return rules.Preview{Target: fmt.Sprintf("%s, QoS %d", p.Topic, p.QoS), Statement: text}, nil
}

// custom tells whether the template makes custom topics, with names in the place of the fields that would fit anywhere.
func custom(t *template.Template) bool {
	const anyName = "0123456789abcdef"
	filled := strings.NewReplacer(pairs(t.Fields(), anyName)...).Replace(t.String())
	name, err := topic.Parse(filled)
	return err == nil && name.Kind == topic.Custom && !name.Parse
}

// pairs are what a replacer takes to put text in the place of each field.
func pairs(fields []string, text string) (list []string) {
	for _, f := range fields {
		list = append(list, "${"+f+"}", text)
	}
	return list
}

// fill makes the topic for one record.
func (s *Sink) fill(r *rules.Record) (string, error) {
	if name, ok := s.topic.Literal(); ok {
		return name, nil
	}
	row, err := template.Open(r)
	if err != nil {
		return "", err
	}
	defer row.Release()
	return s.topic.Expand(row, level)
}

// level is the text of a field that becomes part of a topic: it must not add levels to it.
func level(field string, v any) (string, error) {
	switch v := v.(type) {
	case string:
		if v != "" && !strings.ContainsAny(v, "/+#") {
			return v, nil
		}
	case int64:
		return strconv.FormatInt(v, 10), nil
	case uint64:
		return strconv.FormatUint(v, 10), nil
	}
	return "", &template.FieldError{Field: field, Err: fmt.Errorf("%v cannot be part of a topic", v)}
}
