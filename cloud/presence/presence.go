// Package presence knows who is connected, and tells everybody else.
//
// A login takes the next epoch of the device's session row by compare-and-set; every unit of the path carries that epoch, so
// that whatever an older connection still has to say is refused inside the transaction. The same unit changes the device's
// state and hands the event device/status to the rules: what rules, registry and watchers see cannot disagree for long, and
// the events of a device are in order.
//
// It promises: one Online when a device comes and one Offline when it goes; none of both when a connection takes over from
// another, on this or another node; one Offline for a session that a dead process left behind, unless the device is back within
// 1.5 times its keep-alive; sub-devices go offline with their gateway, unless it only took over its own connection and logs them in
// again in time. A hub that is stopped in order emits no Offline either:
// its next start, or the node that the device finds, settles it.
//
// It leaves who may log in to auth, the connections to broker, and the queue to downlink.
package presence

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hawser-iot/hawser/cloud/bus"
	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Config is what a Presence needs to know.
type Config struct {
	Node  string // this node's name, the same over restarts
	Alone bool   // there are no other nodes to be told of changes
	// Grace is how long the sub-devices of a gateway that took over its own connection are waited for; 0 is DefaultGrace.
	Grace time.Duration
}

// DefaultGrace is enough for a gateway to log 1,000 sub-devices in.
const DefaultGrace = 30 * time.Second

// Deps are what a Presence stands on.
type Deps struct {
	Store    *store.DB
	Registry *registry.Registry
	Bus      *bus.Bus
	IDs      uplink.Numberer
	Rules    uplink.Matcher  // nil: no rules
	Audience uplink.Audience // nil: no applications
	Feed     uplink.Feed     // nil: nobody watches
	Journal  Journal         // nil: nothing is kept of sub-devices' logins
	Log      *slog.Logger
	Metrics  prometheus.Registerer // nil: not exported
}

// Presence is safe for concurrent use.
type Presence struct {
	cfg Config
	Deps
	metrics *metrics
	now     func() time.Time
	local   directory
	late    late
	held    held
}

// New returns a Presence. Run must be running for sessions of a dead process to end.
func New(cfg Config, deps Deps) *Presence {
	if cfg.Grace == 0 {
		cfg.Grace = DefaultGrace
	}
	p := &Presence{cfg: cfg, Deps: deps, now: time.Now}
	p.metrics = newMetrics(deps.Metrics, p)
	p.late.wake, p.held.wake = make(chan struct{}, 1), make(chan struct{}, 1)
	return p
}

// Find implements downlink.Directory.
func (p *Presence) Find(dev ident.Device) (downlink.Target, bool) {
	s, ok := p.local.get(dev)
	if !ok {
		return nil, false
	}
	return s, true
}

// Session returns a device's session on this node, its own or over a gateway.
func (p *Presence) Session(dev ident.Device) (*Session, bool) { return p.local.get(dev) }

// Each calls f for every session on this node until it returns false. Sessions that come and go meanwhile may be missed.
func (p *Presence) Each(f func(*Session) bool) { p.local.each(f) }

// Attach makes s reachable: messages for its device go to its link from now on.
func (p *Presence) Attach(s *Session, l Link) {
	s.link = l
	p.local.put(s)
}

var _ downlink.Directory = (*Presence)(nil)

// renewTries bounds the changes of a product that are followed at once: each of them has somebody who follows it, too.
const renewTries = 4

// Renew gives a session that can be found its product as it is now, with the permissions that permit makes of it, and tells whether
// that is another one. A change that came before the session could be found is thereby not missed, and of changes that are followed at
// the same time the last one wins.
func (p *Presence) Renew(ctx context.Context, s *Session, permit func(ident.Device, *registry.Product) *topic.Permissions) (changed bool, err error) {
	dev := s.Device.Identity
	for range renewTries {
		product, err := p.Registry.Product(ctx, dev.Product)
		if err != nil {
			return changed, fmt.Errorf("product of %s: %w", dev, err)
		}
		if product == s.Product() {
			break
		}
		s.SetProduct(product, permit(dev, product))
		changed = true
	}
	return changed, nil
}

// Run settles what a dead process left online, repeats what the store could not take, and hears of changes on other nodes,
// until ctx ends.
func (p *Presence) Run(ctx context.Context) error {
	stop, err := p.Bus.Subscribe(changedSubject, p.changed)
	if err != nil {
		return fmt.Errorf("listen to other nodes: %w", err)
	}
	defer stop()
	left, err := p.leftOnline(ctx)
	if ctx.Err() != nil {
		return nil // told to end while it was reading
	}
	if err != nil {
		return err
	}
	return p.settle(ctx, left)
}

// changedSubject is where nodes tell that a device's state in the store has changed: "node id", in text. Should a note be lost, the
// other nodes show an old state until the device's next change; nothing is decided by it.
const changedSubject = "hawser.presence.changed"

// announce tells the other nodes that what they have cached of a device is old. It does not wait.
func (p *Presence) announce(device int64) {
	if p.cfg.Alone {
		return
	}
	if err := p.Bus.Publish(changedSubject, fmt.Appendf(nil, "%s %d", p.cfg.Node, device)); err != nil {
		p.Log.Debug("other nodes not told of a change", "err", err)
	}
}

func (p *Presence) changed(_ string, note []byte) []byte {
	node, text, _ := strings.Cut(string(note), " ")
	id, err := strconv.ParseInt(text, 10, 64)
	if err == nil && node != p.cfg.Node {
		p.Registry.Invalidate(id)
	}
	return nil
}
