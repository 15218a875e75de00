package api

import (
	"context"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/provision"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// Topology is what the API needs of gateways and their sub-devices.
type Topology interface {
	Subdevices(ctx context.Context, gateway ident.Device, limit int, cursor string) (list []provision.Subdevice, next string, err error)
	Gateway(ctx context.Context, sub ident.Device) (*registry.Device, error)
	Link(ctx context.Context, gateway ident.Device, subs []ident.Device) error
	Unlink(ctx context.Context, gateway ident.Device, subs []ident.Device) error
	Requests(ctx context.Context, project string, gateway ident.Device, limit int, cursor string) (list []provision.Request, next string, err error)
	Accept(ctx context.Context, gateway, sub ident.Device) error
	Refuse(ctx context.Context, gateway, sub ident.Device) error
}

var _ Topology = (*provision.Provision)(nil)

// maxSubdevices is how many one request may add.
const maxSubdevices = 1000

// limitOf is the size of a page, and where it begins.
func limitOf(limit *int, cursor *string) (registry.Page, error) {
	page, err := pageOf(limit, cursor)
	if page.Limit == 0 {
		page.Limit = registry.DefaultLimit
	}
	return page, err
}

func (s *server) ListSubdevices(ctx context.Context, r apitype.ListSubdevicesRequestObject) (apitype.ListSubdevicesResponseObject, error) {
	page, err := limitOf(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	list, next, err := s.Topology.Subdevices(ctx, ident.Device{Product: r.ProductSN, SN: r.DeviceSN}, page.Limit, page.Cursor)
	if err != nil {
		return nil, err
	}
	out := apitype.ListSubdevices200JSONResponse{Items: make([]apitype.Subdevice, 0, len(list)), NextCursor: next}
	for _, sub := range list {
		if !seesDevice(ctx, sub.Device.Identity, account.DeviceRead) {
			continue
		}
		out.Items = append(out.Items, apitype.Subdevice{ProductSN: sub.Device.Identity.Product, DeviceSN: sub.Device.Identity.SN,
			Name: sub.Device.Name, State: apitype.DeviceState(sub.Device.State.String()), AddedAt: sub.Added})
	}
	return out, nil
}

// seesDevice tells whether the caller has a permission on another device than the one that the request is about.
func seesDevice(ctx context.Context, dev ident.Device, need account.Permission) bool {
	p := account.From(ctx)
	return p != nil && p.On(dev.Product).Has(need)
}

func (s *server) AddSubdevices(ctx context.Context, r apitype.AddSubdevicesRequestObject) (apitype.AddSubdevicesResponseObject, error) {
	if n := len(r.Body.Subdevices); n == 0 || n > maxSubdevices {
		return nil, invalid("subdevices", "subdevices: must be 1 to %d", maxSubdevices)
	}
	subs := make([]ident.Device, len(r.Body.Subdevices))
	for i, sub := range r.Body.Subdevices {
		var err error
		if subs[i], err = subdeviceOf(ctx, sub.ProductSN, sub.DeviceSN); err != nil {
			return nil, err
		}
	}
	if err := s.Topology.Link(ctx, ident.Device{Product: r.ProductSN, SN: r.DeviceSN}, subs); err != nil {
		return nil, err
	}
	return apitype.AddSubdevices204Response{}, nil
}

// subdeviceOf is a sub-device that the caller may change; one that they do not have is not told from one that is not there.
func subdeviceOf(ctx context.Context, product, sn string) (ident.Device, error) {
	dev := ident.Device{Product: product, SN: sn}
	if !seesDevice(ctx, dev, account.DeviceWrite) {
		return dev, registry.ErrProductNotFound
	}
	return dev, nil
}

func (s *server) RemoveSubdevice(ctx context.Context, r apitype.RemoveSubdeviceRequestObject) (apitype.RemoveSubdeviceResponseObject, error) {
	sub, err := subdeviceOf(ctx, r.SubdeviceProductSN, r.SubdeviceSN)
	if err != nil {
		return nil, err
	}
	if err := s.Topology.Unlink(ctx, ident.Device{Product: r.ProductSN, SN: r.DeviceSN}, []ident.Device{sub}); err != nil {
		return nil, err
	}
	return apitype.RemoveSubdevice204Response{}, nil
}

func (s *server) GetGateway(ctx context.Context, r apitype.GetGatewayRequestObject) (apitype.GetGatewayResponseObject, error) {
	gw, err := s.Topology.Gateway(ctx, ident.Device{Product: r.ProductSN, SN: r.DeviceSN})
	if err != nil {
		return nil, err
	}
	if !seesDevice(ctx, gw.Identity, account.DeviceRead) {
		return nil, provision.ErrNoGateway
	}
	return apitype.GetGateway200JSONResponse(deviceOf(ctx, gw)), nil
}

func (s *server) ListTopologyRequests(ctx context.Context, r apitype.ListTopologyRequestsRequestObject) (apitype.ListTopologyRequestsResponseObject, error) {
	page, err := limitOf(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	list, next, err := s.Topology.Requests(ctx, account.From(ctx).Within(), ident.Device{}, page.Limit, page.Cursor)
	if err != nil {
		return nil, err
	}
	out := apitype.ListTopologyRequests200JSONResponse{Items: make([]apitype.TopologyRequest, 0, len(list)), NextCursor: next}
	for _, one := range list {
		gw, sub := one.Gateway.Identity, one.Subdevice.Identity
		if seesDevice(ctx, gw, account.DeviceRead) && seesDevice(ctx, sub, account.DeviceRead) {
			out.Items = append(out.Items, apitype.TopologyRequest{GatewayProductSN: gw.Product, GatewaySN: gw.SN,
				ProductSN: sub.Product, DeviceSN: sub.SN, RequestedAt: one.At})
		}
	}
	return out, nil
}

func (s *server) AcceptTopologyRequest(ctx context.Context, r apitype.AcceptTopologyRequestRequestObject) (apitype.AcceptTopologyRequestResponseObject, error) {
	sub, err := subdeviceOf(ctx, r.SubdeviceProductSN, r.SubdeviceSN)
	if err != nil {
		return nil, err
	}
	if err := s.Topology.Accept(ctx, ident.Device{Product: r.ProductSN, SN: r.DeviceSN}, sub); err != nil {
		return nil, err
	}
	return apitype.AcceptTopologyRequest204Response{}, nil
}

func (s *server) RefuseTopologyRequest(ctx context.Context, r apitype.RefuseTopologyRequestRequestObject) (apitype.RefuseTopologyRequestResponseObject, error) {
	sub, err := subdeviceOf(ctx, r.SubdeviceProductSN, r.SubdeviceSN)
	if err != nil {
		return nil, err
	}
	if err := s.Topology.Refuse(ctx, ident.Device{Product: r.ProductSN, SN: r.DeviceSN}, sub); err != nil {
		return nil, err
	}
	return apitype.RefuseTopologyRequest204Response{}, nil
}
