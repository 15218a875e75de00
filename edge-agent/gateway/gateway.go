// Package gateway is the agent's door for sub-devices: an MQTT listener on the
// local network where they log in as they would at the hub, with their own
// credentials, and use their own topics.
//
// It promises: a sub-device's QoS 1 message is acknowledged only after the way
// up has made it durable; when that can't be done it is not acknowledged, the
// connection stops being read and is closed after ten seconds, so that the
// sub-device keeps the message. What comes down is delivered to the sub-device
// that is subscribed to it, and kept for a persistent session while the agent
// runs.
//
// It leaves the hub, the buffer and the topology to uplink. Retained messages,
// wills and QoS 2 do not exist on it, as the engine documents.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

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
	// Attached and Detached tell of connections, in order for each device.
	Attached(d ident.Device)
	Detached(d ident.Device)
	// Wanted replaces the filters that the sub-device is subscribed to.
	Wanted(d ident.Device, subs []server.Subscription)
}

// Subdevice is a device that may log in here.
type Subdevice struct {
	Device ident.Device
	Secret credential.Secret
}

// Config says where to listen and for whom.
type Config struct {
	// Listen is the address of the plain TCP listener, such as 127.0.0.1:1884.
	// Bind it to the interface of the sub-devices only: it is not encrypted.
	Listen string
	// Subdevices are those who may log in.
	Subdevices []Subdevice
	// Engine bounds what a connection may use; zero fields get their defaults.
	Engine server.Config
}

// Gateway is the listener and its sessions.
type Gateway struct {
	cfg    Config
	up     Uplink
	log    *slog.Logger
	engine *server.Server
	ln     net.Listener

	// mu guards the fields below.
	mu      sync.Mutex
	members map[ident.Device]*member
}

// member is a sub-device of the configuration.
type member struct {
	device   ident.Device
	secret   credential.Secret
	perms    *topic.Permissions
	disabled bool // Gateway.mu
}

// New opens the listener, so that a port in use is found out at once; Run serves it.
func New(cfg Config, up Uplink, log *slog.Logger) (*Gateway, error) {
	g := &Gateway{cfg: cfg, up: up, log: log, members: make(map[ident.Device]*member)}
	for _, s := range cfg.Subdevices {
		if err := s.Device.Check(); err != nil {
			return nil, fmt.Errorf("sub-device %s: %w", s.Device, err)
		}
		if s.Secret == "" {
			return nil, fmt.Errorf("sub-device %s: the secret is missing", s.Device)
		}
		if g.members[s.Device] != nil {
			return nil, fmt.Errorf("sub-device %s is listed twice", s.Device)
		}
		g.members[s.Device] = &member{
			device: s.Device, secret: s.Secret,
			perms: topic.Compile(s.Device, []topic.Template{{Path: "#", Perm: topic.Sub}}, topic.Scope{}),
		}
	}
	g.engine = server.New(cfg.Engine, (*owner)(g), log)
	ln, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for sub-devices on %s: %w", cfg.Listen, err)
	}
	g.ln = ln
	return g, nil
}

// Addr is the address of the listener.
func (g *Gateway) Addr() net.Addr { return g.ln.Addr() }

// Run serves sub-devices until ctx ends. Then it accepts nobody any more, lets
// messages in hand become durable and be acknowledged, closes the connections
// and returns nil.
func (g *Gateway) Run(ctx context.Context) error {
	// The engine ends its connections in Close, in order; not when ctx ends.
	serve, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- g.engine.Serve(serve, g.ln, "tcp") }()
	select {
	case err := <-ended:
		if err == nil {
			err = errors.New("the listener for sub-devices ended")
		}
		return errors.Join(err, g.drain(ctx))
	case <-ctx.Done():
	}
	err := g.drain(ctx)
	cancel()
	return errors.Join(err, <-ended)
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

// Close gives the listener up when Run was never called.
func (g *Gateway) Close() error { return g.ln.Close() }

// Deliver hands a message from the hub to the sub-device that its topic names.
// It returns server.ErrOffline, server.ErrNotSubscribed or server.ErrFull when
// it could not.
func (g *Gateway) Deliver(d ident.Device, name string, payload []byte, qos byte) error {
	s, ok := g.engine.Session(d.ClientID())
	if !ok {
		return server.ErrOffline
	}
	return s.Send(server.Message{Topic: name, Payload: payload, QoS: qos})
}

// SetEnabled admits a sub-device again or cuts it off, as the hub says.
func (g *Gateway) SetEnabled(d ident.Device, enabled bool) {
	g.mu.Lock()
	m := g.members[d]
	if m != nil {
		m.disabled = !enabled
	}
	g.mu.Unlock()
	if m == nil {
		return
	}
	g.log.Info("the hub changed a sub-device", "product", d.Product, "device", d.SN, "enabled", enabled)
	if !enabled {
		g.engine.Kick(d.ClientID(), server.CauseKicked)
		g.engine.Forget(d.ClientID())
	}
}

// Stats returns the engine's counters.
func (g *Gateway) Stats() server.Stats { return g.engine.Stats() }

func (g *Gateway) member(d ident.Device) (m *member, disabled bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m = g.members[d]
	return m, m != nil && m.disabled
}
