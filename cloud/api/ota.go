package api

import (
	"context"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/ota"
	"github.com/hawser-iot/hawser/cloud/registry/filter/listing"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// OTA is what the API needs of firmware and its tasks.
type OTA interface {
	SearchFirmwares(ctx context.Context, product, module string, q listing.Query) ([]*ota.Firmware, listing.Page, error)
	Firmware(ctx context.Context, product string, id int64) (*ota.Firmware, error)
	AddFirmware(ctx context.Context, n ota.NewFirmware) (*ota.Firmware, error)
	DeleteFirmware(ctx context.Context, product string, id int64) error
	Content(ctx context.Context, f *ota.Firmware) (io.ReadCloser, error)
	Tasks(ctx context.Context, product string, before int64, limit int) ([]*ota.Task, error)
	Task(ctx context.Context, product string, id int64) (*ota.Task, error)
	CreateTask(ctx context.Context, n ota.NewTask) (*ota.Task, error)
	CancelTask(ctx context.Context, product string, id int64) (*ota.Task, error)
	Deployments(ctx context.Context, task int64, in []ota.State, after int64, limit int) ([]ota.Deployment, int64, error)
	Versions(ctx context.Context, device int64) ([]ota.ModuleVersion, error)
	Campaigns
}

var _ OTA = (*ota.OTA)(nil)

func firmwareOf(f *ota.Firmware) apitype.Firmware {
	return apitype.Firmware{FirmwareID: strconv.FormatInt(f.ID, 10), Module: f.Module, Version: f.Version, Description: f.Description,
		Size: f.Size, Md5: f.MD5, Sha256: f.SHA256, Signed: f.Signed, Needs: f.Needs, Requires: f.Requires, CreatedAt: f.Created.UTC()}
}

func (s *server) ListFirmwares(ctx context.Context, r apitype.ListFirmwaresRequestObject) (apitype.ListFirmwaresResponseObject, error) {
	p := r.Params
	q, err := wholeQuery(p.Filter, p.Sort, p.Count, p.Limit, p.Cursor)
	if err != nil {
		return nil, err
	}
	list, page, err := s.OTA.SearchFirmwares(ctx, r.ProductSN, valueOf(p.Module), q)
	if err != nil {
		return nil, err
	}
	out := apitype.ListFirmwares200JSONResponse{Items: make([]apitype.Firmware, len(list)), NextCursor: page.Next, Total: totalIn(q, page), Counts: page.By}
	for i, f := range list {
		out.Items[i] = firmwareOf(f)
	}
	return out, nil
}

func (s *server) AddFirmware(ctx context.Context, r apitype.AddFirmwareRequestObject) (apitype.AddFirmwareResponseObject, error) {
	requires, err := requirements(r.Params.Requires)
	if err != nil {
		return nil, err
	}
	f, err := s.OTA.AddFirmware(ctx, ota.NewFirmware{Product: r.ProductSN, Module: valueOf(r.Params.Module), Version: r.Params.Version,
		Description: valueOf(r.Params.Description), Needs: valueOf(r.Params.Needs), Requires: requires, Data: r.Body})
	if err != nil {
		return nil, uploadError(err)
	}
	return apitype.AddFirmware201JSONResponse(firmwareOf(f)), nil
}

// requirements are ranges of versions by module, of texts as "radio>=1.4 <2".
func requirements(list []string) (map[string]string, error) {
	if len(list) == 0 {
		return nil, nil
	}
	m := map[string]string{}
	for _, text := range list {
		i := strings.IndexAny(text, "<>=! ")
		if i < 1 {
			return nil, invalid("requires", "requires: %q: wants a module and a range of versions, as radio>=1.4", text)
		}
		if m[text[:i]] != "" {
			return nil, invalid("requires", "requires: module %s is named twice: put its bounds beside each other, as radio>=1.4 <2", text[:i])
		}
		m[text[:i]] = strings.TrimSpace(text[i:])
	}
	return m, nil
}

// firmware is the firmware that a request names.
func (s *server) firmware(ctx context.Context, product, id string) (*ota.Firmware, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return nil, ota.ErrFirmwareNotFound
	}
	return s.OTA.Firmware(ctx, product, n)
}

func (s *server) GetFirmware(ctx context.Context, r apitype.GetFirmwareRequestObject) (apitype.GetFirmwareResponseObject, error) {
	f, err := s.firmware(ctx, r.ProductSN, r.FirmwareID)
	if err != nil {
		return nil, err
	}
	return apitype.GetFirmware200JSONResponse(firmwareOf(f)), nil
}

func (s *server) DeleteFirmware(ctx context.Context, r apitype.DeleteFirmwareRequestObject) (apitype.DeleteFirmwareResponseObject, error) {
	id, err := releaseID(r.FirmwareID) // a release that is not complete is no firmware yet
	if err != nil {
		return nil, err
	}
	if err := s.OTA.DeleteFirmware(ctx, r.ProductSN, id); err != nil {
		return nil, err
	}
	return apitype.DeleteFirmware204Response{}, nil
}

func (s *server) GetFirmwareContent(ctx context.Context, r apitype.GetFirmwareContentRequestObject) (apitype.GetFirmwareContentResponseObject, error) {
	f, err := s.firmware(ctx, r.ProductSN, r.FirmwareID)
	if err != nil {
		return nil, err
	}
	body, err := s.OTA.Content(ctx, f)
	if err != nil {
		return nil, err
	}
	return apitype.GetFirmwareContent200ApplicationOctetStreamResponse{Body: body, ContentLength: f.Size,
		Headers: apitype.GetFirmwareContent200ResponseHeaders{ContentDisposition: "attachment"}}, nil
}

func taskOf(t *ota.Task) apitype.OTATask {
	state := apitype.OTATaskStateRunning
	switch {
	case t.Cancelled:
		state = apitype.OTATaskStateCancelled
	case t.Ended():
		state = apitype.OTATaskStateEnded
	}
	n := map[string]int64{}
	for state, count := range t.Count {
		n[ota.State(state).Stock()] += count
	}
	return apitype.OTATask{TaskID: strconv.FormatInt(t.ID, 10), Name: t.Name, FirmwareID: strconv.FormatInt(t.Firmware, 10), Module: t.Module,
		Version: t.Version, State: state, Total: t.Total(), Owner: t.Owner, TimeoutSeconds: int(t.Timeout.Seconds()), CreatedAt: t.Created.UTC(),
		ExpiresAt: t.Expires.UTC(), Devices: apitype.OTACounts{Initial: n["initial"], Pending: n["pending"], Downloading: n["downloading"],
			Burning: n["burning"], Succeeded: n["succeeded"], Failed: n["failed"], Cancelled: n["cancelled"], RolledBack: n["rolled_back"]}}
}

func (s *server) ListOTATasks(ctx context.Context, r apitype.ListOTATasksRequestObject) (apitype.ListOTATasksResponseObject, error) {
	limit, before, err := numberedPage(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	list, err := s.OTA.Tasks(ctx, r.ProductSN, before, limit)
	if err != nil {
		return nil, err
	}
	out := apitype.ListOTATasks200JSONResponse{Items: make([]apitype.OTATask, len(list))}
	for i, t := range list {
		out.Items[i] = taskOf(t)
	}
	if len(list) == limit {
		out.NextCursor = numberCursorOf(list[limit-1].ID)
	}
	return out, nil
}

func (s *server) CreateOTATask(ctx context.Context, r apitype.CreateOTATaskRequestObject) (apitype.CreateOTATaskResponseObject, error) {
	b := r.Body
	id, err := strconv.ParseInt(b.FirmwareID, 10, 64)
	if err != nil {
		return nil, ota.ErrFirmwareNotFound
	}
	const most = 1 << 30 // seconds, so that no number overflows; ota knows the real bounds
	if b.TimeoutSeconds < 0 || b.TimeoutSeconds > most || b.ExpiresInSeconds < 0 || b.ExpiresInSeconds > most {
		return nil, invalid("timeoutSeconds", "timeoutSeconds and expiresInSeconds: must be 1 to %d", most)
	}
	approval, err := s.approval(ctx, r.ProductSN)
	if err != nil {
		return nil, err
	}
	t, err := s.OTA.CreateTask(ctx, ota.NewTask{Product: r.ProductSN, Firmware: id, Name: b.Name, Owner: callerOf(ctx), Approval: approval,
		Targets: ota.Targets{Devices: b.Targets.Devices, Group: b.Targets.Group, Filter: b.Targets.Filter, All: b.Targets.All},
		Timeout: time.Duration(b.TimeoutSeconds) * time.Second, Life: time.Duration(b.ExpiresInSeconds) * time.Second})
	if err != nil {
		return nil, err
	}
	return apitype.CreateOTATask201JSONResponse(taskOf(t)), nil
}

// otaTask is the task that a request names.
func (s *server) otaTask(ctx context.Context, product, id string) (*ota.Task, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return nil, ota.ErrTaskNotFound
	}
	return s.OTA.Task(ctx, product, n)
}

func (s *server) GetOTATask(ctx context.Context, r apitype.GetOTATaskRequestObject) (apitype.GetOTATaskResponseObject, error) {
	t, err := s.otaTask(ctx, r.ProductSN, r.TaskID)
	if err != nil {
		return nil, err
	}
	return apitype.GetOTATask200JSONResponse(taskOf(t)), nil
}

func (s *server) CancelOTATask(ctx context.Context, r apitype.CancelOTATaskRequestObject) (apitype.CancelOTATaskResponseObject, error) {
	t, err := s.otaTask(ctx, r.ProductSN, r.TaskID)
	if err != nil {
		return nil, err
	}
	if t, err = s.OTA.CancelTask(ctx, r.ProductSN, t.ID); err != nil {
		return nil, err
	}
	return apitype.CancelOTATask200JSONResponse(taskOf(t)), nil
}

func (s *server) ListOTADevices(ctx context.Context, r apitype.ListOTADevicesRequestObject) (apitype.ListOTADevicesResponseObject, error) {
	t, err := s.otaTask(ctx, r.ProductSN, r.TaskID)
	if err != nil {
		return nil, err
	}
	limit, after, err := numberedPage(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	var in []ota.State
	if r.Params.State != nil {
		if in = ota.ParseStock(string(*r.Params.State)); in == nil {
			return nil, invalid("state", "state: there is no %q", string(*r.Params.State))
		}
	}
	list, next, err := s.OTA.Deployments(ctx, t.ID, in, after, limit)
	if err != nil {
		return nil, err
	}
	out := apitype.ListOTADevices200JSONResponse{Items: make([]apitype.OTADevice, len(list))}
	for i := range list {
		out.Items[i] = otaDeviceOf(&list[i])
	}
	if next != 0 {
		out.NextCursor = numberCursorOf(next)
	}
	return out, nil
}

func otaDeviceOf(d *ota.Deployment) apitype.OTADevice {
	out := apitype.OTADevice{TaskID: strconv.FormatInt(d.Task, 10), DeviceSN: d.Device.SN, Module: d.Module, Version: d.Version, FromVersion: d.From,
		State: apitype.OTAState(d.State.Stock()), Percent: d.Percent, ErrCode: d.Code, Class: ota.StockClass(d.State, d.Class), Attempts: d.Attempts, OfferedAt: d.Offered,
		UpdatedAt: d.Updated}
	if d.State.Open() {
		out.DeadlineAt = d.Deadline
	}
	return out
}

func (s *server) ListVersions(ctx context.Context, r apitype.ListVersionsRequestObject) (apitype.ListVersionsResponseObject, error) {
	d, err := s.Devices.Device(ctx, ident.Device{Product: r.ProductSN, SN: r.DeviceSN})
	if err != nil {
		return nil, err
	}
	list, err := s.OTA.Versions(ctx, d.ID)
	if err != nil {
		return nil, err
	}
	out := apitype.ListVersions200JSONResponse{Items: make([]apitype.ModuleVersion, len(list))}
	for i, v := range list {
		out.Items[i] = apitype.ModuleVersion{Module: v.Module, Version: v.Version, ReportedAt: v.Reported}
		if v.Update != nil {
			update := otaDeviceOf(v.Update)
			out.Items[i].Update = update
		}
	}
	return out, nil
}
