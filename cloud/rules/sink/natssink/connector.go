package natssink

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/actionconfig"
	"github.com/hawser-iot/hawser/cloud/rules/clienttls"
)

const (
	defaultPort = "4222"
	maxServers  = 32
	maxPending  = 1 << 16 // acknowledgements that are waited for at once, by all deliveries
)

// ConnectorConfig is a connector's configuration.
type ConnectorConfig struct {
	Servers []string `json:"servers"` // host, host:port, or nats:// and tls:// URLs
	clienttls.Config
	User     string `json:"user,omitempty"`
	Password string `json:"password,omitempty"`
	Token    string `json:"token,omitempty"`
	NKeySeed string `json:"nkeySeed,omitempty"` // SU…
	Creds    string `json:"creds,omitempty"`    // what is in a .creds file: a JWT and its seed
	// TimeoutSeconds bounds one delivery, connecting included; 0: 10.
	TimeoutSeconds float64 `json:"timeoutSeconds,omitempty"`
}

// ConnectorKind is the kind of connector that NATS actions use.
func ConnectorKind() rules.ConnectorKind {
	return rules.ConnectorKind{Secrets: append(clienttls.Secrets(), "password", "token", "nkeySeed", "creds"), Address: []string{"servers"}, Open: openConnector}
}

func openConnector(config json.RawMessage, out rules.Outbound) (rules.Connection, error) {
	var c ConnectorConfig
	if err := actionconfig.Decode(config, &c); err != nil {
		return nil, err
	}
	conn := &Connection{out: out, turn: make(chan struct{}, 1)}
	var err error
	if conn.timeout, err = actionconfig.Timeout(c.TimeoutSeconds); err != nil {
		return nil, err
	}
	if len(c.Servers) == 0 || len(c.Servers) > maxServers {
		return nil, fmt.Errorf("servers: 1 to %d are needed, like [\"nats1:4222\"]", maxServers)
	}
	for _, s := range c.Servers {
		server, secure, err := serverURL(s, out)
		if err != nil {
			return nil, fmt.Errorf("servers: %w", err)
		}
		c.TLS = c.TLS || secure
		conn.servers = append(conn.servers, server)
	}
	encrypted, err := c.Client()
	if err != nil {
		return nil, err
	}
	login, err := c.login()
	if err != nil {
		return nil, err
	}
	conn.options = options(encrypted, login, conn.timeout)
	return conn, nil
}

// serverURL makes a URL of what may be less.
func serverURL(s string, out rules.Outbound) (server string, secure bool, err error) {
	if !strings.Contains(s, "://") {
		s = "nats://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "nats" && u.Scheme != "tls" || u.Hostname() == "" || u.Path != "" || u.RawQuery != "" {
		return "", false, errors.New("there is one that is no host:port and no nats:// or tls:// URL") // it may hold a password
	}
	if u.User != nil {
		return "", false, errors.New("there is one with a user or token in it: they have members of their own")
	}
	port := u.Port()
	if port == "" {
		port = defaultPort
	}
	return u.Scheme + "://" + net.JoinHostPort(u.Hostname(), port), u.Scheme == "tls", out.CheckHost(u.Hostname())
}

// login is how the hub says who it is, nil for not at all.
func (c *ConnectorConfig) login() (nats.Option, error) {
	var all []nats.Option
	if c.User != "" || c.Password != "" {
		all = append(all, nats.UserInfo(c.User, c.Password))
	}
	if c.Token != "" {
		all = append(all, nats.Token(c.Token))
	}
	if c.NKeySeed != "" {
		pair, err := nkeys.FromSeed([]byte(strings.TrimSpace(c.NKeySeed)))
		if err != nil {
			return nil, errors.New("nkeySeed is no seed of an nkey")
		}
		public, err := pair.PublicKey()
		if err != nil {
			return nil, errors.New("nkeySeed is no seed of an nkey")
		}
		all = append(all, nats.Nkey(public, pair.Sign))
	}
	if c.Creds != "" {
		if _, err := nkeys.ParseDecoratedJWT([]byte(c.Creds)); err != nil {
			return nil, errors.New("creds hold no JWT")
		}
		if _, err := nkeys.ParseDecoratedNKey([]byte(c.Creds)); err != nil {
			return nil, errors.New("creds hold no seed")
		}
		all = append(all, nats.UserCredentialBytes([]byte(c.Creds)))
	}
	switch len(all) {
	case 0:
		return nil, nil
	case 1:
		return all[0], nil
	}
	return nil, errors.New("only one of user and password, token, nkeySeed and creds can be used")
}

// options are those of every connection. It does not reconnect by itself: what was on its way when a connection broke is only
// known to be lost or there because the next connection is another one.
func options(encrypted *tls.Config, login nats.Option, timeout time.Duration) []nats.Option {
	o := []nats.Option{nats.Name("hawser"), nats.NoReconnect(), nats.Timeout(timeout), nats.PingInterval(10 * time.Second), nats.MaxPingsOutstanding(2),
		nats.SkipHostLookup(), nats.NoEcho(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})} // errors are asked for, not told
	if encrypted != nil {
		o = append(o, nats.Secure(encrypted))
	}
	if login != nil {
		o = append(o, login)
	}
	return o
}

// Connection is an open connector: one connection to one of the servers, made when it is needed, and made again when it broke.
type Connection struct {
	servers []string
	options []nats.Option
	out     rules.Outbound
	timeout time.Duration

	// turn has room for one: who has put something in may use the fields below.
	turn   chan struct{}
	now    *link
	closed bool
}

var _ rules.Connection = (*Connection)(nil)

// link is one connection in its life from login to break.
type link struct {
	nc   *nats.Conn
	js   jetstream.JetStream
	gone chan struct{} // closed when nc is
}

// link returns the connection, after making it if there is none.
func (c *Connection) link(ctx context.Context) (*link, error) {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", rules.ErrUnavailable, ctx.Err())
	}
	defer func() { <-c.turn }()
	if c.closed {
		return nil, fmt.Errorf("%w: %w", rules.ErrUnavailable, nats.ErrConnectionClosed)
	}
	if c.now != nil && c.now.nc.IsConnected() {
		return c.now, nil
	}
	l := &link{gone: make(chan struct{})}
	d := &dialer{ctx: ctx, out: c.out}
	var err error
	l.nc, err = nats.Connect(strings.Join(c.servers, ","), append([]nats.Option{nats.SetCustomDialer(d), nats.ClosedHandler(func(*nats.Conn) { close(l.gone) })}, c.options...)...)
	if err != nil {
		return nil, d.explain(err)
	}
	l.js, err = jetstream.New(l.nc, jetstream.WithPublishAsyncMaxPending(maxPending), jetstream.WithPublishAsyncTimeout(c.timeout+time.Second))
	if err != nil {
		l.nc.Close()
		return nil, fmt.Errorf("%w: %w", rules.ErrUnavailable, err)
	}
	c.now = l
	return l, nil
}

// Ping implements rules.Connection.
func (c *Connection) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	l, err := c.link(ctx)
	if err != nil {
		return err
	}
	if err := l.nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("%w: %w", rules.ErrUnavailable, err)
	}
	return nil
}

// Close implements rules.Connection.
func (c *Connection) Close() error {
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	c.closed = true
	if c.now != nil {
		c.now.nc.Close()
		<-c.now.gone
		c.now = nil
	}
	return nil
}

// dialer is the hub's way out, for one connect. It remembers why it could not, which the client forgets.
type dialer struct {
	ctx context.Context // of the one who connects, as long as that lasts
	out rules.Outbound
	err error
}

// Dial implements nats.CustomDialer.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	conn, err := d.out.Dial(d.ctx, network, address)
	if err != nil {
		d.err = err
	}
	return conn, err
}

func (d *dialer) explain(err error) error {
	switch {
	case d.err == nil:
	case errors.Is(d.err, rules.ErrPermanent):
		return d.err
	case errors.Is(err, nats.ErrNoServers):
		err = fmt.Errorf("%w: %w", err, d.err)
	}
	return fmt.Errorf("%w: %w", rules.ErrUnavailable, err)
}
