package provision

import (
	"context"
	"errors"
	"fmt"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// add puts sub-devices under the gateway; it takes them from the gateway that had them. Those of products that want an operator's
// consent wait for it, unless they are the gateway's already: then nothing is added.
func (p *Provision) add(ctx context.Context, r *request) error {
	list := make([]*registry.Device, 0, len(r.params))
	var asking []*registry.Device
	for _, sub := range r.params {
		dev, product, err := p.subdevice(ctx, r.Product, sub.Device())
		if err == nil {
			err = proven(dev, product, sub.Sign)
		}
		if err != nil {
			return err
		}
		if list = append(list, dev); on(product.Settings.SubdeviceConsent) {
			asking = append(asking, dev)
		}
	}
	if err := p.consented(ctx, r, asking); err != nil {
		return err
	}
	if err := p.link(ctx, r.DeviceID, list, r.At.UnixMilli()); err != nil {
		return err
	}
	return p.confirm(r, topic.TopoNotifyAdd, list)
}

func on(switched *bool) bool { return switched != nil && *switched }

// link makes the gateway the owner of sub-devices, and tells the gateways that had them.
func (p *Provision) link(ctx context.Context, gateway int64, list []*registry.Device, at int64, also ...func(*store.Tx) error) error {
	lost := map[int64][]*registry.Device{} // by the gateway that had them
	err := p.Store.Update(ctx, func(tx *store.Tx) error {
		clear(lost)
		for _, f := range also {
			if err := f(tx); err != nil {
				return err
			}
		}
		for _, dev := range list {
			old, err := owner(ctx, tx, dev.ID)
			if err != nil {
				return err
			}
			if old == gateway {
				continue
			}
			if old != 0 {
				lost[old] = append(lost[old], dev)
			}
			_, err = tx.Exec(ctx, `INSERT INTO topology (subdevice, gateway, added_at) VALUES (?, ?, ?)
ON CONFLICT (subdevice) DO UPDATE SET gateway = excluded.gateway, added_at = excluded.added_at`, dev.ID, gateway, at)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("add to topology: %w", err)
	}
	for former, devs := range lost {
		p.takeAway(ctx, former, devs)
	}
	return nil
}

func owner(ctx context.Context, tx *store.Tx, subdevice int64) (int64, error) {
	var gateway int64
	err := tx.QueryRow(ctx, `SELECT gateway FROM topology WHERE subdevice = ?`, subdevice).Scan(&gateway)
	if errors.Is(err, store.ErrNoRows) {
		return 0, nil
	}
	return gateway, err
}

// takeAway ends what a gateway had of sub-devices that are no longer its own, on whichever node it is, and tells it.
func (p *Provision) takeAway(ctx context.Context, gateway int64, devs []*registry.Device) {
	for _, dev := range devs {
		if err := p.Presence.Expel(ctx, dev, gateway); err != nil {
			p.Log.Warn("sub-device not logged out of the gateway that lost it", "device", dev.Identity, "err", err)
		}
	}
	p.notify(ctx, gateway, topic.TopoNotifyDelete, devs)
}

// confirm answers a change of the topology and sends the notice that follows it.
func (p *Provision) confirm(r *request, notice topic.Kind, devs []*registry.Device) error {
	if err := r.done(); err != nil {
		return err
	}
	for body, rest := p.notice(named(devs, true), r.Limit(notice)); ; body, rest = p.notice(rest, r.Limit(notice)) {
		if err := r.Reply(notice, "", body); err != nil || len(rest) == 0 {
			return err
		}
	}
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
	gone, err := p.unlink(ctx, r.DeviceID, list)
	if err != nil {
		return err
	}
	for _, dev := range gone {
		p.Presence.Logout(r.gateway, dev.Identity)
	}
	if len(gone) == 0 {
		return r.done()
	}
	return p.confirm(r, topic.TopoNotifyDelete, gone)
}

// unlink takes sub-devices off a gateway, requests that wait for consent too, and returns those that were under it.
func (p *Provision) unlink(ctx context.Context, gateway int64, list []*registry.Device) (gone []*registry.Device, err error) {
	err = p.Store.Update(ctx, func(tx *store.Tx) error {
		gone = gone[:0]
		for _, dev := range list {
			if _, err := tx.Exec(ctx, `DELETE FROM topology_request WHERE gateway = ? AND subdevice = ?`, gateway, dev.ID); err != nil {
				return err
			}
			res, err := tx.Exec(ctx, `DELETE FROM topology WHERE subdevice = ? AND gateway = ?`, dev.ID, gateway)
			if err != nil {
				return err
			}
			if n, err := res.RowsAffected(); err != nil {
				return err
			} else if n > 0 {
				gone = append(gone, dev)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("remove from topology: %w", err)
	}
	return gone, nil
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

// consented lets a request pass whose sub-devices are the gateway's already; for others it leaves a request for an operator.
func (p *Provision) consented(ctx context.Context, r *request, list []*registry.Device) error {
	if len(list) == 0 {
		return nil
	}
	owners, err := p.owners(ctx, list)
	if err != nil {
		return err
	}
	var asked []*registry.Device
	for _, dev := range list {
		if owners[dev.ID] != r.DeviceID {
			asked = append(asked, dev)
		}
	}
	if len(asked) == 0 {
		return nil
	}
	full := false
	err = p.Store.Update(ctx, func(tx *store.Tx) error {
		for _, dev := range asked {
			_, err := tx.Exec(ctx, `INSERT INTO topology_request (gateway, subdevice, requested_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`,
				r.DeviceID, dev.ID, r.At.UnixMilli())
			if err != nil {
				return err
			}
		}
		var n int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM topology_request WHERE gateway = ?`, r.DeviceID).Scan(&n); err != nil {
			return err
		}
		if full = n > p.cfg.MaxWaiting; full {
			return errFull
		}
		return nil
	})
	switch {
	case full:
		return uplink.Refuse(message.CodeRange, "too many sub-devices of the gateway wait for an operator's consent")
	case err != nil:
		return fmt.Errorf("ask for consent: %w", err)
	}
	p.Log.Info("sub-devices wait for consent", "product", r.Device.Product, "device", r.Device.SN, "count", len(asked))
	return refuse(message.CodeNoPermission, asked[0].Identity, "waits for an operator's consent")
}

var errFull = errors.New("provision: too many requests wait")
