// Package tsdbsink writes rule outputs as points of a time series: the InfluxDB line protocol over HTTP, as InfluxDB 1 and 2,
// VictoriaMetrics and others take it.
//
// It promises that each output is one point, that a point is what the templates say or the output is a dead letter with the
// reason (nothing is cut, replaced or left to the server's reading), and that a repeat of an output is the same point: same
// measurement, tags and time, so that InfluxDB overwrites it. Two outputs of one device are two points also when they
// come in the same millisecond. VictoriaMetrics has no strings, they are left out for it, and keeps each repeat as a sample of its own.
//
// What a failure means: a server that is not there, overloaded or out of order (no connection, 408, 425, 429, 5xx), and one that does not
// know the hub or its database (401, 403, 404, redirects), is tried again for as long as it takes; a point that it calls wrong (400, 413,
// 422) never. Of a batch with one wrong point servers keep the rest, but say only the first fault: each point is then sent
// alone, which overwrites those that were kept.
package tsdbsink

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/hawser-iot/hawser/cloud/rules"
)

// Kind is the kind of action, and of its connectors.
const Kind = "tsdb"

const (
	defaultBatch  = 200
	maxBatch      = 1000
	defaultLinger = 200 * time.Millisecond
	maxLinger     = 10 * time.Second
	maxBody       = 4 << 20 // of a request, before it is compressed

	defaultTimeout = 20 * time.Second
	maxTimeout     = 60 * time.Second
)

// Config is an action's configuration.
type Config struct {
	Connector    string               `json:"connector"`
	Measurement  string               `json:"measurement"` // a template
	Tags         map[string]string    `json:"tags,omitempty"`
	Fields       map[string]FieldSpec `json:"fields"`
	Timestamp    *TimeSpec            `json:"timestamp,omitempty"`    // absent: when the message came
	BatchSize    int                  `json:"batchSize,omitempty"`    // 0: 200
	LingerMillis *int                 `json:"lingerMillis,omitempty"` // absent: 200
}

// FieldSpec is where a field's value comes from and what it is written as.
type FieldSpec struct {
	Value string `json:"value"`          // a template
	Type  string `json:"type,omitempty"` // float, int, string, bool; absent or auto: as the value is, numbers as float
}

// TimeSpec is where a point's time comes from.
type TimeSpec struct {
	Value string `json:"value"` // a template
	Unit  string `json:"unit"`  // s, ms, us or ns
}

// Sink is the sink of one action.
type Sink struct {
	shape     shape
	batch     int
	linger    time.Duration
	connector rules.Handle
}

var (
	_ rules.Sink      = (*Sink)(nil)
	_ rules.Previewer = (*Sink)(nil)
)

// New is the factory of the kind.
func New(config json.RawMessage, env rules.Env) (rules.Sink, error) {
	var c Config
	dec := json.NewDecoder(bytes.NewReader(config))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	s := &Sink{batch: c.BatchSize, linger: defaultLinger}
	var err error
	if s.shape, err = newShape(&c); err != nil {
		return nil, err
	}
	switch {
	case s.batch == 0:
		s.batch = defaultBatch
	case s.batch < 0 || s.batch > maxBatch:
		return nil, fmt.Errorf("batchSize must be between 0 and %d", maxBatch)
	}
	if c.LingerMillis != nil {
		if *c.LingerMillis < 0 || *c.LingerMillis > int(maxLinger.Milliseconds()) {
			return nil, fmt.Errorf("lingerMillis must be between 0 and %d", maxLinger.Milliseconds())
		}
		s.linger = time.Duration(*c.LingerMillis) * time.Millisecond
	}
	if s.batch == 1 {
		s.linger = 0
	}
	if c.Connector == "" {
		return nil, errors.New("connector is missing: it says where the server is")
	}
	s.connector, err = env.Connector(Kind, c.Connector)
	return s, err
}

// MaxBatch implements rules.Sink.
func (s *Sink) MaxBatch() int { return s.batch }

// Linger implements rules.Sink.
func (s *Sink) Linger() time.Duration { return s.linger }

// Close implements rules.Sink.
func (s *Sink) Close() error { return nil }

// Send implements rules.Sink.
func (s *Sink) Send(ctx context.Context, records []rules.Record) error {
	return s.connector.Use(func(c rules.Connection) error {
		conn, ok := c.(*Conn)
		if !ok {
			return fmt.Errorf("%w: the connector is of another kind", rules.ErrUnavailable)
		}
		return s.send(ctx, conn, records)
	})
}

func (s *Sink) send(ctx context.Context, conn *Conn, records []rules.Record) error {
	var body []byte
	for i := range records {
		var err error
		if body, err = s.shape.appendLine(body, &records[i], conn.cfg.strings()); err != nil {
			return err
		}
		if len(body) >= maxBody || i == len(records)-1 {
			if err := conn.write(ctx, body); err != nil {
				return err
			}
			body = body[:0]
		}
	}
	return nil
}

// Preview implements rules.Previewer.
func (s *Sink) Preview(r *rules.Record) (rules.Preview, error) {
	name, config := s.connector.Info()
	cfg, target, err := parseConn(config)
	if err != nil {
		return rules.Preview{}, fmt.Errorf("%w: connector %s: %w", rules.ErrUnavailable, name, err)
	}
	line, err := s.shape.appendLine(nil, r, cfg.strings())
	if err != nil {
		return rules.Preview{}, err
	}
	return rules.Preview{Target: http.MethodPost + " " + target.String(), Statement: string(bytes.TrimSuffix(line, []byte("\n")))}, nil
}
