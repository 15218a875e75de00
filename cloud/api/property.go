package api

import (
	"context"
	"time"

	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/thingmodel"
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
	Commands(ctx context.Context, dev ident.Device, before int64, limit int) ([]thingmodel.Logged, error)
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
