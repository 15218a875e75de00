// Package httpsink delivers rule outputs by HTTP: a POST for each, or one for several as a JSON array.
//
// It promises that a delivery has succeeded only when the target answered 2xx; that every request for the same output
// carries the same Idempotency-Key; and that it connects to no address of this machine or of the link (loopback,
// link-local, unspecified), however the name resolves, unless the hub's configuration allows it: rules are written by
// people who may not have the hub's own network in their hands. It follows no redirects and uses no proxy.
//
// What a failure means: a target that is not there or overloaded (no connection, time-out, 408, 425, 429, 502, 503, 504)
// is tried again for as long as it takes; a request that the target calls wrong (400, 406, 409–411, 413–415, 422, 431,
// and redirects) never; any other answer a limited number of times.
package httpsink

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hawser-iot/hawser/cloud/rules"
)

// Kind is the kind of action.
const Kind = "http"

const (
	defaultTimeout = 10 * time.Second
	maxTimeout     = 60 * time.Second
	maxBatch       = 100
	defaultLinger  = 100 * time.Millisecond
	maxLinger      = 10 * time.Second
	maxHeaders     = 32
	drained        = 64 << 10 // bytes of an answer that are read so that its connection can be used again
)

// Options are the hub's, for all sinks of the kind.
type Options struct {
	AllowLocal bool // loopback and link-local targets too
	UserAgent  string
}

// Config is an action's configuration.
type Config struct {
	URL            string            `json:"url"`
	Headers        map[string]string `json:"headers,omitempty"`
	TimeoutSeconds float64           `json:"timeoutSeconds,omitempty"` // 0: 10
	BatchSize      int               `json:"batchSize,omitempty"`      // 0 or 1: one request for each output; else the body is an array of up to so many
	// LingerMillis is how long outputs wait for more when there are fewer than BatchSize; absent: 100, or 0 without
	// batches. A full batch does not wait.
	LingerMillis *int `json:"lingerMillis,omitempty"`
}

// New returns the factory of the kind.
func New(o Options) rules.Factory {
	return func(config json.RawMessage, _ rules.Env) (rules.Sink, error) {
		var c Config
		dec := json.NewDecoder(bytes.NewReader(config))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&c); err != nil {
			return nil, fmt.Errorf("cannot be read: %w", err)
		}
		return newSink(c, o)
	}
}

// Sink is the sink of one action.
type Sink struct {
	cfg     Config
	timeout time.Duration
	linger  time.Duration
	headers http.Header
	client  *http.Client
}

var _ rules.Sink = (*Sink)(nil)

func newSink(c Config, o Options) (*Sink, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("url is no http or https URL") // it may hold a password
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil && !o.AllowLocal && local(addr) {
		return nil, fmt.Errorf("url: %s: %w", u.Hostname(), errLocal)
	}
	s := &Sink{cfg: c, timeout: time.Duration(c.TimeoutSeconds * float64(time.Second)), headers: make(http.Header)}
	switch {
	case s.timeout == 0:
		s.timeout = defaultTimeout
	case s.timeout < 0 || s.timeout > maxTimeout:
		return nil, fmt.Errorf("timeoutSeconds must be between 0 and %d", int(maxTimeout.Seconds()))
	}
	if c.BatchSize < 0 || c.BatchSize > maxBatch {
		return nil, fmt.Errorf("batchSize must be between 0 and %d", maxBatch)
	}
	if err := s.setLinger(c); err != nil {
		return nil, err
	}
	if err := s.setHeaders(c.Headers, o); err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: s.timeout}
	if !o.AllowLocal {
		dialer.Control = refuseLocal
	}
	s.client = &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 16, IdleConnTimeout: 90 * time.Second,
			TLSHandshakeTimeout: s.timeout, MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return s, nil
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

// ours are headers that the sink sets itself.
var ours = map[string]bool{"Content-Length": true, "Host": true, "Transfer-Encoding": true, "Connection": true,
	"Idempotency-Key": true, "Hawser-Message-Ids": true}

func (s *Sink) setHeaders(headers map[string]string, o Options) error {
	if len(headers) > maxHeaders {
		return fmt.Errorf("headers: there may be at most %d", maxHeaders)
	}
	s.headers.Set("Content-Type", "application/json")
	if o.UserAgent != "" {
		s.headers.Set("User-Agent", o.UserAgent)
	}
	for name, value := range headers {
		name = http.CanonicalHeaderKey(name)
		if !validName(name) || strings.ContainsAny(value, "\r\n\x00") {
			return fmt.Errorf("headers: %q cannot be sent", name)
		}
		if ours[name] {
			return fmt.Errorf("headers: %s is set by the hub", name)
		}
		s.headers.Set(name, value)
	}
	return nil
}

// validName tells whether s is a token (RFC 9110 section 5.6.2).
func validName(s string) bool {
	if s == "" {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r)
	}) < 0
}

// errLocal is permanent: trying again does not make the address another one.
var errLocal = fmt.Errorf("%w: it is an address of this machine or link, which this hub's configuration does not allow", rules.ErrPermanent)

func local(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast() || a.IsInterfaceLocalMulticast() || a.IsUnspecified() || a.IsMulticast()
}

// refuseLocal sees the address that is connected to, after the name was resolved.
func refuseLocal(_, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil || local(a.Addr()) {
		return errLocal
	}
	return nil
}

// MaxBatch implements rules.Sink.
func (s *Sink) MaxBatch() int { return max(s.cfg.BatchSize, 1) }

// Linger implements rules.Sink.
func (s *Sink) Linger() time.Duration { return s.linger }

// Close implements rules.Sink.
func (s *Sink) Close() error {
	s.client.CloseIdleConnections()
	return nil
}

// withoutURL takes the URL out of an error: it may hold a password or a token, and the error is shown and logged.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// Send implements rules.Sink.
func (s *Sink) Send(ctx context.Context, records []rules.Record) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.cfg.URL, bytes.NewReader(s.body(records)))
	if err != nil {
		return fmt.Errorf("%w: %w", rules.ErrPermanent, withoutURL(err))
	}
	req.Header = s.headers.Clone()
	req.Header.Set("Idempotency-Key", key(records))
	req.Header.Set("Hawser-Message-Ids", messageIDs(records))
	resp, err := s.client.Do(req)
	if err != nil {
		if errors.Is(err, errLocal) {
			return withoutURL(err)
		}
		return fmt.Errorf("%w: %w", rules.ErrUnavailable, withoutURL(err))
	}
	defer func() { _ = resp.Body.Close() }() // the status was all
	_, _ = io.CopyN(io.Discard, resp.Body, drained)
	return judge(resp)
}

func (s *Sink) body(records []rules.Record) []byte {
	if s.cfg.BatchSize <= 1 {
		return records[0].Result
	}
	b := []byte{'['}
	for i := range records {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, records[i].Result...)
	}
	return append(b, ']')
}

// key is the output's own key, of several the first one's and their number.
func key(records []rules.Record) string {
	if len(records) == 1 {
		return records[0].Key()
	}
	return records[0].Key() + "+" + strconv.Itoa(len(records)-1)
}

func messageIDs(records []rules.Record) string {
	ids := make([]string, len(records))
	for i := range records {
		ids[i] = records[i].MessageID.String()
	}
	return strings.Join(ids, ",")
}

// StatusError is an answer that is no success.
type StatusError struct {
	Status int
	After  time.Duration // what Retry-After asked for, 0 for nothing
	class  error         // rules.ErrPermanent, rules.ErrUnavailable or nil
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("the target answered %d %s", e.Status, http.StatusText(e.Status))
}

// Unwrap tells what the status means for the record.
func (e *StatusError) Unwrap() error { return e.class }

// RetryAfter implements rules.RetryAfter.
func (e *StatusError) RetryAfter() time.Duration { return e.After }

func judge(resp *http.Response) error {
	if resp.StatusCode >= 200 && resp.StatusCode <= 299 {
		return nil
	}
	e := &StatusError{Status: resp.StatusCode}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		e.After = time.Duration(min(s, 3600)) * time.Second
	}
	switch resp.StatusCode {
	case 408, 425, 429, 502, 503, 504:
		e.class = rules.ErrUnavailable
	case 400, 406, 409, 410, 411, 413, 414, 415, 422, 431:
		e.class = rules.ErrPermanent
	}
	if resp.StatusCode/100 == 3 {
		e.class = rules.ErrPermanent
	}
	return e
}
