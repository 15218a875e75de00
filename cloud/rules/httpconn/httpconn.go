// Package httpconn is what connectors to HTTP servers have in common: the base URL, TLS with certificates of one's own, and a
// client that goes through the hub's guarded way out.
//
// It promises that it follows no redirects, uses no proxy, whatever the environment says, and sends credentials to no other
// server than the one that was configured; and that no error that it returns has a URL in it, which may hold a token.
// What an answer means for a record is the sinks' to judge; StatusError carries what they need for it.
package httpconn

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/cloud/rules"
)

const (
	handshakeTimeout = 10 * time.Second
	idleTimeout      = 90 * time.Second
	drained          = 64 << 10 // bytes of an answer that are read so that its connection can be used again
)

// Conn is a connection to one server. It is safe for concurrent use.
type Conn struct {
	base   *url.URL
	header http.Header
	client *http.Client
}

// New returns a Conn to the server at base, whose requests carry header. It connects nowhere yet. Names in the errors are those
// of the members of a connector.
func New(base string, t TLS, header http.Header, out rules.Outbound) (*Conn, error) {
	u, err := ParseURL(base)
	if err != nil {
		return nil, err
	}
	if out.CheckHost != nil {
		if err := out.CheckHost(u.Hostname()); err != nil {
			return nil, fmt.Errorf("url: %w", err)
		}
	}
	config, err := t.Config()
	if err != nil {
		return nil, err
	}
	c := &Conn{base: u, header: header.Clone()}
	if c.header == nil {
		c.header = make(http.Header)
	}
	if out.UserAgent != "" && c.header.Get("User-Agent") == "" {
		c.header.Set("User-Agent", out.UserAgent)
	}
	c.client = &http.Client{
		Transport: &http.Transport{
			DialContext: out.Dial, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 16, IdleConnTimeout: idleTimeout,
			TLSHandshakeTimeout: handshakeTimeout, TLSClientConfig: config, MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// ParseURL reads an http or https URL. User and password in it are refused: URLs get into logs.
func ParseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("url is no http or https URL") // it may hold a password
	}
	if u.User != nil {
		return nil, errors.New("url has a user or password in it: they have members of their own")
	}
	u.Fragment = ""
	return u, nil
}

// URL is the base URL. It must not be changed.
func (c *Conn) URL() *url.URL { return c.base }

// Do sends a request and returns the answer with as much of its body as may matter, at most limit bytes. The request's own headers
// win over those of the connection. An error that does not wrap rules.ErrPermanent means that no answer came, and wraps
// rules.ErrUnavailable.
func (c *Conn) Do(req *http.Request, limit int64) (*http.Response, []byte, error) {
	for name, values := range c.header {
		if _, own := req.Header[name]; !own {
			req.Header[name] = values
		}
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, nil, failed(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit))
	if err != nil && resp.StatusCode/100 == 2 {
		return nil, nil, failed(err) // the server may not be done with it
	}
	_, _ = io.CopyN(io.Discard, resp.Body, drained) // for the next request's sake
	return resp, body, nil
}

// failed takes the URL out of an error and classifies it.
func failed(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	if errors.Is(err, rules.ErrPermanent) {
		return err
	}
	return fmt.Errorf("%w: %w", rules.ErrUnavailable, err)
}

// Close ends idle connections.
func (c *Conn) Close() error {
	c.client.CloseIdleConnections()
	return nil
}

// NewRequest is http.NewRequestWithContext with a body that can be sent again, and errors without the URL.
func NewRequest(ctx context.Context, method string, u *url.URL, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%w: the request cannot be made", rules.ErrPermanent)
	}
	return req, nil
}

// StatusError is an answer that is no success.
type StatusError struct {
	Status int
	Reason string        // what the server said, as far as it fits a log line; "" for nothing
	After  time.Duration // what Retry-After asked for, 0 for nothing
	Class  error         // rules.ErrPermanent, rules.ErrUnavailable or nil
}

// NewStatusError makes one of an answer; its Class is the caller's to set.
func NewStatusError(resp *http.Response) *StatusError {
	e := &StatusError{Status: resp.StatusCode}
	text := resp.Header.Get("Retry-After")
	if s, err := strconv.Atoi(text); err == nil {
		e.After = time.Duration(min(max(s, 0), 3600)) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		e.After = min(max(time.Until(at), 0), time.Hour)
	}
	return e
}

func (e *StatusError) Error() string {
	s := fmt.Sprintf("the target answered %d %s", e.Status, http.StatusText(e.Status))
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	return s
}

// Unwrap tells what the status means for the record.
func (e *StatusError) Unwrap() error { return e.Class }

// RetryAfter implements rules.RetryAfter.
func (e *StatusError) RetryAfter() time.Duration { return e.After }

var zippers = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

// Gzip compresses b.
func Gzip(b []byte) []byte {
	var out bytes.Buffer
	out.Grow(len(b)/4 + 64)
	z := zippers.Get().(*gzip.Writer)
	defer zippers.Put(z)
	z.Reset(&out)
	_, _ = z.Write(b) // a buffer takes everything
	_ = z.Close()
	return out.Bytes()
}
