package provision

import (
	"context"
	"errors"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/protocol/message"
)

// register gives a gateway the secrets of sub-devices, which need dynamic registration on their product.
func (p *Provision) register(ctx context.Context, r *request) error {
	for _, sub := range r.params {
		if err := p.mayRegister(ctx, r.Product, sub); err != nil {
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
func (p *Provision) mayRegister(ctx context.Context, gateway *registry.Product, sub message.Subdev) error {
	product, err := p.product(ctx, gateway, sub.Device())
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
