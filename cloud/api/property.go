package api

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/thingmodel"
	"github.com/hawser-iot/hawser/cloud/thingmodel/series"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// maxWait bounds how long a request may wait for a device, so that proxies between do not give up first.
const maxWait = time.Minute

// Things is what the API needs of the thing model.
type Things interface {
	Latest(ctx context.Context, dev ident.Device) ([]thingmodel.Value, error)
	Desired(ctx context.Context, dev ident.Device) ([]thingmodel.Wish, error)
	SetProperty(ctx context.Context, dev ident.Device, s thingmodel.Setting) (thingmodel.SetResult, error)
	Command(ctx context.Context, dev ident.Device, c thingmodel.Command) (thingmodel.Result, error)
	Commands(ctx context.Context, dev ident.Device, q thingmodel.Query) ([]*thingmodel.Record, error)
	Record(ctx context.Context, dev ident.Device, requestID string) (*thingmodel.Record, error)
	CancelCommand(ctx context.Context, dev ident.Device, requestID string) (*thingmodel.Record, error)
	Events(ctx context.Context, dev ident.Device, q thingmodel.Query) ([]thingmodel.EventRecord, error)
	History(ctx context.Context, dev ident.Device, q thingmodel.HistoryQuery) (series.Page, error)
}

func (s *server) GetProperties(ctx context.Context, r apitype.GetPropertiesRequestObject) (apitype.GetPropertiesResponseObject, error) {
	d, err := s.device(ctx, r.ProductSN, r.DeviceSN)
	if err != nil {
		return nil, err
	}
	values, err := s.Things.Latest(ctx, d.Identity)
	if err != nil {
		return nil, err
	}
	wishes, err := s.Things.Desired(ctx, d.Identity)
	if err != nil {
		return nil, err
	}
	out := apitype.GetProperties200JSONResponse{ProductSN: r.ProductSN, DeviceSN: r.DeviceSN,
		Property: make(map[string]apitype.PropertyValue, len(values))}
	for _, v := range values {
		out.Property[v.Identifier] = apitype.PropertyValue{Value: v.Value, Time: v.Time.UnixMilli()}
	}
	for _, w := range wishes {
		if out.Desired == nil {
			out.Desired = make(map[string]apitype.DesiredValue, len(wishes))
		}
		out.Desired[w.Identifier] = apitype.DesiredValue{Value: w.Value, Version: w.Version}
	}
	return out, nil
}

func (s *server) SetProperties(ctx context.Context, r apitype.SetPropertiesRequestObject) (apitype.SetPropertiesResponseObject, error) {
	d, err := s.device(ctx, r.ProductSN, r.DeviceSN)
	if err != nil {
		return nil, err
	}
	wait, err := waitOf(r.Body.TimeoutSeconds)
	if err != nil {
		return nil, err
	}
	if r.Body.Property == nil {
		return nil, invalid("property", "property: is missing")
	}
	res, err := s.Things.SetProperty(ctx, d.Identity, thingmodel.Setting{Property: r.Body.Property, Desired: r.Body.Desired, Timeout: wait})
	if err != nil {
		return nil, err
	}
	return apitype.SetProperties200JSONResponse{RequestID: res.RequestID, RetCode: int(res.Code), Message: res.Message, Stored: res.Kept}, nil
}

// waitOf reads timeoutSeconds; 0 is the thing model's default.
func waitOf(seconds float64) (time.Duration, error) {
	if seconds < 0 || seconds > maxWait.Seconds() {
		return 0, invalid("timeoutSeconds", "timeoutSeconds: must be more than 0 and at most %v", maxWait.Seconds())
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// defaultPoints is the size of a page of a history when nothing else is said.
const defaultPoints = 500

func (s *server) GetPropertyHistory(ctx context.Context, r apitype.GetPropertyHistoryRequestObject) (apitype.GetPropertyHistoryResponseObject, error) {
	d, err := s.device(ctx, r.ProductSN, r.DeviceSN)
	if err != nil {
		return nil, err
	}
	p := r.Params
	page, err := pageOf(p.Limit, p.Cursor)
	if err != nil {
		return nil, err
	}
	if page.Limit == 0 {
		page.Limit = defaultPoints
	}
	q := thingmodel.HistoryQuery{Identifiers: strings.Split(r.Identifier, ","), From: valueOf(p.From), To: valueOf(p.To), Limit: page.Limit,
		Cursor: page.Cursor, Fn: series.Fn(valueOf(p.Fn))}
	switch order := valueOf(p.Order); order {
	case "", apitype.Desc:
	case apitype.Asc:
		q.Ascending = true
	default:
		return nil, invalid("order", "order: must be desc or asc")
	}
	if p.Step != nil {
		if q.Step, err = stepOf(*p.Step); err != nil {
			return nil, err
		}
		if q.Fn == "" {
			q.Fn = series.Avg
		}
	}
	found, err := s.Things.History(ctx, d.Identity, q)
	if err != nil {
		return nil, err
	}
	out := apitype.GetPropertyHistory200JSONResponse{Items: make([]apitype.PropertyPoint, len(found.Points)), NextCursor: found.Next,
		MissingNodes: found.Missing}
	for i, point := range found.Points {
		out.Items[i] = apitype.PropertyPoint{Identifier: point.Identifier, Time: point.Time, Value: point.Value}
		if q.Step > 0 {
			out.Items[i].Count = point.Count
		}
	}
	return out, nil
}

// stepOf reads a duration, which may be in days.
func stepOf(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n > 0 && n <= 366 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, invalid("step", "step: must be a duration such as 30s, 5m, 1h or 1d")
	}
	return d, nil
}
