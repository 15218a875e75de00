package broker

import (
	"context"

	"github.com/hawser-iot/hawser/cloud/auth"
	"github.com/hawser-iot/hawser/cloud/presence"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// changed follows the registry: it ends sessions of devices that may no longer be there, and gives those of a changed product
// its new face.
func (b *Broker) changed(c registry.Change) {
	switch {
	case c.Kind.Ends():
		b.cutOff(c)
	case c.Kind == registry.ProductUpdated, c.Kind == registry.TopicsChanged, c.Kind == registry.TemplateChanged:
		b.refresh(c.Product)
	}
}

// cutOff ends the session of a disabled, deleted or reset device, its own or over a gateway.
func (b *Broker) cutOff(c registry.Change) {
	why := server.CauseKicked
	if c.Kind == registry.DeviceDeleted {
		why = server.CauseDeleted
	}
	if s, ok := b.Presence.Session(c.Device); ok && s.Gateway != nil {
		b.Presence.LogoutSub(s.Gateway, s)
	}
	id := c.Device.ClientID()
	b.engine.Kick(id, why)
	b.engine.Kick("register:"+id, why)
	if c.Kind == registry.DeviceDeleted {
		b.engine.Forget(id)
	}
}

// Revoke ends the sessions that stand on a certificate, or, without serial, on any of an authority; only those of a product when
// one is given. It costs a walk over this node's sessions.
func (b *Broker) Revoke(authority, serial, product string) {
	b.Presence.Each(func(s *presence.Session) bool {
		p := s.Proof()
		if p.Authority == authority && (serial == "" || p.Serial == serial) && (product == "" || s.Device.Identity.Product == product) {
			b.engine.Kick(identity(s), server.CauseKicked)
		}
		return true
	})
}

// refresh gives the sessions of a product its new snapshot, permissions and limits. It costs a walk over this node's sessions,
// at each change of a product.
func (b *Broker) refresh(product string) {
	ctx, cancel := context.WithTimeout(context.Background(), cutWait)
	defer cancel()
	b.Presence.Each(func(s *presence.Session) bool {
		if s.Device.Identity.Product == product {
			b.renew(ctx, s)
		}
		return true
	})
}

// renew gives a session its product as it is now.
func (b *Broker) renew(ctx context.Context, s *presence.Session) {
	changed, err := b.Presence.Renew(ctx, s, auth.Permissions)
	if err != nil {
		b.Log.Error("product not read after a change", "device", s.Device.Identity, "err", err)
	}
	if !changed || s.Gateway != nil {
		return
	}
	if engine, ok := b.engine.Session(identity(s)); ok {
		engine.SetLimits(b.limits(s, s.Product()))
	}
}

// cut ends a session that another node has taken over.
func (b *Broker) cut(_ string, note []byte) []byte {
	var c presence.Cut
	if err := codec.Unmarshal(note, &c); err != nil {
		b.Log.Warn("note of a take-over not read", "err", err)
		return nil
	}
	dev := ident.Device{Product: c.Product, SN: c.SN}
	s, ok := b.Presence.Session(dev)
	switch {
	case !ok || s.Epoch >= c.Epoch: // gone already, or newer than the note
	case s.Gateway != nil:
		b.Presence.LogoutSub(s.Gateway, s)
	default:
		b.engine.Kick(dev.ClientID(), server.CauseTakenOver)
		b.engine.Forget(dev.ClientID())
	}
	return nil
}
