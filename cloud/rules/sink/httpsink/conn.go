package httpsink

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/httpconn"
)

// ConnConfig is a connector's configuration.
type ConnConfig struct {
	URL      string            `json:"url"`
	User     string            `json:"user,omitempty"` // basic authentication, with Password
	Password string            `json:"password,omitempty"`
	Token    string            `json:"token,omitempty"`   // a bearer token
	Headers  map[string]string `json:"headers,omitempty"` // of each request; they may be credentials and are kept as such

	// SigningSecrets are one or, while they are changed, two secrets that requests are signed with.
	SigningSecrets []string `json:"signingSecrets,omitempty"`

	httpconn.TLS
}

// Connector is the kind of connector.
func Connector() rules.ConnectorKind {
	return rules.ConnectorKind{Secrets: []string{"password", "token", "headers", "signingSecrets", "clientKey"}, Address: []string{"url"}, Open: openConn}
}

// Conn is a connection to one server.
type Conn struct {
	http    *httpconn.Conn
	base    *url.URL
	secrets []string // to sign with
}

var _ rules.Connection = (*Conn)(nil)

func openConn(config json.RawMessage, out rules.Outbound) (rules.Connection, error) {
	var cfg ConnConfig
	dec := json.NewDecoder(bytes.NewReader(config))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&cfg); err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	header, err := cfg.header()
	if err != nil {
		return nil, err
	}
	if err := checkSecrets(cfg.SigningSecrets); err != nil {
		return nil, err
	}
	c, err := httpconn.New(cfg.URL, cfg.TLS, header, out)
	if err != nil {
		return nil, err
	}
	return &Conn{http: c, base: c.URL(), secrets: cfg.SigningSecrets}, nil
}

func (c *ConnConfig) header() (http.Header, error) {
	h := make(http.Header)
	if len(c.Headers) > maxHeaders {
		return nil, fmt.Errorf("headers: there may be at most %d", maxHeaders)
	}
	for name, value := range c.Headers {
		canonical, err := checkName(name)
		if err != nil {
			return nil, err
		}
		if badValue(value) {
			return nil, fmt.Errorf("headers: the value of %s cannot be sent", canonical)
		}
		h.Set(canonical, value)
	}
	switch {
	case c.Token != "" && c.User != "":
		return nil, errors.New("there is a token or a user, not both")
	case c.User == "" && c.Password != "":
		return nil, errors.New("password needs a user")
	case (c.Token != "" || c.User != "") && h.Get("Authorization") != "":
		return nil, errors.New("headers: Authorization is what token, or user and password, are for")
	case strings.ContainsFunc(c.Token, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return nil, errors.New("token has a character that cannot be sent")
	case c.Token != "":
		h.Set("Authorization", "Bearer "+c.Token)
	case c.User != "":
		h.Set("Authorization", basic(c.User, c.Password))
	}
	return h, nil
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// Ping implements rules.Connection: a HEAD of the URL. A server that has nothing there is there itself.
func (c *Conn) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, defaultTimeout)
	defer cancel()
	req, err := httpconn.NewRequest(ctx, http.MethodHead, c.base, nil)
	if err != nil {
		return err
	}
	resp, _, err := c.http.Do(req, 0)
	if err != nil {
		return err
	}
	switch code := resp.StatusCode; {
	case code == http.StatusUnauthorized, code == http.StatusForbidden, code == http.StatusProxyAuthRequired, code >= 500 && code != http.StatusNotImplemented:
		e := newStatusError(resp)
		e.Class = rules.ErrUnavailable
		return e
	}
	return nil
}

// Close implements rules.Connection.
func (c *Conn) Close() error { return c.http.Close() }

// do makes a request at that time, signed and compressed as it is to be.
func (c *Conn) do(ctx context.Context, r *request, now time.Time) (*http.Response, error) {
	body := r.body
	if r.gzip {
		body = httpconn.Gzip(body)
	}
	req, err := httpconn.NewRequest(ctx, r.method, r.url(c.base), body)
	if err != nil {
		return nil, err
	}
	req.Header = r.header
	if r.gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	if secrets := append(r.secrets[:len(r.secrets):len(r.secrets)], c.secrets...); len(secrets) > 0 {
		req.Header.Set("Hawser-Signature", Sign(secrets, now, r.body))
	}
	resp, _, err := c.http.Do(req, 0)
	return resp, err
}

// newStatusError classifies an answer that is no success. What the target says besides the status is left out: it may be
// what it was sent, credentials and all.
func newStatusError(resp *http.Response) *httpconn.StatusError {
	e := httpconn.NewStatusError(resp)
	switch resp.StatusCode {
	case 401, 407, 408, 425, 429, 502, 503, 504:
		e.Class = rules.ErrUnavailable
	case 400, 406, 409, 410, 411, 413, 414, 415, 422, 431:
		e.Class = rules.ErrPermanent
	}
	if resp.StatusCode/100 == 3 {
		e.Class = rules.ErrPermanent
	}
	return e
}

// inline is the target of an action that has a URL of its own.
type inline struct {
	conn *Conn
	url  string
}

var _ rules.Handle = (*inline)(nil)

// newInline takes user and password out of the URL, where rules have always had them.
func newInline(text string, out rules.Outbound) (*inline, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("url is no http or https URL") // it may hold a password
	}
	header := make(http.Header)
	if u.User != nil {
		password, _ := u.User.Password()
		header.Set("Authorization", basic(u.User.Username(), password))
		u.User = nil
	}
	c, err := httpconn.New(u.String(), httpconn.TLS{}, header, out)
	if err != nil {
		return nil, err
	}
	return &inline{conn: &Conn{http: c, base: c.URL()}, url: u.String()}, nil
}

// Use implements rules.Handle.
func (i *inline) Use(f func(rules.Connection) error) error { return f(i.conn) }

// Info implements rules.Handle.
func (i *inline) Info() (string, json.RawMessage) {
	b, _ := json.Marshal(ConnConfig{URL: i.url}) // text always encodes
	return "", b
}

// base is the URL that requests go to, as far as it may be shown.
func (s *Sink) base() (*url.URL, error) {
	name, config := s.target.Info()
	var cfg ConnConfig
	if err := json.Unmarshal(config, &cfg); err != nil {
		return nil, fmt.Errorf("%w: connector %s is gone", rules.ErrUnavailable, name)
	}
	u, err := httpconn.ParseURL(cfg.URL)
	if err == nil && u.RawQuery != "" { // tokens are put there
		query := u.Query()
		for _, values := range query {
			for i := range values {
				values[i] = hidden
			}
		}
		u.RawQuery = query.Encode()
	}
	return u, err
}
