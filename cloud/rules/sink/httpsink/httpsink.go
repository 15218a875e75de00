// Package httpsink delivers rule outputs by HTTP: a request for each, or one for several as a JSON array.
//
// It promises that a delivery has succeeded only when the target answered 2xx; that every request for the same output
// carries the same Idempotency-Key; that a request is signed, where secrets for that are configured (see Sign); and that credentials are
// in no error, log or preview. It connects where the hub's way to the world (rules.Outbound) lets it, follows no redirects and uses no proxy.
//
// What a failure means: a target that is not there, overloaded or does not know the hub (no connection, time-out, 401, 407, 408, 425, 429,
// 502, 503, 504) is tried again for as long as it takes; a request that the target calls wrong (400, 406, 409–411, 413–415, 422, 431,
// and redirects) never; any other answer a limited number of times.
package httpsink

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/rules"
)

// Kind is the kind of action, and of its connectors.
const Kind = "http"

const (
	defaultTimeout = 10 * time.Second
	maxTimeout     = 60 * time.Second
	maxBatch       = 100
	defaultBytes   = 1 << 20
	maxBytes       = 16 << 20
	defaultLinger  = 100 * time.Millisecond
	maxLinger      = 10 * time.Second
	maxHeaders     = 32
)

// Config is an action's configuration. It has a URL or a Connector.
type Config struct {
	URL       string `json:"url,omitempty"`
	Connector string `json:"connector,omitempty"`

	Path    string            `json:"path,omitempty"`    // a template; what comes behind the URL, a query too
	Method  string            `json:"method,omitempty"`  // POST (if absent) or PUT
	Headers map[string]string `json:"headers,omitempty"` // the values are templates
	Body    string            `json:"body,omitempty"`    // a template; absent: the result

	TimeoutSeconds float64 `json:"timeoutSeconds,omitempty"` // 0: 10
	BatchSize      int     `json:"batchSize,omitempty"`      // 0 or 1: one request for each output; else the body is an array of up to so many
	BatchBytes     int     `json:"batchBytes,omitempty"`     // of such a body, about; 0: 1 MiB
	// LingerMillis is how long outputs wait for more when there are fewer than BatchSize; absent: 100, or 0 without
	// batches. A full batch does not wait.
	LingerMillis *int   `json:"lingerMillis,omitempty"`
	Compression  string `json:"compression,omitempty"` // gzip or none (if absent)

	// SigningSecrets are one or, while they are changed, two secrets that requests are signed with, besides those of the connector.
	SigningSecrets []string `json:"signingSecrets,omitempty"`
}

// New returns the factory of the kind; sinks with a URL take the way that out is.
func New(out rules.Outbound) rules.Factory {
	return func(config json.RawMessage, env rules.Env) (rules.Sink, error) {
		var c Config
		dec := json.NewDecoder(bytes.NewReader(config))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&c); err != nil {
			return nil, fmt.Errorf("cannot be read: %w", err)
		}
		if env.Binary {
			if c.BatchSize > 1 {
				return nil, errors.New("batchSize must be 1 for binary messages, of which no JSON array can be made")
			}
			c.nameBytes()
		}
		s, err := newSink(c)
		if err != nil {
			return nil, err
		}
		switch {
		case (c.URL == "") == (c.Connector == ""):
			return nil, errors.New("url or connector says where to: one of them")
		case c.Connector != "":
			s.target, err = env.Connector(Kind, c.Connector)
		default:
			s.target, err = newInline(c.URL, out)
		}
		return s, err
	}
}

// nameBytes says that the bodies are bytes, unless the configuration knows better.
func (c *Config) nameBytes() {
	for name := range c.Headers {
		if http.CanonicalHeaderKey(name) == "Content-Type" {
			return
		}
	}
	if c.Headers == nil {
		c.Headers = map[string]string{}
	}
	c.Headers["Content-Type"] = "application/octet-stream"
}

// Sink is the sink of one action.
type Sink struct {
	shape
	timeout, linger time.Duration
	bytes           int
	target          rules.Handle
}

var (
	_ rules.Sink      = (*Sink)(nil)
	_ rules.Previewer = (*Sink)(nil)
)

func newSink(c Config) (*Sink, error) {
	s := &Sink{timeout: time.Duration(c.TimeoutSeconds * float64(time.Second)), bytes: c.BatchBytes}
	switch {
	case s.timeout == 0:
		s.timeout = defaultTimeout
	case s.timeout < 0 || s.timeout > maxTimeout:
		return nil, fmt.Errorf("timeoutSeconds must be between 0 and %d", int(maxTimeout.Seconds()))
	}
	switch {
	case c.BatchSize < 0 || c.BatchSize > maxBatch:
		return nil, fmt.Errorf("batchSize must be between 0 and %d", maxBatch)
	case s.bytes == 0:
		s.bytes = defaultBytes
	case s.bytes < 0 || s.bytes > maxBytes:
		return nil, fmt.Errorf("batchBytes must be between 0 and %d", maxBytes)
	case c.BatchSize <= 1:
		return nil, errors.New("batchBytes needs a batchSize greater than 1")
	}
	if err := s.setLinger(c); err != nil {
		return nil, err
	}
	return s, s.set(c)
}

func (s *Sink) setLinger(c Config) error {
	switch {
	case c.LingerMillis == nil && c.BatchSize > 1:
		s.linger = defaultLinger
	case c.LingerMillis == nil:
	case *c.LingerMillis < 0 || *c.LingerMillis > int(maxLinger.Milliseconds()):
		return fmt.Errorf("lingerMillis must be between 0 and %d", maxLinger.Milliseconds())
	case *c.LingerMillis > 0 && c.BatchSize <= 1:
		return errors.New("lingerMillis needs a batchSize greater than 1")
	default:
		s.linger = time.Duration(*c.LingerMillis) * time.Millisecond
	}
	return nil
}

// MaxBatch implements rules.Sink.
func (s *Sink) MaxBatch() int { return max(s.batch, 1) }

// Linger implements rules.Sink.
func (s *Sink) Linger() time.Duration { return s.linger }

// Close implements rules.Sink.
func (s *Sink) Close() error {
	if own, ok := s.target.(*inline); ok {
		return own.conn.Close()
	}
	return nil
}

// Send implements rules.Sink.
func (s *Sink) Send(ctx context.Context, records []rules.Record) error {
	return s.target.Use(func(c rules.Connection) error {
		conn, ok := c.(*Conn)
		if !ok {
			return fmt.Errorf("%w: the connector is of another kind", rules.ErrUnavailable)
		}
		for len(records) > 0 {
			r, n, err := s.request(records, s.bytes)
			if err != nil {
				return err
			}
			if err := s.send(ctx, conn, r); err != nil {
				return err
			}
			records = records[n:]
		}
		return nil
	})
}

// send makes one request.
func (s *Sink) send(ctx context.Context, conn *Conn, r *request) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	resp, err := conn.do(ctx, r, time.Now())
	if err != nil {
		return err
	}
	return judge(resp)
}

// Preview implements rules.Previewer. The values of headers that the action's configuration has are not shown: they may be credentials.
func (s *Sink) Preview(r *rules.Record) (rules.Preview, error) {
	base, err := s.base()
	if err != nil {
		return rules.Preview{}, err
	}
	req, _, err := s.request([]rules.Record{*r}, s.bytes)
	if err != nil {
		return rules.Preview{}, err
	}
	return rules.Preview{Target: req.method + " " + unescaped(req.url(base)), Statement: req.shown(), Headers: req.headers()}, nil
}

// judge says what an answer means for the records.
func judge(resp *http.Response) error {
	if resp.StatusCode/100 == 2 {
		return nil
	}
	return newStatusError(resp)
}

// unescaped shows *** in a query as it is.
func unescaped(u *url.URL) string {
	return strings.ReplaceAll(u.String(), url.QueryEscape(hidden), hidden)
}
