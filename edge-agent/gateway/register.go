package gateway

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// Keys keeps secrets of sub-devices so that they last: the hub does not give them twice.
type Keys interface {
	// Secret is one that was kept, "" when there is none.
	Secret(d ident.Device) credential.Secret
	// Keep returns when the secrets are on the disk; "" removes one.
	Keep(secrets map[ident.Device]credential.Secret) error
	// Devices are those of which there is one.
	Devices() []ident.Device
}

// Unregistered are the sub-devices of the configuration without secret, with the secrets of their products.
func (g *Gateway) Unregistered() map[ident.Device]credential.Secret {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := make(map[ident.Device]credential.Secret)
	for d, m := range g.members {
		if m.listed && m.secret == "" && !m.said.Gone {
			list[d] = g.cfg.Products[d.Product]
		}
	}
	return list
}

// Registered keeps a secret that the hub has given.
func (g *Gateway) Registered(d ident.Device, secret credential.Secret) error {
	if err := g.cfg.Keys.Keep(map[ident.Device]credential.Secret{d: secret}); err != nil {
		return fmt.Errorf("gateway: keep a secret: %w", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if m := g.members[d]; m != nil && m.secret == "" {
		m.secret = secret
	}
	return nil
}

// keepAdded keeps the secrets of those that the hub has put behind the gateway, and forgets those that it has taken away. It reports whether that is
// on the disk.
func (g *Gateway) keepAdded(list []ident.Device) bool {
	if g.cfg.Added == nil {
		return true
	}
	secrets := make(map[ident.Device]credential.Secret)
	g.mu.Lock()
	for _, d := range list {
		switch m := g.members[d]; {
		case m == nil:
			secrets[d] = ""
		case !m.listed:
			secrets[d] = m.secret
		}
	}
	g.mu.Unlock()
	if err := g.cfg.Added.Keep(secrets); err != nil {
		g.log.Error("the secrets of sub-devices can't be kept", "n", len(secrets), "err", err)
		return false
	}
	return true
}

// enrolAdded makes members of those whose secret is kept and of whom State knows nothing, not even that they are gone.
func (g *Gateway) enrolAdded(gone []ident.Device) {
	if !g.cfg.Learn || g.cfg.Added == nil {
		return
	}
	for _, d := range g.cfg.Added.Devices() {
		if secret := g.cfg.Added.Secret(d); g.members[d] == nil && !slices.Contains(gone, d) {
			g.members[d] = newMember(d, secret)
			g.members[d].said.Secret = secret.Reveal()
		}
	}
	g.keepAdded(slices.Collect(maps.Keys(g.members))) // of an agent that kept them in State alone
}

// Of sub-devices that are found the hub is told once in foundEvery, of so many.
const (
	foundEvery = time.Hour
	maxFound   = 1000
)

// Found tells the hub of a sub-device that a driver has found and that is not behind this gateway.
func (g *Gateway) Found(d ident.Device) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.members[d] == nil && g.cfg.Report && d.Check() == nil {
		g.foundLocked(d)
	}
}

func (g *Gateway) foundLocked(d ident.Device) {
	now := time.Now()
	if at, ok := g.found[d]; ok && now.Sub(at) < foundEvery {
		return
	}
	if len(g.found) >= maxFound {
		for old, at := range g.found {
			if now.Sub(at) >= foundEvery {
				delete(g.found, old)
			}
		}
		if len(g.found) >= maxFound {
			return
		}
	}
	g.found[d] = now
	g.log.Info("a sub-device was found that is not behind this gateway", "product", d.Product, "device", d.SN)
	go g.up.Found(d) // it may wait for the buffer, and who calls holds mu
}
