package actionapi

import (
	"context"
	"strconv"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/provision"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// Topology is what the API needs of gateways and their sub-devices.
type Topology interface {
	Subdevices(ctx context.Context, gateway ident.Device, limit int, cursor string) (list []provision.Subdevice, next string, err error)
	Link(ctx context.Context, gateway ident.Device, subs []ident.Device) error
	Unlink(ctx context.Context, gateway ident.Device, subs []ident.Device) error
}

var _ Topology = (*provision.Provision)(nil)

// subdevices is how many a gateway has.
func (f *face) subdevices(ctx context.Context, gateway ident.Device) (int, error) {
	list, err := all(registry.MaxLimit, func(page registry.Page) ([]provision.Subdevice, string, error) {
		return f.Topology.Subdevices(ctx, gateway, page.Limit, page.Cursor)
	})
	return len(list), err
}

func (f *face) addTopo(ctx context.Context, c *call) (any, error) {
	gateway, subs, err := pairOf(ctx, c)
	if err != nil {
		return nil, err
	}
	return nothing{}, f.Topology.Link(ctx, gateway, subs)
}

func (f *face) deleteTopo(ctx context.Context, c *call) (any, error) {
	gateway, subs, err := pairOf(ctx, c)
	if err != nil {
		return nil, err
	}
	return nothing{}, f.Topology.Unlink(ctx, gateway, subs)
}

// pairOf is the gateway and the sub-devices that a request names. Those that the caller does not have are not told from those that
// are not there.
func pairOf(ctx context.Context, c *call) (gateway ident.Device, subs []ident.Device, err error) {
	gateway.Product = c.product.SN
	if gateway.SN, err = c.need("GWDeviceSN"); err != nil {
		return gateway, nil, err
	}
	product, err := c.need("DevProductSN")
	if err != nil {
		return gateway, nil, err
	}
	sns, err := c.needList("DevDeviceSN")
	if err != nil {
		return gateway, nil, err
	}
	if len(sns) > maxBatch {
		return gateway, nil, fault{codeRange, "DevDeviceSN: must be 1 to " + strconv.Itoa(maxBatch) + " of them"}
	}
	if !account.From(ctx).On(product).Has(account.DeviceWrite) {
		return gateway, nil, registry.ErrProductNotFound
	}
	subs = make([]ident.Device, len(sns))
	for i, sn := range sns {
		subs[i] = ident.Device{Product: product, SN: sn}
	}
	return gateway, subs, nil
}
