package actionapi

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/ota"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// Devices is what the API needs of the registry for devices.
type Devices interface {
	Device(ctx context.Context, id ident.Device) (*registry.Device, error)
	Devices(ctx context.Context, f registry.Filter, page registry.Page) ([]*registry.Device, string, error)
	CountDevices(ctx context.Context, f registry.Filter, byState bool) (registry.Count, error)
	CreateDevice(ctx context.Context, n registry.NewDevice) (*registry.Device, error)
	CreateDevices(ctx context.Context, product string, n int, sns []string) ([]*registry.Device, error)
	UpdateDevice(ctx context.Context, id ident.Device, u registry.DeviceUpdate) (*registry.Device, error)
	SetEnabled(ctx context.Context, id ident.Device, enabled bool, only ...registry.IfRevision) (*registry.Device, error)
	Reset(ctx context.Context, id ident.Device, newSecret bool, only ...registry.IfRevision) (*registry.Device, error)
	DeleteDevice(ctx context.Context, id ident.Device, only ...registry.IfRevision) error
	Bulk(ctx context.Context, b registry.Bulk, list []*registry.Device, also func(ctx context.Context, tx *store.Tx, results []registry.BulkResult) error) error
}

var _ Devices = (*registry.Registry)(nil)

// maxBatch is how many devices one batch may change: they share a transaction.
const maxBatch = 1000

// statuses are the states as this API calls them.
var statuses = map[registry.State]string{registry.Inactive: "inactivated", registry.Online: "online", registry.Offline: "offline", registry.Disabled: "disabled"}

// device is the device that a request names.
func (f *face) device(ctx context.Context, c *call) (*registry.Device, error) {
	sn, err := c.need("DeviceSN")
	if err != nil {
		return nil, err
	}
	return f.Devices.Device(ctx, ident.Device{Product: c.product.SN, SN: sn})
}

// secretOf is a device's secret for those who may see it.
func secretOf(ctx context.Context, d *registry.Device) string {
	if account.From(ctx).On(d.Identity.Product).Has(account.DeviceSecret) {
		return d.Secret.Reveal()
	}
	return ""
}

func (f *face) createDevice(ctx context.Context, c *call) (any, error) {
	d, err := f.Devices.CreateDevice(ctx, registry.NewDevice{Product: c.product.SN, SN: c.text("DeviceSN"), Description: c.text("Description")})
	if err != nil {
		return nil, err
	}
	c.made = "/" + d.Identity.SN
	return madeDevice{d.Identity.SN, secretOf(ctx, d)}, nil
}

// madeDevice is a device that was made.
type madeDevice struct{ DeviceSN, Password string }

func (f *face) batchCreate(ctx context.Context, c *call) (any, error) {
	if _, err := c.need("DeviceCount"); err != nil {
		return nil, err
	}
	n, err := c.number("DeviceCount", 1, registry.MaxBatch)
	if err != nil {
		return nil, err
	}
	return f.createDevices(ctx, c, int(n), nil)
}

func (f *face) batchCreateWithSN(ctx context.Context, c *call) (any, error) {
	sns, err := c.needList("DeviceSN")
	if err != nil {
		return nil, err
	}
	return f.createDevices(ctx, c, 0, sns)
}

func (f *face) createDevices(ctx context.Context, c *call, n int, sns []string) (any, error) {
	list, err := f.Devices.CreateDevices(ctx, c.product.SN, n, sns)
	if err != nil {
		return nil, err
	}
	out := struct{ DeviceSet []madeDevice }{make([]madeDevice, len(list))}
	for i, d := range list {
		out.DeviceSet[i] = madeDevice{d.Identity.SN, secretOf(ctx, d)}
	}
	return out, nil
}

func (f *face) modifyDevice(ctx context.Context, c *call) (any, error) {
	d, err := f.device(ctx, c)
	if err != nil {
		return nil, err
	}
	_, err = f.Devices.UpdateDevice(ctx, d.Identity, registry.DeviceUpdate{Description: c.given("NewDescription")})
	return nothing{}, err
}

func (f *face) deleteDevice(ctx context.Context, c *call) (any, error) {
	d, err := f.device(ctx, c)
	if err != nil {
		return nil, err
	}
	return nothing{}, f.Devices.DeleteDevice(ctx, d.Identity)
}

func (f *face) enableDevice(ctx context.Context, c *call) (any, error) {
	return f.setEnabled(ctx, c, true)
}

func (f *face) disableDevice(ctx context.Context, c *call) (any, error) {
	return f.setEnabled(ctx, c, false)
}

func (f *face) setEnabled(ctx context.Context, c *call, enabled bool) (any, error) {
	d, err := f.device(ctx, c)
	if err != nil {
		return nil, err
	}
	_, err = f.Devices.SetEnabled(ctx, d.Identity, enabled)
	return nothing{}, err
}

func (f *face) resetDevice(ctx context.Context, c *call) (any, error) {
	renew, err := c.flag("ResetPassword")
	if err != nil {
		return nil, err
	}
	d, err := f.device(ctx, c)
	if err != nil {
		return nil, err
	}
	_, err = f.Devices.Reset(ctx, d.Identity, renew)
	return nothing{}, err
}

func (f *face) batchDelete(ctx context.Context, c *call) (any, error) {
	return f.batch(ctx, c, registry.ActionDelete)
}

func (f *face) batchEnable(ctx context.Context, c *call) (any, error) {
	return f.batch(ctx, c, registry.ActionEnable)
}

func (f *face) batchDisable(ctx context.Context, c *call) (any, error) {
	return f.batch(ctx, c, registry.ActionDisable)
}

// batch changes all the devices that a request names, or none: one that does not exist refuses it.
func (f *face) batch(ctx context.Context, c *call, a registry.Action) (any, error) {
	sns, err := c.needList("DeviceSN")
	if err != nil {
		return nil, err
	}
	if len(sns) > maxBatch {
		return nil, fault{codeRange, "DeviceSN: must be 1 to " + strconv.Itoa(maxBatch) + " of them"}
	}
	slices.Sort(sns)
	sns = slices.Compact(sns)
	list := make([]*registry.Device, len(sns))
	for i, sn := range sns {
		if list[i], err = f.Devices.Device(ctx, ident.Device{Product: c.product.SN, SN: sn}); err != nil {
			return nil, fmt.Errorf("%s: %w", cut(sn), err)
		}
	}
	return nothing{}, f.Devices.Bulk(ctx, registry.Bulk{Action: a}, list, func(_ context.Context, _ *store.Tx, results []registry.BulkResult) error {
		for i, r := range results {
			if r.Err != nil { // gone meanwhile: then nothing is done
				return fmt.Errorf("%s: %w", sns[i], r.Err)
			}
		}
		return nil
	})
}

// listed is a device as GetUIoTCoreDeviceList has it: times are numbers.
type listed struct {
	DeviceSN, Password, Status                      string
	CreateTime                                      int64
	UpdateStatus                                    string
	ActiveTime, LatestOnlineTime, LatestOfflineTime int64
	Description, FirmwareVersion, DestVersion       string
	ErrMsg, LatestUpdateTime                        string
}

func (f *face) listedOf(ctx context.Context, d *registry.Device) (listed, error) {
	out := listed{DeviceSN: d.Identity.SN, Password: secretOf(ctx, d), Status: statuses[d.State], CreateTime: unix(d.Created.Time()), ActiveTime: unix(d.Activated.Time()),
		LatestOnlineTime: unix(d.OnlineAt.Time()), LatestOfflineTime: unix(d.OfflineAt.Time()), Description: d.Description}
	versions, err := f.Firmware.Versions(ctx, d.ID)
	if err != nil {
		return out, err
	}
	u := updateOf(versions)
	out.UpdateStatus, out.FirmwareVersion, out.DestVersion, out.LatestUpdateTime = u.status, u.version, u.target, seconds(u.at)
	return out, nil
}

// The states of an update that the hub can tell of. The other API has success and fail beside them, for as long as nothing newer is
// there; here an update that has ended is history.
const (
	updateUnreported = "unreported"
	updateInit       = "init_version"
	updateWaiting    = "to_be_updated"
	updateRunning    = "updating"
)

var updateStatuses = []string{updateUnreported, updateInit, updateWaiting, updateRunning, "success", "fail"}

type update struct {
	status, version, target string
	at                      time.Time
}

// updateOf is the update of a device's first module, which is "default" for those that know of no others.
func updateOf(versions []ota.ModuleVersion) update {
	if len(versions) == 0 {
		return update{status: updateUnreported}
	}
	v := versions[0]
	if i := slices.IndexFunc(versions, func(v ota.ModuleVersion) bool { return v.Module == "default" }); i >= 0 {
		v = versions[i]
	}
	u := update{status: updateInit, version: v.Version, at: v.Reported}
	switch {
	case v.Update != nil:
		u.target, u.at = v.Update.Version, v.Update.Updated
		if u.status = updateRunning; v.Update.State == ota.Initial || v.Update.State == ota.Pending {
			u.status = updateWaiting
		}
	case v.Version == "":
		u.status = updateUnreported
	}
	return u
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// seconds is a time as a text, "" for never.
func seconds(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return strconv.FormatInt(t.Unix(), 10)
}

func (f *face) getDeviceList(ctx context.Context, c *call) (any, error) {
	offset, limit, err := c.page()
	if err != nil {
		return nil, err
	}
	found, total, err := f.search(ctx, c, offset, limit)
	if err != nil {
		return nil, err
	}
	n, err := f.Devices.CountDevices(ctx, registry.Filter{Project: c.product.Project, Product: c.product.SN}, true)
	if err != nil {
		return nil, err
	}
	out := struct {
		TotalCount, InactivatedDeviceCount, OnlineDeviceCount int
		// OnlindeDeviceCount is what the other API once called it.
		OnlindeDeviceCount int
		DeviceSet          []listed
	}{total, n.States[registry.Inactive], n.States[registry.Online], n.States[registry.Online], make([]listed, len(found))}
	for i, d := range found {
		if out.DeviceSet[i], err = f.listedOf(ctx, d); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// search finds the devices that GetUIoTCoreDeviceList asks for, and how many there are of them over all pages. An exact deviceSN and
// states are found in an index; a part of a deviceSN, and the state of an update, are looked for in all devices of the product.
func (f *face) search(ctx context.Context, c *call, offset, limit int) (page []*registry.Device, total int, err error) {
	filter := registry.Filter{Project: c.product.Project, Product: c.product.SN}
	if filter.Query, err = stateQuery(c.list("Status")); err != nil {
		return nil, 0, err
	}
	part, updates := c.text("DeviceSN"), c.list("UpdateStatus")
	for _, u := range updates {
		if !slices.Contains(updateStatuses, u) {
			return nil, 0, bad("UpdateStatus", "%q is none of %s", cut(u), strings.Join(updateStatuses, ", "))
		}
	}
	if exact := c.text("ExactDeviceSN"); exact != "" {
		part = ""
		if filter.Query = strings.TrimSpace(filter.Query + " sn:" + strconv.Quote(exact)); strings.ContainsAny(exact, "\"\\\x00") {
			return nil, 0, nil // no deviceSN has these
		}
	}
	every := part == "" && len(updates) == 0
	if every {
		n, err := f.Devices.CountDevices(ctx, filter, false)
		if err != nil {
			return nil, 0, err
		}
		total = n.Total
	}
	at := 0
	for cursor := (registry.Page{Limit: registry.MaxLimit}); ; {
		list, next, err := f.Devices.Devices(ctx, filter, cursor)
		if err != nil {
			return nil, 0, err
		}
		for _, d := range list {
			ok, err := f.matches(ctx, d, part, updates)
			if err != nil {
				return nil, 0, err
			}
			if !ok {
				continue
			}
			if at >= offset && len(page) < limit {
				page = append(page, d)
			}
			at++
		}
		if next == "" || every && len(page) == limit {
			break
		}
		cursor.Cursor = next
	}
	if !every {
		total = at
	}
	return page, total, nil
}

func (f *face) matches(ctx context.Context, d *registry.Device, part string, updates []string) (bool, error) {
	if !strings.Contains(d.Identity.SN, part) {
		return false, nil
	}
	if len(updates) == 0 {
		return true, nil
	}
	versions, err := f.Firmware.Versions(ctx, d.ID)
	return slices.Contains(updates, updateOf(versions).status), err
}

// stateQuery is a filter for some of the states.
func stateQuery(wanted []string) (string, error) {
	var terms []string
	for _, status := range wanted {
		state := ""
		for s, name := range statuses {
			if name == status {
				state = s.String()
			}
		}
		if state == "" {
			return "", bad("Status", "%q is none of disabled, inactivated, offline, online", cut(status))
		}
		terms = append(terms, "state:"+state)
	}
	if len(terms) < 2 {
		return strings.Join(terms, ""), nil
	}
	return "(" + strings.Join(terms, " OR ") + ")", nil
}

// info is a device as GetUIoTCoreDeviceInfo has it: times and counts are texts.
type info struct {
	ProductSN, ProductName, DeviceSN, Password, Description, Status string
	CreateTime, ActiveTime, LatestOnlineTime, LatestOfflineTime     string
	NodeType                                                        string
	Gateway                                                         bool
	SubDeviceNum                                                    string
}

type firmware struct {
	Module, FirmwareVersion, DestVersion, UpdateStatus, LatestUpdateTime string
}

func (f *face) getDeviceInfo(ctx context.Context, c *call) (any, error) {
	d, err := f.device(ctx, c)
	if err != nil {
		return nil, err
	}
	p := c.product
	one := info{ProductSN: p.SN, ProductName: p.Name, DeviceSN: d.Identity.SN, Password: secretOf(ctx, d), Description: d.Description, Status: statuses[d.State],
		CreateTime: seconds(d.Created.Time()), ActiveTime: seconds(d.Activated.Time()), LatestOnlineTime: seconds(d.OnlineAt.Time()), LatestOfflineTime: seconds(d.OfflineAt.Time()),
		NodeType: nodeDevice, Gateway: p.Kind == registry.KindSubdevice, SubDeviceNum: "0"}
	if p.Kind == registry.KindGateway {
		one.NodeType = nodeGateway
		n, err := f.subdevices(ctx, d.Identity)
		if err != nil {
			return nil, err
		}
		one.SubDeviceNum = strconv.Itoa(n)
	}
	versions, err := f.Firmware.Versions(ctx, d.ID)
	if err != nil {
		return nil, err
	}
	out := struct {
		DeviceInfoSet   []info
		FirmwareInfoSet []firmware
	}{[]info{one}, make([]firmware, len(versions))}
	for i := range versions {
		u := updateOf(versions[i : i+1])
		out.FirmwareInfoSet[i] = firmware{versions[i].Module, u.version, u.target, u.status, seconds(u.at)}
	}
	return out, nil
}
