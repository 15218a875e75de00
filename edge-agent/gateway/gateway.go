// Package gateway is the agent's door for sub-devices and for applications on the gateway: MQTT and HTTP on the local network, where
// sub-devices log in as they would at the hub, with their own credentials, and use their own topics. Drivers bring in, by Attach, sub-devices
// that speak neither.
//
// It promises: a sub-device's QoS 1 message, and one posted over HTTP, is acknowledged only after the way
// up has made it durable; when that can't be done it is not acknowledged, the
// connection stops being read and is closed after ten seconds, so that the
// sub-device keeps the message. What comes down is delivered to the sub-device
// that is subscribed to it; for one with a persistent session that is away it is kept, over restarts of the agent too. Who may
// log in is known without the hub.
//
// It leaves the hub, the buffer and the topology to uplink, and what is done with messages on the gateway to route. Retained messages and
// wills do not exist on it.
package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Uplink is what the gateway needs of the way up.
type Uplink interface {
	// Forward takes a message of a sub-device; done runs once, with nil when it is
	// durable. The strings and bytes are valid until then.
	Forward(d ident.Device, name string, payload []byte, qos byte, done func(error))
	// Local takes a message that an application published on a topic below LocalPrefix; done runs once.
	Local(name string, payload []byte, qos byte, done func(error))
	// Attached and Detached tell of connections, in order for each device.
	Attached(d ident.Device)
	Detached(d ident.Device)
	// Wanted replaces the filters that the sub-device is subscribed to.
	Wanted(d ident.Device, subs []server.Subscription)
	// Found tells the hub of a sub-device that is there and not behind this gateway.
	Found(d ident.Device)
	// Admitted tells of a sub-device that the hub has put behind this gateway, and of its secret.
	Admitted(d ident.Device, secret credential.Secret)
}

// LocalPrefix begins the topics that stay on the gateway.
const LocalPrefix = "local/"

// Subdevice is a device that may log in here.
type Subdevice struct {
	Device ident.Device
	Secret credential.Secret
	// Sleep is how long it stays logged in at the hub after its connection has ended, if it keeps its session: what comes down meanwhile waits here.
	Sleep time.Duration
}

// Config says where to listen and for whom.
type Config struct {
	// Listen is the address of the plain TCP listener, such as 127.0.0.1:1884; "" is none.
	// Bind it to the interface of the sub-devices only: it is not encrypted.
	Listen string
	// ListenTLS is the address of the listener with TLS, "" is none; TLS is its certificate, and that of HTTP if there is one.
	ListenTLS string
	TLS       *tls.Config
	// HTTP is the intake over HTTP.
	HTTP HTTP
	// Own is the gateway itself, for whose topics applications may be given leave.
	Own ident.Device
	// Subdevices are those who may log in, Applications the programs beside the agent.
	Subdevices   []Subdevice
	Applications []Application
	// Products are those whose sub-devices may be listed without a secret: the hub is asked for it, with the product's.
	Products map[string]credential.Secret
	// Keys keeps the secrets that the hub has given for them.
	Keys Keys
	// Report tells the hub of sub-devices that are there and not behind this gateway.
	Report bool
	// Learn admits sub-devices that the hub puts behind the gateway (topo/notify/add).
	Learn bool
	// Added keeps the secrets of these: the hub tells them once. nil: they are in State only.
	Added Keys
	// State keeps what the hub said of sub-devices, and what waits for them; nil keeps it in memory.
	State Bucket
	// Engine bounds what a connection may use; zero fields get their defaults.
	Engine server.Config
}

// Gateway is the listeners and their sessions.
type Gateway struct {
	cfg    Config
	up     Uplink
	log    *slog.Logger
	engine *server.Server
	plain  net.Listener // nil when there is none, as the others
	secure net.Listener
	web    *intake
	apps   map[string]*application
	spare  int          // connections beside those of who is known
	turned atomic.Int64 // connections that were one too many

	// mu guards the fields below, and those of members that say so.
	mu      sync.Mutex
	members map[ident.Device]*member
	found   map[ident.Device]time.Time // strangers, and when the hub was told
	// mailBytes are those of all letters' payloads.
	mailBytes int
	toldFull  time.Time // when the log was told that there are too many connections
}

// New opens the listeners, so that a port in use is found out at once; Run serves them.
func New(cfg Config, up Uplink, log *slog.Logger) (*Gateway, error) {
	if cfg.State == nil {
		cfg.State = nowhere{}
	}
	g := &Gateway{cfg: cfg, up: up, log: log, spare: spareConns, members: make(map[ident.Device]*member), found: make(map[ident.Device]time.Time), apps: make(map[string]*application)}
	if err := g.enrol(); err != nil {
		return nil, err
	}
	g.engine = server.New(cfg.Engine, (*owner)(g), log)
	if err := g.listen(); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	g.resume()
	return g, nil
}

func (g *Gateway) listen() (err error) {
	if g.cfg.Listen != "" {
		if g.plain, err = net.Listen("tcp", g.cfg.Listen); err != nil {
			return fmt.Errorf("listen for sub-devices on %s: %w", g.cfg.Listen, err)
		}
		g.plain = g.bounded(g.plain)
	}
	if g.cfg.ListenTLS != "" {
		if g.cfg.TLS == nil {
			return errors.New("listen for sub-devices with TLS: there is no certificate")
		}
		ln, err := net.Listen("tcp", g.cfg.ListenTLS)
		if err != nil {
			return fmt.Errorf("listen for sub-devices on %s: %w", g.cfg.ListenTLS, err)
		}
		g.secure = tls.NewListener(g.bounded(ln), g.cfg.TLS)
	}
	if g.cfg.HTTP.Listen != "" {
		g.web, err = newIntake(g)
	}
	return err
}

// Addr is the address of the plain listener, nil without one.
func (g *Gateway) Addr() net.Addr { return addrOf(g.plain) }

// AddrTLS is the address of the listener with TLS, nil without one.
func (g *Gateway) AddrTLS() net.Addr { return addrOf(g.secure) }

// AddrHTTP is the address of the intake over HTTP, nil without one.
func (g *Gateway) AddrHTTP() net.Addr {
	if g.web == nil {
		return nil
	}
	return addrOf(g.web.ln)
}

func addrOf(ln net.Listener) net.Addr {
	if ln == nil {
		return nil
	}
	return ln.Addr()
}

// Run serves sub-devices until ctx ends. Then it accepts nobody any more, lets
// messages in hand become durable and be acknowledged, closes the connections
// and returns nil.
func (g *Gateway) Run(ctx context.Context) error {
	defer g.stopTimers()
	// The engine ends its connections in Close, in order; not when ctx ends.
	serve, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	doors, doorCtx := errgroup.WithContext(ctx)
	var ends []chan error
	for transport, ln := range map[string]net.Listener{"tcp": g.plain, "tls": g.secure} {
		if ln == nil {
			continue
		}
		ended := make(chan error, 1)
		ends = append(ends, ended)
		go func() { ended <- g.engine.Serve(serve, ln, transport) }()
		doors.Go(func() error {
			select {
			case err := <-ended:
				ended <- nil
				return errors.Join(err, errors.New("the listener for sub-devices ended"))
			case <-doorCtx.Done():
				return nil
			}
		})
	}
	if g.web != nil {
		doors.Go(func() error { return g.web.run(doorCtx) })
	}
	doors.Go(func() error { <-doorCtx.Done(); return nil })
	errs := []error{doors.Wait(), g.drain(ctx)}
	cancel()
	for _, ended := range ends {
		errs = append(errs, <-ended)
	}
	return errors.Join(errs...)
}

func (g *Gateway) drain(ctx context.Context) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer stop()
	if err := g.engine.Close(ctx); err != nil {
		return fmt.Errorf("close the sub-devices' connections: %w", err)
	}
	return nil
}

// drainTimeout bounds the wait for messages in hand when the gateway stops.
const drainTimeout = 5 * time.Second

// Close gives the listeners up when Run was never called.
func (g *Gateway) Close() error {
	g.stopTimers()
	var errs []error
	for _, ln := range []net.Listener{g.plain, g.secure} {
		if ln != nil {
			errs = append(errs, ln.Close())
		}
	}
	if g.web != nil {
		errs = append(errs, g.web.ln.Close())
	}
	return errors.Join(errs...)
}

// Deliver hands a message from the hub, or of a route, to the sub-device that its topic names; one for a sub-device that is away with its session kept
// waits. It returns server.ErrOffline, server.ErrNotSubscribed or server.ErrFull when
// it could not.
func (g *Gateway) Deliver(d ident.Device, name string, payload []byte, qos byte) error {
	g.Publish(name, payload, qos)
	m, port := g.find(d)
	switch {
	case m == nil:
		return server.ErrOffline
	case port != nil:
		return port.Deliver(name, payload, qos)
	}
	if kept, err := g.keep(m, name, payload, qos); kept {
		return err
	}
	s, ok := g.engine.Session(d.ClientID())
	if !ok {
		return server.ErrOffline
	}
	return s.Send(server.Message{Topic: name, Payload: payload, QoS: qos})
}

// Publish shows a message to the applications that are subscribed to its topic and may be.
func (g *Gateway) Publish(name string, payload []byte, qos byte) {
	if len(g.apps) > 0 {
		g.engine.Route(server.Message{Topic: name, Payload: payload, QoS: qos})
	}
}

// Stats returns the engine's counters.
func (g *Gateway) Stats() server.Stats { return g.engine.Stats() }

// find returns the sub-device, nil when it is not one or may not be served, and its driver, nil when it has none.
func (g *Gateway) find(d ident.Device) (*member, Port) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := g.members[d]
	if m == nil || m.barred() {
		return nil, nil
	}
	return m, m.port
}

// forward passes a message on that was taken from a sub-device; applications see it when it is safe.
func (g *Gateway) forward(m *member, name string, payload []byte, qos byte, done func(error)) {
	if len(g.apps) == 0 {
		g.up.Forward(m.device, name, payload, qos, done)
		return
	}
	g.up.Forward(m.device, name, payload, qos, func(err error) {
		if err == nil {
			g.Publish(name, payload, qos)
		}
		done(err)
	})
}

// mayPublish checks what can be checked here; which custom topics its product
// has, only the hub knows.
func (m *member) mayPublish(name string) error {
	if len(name) > topic.MaxBytes {
		return topic.ErrLong
	}
	t, err := topic.Parse(name)
	switch {
	case err != nil:
		return err
	case t.Device != m.device:
		return fmt.Errorf("gateway: the topic is not of %s", m.device)
	case t.Kind.Direction()&topic.Pub == 0 || t.Kind.GatewayOnly():
		return fmt.Errorf("gateway: a sub-device may not publish %s", t.Kind)
	}
	return nil
}
