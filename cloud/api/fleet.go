package api

import (
	"context"
	"maps"
	"slices"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/registry"
)

// fleetFilter is what a caller may search: the request's project, and in it the products whose devices they may read.
func fleetFilter(ctx context.Context, text *string) registry.Filter {
	return registry.Filter{Project: account.From(ctx).Project, Query: valueOf(text), Among: among(ctx, account.DeviceRead)}
}

// among are the products that a caller has need on, when they are limited to some; nil is any.
func among(ctx context.Context, need account.Permission) []string {
	p := account.From(ctx)
	if p.Products == nil {
		return nil
	}
	list := []string{} // not nil
	for _, sn := range slices.Sorted(maps.Keys(p.Products)) {
		if p.On(sn).Has(need) {
			list = append(list, sn)
		}
	}
	return list
}

// valueOf is a parameter, or its zero value when it is absent.
func valueOf[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

func (s *server) SearchDevices(ctx context.Context, r apitype.SearchDevicesRequestObject) (apitype.SearchDevicesResponseObject, error) {
	page, err := pageOf(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	page.Sort = valueOf(r.Params.Sort)
	list, next, err := s.Devices.Devices(ctx, fleetFilter(ctx, r.Params.Filter), page)
	if err != nil {
		return nil, err
	}
	return apitype.SearchDevices200JSONResponse{Items: devicesOf(ctx, list), NextCursor: next}, nil
}

func (s *server) CountDevices(ctx context.Context, r apitype.CountDevicesRequestObject) (apitype.CountDevicesResponseObject, error) {
	by := valueOf(r.Params.By)
	if by != "" && by != "state" {
		return nil, invalid("by", `by: must be "state"`)
	}
	n, err := s.Devices.CountDevices(ctx, fleetFilter(ctx, r.Params.Filter), by == "state")
	if err != nil {
		return nil, err
	}
	out := apitype.CountDevices200JSONResponse{Total: n.Total}
	if by == "state" {
		out.States = make(map[string]int, len(n.States))
		for state, count := range n.States {
			out.States[registry.State(state).String()] = count
		}
	}
	return out, nil
}

func (s *server) ListConnections(ctx context.Context, r apitype.ListConnectionsRequestObject) (apitype.ListConnectionsResponseObject, error) {
	page, err := pageOf(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	d, err := s.device(ctx, r.ProductSN, r.DeviceSN)
	if err != nil {
		return nil, err
	}
	list, next, err := s.Devices.Connections(ctx, d.ID, page)
	if err != nil {
		return nil, err
	}
	items := make([]apitype.Connection, len(list))
	for i, c := range list {
		items[i] = apitype.Connection{Time: c.At, Event: apitype.ConnectionEvent(c.Event.String()), Reason: c.Reason, Remote: c.Remote,
			Transport: c.Transport, Protocol: c.Protocol, Epoch: c.Epoch}
	}
	return apitype.ListConnections200JSONResponse{Items: items, NextCursor: next}, nil
}
