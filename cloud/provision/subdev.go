package provision

import (
	"context"
	"errors"
	"fmt"

	"github.com/hawser-iot/hawser/cloud/auth"
	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/presence"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// register gives a gateway the secrets of sub-devices, which need dynamic registration on their product.
func (p *Provision) register(ctx context.Context, r *request) error {
	for _, sub := range r.params {
		if err := p.mayRegister(ctx, sub); err != nil {
			return err
		}
	}
	data := make([]message.Subdev, 0, len(r.params))
	for _, sub := range r.params {
		dev, err := p.Registry.Device(ctx, sub.Device())
		if errors.Is(err, registry.ErrDeviceNotFound) {
			dev, err = p.Registry.CreateDevice(ctx, registry.NewDevice{Product: sub.ProductSN, SN: sub.DeviceSN})
		}
		if errors.Is(err, registry.ErrExists) {
			dev, err = p.Registry.Device(ctx, sub.Device()) // another gateway asked at the same moment
		}
		if err != nil {
			return err
		}
		data = append(data, message.Subdev{ProductSN: sub.ProductSN, DeviceSN: sub.DeviceSN, DeviceSecret: dev.Secret.Reveal()})
	}
	return r.answer(data)
}

// mayRegister checks one sub-device of a register request.
func (p *Provision) mayRegister(ctx context.Context, sub message.Subdev) error {
	product, err := p.product(ctx, sub.Device())
	switch {
	case err != nil:
		return err
	case !product.Secret.Equal(sub.ProductSecret):
		return refuse(message.CodeWrongSecret, sub.Device(), "wrong ProductSecret")
	case !product.DynamicRegister:
		return refuse(message.CodeNoPermission, sub.Device(), "dynamic registration is off")
	}
	dev, err := p.Registry.Device(ctx, sub.Device())
	switch {
	case errors.Is(err, registry.ErrDeviceNotFound) && product.PreRegister:
		return refuse(message.CodeNoSuchDevice, sub.Device(), "device is not pre-registered")
	case errors.Is(err, registry.ErrDeviceNotFound):
		return nil
	case err != nil:
		return err
	case dev.State == registry.Disabled:
		return refuse(message.CodeDisabled, sub.Device(), "device is disabled")
	case !dev.Activated.IsZero():
		return refuse(message.CodeNoPermission, sub.Device(), "device is active already, reset it to register again")
	}
	return nil
}

func refuse(c message.Code, dev ident.Device, why string) error {
	return uplink.Refuse(c, fmt.Sprintf("%s: %s", dev, why))
}

// product finds a sub-device's product, which must be of that kind.
func (p *Provision) product(ctx context.Context, dev ident.Device) (*registry.Product, error) {
	product, err := p.Registry.Product(ctx, dev.Product)
	switch {
	case errors.Is(err, registry.ErrProductNotFound):
		return nil, refuse(message.CodeNoSuchProduct, dev, "no such product")
	case err != nil:
		return nil, err
	case product.Kind != registry.KindSubdevice:
		return nil, refuse(message.CodeNoPermission, dev, "product is not of kind subdevice")
	}
	return product, nil
}

// subdevice finds a sub-device that exists and is not disabled.
func (p *Provision) subdevice(ctx context.Context, dev ident.Device) (*registry.Device, *registry.Product, error) {
	product, err := p.product(ctx, dev)
	if err != nil {
		return nil, nil, err
	}
	d, err := p.Registry.Device(ctx, dev)
	switch {
	case errors.Is(err, registry.ErrDeviceNotFound):
		return nil, nil, refuse(message.CodeNoSuchDevice, dev, "no such device")
	case err != nil:
		return nil, nil, err
	case d.State == registry.Disabled:
		return nil, nil, refuse(message.CodeDisabled, dev, "device is disabled")
	}
	return d, product, nil
}

// proven checks a gateway's proof that it knows the sub-device's secret, on products that ask for it.
func proven(dev *registry.Device, product *registry.Product, sign string) error {
	required := product.Settings.SubdeviceProof
	switch {
	case required == nil || !*required:
		return nil
	case sign == "":
		return refuse(message.CodeMissing, dev.Identity, "Sign is missing: the product requires proof of the sub-device's secret")
	case !credential.VerifySubdev(dev.Secret, dev.Identity, sign):
		return refuse(message.CodeWrongSecret, dev.Identity, "Sign is not of the sub-device's secret")
	}
	return nil
}

// add puts sub-devices under the gateway; it takes them from the gateway that had them.
func (p *Provision) add(ctx context.Context, r *request) error {
	list := make([]*registry.Device, 0, len(r.params))
	for _, sub := range r.params {
		dev, product, err := p.subdevice(ctx, sub.Device())
		if err == nil {
			err = proven(dev, product, sub.Sign)
		}
		if err != nil {
			return err
		}
		list = append(list, dev)
	}
	lost := map[int64][]*registry.Device{} // by the gateway that had them
	err := p.Store.Update(ctx, func(tx *store.Tx) error {
		clear(lost)
		for _, dev := range list {
			old, err := owner(ctx, tx, dev.ID)
			if err != nil {
				return err
			}
			if old != 0 && old != r.DeviceID {
				lost[old] = append(lost[old], dev)
			}
			_, err = tx.Exec(ctx, `INSERT INTO topology (subdevice, gateway, added_at) VALUES (?, ?, ?)
ON CONFLICT (subdevice) DO UPDATE SET gateway = excluded.gateway, added_at = excluded.added_at`, dev.ID, r.DeviceID, r.At.UnixMilli())
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("add to topology: %w", err)
	}
	for gateway, devs := range lost {
		p.takeAway(ctx, gateway, devs)
	}
	return p.confirm(r, topic.TopoNotifyAdd, list)
}

func owner(ctx context.Context, tx *store.Tx, subdevice int64) (int64, error) {
	var gateway int64
	err := tx.QueryRow(ctx, `SELECT gateway FROM topology WHERE subdevice = ?`, subdevice).Scan(&gateway)
	if errors.Is(err, store.ErrNoRows) {
		return 0, nil
	}
	return gateway, err
}

// takeAway ends what a gateway had of sub-devices that another one has added, and tells it.
func (p *Provision) takeAway(ctx context.Context, gateway int64, devs []*registry.Device) {
	for _, dev := range devs {
		if s, ok := p.Presence.Session(dev.Identity); ok && s.Gateway != nil && s.Gateway.Device.ID == gateway {
			p.Presence.LogoutSub(s.Gateway, s)
		}
	}
	gw, err := p.Registry.DeviceByID(ctx, gateway)
	if err != nil {
		return // the gateway is gone: nobody to tell
	}
	body, err := codec.Marshal(codec.JSON, message.SubdevRequest{RequestID: message.RequestID(p.Downlink.NextRequestID()), Params: named(devs, true)})
	if err == nil {
		_, err = p.Downlink.Send(ctx, downlink.Message{Device: gw.Identity, Topic: topic.System(gw.Identity, topic.TopoNotifyDelete),
			Payload: body, QoS: 1, Queue: true})
	}
	if err != nil {
		p.Log.Info("gateway not told of lost sub-devices", "product", gw.Identity.Product, "device", gw.Identity.SN, "err", err)
	}
}

// confirm answers a change of the topology and sends the notice that follows it.
func (p *Provision) confirm(r *request, notice topic.Kind, devs []*registry.Device) error {
	if err := r.done(); err != nil {
		return err
	}
	all := named(devs, true)
	for len(all) > 0 {
		n := fitting(r.id, all, r.Limit(notice))
		err := r.Reply(notice, "", message.SubdevRequest{RequestID: message.RequestID(p.Downlink.NextRequestID()), Params: all[:n]})
		if err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

// named is devs as messages name them, with or without their secrets.
func named(devs []*registry.Device, secrets bool) []message.Subdev {
	list := message.NoSubdevs()
	for _, dev := range devs {
		sub := message.NewSubdev(dev.Identity)
		if secrets {
			sub.DeviceSecret = dev.Secret.Reveal()
		}
		list = append(list, sub)
	}
	return list
}

// remove takes sub-devices off the gateway; those that are not under it are passed over.
func (p *Provision) remove(ctx context.Context, r *request) error {
	var list []*registry.Device
	for _, sub := range r.params {
		dev, err := p.Registry.Device(ctx, sub.Device())
		if errors.Is(err, registry.ErrDeviceNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		list = append(list, dev)
	}
	err := p.Store.Update(ctx, func(tx *store.Tx) error {
		for _, dev := range list {
			if _, err := tx.Exec(ctx, `DELETE FROM topology WHERE subdevice = ? AND gateway = ?`, dev.ID, r.DeviceID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("remove from topology: %w", err)
	}
	for _, dev := range list {
		if s, ok := r.gateway.Sub(dev.Identity); ok {
			p.Presence.LogoutSub(r.gateway, s)
		}
	}
	return p.confirm(r, topic.TopoNotifyDelete, list)
}

// list tells a gateway its sub-devices.
func (p *Provision) list(ctx context.Context, r *request) error {
	rows, err := p.Store.Query(ctx, `SELECT d.product, d.sn FROM topology t JOIN device d ON d.id = t.subdevice WHERE t.gateway = ? ORDER BY t.subdevice`, r.DeviceID)
	if err != nil {
		return fmt.Errorf("read topology: %w", err)
	}
	defer func() { _ = rows.Close() }()
	data := message.NoSubdevs()
	for rows.Next() {
		var sub message.Subdev
		if err := rows.Scan(&sub.ProductSN, &sub.DeviceSN); err != nil {
			return fmt.Errorf("read topology: %w", err)
		}
		data = append(data, sub)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read topology: %w", err)
	}
	return r.answer(data)
}

// login brings sub-devices online over the gateway's connection.
func (p *Provision) login(ctx context.Context, r *request) error {
	logins := make([]presence.Login, 0, len(r.params))
	for _, sub := range r.params {
		dev, product, err := p.subdevice(ctx, sub.Device())
		if err == nil {
			err = proven(dev, product, sub.Sign)
		}
		if err != nil {
			return err
		}
		if err := p.owns(ctx, r.DeviceID, dev); err != nil {
			return err
		}
		logins = append(logins, presence.Login{Device: dev, Product: product, Perms: auth.Permissions(dev.Identity, product)})
	}
	if len(r.gateway.Subs())+len(logins) > p.cfg.MaxSubdevs {
		return uplink.Refuse(message.CodeRange, "too many sub-devices on one connection")
	}
	for _, l := range logins {
		_, already := r.gateway.Sub(l.Device.Identity)
		s, err := p.Presence.LoginSub(ctx, r.gateway, l)
		if err != nil {
			return err
		}
		if already {
			continue
		}
		if err := p.Downlink.Replay(ctx, l.Device.Identity, s); err != nil {
			p.Log.Warn("queued messages not sent", "device", l.Device.Identity, "err", err)
		}
	}
	return r.done()
}

// owns checks that the sub-device is under the gateway.
func (p *Provision) owns(ctx context.Context, gateway int64, dev *registry.Device) error {
	var owner int64
	err := p.Store.QueryRow(ctx, `SELECT gateway FROM topology WHERE subdevice = ?`, dev.ID).Scan(&owner)
	if err != nil && !errors.Is(err, store.ErrNoRows) {
		return fmt.Errorf("read topology: %w", err)
	}
	if owner != gateway {
		return refuse(message.CodeNoPermission, dev.Identity, "not in the gateway's topology")
	}
	return nil
}

// logout takes sub-devices offline; one that is not logged in is off already.
func (p *Provision) logout(_ context.Context, r *request) error {
	for _, sub := range r.params {
		if s, ok := r.gateway.Sub(sub.Device()); ok {
			p.Presence.LogoutSub(r.gateway, s)
		}
	}
	return r.done()
}
