package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/monitor/metric"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/rules"
)

// History is what the API needs of the metrics.
type History interface {
	Query(ctx context.Context, q metric.Query) (metric.Answer, error)
	Totals(ctx context.Context, scopes []string, d time.Duration) (map[metric.Name]float64, error)
	DevicesNow(ctx context.Context, scopes []string) (metric.Devices, error)
	Errors(ctx context.Context, since time.Time, wanted func(product string) bool, limit int) ([]metric.ErrorCount, error)
	Nodes(ctx context.Context) ([]metric.Node, error)
	Watch(after int64) (points <-chan *metric.LivePoint, whole bool, cancel func())
}

var _ History = (*metric.History)(nil)

func (s *server) ListMetrics(context.Context, apitype.ListMetricsRequestObject) (apitype.ListMetricsResponseObject, error) {
	out := apitype.ListMetrics200JSONResponse{}
	for _, n := range metric.Names() {
		i := n.Info()
		out.Items = append(out.Items, apitype.Metric{Name: i.Name, Gauge: i.Gauge, Unit: i.Unit, Description: i.Help})
	}
	return out, nil
}

// maxNames bounds the metrics of one question.
const maxNames = 20

func (s *server) GetMetricSeries(ctx context.Context, r apitype.GetMetricSeriesRequestObject) (apitype.GetMetricSeriesResponseObject, error) {
	p := r.Params
	q := metric.Query{From: time.Now().Add(-24 * time.Hour), To: deref(p.To)}
	for name := range strings.SplitSeq(p.Name, ",") {
		n, ok := metric.Parse(name)
		if !ok {
			return nil, invalid("name", "name: there is no metric %q: GET /v1/metrics lists them", name)
		}
		if q.Names = append(q.Names, n); len(q.Names) > maxNames {
			return nil, invalid("name", "name: more than %d metrics", maxNames)
		}
	}
	if p.From != nil {
		q.From = *p.From
	}
	if p.Step != nil {
		step, err := stepOf(*p.Step)
		if err != nil {
			return nil, err
		}
		if step%time.Minute != 0 {
			return nil, invalid("step", "step: must be whole minutes")
		}
		q.Step = step
	}
	var err error
	if q.Scopes, err = s.scopes(ctx, p.Product, p.Rule); err != nil {
		return nil, err
	}
	a, err := s.History.Query(ctx, q)
	if errors.Is(err, metric.ErrTooMany) {
		return nil, invalid("step", "step: %s", strings.TrimPrefix(err.Error(), "metric: "))
	}
	if err != nil {
		return nil, err
	}
	return apitype.GetMetricSeries200JSONResponse(seriesOf(a)), nil
}

func seriesOf(a metric.Answer) apitype.MetricSeries {
	out := apitype.MetricSeries{From: a.From, To: a.To, StepSeconds: int64(a.Step / time.Second), Series: make([]apitype.MetricLine, len(a.Lines))}
	for i, l := range a.Lines {
		out.Series[i] = apitype.MetricLine{Name: l.Name.String(), Points: make([]apitype.MetricValue, len(l.Points))}
		for j, p := range l.Points {
			out.Series[i].Points[j] = apitype.MetricValue{Time: p.Time, Value: p.Value}
		}
	}
	return out
}

// scopes is what a question for metrics is about: a product, a rule, or all that the caller may see.
func (s *server) scopes(ctx context.Context, product, rule *string) ([]string, error) {
	p := account.From(ctx)
	switch {
	case product != nil && rule != nil:
		return nil, invalid("rule", "rule: give either a product or a rule")
	case product != nil:
		found, err := s.Products.Product(ctx, *product)
		if err == nil && !p.Sees(found.Project, found.SN, account.DeviceRead) {
			err = registry.ErrProductNotFound
		}
		if err != nil {
			return nil, err
		}
		return []string{metric.Product(found.SN)}, nil
	case rule != nil:
		id, err := s.ruleID(ctx, *rule)
		if err == nil && !p.May(account.RuleRead) {
			err = rules.ErrNotFound
		}
		if err != nil {
			return nil, err
		}
		return []string{metric.Of(id)}, nil
	case p.Products != nil:
		scopes := []string{}
		for sn := range p.Products {
			if p.On(sn).Has(account.DeviceRead) {
				scopes = append(scopes, metric.Product(sn))
			}
		}
		return scopes, nil
	case p.Within() == "":
		return []string{metric.Hub}, nil
	}
	return []string{metric.Project(p.Within())}, nil
}

func (s *server) StreamMetrics(ctx context.Context, r apitype.StreamMetricsRequestObject) (apitype.StreamMetricsResponseObject, error) {
	scopes, err := s.scopes(ctx, r.Params.Product, r.Params.Rule)
	if err != nil {
		return nil, err
	}
	e := &metricStream{server: s, ctx: ctx, scopes: scopes}
	if last := deref(r.Params.LastEventID); last != "" {
		if e.after, err = strconv.ParseInt(last, 10, 64); err != nil {
			return nil, invalid("Last-Event-ID", "Last-Event-ID: is no id of an event")
		}
	}
	return e, nil
}

// metricStream is an answer that lasts until the client goes or the hub stops.
type metricStream struct {
	*server
	ctx    context.Context
	scopes []string
	after  int64
}

// VisitStreamMetricsResponse writes the stream.
func (e *metricStream) VisitStreamMetricsResponse(w http.ResponseWriter) error {
	points, whole, cancel := e.History.Watch(e.after)
	defer cancel()
	streamHead(w)
	beat := time.NewTicker(e.cfg.Heartbeat)
	defer beat.Stop()
	err := send(w, []byte(": connected\n\n"))
	if err == nil && !whole {
		err = sendGap(w, gap{Reason: "resume"})
	}
	reason := "gone"
	for err == nil {
		select {
		case <-e.ctx.Done():
			err = e.ctx.Err()
		case <-e.Feed.Done():
			err, reason = http.ErrServerClosed, "stopped"
		case <-beat.C:
			err = send(w, []byte(":\n\n"))
		case p := <-points:
			err = e.write(w, p)
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		reason = "slow"
	}
	e.metrics.streams.WithLabelValues(reason).Inc()
	return nil // there is nobody to tell
}

func (e *metricStream) write(w http.ResponseWriter, p *metric.LivePoint) error {
	out := apitype.MetricPoint{Time: time.UnixMilli(p.ID).UTC(), Values: make(map[string]int64)}
	for n, v := range p.Sum(e.scopes) {
		out.Values[metric.Name(n).String()] = v
	}
	data, err := json.Marshal(out)
	if err != nil {
		return err
	}
	return send(w, fmt.Appendf(nil, "id: %d\nevent: metrics\ndata: %s\n\n", p.ID, data))
}
