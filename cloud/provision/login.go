package provision

import (
	"context"

	"github.com/hawser-iot/hawser/cloud/auth"
	"github.com/hawser-iot/hawser/cloud/presence"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
)

// login brings sub-devices online over the gateway's connection.
func (p *Provision) login(ctx context.Context, r *request) error {
	logins, err := p.logins(ctx, r)
	if err != nil {
		return err
	}
	known := make([]bool, len(logins))
	fresh := 0
	for i := range logins {
		if _, known[i] = r.gateway.Sub(logins[i].Device.Identity); !known[i] {
			fresh++
		}
	}
	if len(r.gateway.Subs())+fresh > p.cfg.MaxSubdevs {
		return uplink.Refuse(message.CodeRange, "too many sub-devices on one connection")
	}
	sessions, err := p.Presence.LoginSubs(ctx, r.gateway, logins)
	if err != nil {
		return err
	}
	for i, s := range sessions {
		if known[i] {
			continue
		}
		if _, err := p.Presence.Renew(ctx, s, auth.Permissions); err != nil { // it may have changed since logins
			p.Log.Warn("product of a sub-device not looked at again", "device", s.Device.Identity, "err", err)
		}
		if err := p.Downlink.Replay(ctx, s.Device.Identity, s); err != nil {
			p.Log.Warn("queued messages not sent", "device", s.Device.Identity, "err", err)
		}
	}
	return r.done()
}

// logins judges who is to be logged in; who is named twice counts once.
func (p *Provision) logins(ctx context.Context, r *request) ([]presence.Login, error) {
	list := make([]presence.Login, 0, len(r.params))
	devs := make([]*registry.Device, 0, len(r.params))
	seen := make(map[ident.Device]bool, len(r.params))
	for _, sub := range r.params {
		if seen[sub.Device()] {
			continue
		}
		seen[sub.Device()] = true
		dev, product, err := p.subdevice(ctx, r.Product, sub.Device())
		if err == nil {
			err = proven(dev, product, sub.Sign)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, presence.Login{Device: dev, Product: product, Perms: auth.Permissions(dev.Identity, product)})
		devs = append(devs, dev)
	}
	owners, err := p.owners(ctx, devs)
	if err != nil {
		return nil, err
	}
	for _, dev := range devs {
		if owners[dev.ID] != r.DeviceID {
			return nil, refuse(message.CodeNoPermission, dev.Identity, "not in the gateway's topology")
		}
	}
	return list, nil
}

// logout takes sub-devices offline; one that is not logged in is off already.
func (p *Provision) logout(_ context.Context, r *request) error {
	for _, sub := range r.params {
		p.Presence.Logout(r.gateway, sub.Device())
	}
	return r.done()
}
