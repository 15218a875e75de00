package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// writeTimeout bounds one write to the socket; quiesce is how long a DISCONNECT
// may take to leave.
const (
	writeTimeout = 5 * time.Second
	quiesce      = 500 // ms
)

// conn is one accepted login. paho is used for a single connection only: its
// own reconnecting re-orders what was in flight.
type conn struct {
	link     *Link
	client   mqtt.Client
	present  bool
	out      chan *request
	slots    chan struct{} // its capacity is the window; held from sending to settling
	inflight chan *request // in the order of sending, as large as slots
	fault    chan error    // what take wants the connection to end for
	lost     chan struct{}
	once     sync.Once
	err      error // set before lost is closed
}

// dial opens the connection and logs in.
func (l *Link) dial(ctx context.Context) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.ConnectTimeout)
	defer cancel()
	c := &conn{
		link:     l,
		out:      make(chan *request),
		slots:    make(chan struct{}, l.cfg.Window),
		inflight: make(chan *request, l.cfg.Window),
		fault:    make(chan error, 1),
		lost:     make(chan struct{}),
	}
	// The handshake is paho's; closing the socket is how ctx reaches it.
	var stop func() bool
	opts := l.options(c)
	opts.SetCustomOpenConnectionFn(func(u *url.URL, o mqtt.ClientOptions) (net.Conn, error) {
		nc, err := l.open(ctx, u, o)
		if err == nil {
			stop = context.AfterFunc(ctx, func() { nc.Close() })
		}
		return nc, err
	})
	c.client = mqtt.NewClient(opts)
	tok := c.client.Connect().(*mqtt.ConnectToken)
	<-tok.Done()
	if stop != nil && !stop() && tok.Error() == nil {
		c.client.Disconnect(0)
		return nil, fmt.Errorf("log in: %w", ctx.Err())
	}
	if err := tok.Error(); err != nil {
		return nil, dialError(ctx, tok.ReturnCode(), err)
	}
	c.present = tok.SessionPresent()
	return c, nil
}

func dialError(ctx context.Context, code byte, err error) error {
	if r := refusal(code); r != nil {
		return r
	}
	if ctx.Err() != nil {
		return fmt.Errorf("connect: %w (%w)", ctx.Err(), err)
	}
	return fmt.Errorf("connect: %w", err)
}

func (l *Link) options(c *conn) *mqtt.ClientOptions {
	o := mqtt.NewClientOptions()
	o.AddBroker(l.Server())
	o.SetClientID(l.cfg.Device.ClientID()).SetUsername(l.login).SetPassword(l.cfg.Secret.Reveal())
	o.SetProtocolVersion(4)
	o.SetCleanSession(!l.cfg.Persistent)
	o.SetKeepAlive(l.cfg.KeepAlive)
	o.SetPingTimeout(min(l.cfg.KeepAlive/2, 20*time.Second))
	o.SetConnectTimeout(l.cfg.ConnectTimeout)
	o.SetWriteTimeout(writeTimeout)
	o.SetAutoReconnect(false)
	o.SetConnectRetry(false)
	o.SetResumeSubs(false)
	o.SetStore(mqtt.NewMemoryStore())
	o.SetOrderMatters(true)
	o.SetAutoAckDisabled(true)
	o.SetTLSConfig(l.tls)
	o.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { c.take(m) })
	o.SetConnectionLostHandler(func(_ mqtt.Client, err error) { c.end(fmt.Errorf("%w: %w", ErrConnectionLost, err)) })
	return o
}

// open makes the network connection below MQTT.
func (l *Link) open(ctx context.Context, u *url.URL, o mqtt.ClientOptions) (net.Conn, error) {
	switch u.Scheme {
	case "tcp":
		return l.dialTCP(ctx, u.Host)
	case "tls":
		return l.dialTLS(ctx, u.Host)
	case "ws", "wss":
		return mqtt.NewWebsocket(u.String(), l.tls, l.cfg.ConnectTimeout, o.HTTPHeaders, &mqtt.WebsocketOptions{Proxy: l.proxyFor})
	}
	return nil, fmt.Errorf("scheme %q is not supported", u.Scheme)
}

// end closes the connection for the reason err; only the first call counts.
func (c *conn) end(err error) {
	c.once.Do(func() {
		c.err = err
		close(c.lost)
		if errors.Is(err, ErrConnectionLost) {
			return
		}
		c.client.Disconnect(quiesce)
	})
}

func (c *conn) why() error {
	<-c.lost
	return c.err
}

// drain waits until nothing is in flight, at most for d.
func (c *conn) drain(d time.Duration) {
	deadline := time.NewTimer(d)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for c.link.stats.inFlight.Load() > 0 {
		select {
		case <-tick.C:
		case <-c.lost:
			return
		case <-deadline.C:
			return
		}
	}
}
