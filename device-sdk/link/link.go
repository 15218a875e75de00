// Package link keeps one MQTT connection of a device to a hub.
//
// It promises: credentials as device-protocol section 2 wants them; nothing is
// published before the hub has accepted the login; at most Config.Window QoS 1
// messages are unacknowledged at a time, sent and settled in order; a lost
// connection comes back by itself with jittered exponential back-off, and every
// subscription with it; an incoming QoS 1 message is acknowledged after its
// handlers returned. Nothing is kept on disk: a message that must survive the
// process belongs into a buffer of the caller, which removes it when its
// Receipt ends without an error.
//
// It leaves topics, payloads and replies to package device, and to
// edge-agent/uplink the durable way.
package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// Config says where the hub is and who logs in.
type Config struct {
	// Server is the hub's address: tcp://host:1883, tls://host:8883,
	// ws://host:8080/mqtt or wss://host:8443/mqtt.
	Server string
	// Fallback are other addresses of it, tried in this order when Server is out of reach; a connection that ends is looked for at Server first.
	Fallback []string
	// Proxy is an HTTP proxy that connections go through (CONNECT), http://user:password@host:port; nil is none, whatever the environment says.
	Proxy *url.URL
	// Device is the identity, Secret its password: the device's secret for
	// credential.ModeSecret, the product's for credential.ModeRegister.
	Device ident.Device
	Secret credential.Secret
	// Mode is how the device proves itself; zero means credential.ModeSecret.
	Mode credential.Mode
	// Options go with the user name (enc=cbor, buf=…).
	Options credential.Options
	// TLS applies to tls and wss.
	TLS TLS
	// Persistent asks the hub to keep the session (subscriptions and queued
	// QoS 1 messages) while the device is away.
	Persistent bool
	// KeepAlive is the MQTT keep-alive; the hub takes 30 s to 1200 s.
	KeepAlive time.Duration
	// ConnectTimeout bounds one attempt from dialling to CONNACK.
	ConnectTimeout time.Duration
	// AckTimeout is how long a PUBACK or SUBACK may take before the connection
	// is given up as dead.
	AckTimeout time.Duration
	// Window is the most QoS 1 messages that may be unacknowledged.
	Window int
	// Queue is the most incoming messages that may wait for their handlers. When
	// it is full a QoS 0 message is dropped and counted; a QoS 1 message ends the
	// connection, so that a hub that keeps the session sends it again.
	Queue int
	// BackoffMin and BackoffMax bound the pause between attempts.
	BackoffMin, BackoffMax time.Duration
	// KeepTrying makes Run go on even when the very first login is refused. It
	// is meant for unattended devices; without it Run reports the refusal.
	KeepTrying bool
}

// DefaultConfig returns the values that New uses for fields left zero.
func DefaultConfig() Config {
	return Config{
		Mode:           credential.ModeSecret,
		KeepAlive:      60 * time.Second,
		ConnectTimeout: 10 * time.Second,
		AckTimeout:     30 * time.Second,
		Window:         32,
		Queue:          256,
		BackoffMin:     time.Second,
		BackoffMax:     2 * time.Minute,
	}
}

// Link is one device's connection. Make it with New; all methods are safe for
// concurrent use.
type Link struct {
	cfg     Config
	log     *slog.Logger
	tls     *tls.Config
	login   string
	onUp    []func(ctx context.Context)
	rest    Handler
	inbox   chan mqtt.Message
	running atomic.Bool
	stats   counters
	failure atomic.Pointer[Failure]
	server  atomic.Pointer[string] // the address in use
	window  atomic.Int64           // see SetRetryWindow

	// mu guards the fields below.
	mu     sync.Mutex
	cur    *conn         // nil while there is no usable connection
	up     chan struct{} // closed while cur is set
	routes []*route
	ended  chan struct{} // closed when Run has ended
	endErr error
}

// Stats are counters since New.
type Stats struct {
	Connects   int64 // logins that the hub accepted
	Published  int64 // messages that left and, at QoS 1, were acknowledged
	Received   int64 // messages that reached the queue
	Dropped    int64 // incoming QoS 0 messages dropped because the queue was full
	Overruns   int64 // connections ended because the queue was full at QoS 1
	Unhandled  int64 // incoming messages that no handler wanted
	InFlight   int64 // messages sent and not yet acknowledged, now
	LastUpUnix int64 // time of the last accepted login, Unix seconds, 0 before it
}

// Failure is why a connection did not come about, or ended. Its zero value is that none has failed.
type Failure struct {
	Time time.Time
	Err  error
}

// Failure returns the last one.
func (l *Link) Failure() Failure {
	if f := l.failure.Load(); f != nil {
		return *f
	}
	return Failure{}
}

type counters struct {
	connects, published, received, dropped, overruns, unhandled, inFlight, lastUp atomic.Int64
}

// New checks cfg and returns a Link that is not connected; Run connects it.
func New(cfg Config, log *slog.Logger) (*Link, error) {
	fillDefaults(&cfg)
	if err := validate(&cfg); err != nil {
		return nil, err
	}
	tlsCfg, err := cfg.TLS.Config()
	if err != nil {
		return nil, err
	}
	l := &Link{
		cfg:   cfg,
		log:   log.With("product", cfg.Device.Product, "device", cfg.Device.SN),
		tls:   tlsCfg,
		login: credential.Login{Device: cfg.Device, Mode: cfg.Mode, Options: cfg.Options}.UserName(),
		inbox: make(chan mqtt.Message, cfg.Queue),
		up:    make(chan struct{}),
		ended: make(chan struct{}),
	}
	return l, nil
}

// OnUp registers f to run once for every accepted login, in a goroutine of its
// own, after the subscriptions are in force. Its ctx ends with the connection,
// and the next login waits until f has returned. Call it before Run.
func (l *Link) OnUp(f func(ctx context.Context)) { l.onUp = append(l.onUp, f) }

// Server is the address that was tried last, or is connected to.
func (l *Link) Server() string {
	if s := l.server.Load(); s != nil {
		return *s
	}
	return l.cfg.Server
}

// SetRetryWindow spreads a fleet's return: after a connection that lasted the first attempt is made at a random moment within the window, and the pauses
// between attempts grow to it. It reports whether that is a change.
func (l *Link) SetRetryWindow(d time.Duration) bool {
	d = min(max(d, 0), time.Hour)
	return l.window.Swap(int64(d)) != int64(d)
}

// Device returns the identity that the link logs in with.
func (l *Link) Device() ident.Device { return l.cfg.Device }

// Connected reports whether a connection is usable now.
func (l *Link) Connected() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cur != nil
}

// WaitConnected returns nil as soon as the link is connected, an error when ctx
// or Run ends before.
func (l *Link) WaitConnected(ctx context.Context) error {
	_, err := l.wait(ctx)
	return err
}

// Stats returns the counters.
func (l *Link) Stats() Stats {
	c := &l.stats
	return Stats{
		Connects: c.connects.Load(), Published: c.published.Load(), Received: c.received.Load(),
		Dropped: c.dropped.Load(), Overruns: c.overruns.Load(), Unhandled: c.unhandled.Load(),
		InFlight: c.inFlight.Load(), LastUpUnix: c.lastUp.Load(),
	}
}

// wait returns the current connection, waiting for one if need be.
func (l *Link) wait(ctx context.Context) (*conn, error) {
	for {
		l.mu.Lock()
		cur, up := l.cur, l.up
		l.mu.Unlock()
		if cur != nil {
			return cur, nil
		}
		select {
		case <-up:
		case <-l.ended:
			return nil, l.stopped()
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the hub: %w", ctx.Err())
		}
	}
}

func (l *Link) stopped() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.endErr != nil {
		return fmt.Errorf("%w: %w", ErrStopped, l.endErr)
	}
	return ErrStopped
}

func fillDefaults(cfg *Config) {
	def := DefaultConfig()
	if cfg.Mode == 0 {
		cfg.Mode = def.Mode
	}
	for _, f := range []struct {
		v *time.Duration
		d time.Duration
	}{
		{&cfg.KeepAlive, def.KeepAlive}, {&cfg.ConnectTimeout, def.ConnectTimeout}, {&cfg.AckTimeout, def.AckTimeout},
		{&cfg.BackoffMin, def.BackoffMin}, {&cfg.BackoffMax, def.BackoffMax},
	} {
		if *f.v == 0 {
			*f.v = f.d
		}
	}
	if cfg.Window == 0 {
		cfg.Window = def.Window
	}
	if cfg.Queue == 0 {
		cfg.Queue = def.Queue
	}
}

func validate(cfg *Config) error {
	for _, addr := range cfg.addresses() {
		if err := checkAddress(addr); err != nil {
			return err
		}
	}
	if p := cfg.Proxy; p != nil && (p.Scheme != "http" || p.Host == "") {
		return fmt.Errorf("link: proxy %q: want http://host:port", p.Redacted())
	}
	if err := ident.CheckProductSN(cfg.Device.Product); err != nil {
		return fmt.Errorf("link: %w", err)
	}
	if err := ident.CheckDeviceSN(cfg.Device.SN); err != nil {
		return fmt.Errorf("link: %w", err)
	}
	switch {
	case cfg.Secret == "":
		return errors.New("link: the secret is missing")
	case cfg.Mode != credential.ModeSecret && cfg.Mode != credential.ModeRegister:
		return fmt.Errorf("link: login mode %d is not supported", cfg.Mode)
	case cfg.KeepAlive < time.Second || cfg.KeepAlive > 65535*time.Second:
		return fmt.Errorf("link: keep-alive %s is outside 1s..65535s", cfg.KeepAlive)
	case cfg.Window < 1 || cfg.Window > 65535 || cfg.Queue < 1:
		return errors.New("link: window and queue must be at least 1")
	case cfg.BackoffMin <= 0 || cfg.BackoffMax < cfg.BackoffMin:
		return errors.New("link: back-off must be positive and its maximum not below its minimum")
	}
	return nil
}

func checkAddress(addr string) error {
	u, err := url.Parse(addr)
	if err != nil {
		return fmt.Errorf("link: server %q: %w", addr, err)
	}
	switch u.Scheme {
	case "tcp", "tls", "ws", "wss":
	default:
		return fmt.Errorf("link: server %q: want tcp://, tls://, ws:// or wss:// and host:port", addr)
	}
	if u.Host == "" {
		return fmt.Errorf("link: server %q: the host is missing", addr)
	}
	return nil
}
