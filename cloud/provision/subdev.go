package provision

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
)

func refuse(c message.Code, dev ident.Device, why string) error {
	return uplink.Refuse(c, fmt.Sprintf("%s: %s", dev, why))
}

// product finds a sub-device's product, which must be of that kind and of the gateway's project. One of another project is not told
// from one that does not exist.
func (p *Provision) product(ctx context.Context, gateway *registry.Product, dev ident.Device) (*registry.Product, error) {
	product, err := p.Registry.Product(ctx, dev.Product)
	switch {
	case errors.Is(err, registry.ErrProductNotFound), err == nil && product.Project != gateway.Project:
		return nil, refuse(message.CodeNoSuchProduct, dev, "no such product")
	case err != nil:
		return nil, err
	case product.Kind != registry.KindSubdevice:
		return nil, refuse(message.CodeNoPermission, dev, "product is not of kind subdevice")
	}
	return product, nil
}

// subdevice finds a sub-device that exists and is not disabled.
func (p *Provision) subdevice(ctx context.Context, gateway *registry.Product, dev ident.Device) (*registry.Device, *registry.Product, error) {
	product, err := p.product(ctx, gateway, dev)
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

// ownersAtOnce is how many rows of the topology one query reads.
const ownersAtOnce = 100

// owners are the gateways that those devices are under, by device id; one that is under none is not in it.
func (p *Provision) owners(ctx context.Context, devs []*registry.Device) (map[int64]int64, error) {
	all := make(map[int64]int64, len(devs))
	for part := range slices.Chunk(devs, ownersAtOnce) {
		args := make([]any, ownersAtOnce) // always as many, so that the engines know the statement
		for n := range args {
			args[n] = part[min(n, len(part)-1)].ID
		}
		if err := p.readOwners(ctx, all, args); err != nil {
			return nil, fmt.Errorf("read topology: %w", err)
		}
	}
	return all, nil
}

func (p *Provision) readOwners(ctx context.Context, all map[int64]int64, args []any) (err error) {
	rows, err := p.Store.Query(ctx, `SELECT subdevice, gateway FROM topology WHERE subdevice IN (?`+strings.Repeat(", ?", len(args)-1)+`)`, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var subdevice, gateway int64
		if err := rows.Scan(&subdevice, &gateway); err != nil {
			return err
		}
		all[subdevice] = gateway
	}
	return nil
}
