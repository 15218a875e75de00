package api

import (
	"context"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/agentconf"
	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/registry"
)

// AgentConfigs is what the API needs of the configurations of agents.
type AgentConfigs interface {
	Get(ctx context.Context, t agentconf.Target, revision int64) (*agentconf.Version, error)
	Versions(ctx context.Context, t agentconf.Target) ([]*agentconf.Version, error)
	Set(ctx context.Context, t agentconf.Target, c agentconf.Change) (*agentconf.Version, error)
	Remove(ctx context.Context, t agentconf.Target, by string, only *int64) error
	State(ctx context.Context, device int64, product string) (agentconf.State, error)
}

var _ AgentConfigs = (*agentconf.Configs)(nil)

func (s *server) deviceTarget(ctx context.Context, product, sn string) (*registry.Device, agentconf.Target, error) {
	d, err := s.device(ctx, product, sn)
	if err != nil {
		return nil, agentconf.Target{}, err
	}
	return d, agentconf.Target{Device: d.ID}, nil
}

func (s *server) productTarget(ctx context.Context, product string) (agentconf.Target, error) {
	_, err := s.Products.Product(ctx, product)
	return agentconf.Target{Product: product}, err
}

func (s *server) groupTarget(ctx context.Context, name string) (agentconf.Target, error) {
	g, err := s.Groups.Group(ctx, account.From(ctx).Project, name)
	if err != nil {
		return agentconf.Target{}, err
	}
	if g.Filter != "" {
		return agentconf.Target{}, registry.ErrGroupByFilter
	}
	return agentconf.Target{Group: g.ID}, nil
}

func agentConfigOf(v *agentconf.Version) apitype.AgentConfig {
	return apitype.AgentConfig{Version: v.Name, Revision: v.Revision, Document: v.Document, Gone: v.Gone, Note: v.Note, ChangedBy: v.By, ChangedAt: v.At}
}

func (s *server) agentConfig(ctx context.Context, t agentconf.Target, revision *int64) (apitype.AgentConfig, error) {
	want := int64(0)
	if revision != nil {
		want = *revision
	}
	v, err := s.AgentConfigs.Get(ctx, t, want)
	if err != nil {
		return apitype.AgentConfig{}, err
	}
	return agentConfigOf(v), nil
}

func (s *server) setAgentConfig(ctx context.Context, t agentconf.Target, b *apitype.AgentConfigChange) (apitype.AgentConfig, error) {
	if (b.Document == "") == (b.Restore == 0) {
		return apitype.AgentConfig{}, invalid("document", "document: give it, or restore")
	}
	v, err := s.AgentConfigs.Set(ctx, t, agentconf.Change{Document: b.Document, Restore: b.Restore, Note: b.Note, By: callerOf(ctx), IfRevision: ifRevision(ctx)})
	if err != nil {
		return apitype.AgentConfig{}, err
	}
	return agentConfigOf(v), nil
}

func (s *server) agentConfigs(ctx context.Context, t agentconf.Target) (apitype.AgentConfigList, error) {
	list, err := s.AgentConfigs.Versions(ctx, t)
	if err != nil {
		return apitype.AgentConfigList{}, err
	}
	out := apitype.AgentConfigList{Items: make([]apitype.AgentConfig, len(list))}
	for i, v := range list {
		out.Items[i] = agentConfigOf(v)
	}
	return out, nil
}

func (s *server) GetDeviceAgentConfig(ctx context.Context, r apitype.GetDeviceAgentConfigRequestObject) (apitype.GetDeviceAgentConfigResponseObject, error) {
	_, t, err := s.deviceTarget(ctx, r.ProductSN, r.DeviceSN)
	if err != nil {
		return nil, err
	}
	out, err := s.agentConfig(ctx, t, r.Params.Revision)
	if err != nil {
		return nil, err
	}
	return apitype.GetDeviceAgentConfig200JSONResponse(out), nil
}

func (s *server) SetDeviceAgentConfig(ctx context.Context, r apitype.SetDeviceAgentConfigRequestObject) (apitype.SetDeviceAgentConfigResponseObject, error) {
	d, t, err := s.deviceTarget(ctx, r.ProductSN, r.DeviceSN)
	if err != nil {
		return nil, err
	}
	out, err := s.setAgentConfig(ctx, t, r.Body)
	if err != nil {
		return nil, err
	}
	s.Agents.Call(d.ID, d.Identity)
	return apitype.SetDeviceAgentConfig200JSONResponse(out), nil
}

func (s *server) DeleteDeviceAgentConfig(ctx context.Context, r apitype.DeleteDeviceAgentConfigRequestObject) (apitype.DeleteDeviceAgentConfigResponseObject, error) {
	d, t, err := s.deviceTarget(ctx, r.ProductSN, r.DeviceSN)
	if err == nil {
		err = s.AgentConfigs.Remove(ctx, t, callerOf(ctx), ifRevision(ctx))
	}
	if err != nil {
		return nil, err
	}
	s.Agents.Call(d.ID, d.Identity)
	return apitype.DeleteDeviceAgentConfig204Response{}, nil
}

func (s *server) ListDeviceAgentConfigVersions(ctx context.Context, r apitype.ListDeviceAgentConfigVersionsRequestObject) (apitype.ListDeviceAgentConfigVersionsResponseObject, error) {
	_, t, err := s.deviceTarget(ctx, r.ProductSN, r.DeviceSN)
	if err != nil {
		return nil, err
	}
	out, err := s.agentConfigs(ctx, t)
	if err != nil {
		return nil, err
	}
	return apitype.ListDeviceAgentConfigVersions200JSONResponse(out), nil
}

func (s *server) GetProductAgentConfig(ctx context.Context, r apitype.GetProductAgentConfigRequestObject) (apitype.GetProductAgentConfigResponseObject, error) {
	t, err := s.productTarget(ctx, r.ProductSN)
	if err != nil {
		return nil, err
	}
	out, err := s.agentConfig(ctx, t, r.Params.Revision)
	if err != nil {
		return nil, err
	}
	return apitype.GetProductAgentConfig200JSONResponse(out), nil
}

func (s *server) SetProductAgentConfig(ctx context.Context, r apitype.SetProductAgentConfigRequestObject) (apitype.SetProductAgentConfigResponseObject, error) {
	t, err := s.productTarget(ctx, r.ProductSN)
	if err != nil {
		return nil, err
	}
	out, err := s.setAgentConfig(ctx, t, r.Body)
	if err != nil {
		return nil, err
	}
	return apitype.SetProductAgentConfig200JSONResponse(out), nil
}

func (s *server) DeleteProductAgentConfig(ctx context.Context, r apitype.DeleteProductAgentConfigRequestObject) (apitype.DeleteProductAgentConfigResponseObject, error) {
	t, err := s.productTarget(ctx, r.ProductSN)
	if err == nil {
		err = s.AgentConfigs.Remove(ctx, t, callerOf(ctx), ifRevision(ctx))
	}
	if err != nil {
		return nil, err
	}
	return apitype.DeleteProductAgentConfig204Response{}, nil
}

func (s *server) ListProductAgentConfigVersions(ctx context.Context, r apitype.ListProductAgentConfigVersionsRequestObject) (apitype.ListProductAgentConfigVersionsResponseObject, error) {
	t, err := s.productTarget(ctx, r.ProductSN)
	if err != nil {
		return nil, err
	}
	out, err := s.agentConfigs(ctx, t)
	if err != nil {
		return nil, err
	}
	return apitype.ListProductAgentConfigVersions200JSONResponse(out), nil
}

func (s *server) GetGroupAgentConfig(ctx context.Context, r apitype.GetGroupAgentConfigRequestObject) (apitype.GetGroupAgentConfigResponseObject, error) {
	t, err := s.groupTarget(ctx, r.Group)
	if err != nil {
		return nil, err
	}
	out, err := s.agentConfig(ctx, t, r.Params.Revision)
	if err != nil {
		return nil, err
	}
	return apitype.GetGroupAgentConfig200JSONResponse(out), nil
}

func (s *server) SetGroupAgentConfig(ctx context.Context, r apitype.SetGroupAgentConfigRequestObject) (apitype.SetGroupAgentConfigResponseObject, error) {
	t, err := s.groupTarget(ctx, r.Group)
	if err != nil {
		return nil, err
	}
	out, err := s.setAgentConfig(ctx, t, r.Body)
	if err != nil {
		return nil, err
	}
	return apitype.SetGroupAgentConfig200JSONResponse(out), nil
}

func (s *server) DeleteGroupAgentConfig(ctx context.Context, r apitype.DeleteGroupAgentConfigRequestObject) (apitype.DeleteGroupAgentConfigResponseObject, error) {
	t, err := s.groupTarget(ctx, r.Group)
	if err == nil {
		err = s.AgentConfigs.Remove(ctx, t, callerOf(ctx), ifRevision(ctx))
	}
	if err != nil {
		return nil, err
	}
	return apitype.DeleteGroupAgentConfig204Response{}, nil
}

func (s *server) ListGroupAgentConfigVersions(ctx context.Context, r apitype.ListGroupAgentConfigVersionsRequestObject) (apitype.ListGroupAgentConfigVersionsResponseObject, error) {
	t, err := s.groupTarget(ctx, r.Group)
	if err != nil {
		return nil, err
	}
	out, err := s.agentConfigs(ctx, t)
	if err != nil {
		return nil, err
	}
	return apitype.ListGroupAgentConfigVersions200JSONResponse(out), nil
}
