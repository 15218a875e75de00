// Package natssink publishes rule outputs to NATS, one message each, to JetStream or to whoever listens.
//
// With jetstream: true it promises that a delivery has succeeded only when the stream has acknowledged every message of it, that a
// device's messages are stored in their order, and that a stream that remembers message ids (for two minutes, unless it is told
// otherwise) stores each once: Nats-Msg-Id is the record's key. Without it a delivery has succeeded when the server has read
// it. NATS itself keeps nothing: who does not listen at that moment misses it.
//
// What a failure means: servers that cannot be reached, refuse the login, are full or have no leader are tried again for as long as
// it takes, and so is a subject that is forbidden or that no stream takes, when all messages of the action go there. When the
// subject is made of fields, that may be the message's fault: it is tried a limited number of times. Messages that are too large are
// refused for good.
package natssink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/actionconfig"
	"github.com/hawser-iot/hawser/cloud/rules/template"
)

// Kind is the kind of action, and of the connectors that it uses.
const Kind = "nats"

const (
	defaultBatch  = 100
	maxBatch      = 1000
	defaultLinger = 5 * time.Millisecond
	maxHeaders    = 32
	// maxSubject is what fits, with all that stands beside it, into a line of the protocol, 4 KiB: a server hangs up on longer ones.
	maxSubject = 4000
)

// messageIDHeader is the MessageID; the record's key is in nats.MsgIdHdr.
const messageIDHeader = "Hawser-Message-Id"

// Config is an action's configuration.
type Config struct {
	Connector string            `json:"connector"`
	Subject   string            `json:"subject"`             // a template
	Headers   map[string]string `json:"headers,omitempty"`   // templates
	Value     string            `json:"value,omitempty"`     // a template; "": the result
	JetStream bool              `json:"jetstream,omitempty"` // wait until a stream has stored it
	actionconfig.Batch
}

// New is the factory of the kind.
func New(config json.RawMessage, env rules.Env) (rules.Sink, error) {
	var c Config
	if err := actionconfig.Decode(config, &c); err != nil {
		return nil, err
	}
	s := &Sink{stored: c.JetStream}
	var err error
	if s.batch, s.linger, err = c.Sizes(defaultBatch, maxBatch, defaultLinger); err != nil {
		return nil, err
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
	batch     int
	linger    time.Duration
	stored    bool

	subject *template.Template
	shared  bool               // the subject has no fields
	value   *template.Template // nil: the result
	headers []header
	fields  bool // some template has fields
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
	if s.subject, err = s.parse("subject", c.Subject); err != nil {
		return err
	}
	filled := c.Subject
	for _, f := range s.subject.Fields() {
		filled = strings.ReplaceAll(filled, "${"+f+"}", "x")
	}
	_, s.shared = s.subject.Literal()
	if !validSubject(filled) {
		return fmt.Errorf("subject: %q is none to publish to: words with dots between them, without *, > and blanks, and not beginning with $", c.Subject)
	}
	if c.Value != "" {
		if s.value, err = s.parse("value", c.Value); err != nil {
			return err
		}
	}
	if len(c.Headers) > maxHeaders {
		return fmt.Errorf("headers: there may be at most %d", maxHeaders)
	}
	for name, text := range c.Headers {
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		if name == "" || strings.ContainsAny(name, ": \t\r\n") || strings.HasPrefix(canonical, "Nats-") || strings.HasPrefix(canonical, "Hawser-") {
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

// validSubject tells whether one may publish to s. What begins with $ is the servers' own.
func validSubject(s string) bool {
	if len(s) > maxSubject || strings.HasPrefix(s, "$") || strings.ContainsAny(s, " \t\r\n*>\x00") {
		return false
	}
	return !slices.Contains(strings.Split(s, "."), "")
}

// MaxBatch implements rules.Sink.
func (s *Sink) MaxBatch() int { return s.batch }

// Linger implements rules.Sink.
func (s *Sink) Linger() time.Duration { return s.linger }

// Close implements rules.Sink.
func (s *Sink) Close() error { return nil }

// Send implements rules.Sink. It publishes nothing when one of the records makes no message.
func (s *Sink) Send(ctx context.Context, records []rules.Record) error {
	messages := make([]outgoing, len(records))
	for i := range records {
		m, err := s.message(&records[i])
		if err != nil {
			return err
		}
		messages[i] = outgoing{m, records[i].Device}
	}
	return s.connector.Use(func(c rules.Connection) error {
		conn, ok := c.(*Connection)
		if !ok {
			return fmt.Errorf("%w: the connector is a %T", rules.ErrUnavailable, c)
		}
		return conn.publish(ctx, messages, s.stored, s.shared)
	})
}

// message makes the message of a record. It shares the record's result.
func (s *Sink) message(r *rules.Record) (m *nats.Msg, err error) {
	m = &nats.Msg{Data: r.Result, Header: nats.Header{nats.MsgIdHdr: {r.Key()}, messageIDHeader: {r.MessageID.String()}}}
	var row *template.Row
	if s.fields {
		if row, err = template.Open(r); err != nil {
			return nil, err
		}
		defer row.Release()
	}
	if m.Subject, err = s.fillSubject(row); err != nil {
		return nil, err
	}
	if s.value != nil {
		text, err := s.value.Text(row)
		if err != nil {
			return nil, err
		}
		m.Data = []byte(text)
	}
	for _, h := range s.headers {
		text, err := h.value.Text(row)
		if err != nil {
			return nil, err
		}
		if strings.ContainsAny(text, "\r\n") {
			return nil, fmt.Errorf("%w: header %s: %q has more than one line", rules.ErrPermanent, h.name, text)
		}
		m.Header[h.name] = []string{text}
	}
	return m, nil
}

func (s *Sink) fillSubject(row *template.Row) (string, error) {
	if s.shared {
		return s.subject.Text(row)
	}
	subject, err := s.subject.Expand(row, word)
	if err == nil && len(subject) > maxSubject {
		return "", fmt.Errorf("%w: subject: has %d bytes, at most %d", rules.ErrPermanent, len(subject), maxSubject)
	}
	if err == nil && !validSubject(subject) { // $ came by a field
		err = fmt.Errorf("%w: subject: %q is none to publish to", rules.ErrPermanent, subject)
	}
	return subject, err
}

// word is the text of a field that becomes part of a subject: it must not add words to it.
func word(field string, v any) (string, error) {
	switch v := v.(type) {
	case string:
		if v != "" && !strings.ContainsAny(v, ". \t\r\n*>\x00") {
			return v, nil
		}
	case int64:
		return strconv.FormatInt(v, 10), nil
	case uint64:
		return strconv.FormatUint(v, 10), nil
	case bool:
		return strconv.FormatBool(v), nil
	}
	return "", &template.FieldError{Field: field, Err: fmt.Errorf("%v cannot be part of a subject", v)}
}

// Preview implements rules.Previewer.
func (s *Sink) Preview(r *rules.Record) (rules.Preview, error) {
	m, err := s.message(r)
	if err != nil {
		return rules.Preview{}, err
	}
	name, config := s.connector.Info()
	var c struct{ Servers []string }
	if err := json.Unmarshal(config, &c); err != nil {
		return rules.Preview{}, errors.New("the connector is gone")
	}
	kind := "NATS"
	if s.stored {
		kind = "JetStream"
	}
	p := rules.Preview{Target: fmt.Sprintf("%s %s (%s), subject %s", kind, name, strings.Join(c.Servers, ","), m.Subject), Statement: string(m.Data),
		Headers: []string{nats.MsgIdHdr + ": " + r.Key(), messageIDHeader + ": " + r.MessageID.String()}}
	for _, h := range s.headers {
		p.Headers = append(p.Headers, h.name+": "+m.Header[h.name][0])
	}
	return p, nil
}
