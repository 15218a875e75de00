package tsdbsink

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
	URL string `json:"url"` // of the server, with the path before /write or /api/v2/write, if there is one

	// For version 1 of the API: Database, and user and password where the server asks for them.
	Database        string `json:"database,omitempty"`
	RetentionPolicy string `json:"retentionPolicy,omitempty"`
	User            string `json:"user,omitempty"`
	Password        string `json:"password,omitempty"`

	// For version 2: Org, Bucket and Token.
	Org    string `json:"org,omitempty"`
	Bucket string `json:"bucket,omitempty"`
	Token  string `json:"token,omitempty"`

	// Server is influxdb or victoriametrics; absent: victoriametrics if there is neither a database nor a bucket.
	Server      string `json:"server,omitempty"`
	Compression string `json:"compression,omitempty"` // gzip (if absent) or none

	TimeoutSeconds float64 `json:"timeoutSeconds,omitempty"` // of a request; 0: 20

	httpconn.TLS
}

// Connector is the kind of connector.
func Connector() rules.ConnectorKind {
	return rules.ConnectorKind{Secrets: []string{"password", "token", "clientKey"}, Address: []string{"url"}, Open: open}
}

// Conn is a connection to one database.
type Conn struct {
	cfg    ConnConfig
	http   *httpconn.Conn
	target *url.URL // what is posted to
}

var _ rules.Connection = (*Conn)(nil)

const (
	serverInflux   = "influxdb"
	serverVictoria = "victoriametrics"
)

func open(config json.RawMessage, out rules.Outbound) (rules.Connection, error) {
	cfg, target, err := parseConn(config)
	if err != nil {
		return nil, err
	}
	c := &Conn{cfg: *cfg, target: target}
	header := http.Header{"Content-Type": {"text/plain; charset=utf-8"}}
	if auth := cfg.authorization(); auth != "" {
		header.Set("Authorization", auth)
	}
	c.http, err = httpconn.New(cfg.URL, cfg.TLS, header, out)
	return c, err
}

// parseConn reads a configuration, with its secrets or without, and says where it leads.
func parseConn(config json.RawMessage) (*ConnConfig, *url.URL, error) {
	var cfg ConnConfig
	dec := json.NewDecoder(bytes.NewReader(config))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&cfg); err != nil {
		return nil, nil, fmt.Errorf("cannot be read: %w", err)
	}
	if err := cfg.check(); err != nil {
		return nil, nil, err
	}
	base, err := httpconn.ParseURL(cfg.URL)
	switch {
	case err != nil:
		return nil, nil, err
	case base.RawQuery != "":
		return nil, nil, errors.New("url has a query: what belongs there has members of its own")
	}
	return &cfg, cfg.target(base), nil
}

func (c *ConnConfig) check() error {
	switch {
	case c.Bucket != "" && (c.Database != "" || c.RetentionPolicy != "" || c.User != "" || c.Password != ""):
		return errors.New("bucket is of version 2 of the API, which has org and token, and neither database, retentionPolicy, user nor password")
	case c.Bucket == "" && c.Org != "":
		return errors.New("org needs a bucket")
	case c.Token != "" && c.User != "":
		return errors.New("there is a token or a user, not both")
	case c.User == "" && c.Password != "":
		return errors.New("password needs a user")
	case c.RetentionPolicy != "" && c.Database == "":
		return errors.New("retentionPolicy needs a database")
	case strings.ContainsFunc(c.Token, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return errors.New("token has a character that cannot be sent")
	}
	switch c.Server {
	case "":
		c.Server = serverInflux
		if c.Database == "" && c.Bucket == "" {
			c.Server = serverVictoria
		}
	case serverInflux:
		if c.Database == "" && c.Bucket == "" {
			return errors.New("database (version 1) or bucket (version 2) is missing")
		}
	case serverVictoria:
	default:
		return fmt.Errorf("server is %q, not influxdb or victoriametrics", c.Server)
	}
	if c.TimeoutSeconds < 0 || c.TimeoutSeconds > maxTimeout.Seconds() {
		return fmt.Errorf("timeoutSeconds must be between 0 and %d", int(maxTimeout.Seconds()))
	}
	if c.Compression != "" && c.Compression != "gzip" && c.Compression != "none" {
		return fmt.Errorf("compression is %q, not gzip or none", c.Compression)
	}
	return nil
}

func (c *ConnConfig) timeout() time.Duration {
	if c.TimeoutSeconds == 0 {
		return defaultTimeout
	}
	return time.Duration(c.TimeoutSeconds * float64(time.Second))
}

// strings tells whether the server keeps fields that are strings. VictoriaMetrics makes 0 of them.
func (c *ConnConfig) strings() bool { return c.Server != serverVictoria }

func (c *ConnConfig) authorization() string {
	switch {
	case c.Token != "" && c.Server == serverInflux:
		return "Token " + c.Token
	case c.Token != "":
		return "Bearer " + c.Token
	case c.User != "":
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.User+":"+c.Password))
	}
	return ""
}

// target is the URL that points are posted to. The time of a point is in nanoseconds, which all servers take it for.
func (c *ConnConfig) target(base *url.URL) *url.URL {
	path, query := "write", url.Values{}
	if c.Bucket != "" {
		path = "api/v2/write"
	}
	for name, value := range map[string]string{"db": c.Database, "rp": c.RetentionPolicy, "org": c.Org, "bucket": c.Bucket} {
		if value != "" {
			query.Set(name, value)
		}
	}
	u := base.JoinPath(path)
	u.RawQuery = query.Encode()
	return u
}

// Ping implements rules.Connection: a write of nothing, which servers check user and database for.
func (c *Conn) Ping(ctx context.Context) error {
	err := c.write(ctx, nil)
	if e, ok := errors.AsType[*httpconn.StatusError](err); ok && e.Status == http.StatusBadRequest && c.cfg.Bucket != "" {
		return nil // InfluxDB 2 has found the bucket and misses points
	}
	return err
}

// Close implements rules.Connection.
func (c *Conn) Close() error { return c.http.Close() }

// worth is how long a body must be for compression to pay.
const worth = 1 << 10

func (c *Conn) write(ctx context.Context, lines []byte) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.timeout())
	defer cancel()
	compress := len(lines) >= worth && c.cfg.Compression != "none"
	if compress {
		lines = httpconn.Gzip(lines)
	}
	req, err := httpconn.NewRequest(ctx, http.MethodPost, c.target, lines)
	if err != nil {
		return err
	}
	if compress {
		req.Header.Set("Content-Encoding", "gzip")
	}
	resp, body, err := c.http.Do(req, 8<<10)
	if err != nil {
		return err
	}
	return judge(resp, c.cfg.without(reason(body)))
}

// without takes the credentials out of a text: there are servers that answer with what they were sent.
func (c *ConnConfig) without(text string) string {
	for _, secret := range []string{c.Password, c.Token} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	return text
}

// judge says what an answer means for the points; reason is what the server says to it.
func judge(resp *http.Response, reason string) error {
	if resp.StatusCode/100 == 2 {
		return nil
	}
	e := httpconn.NewStatusError(resp)
	e.Reason = reason
	switch resp.StatusCode {
	case 400, 413, 422:
		e.Class = rules.ErrPermanent
	case 401, 403, 404, 408, 425, 429:
		e.Class = rules.ErrUnavailable
	}
	if resp.StatusCode/100 == 3 || resp.StatusCode >= 500 {
		e.Class = rules.ErrUnavailable
	}
	return e
}

const maxReason = 500

// reason is what the server says: InfluxDB 1 in a member error, 2 in message, VictoriaMetrics in text.
func reason(body []byte) string {
	var said struct{ Error, Message string }
	text := string(body)
	if json.Unmarshal(body, &said) == nil && said.Error+said.Message != "" {
		text = said.Error
		if said.Message != "" {
			text = said.Message
		}
	}
	text = strings.ToValidUTF8(strings.Join(strings.Fields(text), " "), "")
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	return text
}
