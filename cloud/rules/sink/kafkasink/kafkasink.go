// Package kafkasink produces rule outputs to Kafka, one message each.
//
// It promises that a delivery has succeeded only when all in-sync replicas have every message of it; that the messages of
// one device reach a partition in their order, whatever fails on the way, as long as the key is the device's (it is, unless
// the action has another) and nobody adds partitions; and that every message carries the record's key in the header
// hawser-key, the same at each delivery, and its MessageID in hawser-message-id. The producer is idempotent, so what the
// client itself tries again is there once; after a crash, or when an answer did not come in time, a batch can be there twice.
//
// The result goes out as it is, bytes or JSON, unless the action has a template for the value.
//
// What a failure means: brokers that cannot be reached, refuse the login or have no leader or replicas are tried again for
// as long as it takes, and so is a topic that is missing or forbidden, when all messages of the action go there. When the
// topic is made of fields, that may be the message's fault: it is tried a limited number of times. Messages that are too
// large, or that the broker calls invalid, are refused for good.
package kafkasink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/actionconfig"
	"github.com/hawser-iot/hawser/cloud/rules/template"
)

// Kind is the kind of action, and of the connectors that it uses.
const Kind = "kafka"

const (
	defaultBatch  = 500
	maxBatch      = 5000
	defaultLinger = 10 * time.Millisecond
	maxHeaders    = 32
	maxTopic      = 249
)

// Headers that every message has.
const (
	keyHeader       = "hawser-key"
	messageIDHeader = "hawser-message-id"
)

// Config is an action's configuration.
type Config struct {
	Connector string            `json:"connector"`
	Topic     string            `json:"topic"`                 // a template
	Key       *string           `json:"key,omitempty"`         // a template; absent: ProductSN/DeviceSN; "": no key
	Headers   map[string]string `json:"headers,omitempty"`     // templates
	Value     string            `json:"value,omitempty"`       // a template; "": the result
	Compress  string            `json:"compression,omitempty"` // none, gzip, snappy (default), lz4, zstd
	Partition string            `json:"partitioner,omitempty"` // murmur2 (default), crc32, fnv1a, roundRobin
	actionconfig.Batch
}

// New is the factory of the kind.
func New(config json.RawMessage, env rules.Env) (rules.Sink, error) {
	var c Config
	if err := actionconfig.Decode(config, &c); err != nil {
		return nil, err
	}
	s := &Sink{profile: profile{c.Compress, c.Partition}}
	var err error
	if s.batch, s.linger, err = c.Sizes(defaultBatch, maxBatch, defaultLinger); err != nil {
		return nil, err
	}
	if codecs[c.Compress] == nil {
		return nil, fmt.Errorf("compression: %q is none of none, gzip, snappy, lz4 and zstd", c.Compress)
	}
	if partitioners[c.Partition] == nil {
		return nil, fmt.Errorf("partitioner: %q is none of murmur2, crc32, fnv1a and roundRobin", c.Partition)
	}
	if err := s.setTemplates(c); err != nil {
		return nil, err
	}
	s.connector, err = env.Connector(Kind, c.Connector)
	return s, err
}

// Sink is the sink of one action.
type Sink struct {
	connector rules.Handle
	profile   profile
	batch     int
	linger    time.Duration

	topic      *template.Template
	fixedTopic bool
	key        *template.Template // nil: the device
	noKey      bool
	value      *template.Template // nil: the result
	headers    []header
	fields     bool // some template has fields
}

type header struct {
	name  string
	value *template.Template
}

var (
	_ rules.Sink      = (*Sink)(nil)
	_ rules.Previewer = (*Sink)(nil)
)

func (s *Sink) setTemplates(c Config) error {
	var err error
	if s.topic, err = s.parse("topic", c.Topic); err != nil {
		return err
	}
	var name string
	if name, s.fixedTopic = s.topic.Literal(); s.fixedTopic {
		if err := checkTopic(name); err != nil {
			return fmt.Errorf("topic: %w", err)
		}
	}
	if s.noKey = c.Key != nil && *c.Key == ""; c.Key != nil {
		if s.key, err = s.parse("key", *c.Key); err != nil {
			return err
		}
	}
	if c.Value != "" {
		if s.value, err = s.parse("value", c.Value); err != nil {
			return err
		}
	}
	return s.setHeaders(c.Headers)
}

func (s *Sink) setHeaders(headers map[string]string) error {
	if len(headers) > maxHeaders {
		return fmt.Errorf("headers: there may be at most %d", maxHeaders)
	}
	for name, text := range headers {
		if name == "" || strings.HasPrefix(name, "hawser-") {
			return fmt.Errorf("headers: %q is not yours to set", name)
		}
		value, err := s.parse("headers: "+name, text)
		if err != nil {
			return err
		}
		s.headers = append(s.headers, header{name, value})
	}
	slices.SortFunc(s.headers, func(a, b header) int { return strings.Compare(a.name, b.name) })
	return nil
}

func (s *Sink) parse(member, text string) (*template.Template, error) {
	t, err := template.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", member, err)
	}
	_, literal := t.Literal()
	s.fields = s.fields || !literal
	return t, nil
}

// checkTopic tells what Kafka would have against a topic's name.
func checkTopic(name string) error {
	ok := name != "" && name != "." && name != ".." && len(name) <= maxTopic && strings.IndexFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '_' && r != '-'
	}) < 0
	if !ok {
		return fmt.Errorf("%q is no topic of Kafka: 1 to %d letters, digits, dots, underscores and hyphens", name, maxTopic)
	}
	return nil
}

// MaxBatch implements rules.Sink.
func (s *Sink) MaxBatch() int { return s.batch }

// Linger implements rules.Sink.
func (s *Sink) Linger() time.Duration { return s.linger }

// Close implements rules.Sink.
func (s *Sink) Close() error { return nil }

// Send implements rules.Sink. It produces all records or, when one of them makes no message, none.
func (s *Sink) Send(ctx context.Context, records []rules.Record) error {
	messages := make([]*kgo.Record, len(records))
	for i := range records {
		m, err := s.message(&records[i])
		if err != nil {
			return err
		}
		messages[i] = m
	}
	return s.connector.Use(func(c rules.Connection) error {
		conn, ok := c.(*Connection)
		if !ok {
			return fmt.Errorf("%w: the connector is a %T", rules.ErrUnavailable, c)
		}
		return conn.produce(ctx, s.profile, messages, s.fixedTopic)
	})
}

// message makes the message of a record. It shares the record's result.
func (s *Sink) message(r *rules.Record) (*kgo.Record, error) {
	m := &kgo.Record{Value: r.Result, Timestamp: r.Time, Headers: make([]kgo.RecordHeader, 0, 2+len(s.headers))}
	m.Headers = append(m.Headers, kgo.RecordHeader{Key: keyHeader, Value: []byte(r.Key())},
		kgo.RecordHeader{Key: messageIDHeader, Value: []byte(r.MessageID.String())})
	var row *template.Row
	if s.fields {
		var err error
		if row, err = template.Open(r); err != nil {
			return nil, err
		}
		defer row.Release()
	}
	return m, s.fill(m, r, row)
}

func (s *Sink) fill(m *kgo.Record, r *rules.Record, row *template.Row) error {
	topic, err := s.topic.Text(row)
	if err == nil && !s.fixedTopic {
		if err = checkTopic(topic); err != nil {
			err = fmt.Errorf("%w: topic: %w", rules.ErrPermanent, err)
		}
	}
	if err != nil {
		return err
	}
	m.Topic = topic
	switch {
	case s.noKey:
	case s.key == nil:
		m.Key = []byte(r.Device.String())
	default:
		if m.Key, err = fill(s.key, row); err != nil {
			return err
		}
	}
	if s.value != nil {
		if m.Value, err = fill(s.value, row); err != nil {
			return err
		}
	}
	for _, h := range s.headers {
		v, err := fill(h.value, row)
		if err != nil {
			return err
		}
		m.Headers = append(m.Headers, kgo.RecordHeader{Key: h.name, Value: v})
	}
	return nil
}

func fill(t *template.Template, row *template.Row) ([]byte, error) {
	text, err := t.Text(row)
	return []byte(text), err
}

// Preview implements rules.Previewer.
func (s *Sink) Preview(r *rules.Record) (rules.Preview, error) {
	m, err := s.message(r)
	if err != nil {
		return rules.Preview{}, err
	}
	name, config := s.connector.Info()
	var c struct{ Brokers []string }
	if err := json.Unmarshal(config, &c); err != nil {
		return rules.Preview{}, errors.New("the connector is gone")
	}
	p := rules.Preview{Target: fmt.Sprintf("Kafka %s (%s), topic %s", name, strings.Join(c.Brokers, ","), m.Topic), Statement: string(m.Value)}
	if m.Key != nil {
		p.Headers = append(p.Headers, "key: "+string(m.Key))
	}
	for _, h := range m.Headers {
		p.Headers = append(p.Headers, h.Key+": "+string(h.Value))
	}
	return p, nil
}
