package api

import (
	"context"
	"strconv"
	"time"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/monitor/metric"
	"github.com/hawser-iot/hawser/cloud/ota"
)

const (
	overviewTraffic   = 5 * time.Minute
	overviewRules     = time.Hour
	overviewErrors    = 6 * time.Hour
	overviewMost      = 10 // errors
	overviewCampaigns = 20
)

func (s *server) GetOverview(ctx context.Context, _ apitype.GetOverviewRequestObject) (apitype.GetOverviewResponseObject, error) {
	scopes, err := s.scopes(ctx, nil, nil)
	if err != nil {
		return nil, err
	}
	out := apitype.GetOverview200JSONResponse{At: time.Now().UTC()}
	devices, err := s.History.DevicesNow(ctx, scopes)
	if err != nil {
		return nil, err
	}
	out.Devices = apitype.OverviewDevices{Registered: devices.Registered, Online: devices.Online}
	traffic, err := s.History.Totals(ctx, scopes, overviewTraffic)
	if err != nil {
		return nil, err
	}
	out.Traffic = trafficOf(traffic)
	totals, err := s.History.Totals(ctx, scopes, overviewRules)
	if err != nil {
		return nil, err
	}
	out.Rules = rulesOf(totals, traffic)
	if out.Campaigns, err = s.openCampaigns(ctx); err != nil {
		return nil, err
	}
	if out.Errors, err = s.topErrors(ctx); err != nil {
		return nil, err
	}
	if out.Alarms, err = s.openAlarms(ctx); err != nil {
		return nil, err
	}
	if out.Nodes, err = s.nodes(ctx); err != nil {
		return nil, err
	}
	return out, nil
}

func trafficOf(t map[metric.Name]float64) apitype.OverviewTraffic {
	n := func(name metric.Name) int64 { return int64(t[name]) }
	return apitype.OverviewTraffic{Seconds: int64(overviewTraffic / time.Second), MessagesUp: n(metric.MessagesUp), MessagesDown: n(metric.MessagesDown),
		BytesUp: n(metric.BytesUp), BytesDown: n(metric.BytesDown), ErrorsUp: n(metric.ErrorsUp), ErrorsDown: n(metric.ErrorsDown),
		MessagesUpPerSecond: t[metric.MessagesUp] / overviewTraffic.Seconds(), MessagesDownPerSecond: t[metric.MessagesDown] / overviewTraffic.Seconds()}
}

// rulesOf is what became of results; lately are the totals of the last minutes.
func rulesOf(t, lately map[metric.Name]float64) apitype.OverviewRules {
	n := func(name metric.Name) int64 { return int64(t[name]) }
	out := apitype.OverviewRules{Seconds: int64(overviewRules / time.Second), Matched: n(metric.RuleMatched), Delivered: n(metric.RuleDelivered),
		Dead: n(metric.RuleDead), Dropped: n(metric.RuleDropped), Failed: n(metric.RuleFailed), Waiting: int64(lately[metric.RuleWaiting])}
	if settled := out.Delivered + out.Dead + out.Dropped; settled > 0 {
		share := float64(out.Delivered) / float64(settled)
		out.Success = &share
	}
	pace := (lately[metric.RuleDelivered] + lately[metric.RuleDead] + lately[metric.RuleDropped]) / overviewTraffic.Seconds()
	if out.Waiting > 0 && pace > 0 {
		lag := float64(out.Waiting) / pace
		out.LagSeconds = &lag
	}
	return out
}

// seesProduct tells whether the caller has a permission on a product.
func (s *server) seesProduct(ctx context.Context, sn string, need account.Permission) bool {
	p, err := s.Products.Product(ctx, sn)
	return err == nil && account.From(ctx).Sees(p.Project, p.SN, need)
}

func (s *server) openCampaigns(ctx context.Context) ([]apitype.OverviewCampaign, error) {
	const most = 500 // of all projects
	list, err := s.OTA.OpenCampaigns(ctx, most)
	if err != nil {
		return nil, err
	}
	out := []apitype.OverviewCampaign{}
	for _, c := range list {
		if len(out) == overviewCampaigns {
			break
		}
		if !s.seesProduct(ctx, c.Product, account.FirmwareRead) {
			continue
		}
		p, err := s.OTA.Progress(ctx, c.ID)
		if err != nil {
			return nil, err
		}
		out = append(out, apitype.OverviewCampaign{ID: strconv.FormatInt(c.ID, 10), ProductSN: c.Product, Name: c.Name, Status: c.Status.String(), Total: c.Targets,
			Ended:  p.Sum(func(n ota.Count) bool { return !n.State.Open() }),
			Failed: p.Sum(func(n ota.Count) bool { return !n.State.Open() && n.State != ota.Succeeded })})
	}
	return out, nil
}

func (s *server) topErrors(ctx context.Context) ([]apitype.OverviewError, error) {
	everywhere := account.From(ctx).Everywhere
	list, err := s.History.Errors(ctx, time.Now().Add(-overviewErrors), func(product string) bool {
		return everywhere || s.seesProduct(ctx, product, account.DeviceRead)
	}, overviewMost)
	if err != nil {
		return nil, err
	}
	out := make([]apitype.OverviewError, len(list))
	for i, e := range list {
		out[i] = apitype.OverviewError{Where: e.Where, ProductSN: e.Product, What: e.What, Count: e.Count}
	}
	return out, nil
}

func (s *server) nodes(ctx context.Context) ([]apitype.Node, error) {
	list, err := s.History.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]apitype.Node, len(list))
	for i, n := range list {
		out[i] = apitype.Node{Name: n.Name, Up: n.Up, SeenAt: n.SeenAt, Version: n.Health.Version, StartedAt: n.Health.StartedAt, Connections: n.Health.Connections,
			Goroutines: n.Health.Goroutines, HeapBytes: n.Health.HeapBytes, StoreQueue: n.Health.StoreQueue}
		if n.Health.DiskFree >= 0 {
			out[i].DiskFreeBytes = &n.Health.DiskFree
		}
	}
	return out, nil
}
