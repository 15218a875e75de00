package api

import (
	"context"

	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// Devices is what the API needs of the registry for devices. Whoever wires the hub sees to it that a device which is
// disabled, reset or deleted is cut off.
type Devices interface {
	Device(ctx context.Context, id ident.Device) (*registry.Device, error)
	Devices(ctx context.Context, f registry.Filter, page registry.Page) ([]*registry.Device, string, error)
	CountDevices(ctx context.Context, f registry.Filter, byState bool) (registry.Count, error)
	Connections(ctx context.Context, device int64, page registry.Page) ([]registry.Connection, string, error)
	CreateDevice(ctx context.Context, n registry.NewDevice) (*registry.Device, error)
	CreateDevices(ctx context.Context, product string, n int, sns []string) ([]*registry.Device, error)
	UpdateDevice(ctx context.Context, id ident.Device, u registry.DeviceUpdate) (*registry.Device, error)
	SetEnabled(ctx context.Context, id ident.Device, enabled bool, only ...registry.IfRevision) (*registry.Device, error)
	Reset(ctx context.Context, id ident.Device, newSecret bool, only ...registry.IfRevision) (*registry.Device, error)
	DeleteDevice(ctx context.Context, id ident.Device, only ...registry.IfRevision) error
}

func (s *server) ListDevices(ctx context.Context, r apitype.ListDevicesRequestObject) (apitype.ListDevicesResponseObject, error) {
	page, err := pageOf(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	if _, err := s.Products.Product(ctx, r.ProductSN); err != nil {
		return nil, err // an unknown product is not one without devices
	}
	filter := fleetFilter(ctx, r.Params.Filter)
	filter.Product = r.ProductSN
	page.Sort = valueOf(r.Params.Sort)
	if r.Params.State != nil {
		state, err := registry.ParseState(string(*r.Params.State))
		if err != nil {
			return nil, err
		}
		filter.State = &state
	}
	list, next, err := s.Devices.Devices(ctx, filter, page)
	if err != nil {
		return nil, err
	}
	return apitype.ListDevices200JSONResponse{Items: devicesOf(ctx, list), NextCursor: next}, nil
}

func (s *server) CreateDevice(ctx context.Context, r apitype.CreateDeviceRequestObject) (apitype.CreateDeviceResponseObject, error) {
	d, err := s.Devices.CreateDevice(ctx, registry.NewDevice{Product: r.ProductSN, SN: r.Body.DeviceSN,
		Name: r.Body.Name, Description: r.Body.Description, Tags: registry.Tags(r.Body.Tags)})
	if err != nil {
		return nil, err
	}
	return apitype.CreateDevice201JSONResponse(deviceOf(ctx, d)), nil
}

func (s *server) CreateDevices(ctx context.Context, r apitype.CreateDevicesRequestObject) (apitype.CreateDevicesResponseObject, error) {
	if (r.Body.Count != 0) == (len(r.Body.DeviceSNs) != 0) {
		return nil, invalid("count", "give either count or deviceSNs")
	}
	list, err := s.Devices.CreateDevices(ctx, r.ProductSN, r.Body.Count, r.Body.DeviceSNs)
	if err != nil {
		return nil, err
	}
	return apitype.CreateDevices201JSONResponse{Items: devicesOf(ctx, list)}, nil
}

func (s *server) GetDevice(ctx context.Context, r apitype.GetDeviceRequestObject) (apitype.GetDeviceResponseObject, error) {
	d, err := s.device(ctx, r.ProductSN, r.DeviceSN)
	if err != nil {
		return nil, err
	}
	return apitype.GetDevice200JSONResponse(deviceOf(ctx, d)), nil
}

// device tells an unknown product from an unknown device.
func (s *server) device(ctx context.Context, product, sn string) (*registry.Device, error) {
	if _, err := s.Products.Product(ctx, product); err != nil {
		return nil, err
	}
	return s.Devices.Device(ctx, ident.Device{Product: product, SN: sn})
}

func (s *server) UpdateDevice(ctx context.Context, r apitype.UpdateDeviceRequestObject) (apitype.UpdateDeviceResponseObject, error) {
	if _, err := s.device(ctx, r.ProductSN, r.DeviceSN); err != nil {
		return nil, err
	}
	u := registry.DeviceUpdate{Name: r.Body.Name, Description: r.Body.Description, Tags: registry.Tags{}, IfRevision: ifRevision(ctx)}
	for name, value := range r.Body.Tags {
		if value == nil {
			u.DropTags = append(u.DropTags, name)
			continue
		}
		u.Tags[name] = *value
	}
	d, err := s.Devices.UpdateDevice(ctx, ident.Device{Product: r.ProductSN, SN: r.DeviceSN}, u)
	if err != nil {
		return nil, err
	}
	return apitype.UpdateDevice200JSONResponse(deviceOf(ctx, d)), nil
}

func (s *server) RevealDevice(ctx context.Context, r apitype.RevealDeviceRequestObject) (apitype.RevealDeviceResponseObject, error) {
	d, err := s.device(ctx, r.ProductSN, r.DeviceSN)
	if err != nil {
		return nil, err
	}
	return apitype.RevealDevice200JSONResponse(deviceOf(ctx, d)), nil
}

func (s *server) EnableDevice(ctx context.Context, r apitype.EnableDeviceRequestObject) (apitype.EnableDeviceResponseObject, error) {
	d, err := s.setEnabled(ctx, r.ProductSN, r.DeviceSN, true)
	if err != nil {
		return nil, err
	}
	return apitype.EnableDevice200JSONResponse(deviceOf(ctx, d)), nil
}

func (s *server) DisableDevice(ctx context.Context, r apitype.DisableDeviceRequestObject) (apitype.DisableDeviceResponseObject, error) {
	d, err := s.setEnabled(ctx, r.ProductSN, r.DeviceSN, false)
	if err != nil {
		return nil, err
	}
	return apitype.DisableDevice200JSONResponse(deviceOf(ctx, d)), nil
}

func (s *server) setEnabled(ctx context.Context, product, sn string, enabled bool) (*registry.Device, error) {
	if _, err := s.device(ctx, product, sn); err != nil {
		return nil, err
	}
	return s.Devices.SetEnabled(ctx, ident.Device{Product: product, SN: sn}, enabled, onlyIf(ctx)...)
}

func (s *server) ResetDevice(ctx context.Context, r apitype.ResetDeviceRequestObject) (apitype.ResetDeviceResponseObject, error) {
	if _, err := s.device(ctx, r.ProductSN, r.DeviceSN); err != nil {
		return nil, err
	}
	newSecret := r.Body != nil && r.Body.ResetSecret
	d, err := s.Devices.Reset(ctx, ident.Device{Product: r.ProductSN, SN: r.DeviceSN}, newSecret, onlyIf(ctx)...)
	if err != nil {
		return nil, err
	}
	return apitype.ResetDevice200JSONResponse(deviceOf(ctx, d)), nil
}

func (s *server) DeleteDevice(ctx context.Context, r apitype.DeleteDeviceRequestObject) (apitype.DeleteDeviceResponseObject, error) {
	if _, err := s.device(ctx, r.ProductSN, r.DeviceSN); err != nil {
		return nil, err
	}
	if err := s.Devices.DeleteDevice(ctx, ident.Device{Product: r.ProductSN, SN: r.DeviceSN}, onlyIf(ctx)...); err != nil {
		return nil, err
	}
	return apitype.DeleteDevice204Response{}, nil
}

func devicesOf(ctx context.Context, list []*registry.Device) []apitype.Device {
	items := make([]apitype.Device, len(list))
	for i, d := range list {
		items[i] = deviceOf(ctx, d)
	}
	return items
}

func deviceOf(ctx context.Context, d *registry.Device) apitype.Device {
	out := apitype.Device{ProductSN: d.Identity.Product, DeviceSN: d.Identity.SN, Name: d.Name, Description: d.Description,
		Tags: apitype.Tags(d.Tags), Revision: d.Revision, State: apitype.DeviceState(d.State.String()), CreatedAt: d.Created.Time(), ActivatedAt: d.Activated.Time(),
		OnlineAt: d.OnlineAt.Time(), OfflineAt: d.OfflineAt.Time(), LastSeen: d.Seen().Time()}
	if seesSecrets(ctx, d.Identity.Product) {
		out.DeviceSecret = d.Secret.Reveal()
	}
	return out
}
