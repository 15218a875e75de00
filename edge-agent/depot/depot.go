// Package depot takes firmware on behalf of sub-devices: the gateway is offered it, verifies and downloads it with the engine of device-sdk/update, as it
// does its own, keeps it on its disk, and hands it to the sub-device in the words of the plain protocol (update_firmware), with a URL of the
// gateway's own. What the sub-device says becomes the end of the deployment: the gateway attests for it what it runs.
//
// It promises: a sub-device is handed only bytes that have the digests of a manifest which enough release keys have signed and the hub's director has
// assigned to this sub-device, and they are hashed once more just before; all images together stay within a budget; few sub-devices are served
// at a time, and what one has downloaded the next one of its kind does not download again.
//
// It leaves the sub-device's connection to gateway, and the way to the hub to uplink. Sub-devices of products that it does not know ask the hub for
// their firmware themselves; their messages pass.
package depot

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hawser-iot/hawser/device-sdk/update"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Up is the way up from the gateway's door, which a Depot stands in.
type Up interface {
	Forward(d ident.Device, name string, payload []byte, qos byte, done func(error))
	Local(name string, payload []byte, qos byte, done func(error))
	Attached(d ident.Device)
	Detached(d ident.Device)
	Wanted(d ident.Device, subs []server.Subscription)
	Admitted(d ident.Device, secret credential.Secret)
	Found(d ident.Device)
}

// Connection is the gateway's connection to the hub.
type Connection interface {
	// OnUp has f called after every login of the gateway, in a goroutine of its own, with a ctx that ends with the connection.
	OnUp(f func(ctx context.Context))
}

// Down is the way to a sub-device.
type Down interface {
	Deliver(d ident.Device, name string, payload []byte, qos byte) error
}

// Model is what the sub-devices of a product are.
type Model struct {
	Product string
	// Modules are their parts with a firmware of its own; a release has images for some of them.
	Modules []Module
	// Files puts the image's path into what a sub-device is told, for drivers on the gateway.
	Files bool
	// Consent makes each update wait for the owner, not only those for which the hub wants that.
	Consent bool
}

// Module is a part of a sub-device.
type Module struct {
	Name string
	// Its Version is what it was shipped with; "" waits until a sub-device has said what it runs.
	update.Module
}

// module is the module of a name, nil if there is none. "" is the only one, or that which a device means that names none.
func (m *Model) module(name string) *Module {
	if name == "" && len(m.Modules) == 1 {
		return &m.Modules[0]
	}
	if name == "" {
		name = "default"
	}
	i := slices.IndexFunc(m.Modules, func(o Module) bool { return o.Name == name })
	if i < 0 {
		return nil
	}
	return &m.Modules[i]
}

// Config is what a Depot works with.
type Config struct {
	// Dir is the folder for images and for what must last.
	Dir string
	// Root is the root document that manifests are verified with; without one it needs AllowUnsigned.
	Root          []byte
	AllowUnsigned bool
	// Listen is where sub-devices download, URL what their links begin with; from Listen when empty. TLS is for HTTPS, nil is HTTP.
	Listen, URL string
	TLS         *tls.Config
	// Budget bounds the bytes of all images; 64 MiB when zero.
	Budget int64
	// Turns is how many sub-devices' images are downloaded at a time; 2 when zero.
	Turns int
	// Handover is how long a sub-device has for what it was handed; 24 h when zero.
	Handover time.Duration
	// Poll is how often what is waited for is looked at; 1 min when zero.
	Poll     time.Duration
	Download update.Download
	Models   []Model
}

func (c *Config) fill() error {
	for _, f := range []struct {
		v *time.Duration
		d time.Duration
	}{{&c.Handover, 24 * time.Hour}, {&c.Poll, time.Minute}} {
		if *f.v == 0 {
			*f.v = f.d
		}
	}
	if c.Budget == 0 {
		c.Budget = 64 << 20
	}
	if c.Turns == 0 {
		c.Turns = 2
	}
	seen := map[string]bool{}
	for _, m := range c.Models {
		switch {
		case seen[m.Product]:
			return fmt.Errorf("depot: product %s is listed twice", m.Product)
		case c.Root == nil && !c.AllowUnsigned:
			return errors.New("depot: without a root document there is nothing to verify firmware with")
		case len(m.Modules) == 0:
			return fmt.Errorf("depot: product %s has no module", m.Product)
		}
		for i, o := range m.Modules {
			if c.Root != nil && (o.Vendor.IsZero() || o.Class.IsZero()) {
				return fmt.Errorf("depot: module %s of product %s has no vendor or class", o.Name, m.Product)
			}
			if m.module(o.Name) != &m.Modules[i] {
				return fmt.Errorf("depot: product %s has two modules %s", m.Product, o.Name)
			}
		}
		seen[m.Product] = true
	}
	return nil
}

// Depot stands between the door and the way up. Make it with New, name what delivers with Serve, call Run.
type Depot struct {
	Up
	cfg  Config
	log  *slog.Logger
	down Down
	room *room
	web  *web

	fresh    chan struct{} // holds one token: there is a new ward
	handlers sync.WaitGroup

	// mu guards the fields below. A ward's mu may be taken under it, not the other way round.
	mu      sync.Mutex
	ended   bool
	hub     context.Context // of the gateway's connection; nil or ended when there is none
	wards   map[ident.Device]*ward
	waiting []*ward // Run has not seen them yet
}

// New opens the listener and what is on the disk. secrets are of the sub-devices that are known already.
func New(cfg Config, up Up, conn Connection, secrets map[ident.Device]credential.Secret, log *slog.Logger) (*Depot, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	p := &Depot{Up: up, cfg: cfg, log: log, wards: make(map[ident.Device]*ward), fresh: make(chan struct{}, 1)}
	p.room = newRoom(filepath.Join(cfg.Dir, "images"), cfg.Budget, cfg.Turns, log)
	var err error
	if p.web, err = newWeb(cfg, log); err != nil {
		return nil, err
	}
	for d, secret := range secrets {
		if err := p.take(d, secret); err != nil {
			log.Error("a sub-device takes no firmware", "product", d.Product, "device", d.SN, "err", err) // the others do
		}
	}
	conn.OnUp(p.connected)
	return p, nil
}

// Serve names what delivers to sub-devices. Call it once, before messages come.
func (p *Depot) Serve(down Down) { p.down = down }

// Close gives up what New opened, when Run was never called.
func (p *Depot) Close() error { return p.web.ln.Close() }

// take begins to look after a sub-device, if its product is known.
func (p *Depot) take(d ident.Device, secret credential.Secret) error {
	for i := range p.cfg.Models {
		if p.cfg.Models[i].Product != d.Product {
			continue
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.wards[d] != nil {
			return nil
		}
		w, err := newWard(p, d, secret, &p.cfg.Models[i])
		if err != nil {
			return fmt.Errorf("depot: %s: %w", d, err)
		}
		p.wards[d] = w
		p.waiting = append(p.waiting, w)
		select {
		case p.fresh <- struct{}{}:
		default:
		}
	}
	return nil
}

func (p *Depot) ward(d ident.Device) *ward {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wards[d]
}

// Run serves until ctx ends, and waits for all that it has begun.
func (p *Depot) Run(ctx context.Context) error {
	defer p.end()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.web.run(ctx) })
	g.Go(func() error {
		for {
			p.mu.Lock()
			list := p.waiting
			p.waiting = nil
			p.mu.Unlock()
			for _, w := range list {
				g.Go(func() error { w.run(ctx); return nil })
			}
			select {
			case <-p.fresh:
			case <-ctx.Done():
				return nil
			}
		}
	})
	return g.Wait()
}

// end waits for what logins have begun.
func (p *Depot) end() {
	p.mu.Lock()
	p.ended = true
	for _, w := range p.wards {
		w.attach(false)
	}
	p.mu.Unlock()
	p.handlers.Wait()
}

// connected is a login of the gateway's.
func (p *Depot) connected(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hub = ctx; p.ended {
		return
	}
	for _, w := range p.wards {
		w.meet(ctx)
	}
}

// Attached implements the door's way up.
func (p *Depot) Attached(d ident.Device) {
	p.Up.Attached(d)
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.wards[d]; w != nil && !p.ended {
		w.attach(true)
		w.meet(p.hub)
	}
}

// Detached implements the door's way up.
func (p *Depot) Detached(d ident.Device) {
	if w := p.ward(d); w != nil {
		w.attach(false)
	}
	p.Up.Detached(d)
}

// Admitted implements the door's way up.
func (p *Depot) Admitted(d ident.Device, secret credential.Secret) {
	if err := p.take(d, secret); err != nil {
		p.log.Error("a sub-device takes no firmware", "product", d.Product, "device", d.SN, "err", err)
	}
	p.Up.Admitted(d, secret)
}

// Wanted implements the door's way up. What the hub says of firmware the gateway wants itself.
func (p *Depot) Wanted(d ident.Device, subs []server.Subscription) {
	if w := p.ward(d); w != nil {
		name := topic.System(d, topic.OTADownstream)
		covered := false
		for _, s := range subs {
			covered = covered || topic.Match(s.Filter, name)
		}
		if !covered {
			subs = append(append([]server.Subscription{}, subs...), server.Subscription{Filter: name, QoS: 1})
		}
	}
	p.Up.Wanted(d, subs)
}

// Forward implements the door's way up. What a sub-device says of its firmware is said to the gateway.
func (p *Depot) Forward(d ident.Device, name string, payload []byte, qos byte, done func(error)) {
	if w := p.ward(d); w != nil && name == w.upstream && w.hear(payload) {
		done(nil)
		return
	}
	p.Up.Forward(d, name, payload, qos, done)
}

// Take takes what the hub says to a sub-device about firmware; it tells whether it did.
func (p *Depot) Take(d ident.Device, name string, payload []byte) bool {
	w := p.ward(d)
	if w == nil || name != w.downstream {
		return false
	}
	w.receive(payload)
	return true
}
