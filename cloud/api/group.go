package api

import (
	"context"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// Groups is what the API needs of the registry for groups of devices.
type Groups interface {
	Group(ctx context.Context, project, name string) (*registry.Group, error)
	CreateGroup(ctx context.Context, n registry.NewGroup) (*registry.Group, error)
	UpdateGroup(ctx context.Context, project, name string, u registry.GroupUpdate) (*registry.Group, error)
	DeleteGroup(ctx context.Context, project, name string) error
	AddMembers(ctx context.Context, project, name string, devices []ident.Device) (int, error)
	RemoveMembers(ctx context.Context, project, name string, devices []ident.Device) (int, error)
}

func groupOf(g *registry.Group) apitype.Group {
	return apitype.Group{Name: g.Name, Description: g.Description, Filter: g.Filter, Revision: g.Revision, CreatedAt: g.Created, UpdatedAt: g.Updated}
}

func (s *server) ListGroups(ctx context.Context, r apitype.ListGroupsRequestObject) (apitype.ListGroupsResponseObject, error) {
	p := r.Params
	q, err := listQuery(p.Filter, p.Sort, p.Count, p.Limit, p.Cursor)
	if err != nil {
		return nil, err
	}
	list, page, err := s.Catalog.Groups(ctx, account.From(ctx).Project, q)
	if err != nil {
		return nil, err
	}
	return apitype.ListGroups200JSONResponse{Items: each(list, groupOf), NextCursor: page.Next, Total: totalIn(q, page), Counts: page.By}, nil
}

func (s *server) CreateGroup(ctx context.Context, r apitype.CreateGroupRequestObject) (apitype.CreateGroupResponseObject, error) {
	g, err := s.Groups.CreateGroup(ctx, registry.NewGroup{Project: account.From(ctx).Project, Name: r.Body.Name, Description: r.Body.Description, Filter: r.Body.Filter})
	if err != nil {
		return nil, err
	}
	return apitype.CreateGroup201JSONResponse(groupOf(g)), nil
}

func (s *server) GetGroup(ctx context.Context, r apitype.GetGroupRequestObject) (apitype.GetGroupResponseObject, error) {
	g, err := s.Groups.Group(ctx, account.From(ctx).Project, r.Group)
	if err != nil {
		return nil, err
	}
	return apitype.GetGroup200JSONResponse(groupOf(g)), nil
}

func (s *server) UpdateGroup(ctx context.Context, r apitype.UpdateGroupRequestObject) (apitype.UpdateGroupResponseObject, error) {
	g, err := s.Groups.UpdateGroup(ctx, account.From(ctx).Project, r.Group,
		registry.GroupUpdate{Name: r.Body.Name, Description: r.Body.Description, Filter: r.Body.Filter, IfRevision: ifRevision(ctx)})
	if err != nil {
		return nil, err
	}
	return apitype.UpdateGroup200JSONResponse(groupOf(g)), nil
}

func (s *server) DeleteGroup(ctx context.Context, r apitype.DeleteGroupRequestObject) (apitype.DeleteGroupResponseObject, error) {
	if err := s.Groups.DeleteGroup(ctx, account.From(ctx).Project, r.Group); err != nil {
		return nil, err
	}
	return apitype.DeleteGroup204Response{}, nil
}

func (s *server) ListGroupDevices(ctx context.Context, r apitype.ListGroupDevicesRequestObject) (apitype.ListGroupDevicesResponseObject, error) {
	page, err := pageOf(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	g, err := s.Groups.Group(ctx, account.From(ctx).Project, r.Group)
	if err != nil {
		return nil, err
	}
	page.Sort = valueOf(r.Params.Sort)
	member := "group:" + g.Name // a name needs no quotes
	list, next, err := s.Devices.Devices(ctx, fleetFilter(ctx, &member), page)
	if err != nil {
		return nil, err
	}
	return apitype.ListGroupDevices200JSONResponse{Items: devicesOf(ctx, list), NextCursor: next}, nil
}

func devicesNamed(body *apitype.GroupDevices) []ident.Device {
	list := make([]ident.Device, len(body.Devices))
	for i, d := range body.Devices {
		list[i] = ident.Device{Product: d.ProductSN, SN: d.DeviceSN}
	}
	return list
}

func (s *server) AddGroupDevices(ctx context.Context, r apitype.AddGroupDevicesRequestObject) (apitype.AddGroupDevicesResponseObject, error) {
	n, err := s.Groups.AddMembers(ctx, account.From(ctx).Project, r.Group, devicesNamed(r.Body))
	if err != nil {
		return nil, err
	}
	return apitype.AddGroupDevices200JSONResponse{Changed: n}, nil
}

func (s *server) RemoveGroupDevices(ctx context.Context, r apitype.RemoveGroupDevicesRequestObject) (apitype.RemoveGroupDevicesResponseObject, error) {
	n, err := s.Groups.RemoveMembers(ctx, account.From(ctx).Project, r.Group, devicesNamed(r.Body))
	if err != nil {
		return nil, err
	}
	return apitype.RemoveGroupDevices200JSONResponse{Changed: n}, nil
}
