package api

import (
	"context"
	"time"

	"github.com/hawser-iot/hawser/cloud/agentlink"
	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// Agents is what the API needs of the agent channel.
type Agents interface {
	Agent(ctx context.Context, device int64) (agentlink.Info, error)
	// Agents lists those of a product, those of devices with higher ids than after.
	Agents(ctx context.Context, product string, after int64, limit int) ([]agentlink.Listed, error)
	// Call has an agent told what there is for it.
	Call(id int64, device ident.Device)
	Diagnosis(ctx context.Context, device int64) (agentlink.Diagnosis, error)
	Diagnose(ctx context.Context, device int64, id ident.Device, by string) (agentlink.Diagnosis, error)
}

var _ Agents = (*agentlink.Links)(nil)

func (s *server) GetAgent(ctx context.Context, r apitype.GetAgentRequestObject) (apitype.GetAgentResponseObject, error) {
	d, err := s.device(ctx, r.ProductSN, r.DeviceSN)
	if err != nil {
		return nil, err
	}
	in, err := s.Agents.Agent(ctx, d.ID)
	if err != nil {
		return nil, err
	}
	out := apitype.GetAgent200JSONResponse{Version: in.Version, Platform: in.Platform, Channel: in.Channel, Capabilities: in.Caps, SeenAt: in.Seen,
		Streams: make([]apitype.AgentStream, len(in.Streams)), Gaps: make([]apitype.AgentGap, len(in.Gaps))}
	out.Variant, out.Untold = in.Variant, in.Untold
	if u := in.Uploads; u != nil {
		out.Uploads = apitype.AgentUploads{Waiting: u.Waiting, Sending: u.Sending, Sent: u.Sent, Failed: u.Failed}
	}
	for _, route := range in.Routes {
		out.Routes = append(out.Routes, apitype.AgentRoute{Name: route.Name, Matched: route.Matched, Failed: route.Failed, Sent: route.Sent,
			Waiting: route.Waiting, Dropped: route.Dropped})
	}
	c, err := s.AgentConfigs.State(ctx, d.ID, r.ProductSN)
	if err != nil {
		return nil, err
	}
	out.Config = apitype.AgentConfigState{Wanted: c.Wanted, Running: c.Running, Offered: c.Offered, OfferedAt: when(c.OfferedAt), State: c.State, Reason: c.Reason,
		Detail: c.Detail, ToldAt: when(c.ToldAt)}
	if out.Capabilities == nil {
		out.Capabilities = []string{}
	}
	for i, st := range in.Streams {
		out.Streams[i] = apitype.AgentStream{Name: st.Name, Records: st.Records, Bytes: st.Bytes, Lost: st.Lost}
	}
	for i, g := range in.Gaps {
		out.Gaps[i] = apitype.AgentGap{Stream: g.Stream, From: int64(g.From), To: int64(g.To), Reason: g.Reason, Bytes: g.Bytes, At: g.At}
	}
	return out, nil
}

// when is a time that may not have come; nil then.
func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (s *server) ListAgents(ctx context.Context, r apitype.ListAgentsRequestObject) (apitype.ListAgentsResponseObject, error) {
	if _, err := s.Products.Product(ctx, r.ProductSN); err != nil {
		return nil, err
	}
	page, err := limitOf(r.Params.Limit, nil)
	if err != nil {
		return nil, err
	}
	after, err := numberCursor(r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	list, err := s.Agents.Agents(ctx, r.ProductSN, after, page.Limit)
	if err != nil {
		return nil, err
	}
	out := apitype.ListAgents200JSONResponse{Items: make([]apitype.AgentSummary, len(list))}
	for i, a := range list {
		item := apitype.AgentSummary{DeviceSN: a.SN, Version: a.Version, Variant: a.Variant, Platform: a.Platform, SeenAt: a.Seen, Config: a.Config, ConfigState: a.ConfigState}
		for _, st := range a.Streams {
			item.Records, item.Bytes, item.Lost = item.Records+st.Records, item.Bytes+st.Bytes, item.Lost+st.Lost
		}
		if a.Uploads != nil {
			item.Uploads = a.Uploads.Waiting
		}
		out.Items[i] = item
	}
	if len(list) == page.Limit {
		out.NextCursor = numberCursorOf(list[len(list)-1].Device)
	}
	return out, nil
}

func diagnosisOf(d agentlink.Diagnosis) apitype.AgentDiagnosis {
	return apitype.AgentDiagnosis{ID: d.ID, State: apitype.AgentDiagnosisState(d.State), Reason: d.Reason, FileID: d.File, Size: d.Size, AskedBy: d.By, AskedAt: d.Asked,
		ToldAt: when(d.Told)}
}

func (s *server) GetAgentDiagnosis(ctx context.Context, r apitype.GetAgentDiagnosisRequestObject) (apitype.GetAgentDiagnosisResponseObject, error) {
	d, err := s.device(ctx, r.ProductSN, r.DeviceSN)
	if err != nil {
		return nil, err
	}
	out, err := s.Agents.Diagnosis(ctx, d.ID)
	if err != nil {
		return nil, err
	}
	return apitype.GetAgentDiagnosis200JSONResponse(diagnosisOf(out)), nil
}

func (s *server) AskAgentDiagnosis(ctx context.Context, r apitype.AskAgentDiagnosisRequestObject) (apitype.AskAgentDiagnosisResponseObject, error) {
	d, err := s.device(ctx, r.ProductSN, r.DeviceSN)
	if err != nil {
		return nil, err
	}
	out, err := s.Agents.Diagnose(ctx, d.ID, d.Identity, callerOf(ctx))
	if err != nil {
		return nil, err
	}
	return apitype.AskAgentDiagnosis202JSONResponse(diagnosisOf(out)), nil
}
