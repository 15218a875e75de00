// Package presence knows who is connected, and tells everybody else.
//
// A login takes the next epoch of the device's session row by compare-and-set; every unit of the path carries that epoch, so
// that whatever an older connection still has to say is refused inside the transaction. The same unit changes the device's
// state and hands the event device/status to the rules: what rules, registry and watchers see cannot disagree for long, and
// the events of a device are in order.
//
// It promises: one Online when a device comes and one Offline when it goes; none of both when a connection takes over from
// another, on this or another node; one Offline for a session that a dead process left behind, unless the device is back within
// 1.5 times its keep-alive; sub-devices go offline with their gateway. A hub that is stopped in order emits no Offline either:
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
)

// Config is what a Presence needs to know.
type Config struct {
	Node string // this node's name, the same over restarts
}

// Deps are what a Presence stands on.
type Deps struct {
	Store    *store.DB
	Registry *registry.Registry
	Bus      *bus.Bus
	IDs      uplink.Numberer
	Rules    uplink.Matcher // nil: no rules
	Feed     uplink.Feed    // nil: nobody watches
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
}

// New returns a Presence. Run must be running for sessions of a dead process to end.
func New(cfg Config, deps Deps) *Presence {
	p := &Presence{cfg: cfg, Deps: deps, now: time.Now}
	p.metrics = newMetrics(deps.Metrics, p)
	p.late.wake = make(chan struct{}, 1)
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
