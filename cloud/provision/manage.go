package provision

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Errors of what operators do to the topology. Devices and products that are not there are the registry's errors.
var (
	// ErrNotGateway is returned for a device whose product is of another kind.
	ErrNotGateway = errors.New("provision: the device is no gateway")
	// ErrNotSubdevice is returned for a device that cannot be under a gateway: its product is of another kind or project.
	ErrNotSubdevice = errors.New("provision: the device is no sub-device of the gateway's project")
	// ErrNoGateway is returned for a sub-device that is under no gateway.
	ErrNoGateway = errors.New("provision: the device is under no gateway")
	// ErrNoRequest is returned when nothing waits for consent.
	ErrNoRequest = errors.New("provision: no such request waits for consent")
	// ErrCursor is returned for a cursor that no page gave.
	ErrCursor = errors.New("provision: the cursor is of no page")
)

// Subdevice is a sub-device in a gateway's topology.
type Subdevice struct {
	Device *registry.Device
	Added  time.Time
}

// Request is a gateway's wish for a sub-device that waits for an operator.
type Request struct {
	Gateway, Subdevice *registry.Device
	At                 time.Time
}

// Subdevices lists what is under a gateway, in the order in which the devices were made; next is "" on the last page.
func (p *Provision) Subdevices(ctx context.Context, gateway ident.Device, limit int, cursor string) (list []Subdevice, next string, err error) {
	gw, _, err := p.gatewayDevice(ctx, gateway)
	if err != nil {
		return nil, "", err
	}
	after, err := afterOf(cursor)
	if err != nil {
		return nil, "", err
	}
	ids, times, err := p.pairs(ctx, `SELECT subdevice, added_at FROM topology WHERE gateway = ? AND subdevice > ? ORDER BY subdevice LIMIT ?`, gw.ID, after, limit)
	if err != nil {
		return nil, "", fmt.Errorf("list topology: %w", err)
	}
	for i, id := range ids {
		dev, err := p.Registry.DeviceByID(ctx, id)
		if errors.Is(err, registry.ErrDeviceNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, "", err
		}
		list = append(list, Subdevice{dev, time.UnixMilli(times[i]).UTC()})
	}
	if len(ids) == limit {
		next = strconv.FormatInt(ids[limit-1], 36)
	}
	return list, next, nil
}

func afterOf(cursor string) (int64, error) {
	if cursor == "" {
		return 0, nil
	}
	after, err := strconv.ParseInt(cursor, 36, 64)
	if err != nil {
		return 0, ErrCursor
	}
	return after, nil
}

// pairs reads rows of two numbers.
func (p *Provision) pairs(ctx context.Context, q string, args ...any) (first, second []int64, err error) {
	rows, err := p.Store.Query(ctx, q, args...)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var a, b int64
		if err := rows.Scan(&a, &b); err != nil {
			return nil, nil, err
		}
		first, second = append(first, a), append(second, b)
	}
	return first, second, nil
}

// Gateway is the gateway that a sub-device is under.
func (p *Provision) Gateway(ctx context.Context, sub ident.Device) (*registry.Device, error) {
	dev, err := p.Registry.Device(ctx, sub)
	if err != nil {
		return nil, err
	}
	owners, err := p.owners(ctx, []*registry.Device{dev})
	if err != nil {
		return nil, err
	}
	gateway := owners[dev.ID]
	if gateway == 0 {
		return nil, ErrNoGateway
	}
	return p.Registry.DeviceByID(ctx, gateway)
}

// Link puts sub-devices under a gateway, as an operator; the gateway is told, and so is one that had them before. Products that
// want consent have it by this.
func (p *Provision) Link(ctx context.Context, gateway ident.Device, subs []ident.Device) error {
	gw, list, err := p.both(ctx, gateway, subs)
	if err != nil {
		return err
	}
	return p.linkAndTell(ctx, gw, list)
}

// linkAndTell links and tells; it also ends requests for consent.
func (p *Provision) linkAndTell(ctx context.Context, gw *registry.Device, list []*registry.Device, also ...func(*store.Tx) error) error {
	settled := func(tx *store.Tx) error {
		for _, dev := range list {
			if _, err := tx.Exec(ctx, `DELETE FROM topology_request WHERE gateway = ? AND subdevice = ?`, gw.ID, dev.ID); err != nil {
				return err
			}
		}
		return nil
	}
	if err := p.link(ctx, gw.ID, list, time.Now().UnixMilli(), append(also, settled)...); err != nil {
		return err
	}
	p.notify(ctx, gw.ID, topic.TopoNotifyAdd, list)
	return nil
}

// Unlink takes sub-devices off a gateway, as an operator; they go offline, and the gateway is told. ErrNoGateway is returned when
// none of them was under it.
func (p *Provision) Unlink(ctx context.Context, gateway ident.Device, subs []ident.Device) error {
	gw, list, err := p.both(ctx, gateway, subs)
	if err != nil {
		return err
	}
	gone, err := p.unlink(ctx, gw.ID, list)
	switch {
	case err != nil:
		return err
	case len(gone) == 0:
		return ErrNoGateway
	}
	p.takeAway(ctx, gw.ID, gone)
	return nil
}

// both finds a gateway and sub-devices that may be under it.
func (p *Provision) both(ctx context.Context, gateway ident.Device, subs []ident.Device) (*registry.Device, []*registry.Device, error) {
	gw, product, err := p.gatewayDevice(ctx, gateway)
	if err != nil {
		return nil, nil, err
	}
	list := make([]*registry.Device, 0, len(subs))
	for _, sub := range subs {
		of, err := p.Registry.Product(ctx, sub.Product)
		if err != nil {
			return nil, nil, err
		}
		if of.Kind != registry.KindSubdevice || of.Project != product.Project {
			return nil, nil, fmt.Errorf("%s: %w", sub, ErrNotSubdevice)
		}
		dev, err := p.Registry.Device(ctx, sub)
		if err != nil {
			return nil, nil, err
		}
		list = append(list, dev)
	}
	return gw, list, nil
}

func (p *Provision) gatewayDevice(ctx context.Context, gateway ident.Device) (*registry.Device, *registry.Product, error) {
	product, err := p.Registry.Product(ctx, gateway.Product)
	if err != nil {
		return nil, nil, err
	}
	gw, err := p.Registry.Device(ctx, gateway)
	switch {
	case err != nil:
		return nil, nil, err
	case product.Kind != registry.KindGateway:
		return nil, nil, ErrNotGateway
	}
	return gw, product, nil
}

// Requests lists what waits for consent, of a gateway or, with the zero one, of a project's ("": all), by gateway and sub-device.
func (p *Provision) Requests(ctx context.Context, project string, gateway ident.Device, limit int, cursor string) (list []Request, next string, err error) {
	where, args := `(? = '' OR g.project = ?)`, []any{project, project}
	if gateway != (ident.Device{}) {
		gw, _, err := p.gatewayDevice(ctx, gateway)
		if err != nil {
			return nil, "", err
		}
		where, args = `r.gateway = ?`, []any{gw.ID}
	}
	after, err := requestCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	rows, err := p.Store.Query(ctx, `SELECT r.gateway, r.subdevice, r.requested_at FROM topology_request r JOIN device g ON g.id = r.gateway
WHERE `+where+` AND (r.gateway, r.subdevice) > (?, ?) ORDER BY r.gateway, r.subdevice LIMIT ?`, append(args, after[0], after[1], limit)...)
	if err != nil {
		return nil, "", fmt.Errorf("list requests: %w", err)
	}
	var found [][3]int64
	for rows.Next() {
		var one [3]int64
		if err = rows.Scan(&one[0], &one[1], &one[2]); err != nil {
			break
		}
		found = append(found, one)
	}
	if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
		return nil, "", fmt.Errorf("list requests: %w", err)
	}
	for _, one := range found {
		gw, err := p.Registry.DeviceByID(ctx, one[0])
		if err != nil {
			continue // deleted meanwhile
		}
		sub, err := p.Registry.DeviceByID(ctx, one[1])
		if err != nil {
			continue
		}
		list = append(list, Request{gw, sub, time.UnixMilli(one[2]).UTC()})
	}
	if len(found) == limit {
		last := found[limit-1]
		next = strconv.FormatInt(last[0], 36) + "." + strconv.FormatInt(last[1], 36)
	}
	return list, next, nil
}

func requestCursor(cursor string) (after [2]int64, err error) {
	if cursor == "" {
		return after, nil
	}
	gateway, subdevice, ok := strings.Cut(cursor, ".")
	if !ok {
		return after, ErrCursor
	}
	if after[0], err = afterOf(gateway); err == nil {
		after[1], err = afterOf(subdevice)
	}
	return after, err
}

// Accept consents to a request: the sub-device is the gateway's from now on.
func (p *Provision) Accept(ctx context.Context, gateway, sub ident.Device) error {
	gw, list, err := p.both(ctx, gateway, []ident.Device{sub})
	if err != nil {
		return err
	}
	return p.linkAndTell(ctx, gw, list, p.settle(ctx, gw.ID, list[0].ID))
}

// Refuse ends a request; the gateway may ask again.
func (p *Provision) Refuse(ctx context.Context, gateway, sub ident.Device) error {
	gw, list, err := p.both(ctx, gateway, []ident.Device{sub})
	if err != nil {
		return err
	}
	return p.Store.Update(ctx, p.settle(ctx, gw.ID, list[0].ID))
}

// settle ends a request in a transaction, which fails when there is none.
func (p *Provision) settle(ctx context.Context, gateway, subdevice int64) func(*store.Tx) error {
	return func(tx *store.Tx) error {
		res, err := tx.Exec(ctx, `DELETE FROM topology_request WHERE gateway = ? AND subdevice = ?`, gateway, subdevice)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err == nil && n == 0 {
			err = ErrNoRequest
		}
		return err
	}
}
