// Package uplink is the agent's way to the hub: it holds the gateway's
// connection, keeps the sub-devices logged in there, sends what the buffer holds
// and brings down what is for them.
//
// It promises: a record leaves the buffer only when the hub has acknowledged it;
// records of one sub-device go up in the order in which they were accepted; a
// sub-device is logged in at the hub before its first message goes up, and
// logged out after its last one when it has left. Records of a sub-device that
// the hub refuses stay in the buffer, do not hold up others, and are tried again
// every minute.
//
// It leaves the listener to gateway and durability to buffer.
package uplink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/edge-agent/buffer"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Config says who the gateway is and whom it carries.
type Config struct {
	// Link is the gateway's own connection.
	Link link.Config
	// Subdevices are added to the gateway's topology at every connection.
	Subdevices []ident.Device
	// Secrets are of the sub-devices whose secret the gateway knows: it proves so to the hub, whose products may require it.
	Secrets map[ident.Device]credential.Secret
	// ReplyTimeout is how long the hub may take to answer a request.
	ReplyTimeout time.Duration
	// RetryRefused is after how long a refused sub-device is tried again.
	RetryRefused time.Duration
}

// Downlink is where messages for sub-devices go.
type Downlink interface {
	Deliver(d ident.Device, name string, payload []byte, qos byte) error
	SetEnabled(d ident.Device, enabled bool)
}

// Uplink is the way up. Make it with New, give it its Downlink with Serve, then
// call Run.
type Uplink struct {
	cfg  Config
	log  *slog.Logger
	link *link.Link
	buf  *buffer.Buffer
	topo *topology

	down Downlink

	// mu guards the fields below.
	mu       sync.Mutex
	attached map[ident.Device]bool
	wanted   map[ident.Device][]server.Subscription
	revoked  map[ident.Device]bool // the hub disabled or removed them on this connection
	poke     chan struct{}         // holds one token: something above changed
}

// New returns an Uplink over buf, which must run while the Uplink does.
func New(cfg Config, buf *buffer.Buffer, log *slog.Logger) (*Uplink, error) {
	if cfg.ReplyTimeout == 0 {
		cfg.ReplyTimeout = 10 * time.Second
	}
	if cfg.RetryRefused == 0 {
		cfg.RetryRefused = time.Minute
	}
	l, err := link.New(cfg.Link, log)
	if err != nil {
		return nil, err
	}
	u := &Uplink{
		cfg: cfg, log: log, link: l, buf: buf,
		attached: make(map[ident.Device]bool),
		wanted:   make(map[ident.Device][]server.Subscription),
		revoked:  make(map[ident.Device]bool),
		poke:     make(chan struct{}, 1),
	}
	u.topo = newTopology(l, cfg, log)
	return u, nil
}

// Serve names what takes messages for sub-devices. Call it once, before Run.
func (u *Uplink) Serve(down Downlink) error {
	u.down = down
	u.link.OnUp(u.up)
	u.link.HandleRest(u.deliver)
	if err := u.topo.listen(); err != nil {
		return err
	}
	return u.listenNotices()
}

// Run works until ctx ends and returns nil then, or the reason why the hub
// refused the gateway's first login when Config.Link.KeepTrying is off.
func (u *Uplink) Run(ctx context.Context) error {
	return u.link.Run(ctx)
}

// Connected reports whether the hub has accepted the gateway.
func (u *Uplink) Connected() bool { return u.link.Connected() }

// Forward puts a sub-device's message into the buffer.
func (u *Uplink) Forward(_ ident.Device, name string, payload []byte, qos byte, done func(error)) {
	u.buf.Append(buffer.Record{Topic: name, Payload: payload, QoS: qos, Time: time.Now()}, func(err error) {
		// What waiting heals must not be refused for good: not acknowledged, the
		// sub-device keeps the message.
		if errors.Is(err, buffer.ErrUnavailable) || errors.Is(err, buffer.ErrClosed) {
			err = fmt.Errorf("%w: %w", server.ErrUnavailable, err)
		}
		done(err)
	})
}

// Attached notes that a sub-device is connected to the gateway.
func (u *Uplink) Attached(d ident.Device) {
	u.mu.Lock()
	u.attached[d] = true
	u.mu.Unlock()
	u.wake()
}

// Detached queues the sub-device's logout behind its last message.
func (u *Uplink) Detached(d ident.Device) {
	u.mu.Lock()
	delete(u.attached, d)
	u.mu.Unlock()
	body, err := u.topo.logoutBody(d)
	if err != nil {
		u.log.Error("a logout can't be encoded", "product", d.Product, "device", d.SN, "err", err)
		return
	}
	name := topic.System(u.link.Device(), topic.SubdevLogout)
	u.buf.Append(buffer.Record{Topic: name, Payload: body, QoS: 1, Time: time.Now()}, func(err error) {
		if err != nil && !errors.Is(err, buffer.ErrClosed) {
			u.log.Warn("a logout could not be queued", "product", d.Product, "device", d.SN, "err", err)
		}
	})
}

// Wanted notes the sub-device's filters; the hub is asked for them.
func (u *Uplink) Wanted(d ident.Device, subs []server.Subscription) {
	u.mu.Lock()
	if len(subs) == 0 {
		delete(u.wanted, d)
	} else {
		u.wanted[d] = subs
	}
	u.mu.Unlock()
	u.wake()
}

func (u *Uplink) wake() {
	select {
	case u.poke <- struct{}{}:
	default:
	}
}

// up runs once for each connection, until it ends.
func (u *Uplink) up(ctx context.Context) {
	c := newCarrier(u)
	if err := c.run(ctx); err != nil && ctx.Err() == nil {
		u.log.Error("the way up stopped", "err", err)
	}
}

// filter is a sub-device's subscription.
type filter = server.Subscription

func (u *Uplink) isAttached(d ident.Device) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.attached[d]
}

func (u *Uplink) filters(d ident.Device) []filter {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.wanted[d]
}

// changes returns who is attached, and takes the hub's decisions since last time.
func (u *Uplink) changes() (attached []ident.Device, revoked map[ident.Device]bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for d := range u.attached {
		attached = append(attached, d)
	}
	revoked, u.revoked = u.revoked, make(map[ident.Device]bool)
	return attached, revoked
}
