package api

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/ota"
	"github.com/hawser-iot/hawser/cloud/registry/filter/listing"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// Campaigns is what the API needs of campaigns.
type Campaigns interface {
	SearchCampaigns(ctx context.Context, product string, q listing.Query) ([]*ota.Campaign, listing.Page, error)
	OpenCampaigns(ctx context.Context, limit int) ([]*ota.Campaign, error)
	Campaign(ctx context.Context, product string, id int64) (*ota.Campaign, error)
	CreateCampaign(ctx context.Context, n ota.NewCampaign) (*ota.Campaign, error)
	PlanCampaign(ctx context.Context, n ota.NewCampaign) (*ota.Plan, error)
	Progress(ctx context.Context, id int64) (ota.Progress, error)
	Timeline(ctx context.Context, task int64, dev ident.Device) (*ota.Deployment, []ota.Moment, error)
	Approve(ctx context.Context, product string, id, revision int64, by string) (*ota.Campaign, error)
	Change(ctx context.Context, product string, id, revision int64, p ota.Patch, by string) (*ota.Campaign, error)
	Pause(ctx context.Context, product string, id, revision int64) (*ota.Campaign, error)
	Resume(ctx context.Context, product string, id, revision int64) (*ota.Campaign, error)
	Abort(ctx context.Context, product string, id, revision int64) (*ota.Campaign, error)
	Retry(ctx context.Context, product string, id, revision int64, class string) (*ota.Campaign, int64, error)
	RollBack(ctx context.Context, product string, id, revision int64, wave int, firmware int64, by string) ([]*ota.Campaign, error)
	Distribution(ctx context.Context, product string) ([]ota.VersionCount, error)
	VersionHistory(ctx context.Context, product, module string, since time.Time) ([]ota.VersionCount, error)
}

var _ Campaigns = (*ota.OTA)(nil)

// recode is a value in the words of another type whose JSON is the same.
func recode[T any](from any) (to T, err error) {
	b, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(b, &to)
	}
	return to, err
}

// approval tells whether somebody else than who asks for it must approve that devices of a product get firmware.
func (s *server) approval(ctx context.Context, product string) (bool, error) {
	p, err := s.Products.Product(ctx, product)
	if err != nil {
		return false, err
	}
	project, err := s.Accounts.Project(ctx, p.Project)
	if err != nil {
		return false, err
	}
	return project.CampaignApproval, nil
}

// newCampaign is what a request asks for.
func (s *server) newCampaign(ctx context.Context, product string, b *apitype.NewCampaign) (n ota.NewCampaign, err error) {
	id, err := strconv.ParseInt(b.FirmwareID, 10, 64)
	if err != nil {
		return n, ota.ErrFirmwareNotFound
	}
	const most = 1 << 30 // seconds, so that no number overflows; ota knows the real bounds
	if b.TimeoutSeconds < 0 || b.TimeoutSeconds > most || b.ExpiresInSeconds < 0 || b.ExpiresInSeconds > most {
		return n, invalid("timeoutSeconds", "timeoutSeconds and expiresInSeconds: must be 1 to %d", most)
	}
	approval, err := s.approval(ctx, product)
	if err != nil {
		return n, err
	}
	t := b.Targets
	targets := *b
	targets.Targets = apitype.CampaignTargets{} // they are no part of the spec
	spec, err := recode[ota.Spec](targets)
	if err != nil {
		return n, invalid("body", "%s", err)
	}
	spec.Versions = t.Versions
	return ota.NewCampaign{Product: product, Firmware: id, Name: b.Name, Owner: callerOf(ctx), Approval: approval, Spec: spec,
		Targets: ota.Targets{Devices: t.Devices, Group: t.Group, Filter: t.Filter, All: t.All},
		Timeout: time.Duration(b.TimeoutSeconds) * time.Second, Life: time.Duration(b.ExpiresInSeconds) * time.Second}, nil
}

func (s *server) campaignOf(ctx context.Context, c *ota.Campaign) (apitype.Campaign, error) {
	out, err := recode[apitype.Campaign](c.Spec)
	if err != nil {
		return out, fmt.Errorf("api: show campaign: %w", err)
	}
	p, err := s.OTA.Progress(ctx, c.ID)
	if err != nil {
		return out, err
	}
	out.CampaignID, out.Revision, out.Name, out.FirmwareID = strconv.FormatInt(c.ID, 10), c.Revision, c.Name, strconv.FormatInt(c.Firmware, 10)
	out.Module, out.Version, out.Owner, out.Approver, out.NeedsApproval = c.Module, c.Version, c.Owner, c.Approver, c.Approval
	out.Status, out.Reason, out.Wave = apitype.CampaignStatus(c.Status.String()), c.Reason, c.Wave
	out.Targets, out.Already, out.Excluded, out.Released = c.Targets, c.Already, c.Excluded, c.Released
	out.Devices, out.Classes, out.Bytes = map[string]int64{}, p.Classes(), p.Bytes()
	for state, n := range p.States() {
		out.Devices[state.String()] = n
	}
	out.TimeoutSeconds, out.CreatedAt, out.StartedAt, out.ThroughAt = int(c.Timeout.Seconds()), c.Created.UTC(), c.Started, c.Through
	out.UpdatedAt, out.EndedAt, out.ExpiresAt = c.Updated, c.Ended, c.Expires.UTC()
	return out, nil
}

func campaignID(id string) (int64, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return 0, ota.ErrCampaignNotFound
	}
	return n, nil
}

// campaign is the campaign that a request names.
func (s *server) campaign(ctx context.Context, product, id string) (*ota.Campaign, error) {
	n, err := campaignID(id)
	if err != nil {
		return nil, err
	}
	return s.OTA.Campaign(ctx, product, n)
}

func (s *server) campaignsOf(ctx context.Context, list []*ota.Campaign) (out []apitype.Campaign, err error) {
	out = make([]apitype.Campaign, len(list))
	for i, c := range list {
		if out[i], err = s.campaignOf(ctx, c); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *server) ListCampaigns(ctx context.Context, r apitype.ListCampaignsRequestObject) (apitype.ListCampaignsResponseObject, error) {
	p := r.Params
	q, err := listQuery(p.Filter, p.Sort, p.Count, p.Limit, p.Cursor)
	if err != nil {
		return nil, err
	}
	list, page, err := s.OTA.SearchCampaigns(ctx, r.ProductSN, q)
	if err != nil {
		return nil, err
	}
	items, err := s.campaignsOf(ctx, list)
	return apitype.ListCampaigns200JSONResponse{Items: items, NextCursor: page.Next, Total: totalIn(q, page), Counts: page.By}, err
}

func (s *server) CreateCampaign(ctx context.Context, r apitype.CreateCampaignRequestObject) (apitype.CreateCampaignResponseObject, error) {
	n, err := s.newCampaign(ctx, r.ProductSN, r.Body)
	if err != nil {
		return nil, err
	}
	c, err := s.OTA.CreateCampaign(ctx, n)
	if err != nil {
		return nil, err
	}
	out, err := s.campaignOf(ctx, c)
	return apitype.CreateCampaign201JSONResponse(out), err
}

func (s *server) PlanCampaign(ctx context.Context, r apitype.PlanCampaignRequestObject) (apitype.PlanCampaignResponseObject, error) {
	n, err := s.newCampaign(ctx, r.ProductSN, r.Body)
	if err != nil {
		return nil, err
	}
	p, err := s.OTA.PlanCampaign(ctx, n)
	if err != nil {
		return nil, err
	}
	return apitype.PlanCampaign200JSONResponse{Targets: p.Targets, Already: p.Already, Excluded: p.Excluded, Waves: p.Waves, Bytes: p.Bytes,
		Minutes: p.Minutes, First: p.First, Stones: p.Stones, NoWay: p.NoWay}, nil
}

func (s *server) GetCampaign(ctx context.Context, r apitype.GetCampaignRequestObject) (apitype.GetCampaignResponseObject, error) {
	c, err := s.campaign(ctx, r.ProductSN, r.CampaignID)
	if err != nil {
		return nil, err
	}
	out, err := s.campaignOf(ctx, c)
	return apitype.GetCampaign200JSONResponse(out), err
}

func (s *server) ListCampaignDevices(ctx context.Context, r apitype.ListCampaignDevicesRequestObject) (apitype.ListCampaignDevicesResponseObject, error) {
	c, err := s.campaign(ctx, r.ProductSN, r.CampaignID)
	if err != nil {
		return nil, err
	}
	limit, after, err := numberedPage(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	var in []ota.State
	if r.Params.State != nil {
		state, ok := ota.ParseState(string(*r.Params.State))
		if !ok {
			return nil, invalid("state", "state: there is no %q", string(*r.Params.State))
		}
		in = []ota.State{state}
	}
	list, next, err := s.OTA.Deployments(ctx, c.ID, in, after, limit)
	if err != nil {
		return nil, err
	}
	out := apitype.ListCampaignDevices200JSONResponse{Items: make([]apitype.CampaignDevice, len(list))}
	for i := range list {
		out.Items[i] = campaignDeviceOf(&list[i])
	}
	if next != 0 {
		out.NextCursor = numberCursorOf(next)
	}
	return out, nil
}

func campaignDeviceOf(d *ota.Deployment) apitype.CampaignDevice {
	out := apitype.CampaignDevice{CampaignID: strconv.FormatInt(d.Task, 10), DeviceSN: d.Device.SN, State: apitype.DeploymentState(d.State.String()),
		Percent: d.Percent, Class: d.Class, ErrCode: d.Code, FromVersion: d.From, Wave: d.Wave, Attempts: d.Attempts, Bytes: d.Bytes, Verifies: d.Manifest,
		OfferedAt: d.Offered, UpdatedAt: d.Updated}
	if d.State.Open() {
		out.DeadlineAt = d.Deadline
	}
	return out
}

func (s *server) GetCampaignDevice(ctx context.Context, r apitype.GetCampaignDeviceRequestObject) (apitype.GetCampaignDeviceResponseObject, error) {
	c, err := s.campaign(ctx, r.ProductSN, r.CampaignID)
	if err != nil {
		return nil, err
	}
	d, list, err := s.OTA.Timeline(ctx, c.ID, ident.Device{Product: r.ProductSN, SN: r.DeviceSN})
	if err != nil {
		return nil, err
	}
	out := campaignDeviceOf(d)
	for _, m := range list {
		out.Timeline = append(out.Timeline, apitype.CampaignMoment{Time: m.At, State: apitype.DeploymentState(m.State.String()), Class: m.Class,
			ErrCode: m.Code, Attempt: m.Attempt})
	}
	return apitype.GetCampaignDevice200JSONResponse(out), nil
}

func (s *server) ListFirmwareVersions(ctx context.Context, r apitype.ListFirmwareVersionsRequestObject) (apitype.ListFirmwareVersionsResponseObject, error) {
	var list []ota.VersionCount
	var err error
	if r.Params.Since == nil {
		list, err = s.OTA.Distribution(ctx, r.ProductSN)
	} else {
		module := valueOf(r.Params.Module)
		if module == "" {
			module = ota.DefaultModule
		}
		list, err = s.OTA.VersionHistory(ctx, r.ProductSN, module, *r.Params.Since)
	}
	if err != nil {
		return nil, err
	}
	out := apitype.ListFirmwareVersions200JSONResponse{Items: make([]apitype.FirmwareVersion, len(list))}
	for i, v := range list {
		out.Items[i] = apitype.FirmwareVersion{Time: v.At, Module: v.Module, Version: v.Version, Devices: v.N}
	}
	return out, nil
}
