package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// State is where a device is in its life. The numbers are stored.
type State uint8

// The states of a device.
const (
	Inactive State = 0 // never connected with its own secret, or reset
	Online   State = 1
	Offline  State = 2
	Disabled State = 3 // an operator switched it off
)

var stateNames = [...]string{"inactive", "online", "offline", "disabled"}

func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// ParseState is the inverse of String.
func ParseState(s string) (State, error) {
	for i, name := range stateNames {
		if s == name {
			return State(i), nil
		}
	}
	return 0, &ErrInvalid{"state", `is none of "inactive", "online", "offline", "disabled"`}
}

// Device is an immutable snapshot.
type Device struct {
	ID                int64
	Identity          ident.Device
	Project           string // the product's
	Revision          int64  // rises with every change that the API shows, not with presence
	Secret            credential.Secret
	Name, Description string
	State             State
	// The zero time means never.
	Created, Activated, OnlineAt, OfflineAt, LastSeen time.Time
}

// NewDevice is what CreateDevice needs.
type NewDevice struct {
	Product           string
	SN                string // "" has one generated
	Name, Description string
	Secret            credential.Secret // "" has one generated; else it is of another cloud's making
}

// DeviceUpdate changes the fields that are not nil.
type DeviceUpdate struct {
	Name, Description *string
	// IfRevision, when not nil, must be the device's revision, else the answer is ErrRevision.
	IfRevision *int64
}

const deviceColumns = `id, product, sn, secret, name, description, state, created_at, activated_at, online_at, offline_at, last_seen,
	project, revision`

// Device returns the device with that identity, from memory when it is there.
func (r *Registry) Device(ctx context.Context, id ident.Device) (*Device, error) {
	if d, ok := r.devices.get(id); ok {
		return d, nil
	}
	ticket := r.devices.ticket()
	d, err := r.readDevice(ctx, `product = ? AND sn = ?`, id.Product, id.SN)
	if err != nil {
		return nil, err
	}
	r.devices.fill(ticket, d)
	return d, nil
}

// DeviceByID returns the device with that id.
func (r *Registry) DeviceByID(ctx context.Context, id int64) (*Device, error) {
	if d, ok := r.devices.getID(id); ok {
		return d, nil
	}
	ticket := r.devices.ticket()
	d, err := r.readDevice(ctx, `id = ?`, id)
	if err != nil {
		return nil, err
	}
	r.devices.fill(ticket, d)
	return d, nil
}

func (r *Registry) readDevice(ctx context.Context, where string, args ...any) (*Device, error) {
	d, err := r.scanDevice(r.db.QueryRow(ctx, `SELECT `+deviceColumns+` FROM device WHERE `+where, args...))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrDeviceNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("registry: read device: %w", err)
	}
	return d, nil
}

func (r *Registry) scanDevice(row scanner) (*Device, error) {
	var (
		d                                           Device
		sealed                                      []byte
		state                                       int64
		created, activated, online, offline, lastAt int64
	)
	err := row.Scan(&d.ID, &d.Identity.Product, &d.Identity.SN, &sealed, &d.Name, &d.Description, &state,
		&created, &activated, &online, &offline, &lastAt, &d.Project, &d.Revision)
	if err != nil {
		return nil, err
	}
	secret, err := r.db.Unseal(store.DeviceSecret, d.ID, sealed)
	if err != nil {
		return nil, err
	}
	d.Secret, d.State = credential.Secret(secret), State(state)
	d.Created, d.Activated, d.OnlineAt = fromMillis(created), fromMillis(activated), fromMillis(online)
	d.OfflineAt, d.LastSeen = fromMillis(offline), fromMillis(lastAt)
	return &d, nil
}

// sealSecret is a device's secret as it is stored.
func (r *Registry) sealSecret(deviceID int64, s credential.Secret) []byte {
	return r.db.Seal(store.DeviceSecret, deviceID, []byte(s.Reveal()))
}

// CreateDevice makes a device with a generated secret.
func (r *Registry) CreateDevice(ctx context.Context, n NewDevice) (*Device, error) {
	if err := CheckDevice(n); err != nil {
		return nil, err
	}
	if n.SN == "" {
		n.SN = ident.NewDeviceSN()
	}
	list, err := r.create(ctx, n.Product, []string{n.SN}, n)
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// UpdateDevice changes what u names.
func (r *Registry) UpdateDevice(ctx context.Context, id ident.Device, u DeviceUpdate) (*Device, error) {
	var set setList
	if u.Name != nil {
		if err := checkText("name", *u.Name, 0, MaxName); err != nil {
			return nil, err
		}
		set.add("name", *u.Name)
	}
	if u.Description != nil {
		if err := checkText("description", *u.Description, 0, MaxDescription); err != nil {
			return nil, err
		}
		set.add("description", *u.Description)
	}
	return r.changeDevice(ctx, id, DeviceUpdated, u.IfRevision, set)
}

// SetEnabled switches a device on or off. A device that is switched on again is
// offline, or inactive when it had never connected; one that is on already
// stays as it is.
func (r *Registry) SetEnabled(ctx context.Context, id ident.Device, enabled bool) (*Device, error) {
	d, err := r.readDevice(ctx, `product = ? AND sn = ?`, id.Product, id.SN)
	if err != nil {
		return nil, err
	}
	if enabled != (d.State == Disabled) {
		return d, nil
	}
	var set setList
	switch {
	case !enabled:
		set.add("state", int64(Disabled))
		return r.changeDevice(ctx, id, DeviceDisabled, nil, set)
	case d.Activated.IsZero():
		set.add("state", int64(Inactive))
	default:
		set.add("state", int64(Offline))
	}
	return r.changeDevice(ctx, id, DeviceEnabled, nil, set)
}

// resetColumns are the assignments of a reset. There are numbers in the text because PostgreSQL takes parameters of a CASE
// for text.
var resetColumns = fmt.Sprintf("state = CASE WHEN state = %[1]d THEN %[1]d ELSE %[2]d END, activated_at = 0, registered = 0", Disabled, Inactive)

// Reset makes a device inactive again, so that it may register dynamically once
// more; with newSecret its old secret is of no use any longer. One that is
// disabled stays so, and is inactive when it is enabled.
func (r *Registry) Reset(ctx context.Context, id ident.Device, newSecret bool) (*Device, error) {
	set := setList{columns: []string{resetColumns}}
	if newSecret {
		d, err := r.readDevice(ctx, `product = ? AND sn = ?`, id.Product, id.SN)
		if err != nil {
			return nil, err
		}
		set.add("secret", r.sealSecret(d.ID, credential.NewSecret()))
	}
	return r.changeDevice(ctx, id, DeviceReset, nil, set)
}

func (r *Registry) changeDevice(ctx context.Context, id ident.Device, kind ChangeKind, ifRevision *int64, set setList) (*Device, error) {
	if len(set.columns) > 0 || ifRevision != nil {
		err := r.db.Update(ctx, func(tx *store.Tx) error {
			if err := checkRevision(ctx, tx, ifRevision, ErrDeviceNotFound, `device WHERE product = ? AND sn = ?`, id.Product, id.SN); err != nil {
				return err
			}
			return set.execDevice(ctx, tx, id)
		})
		if err != nil {
			return nil, fmt.Errorf("registry: device %s: %w", id, err)
		}
		r.devices.remove(id)
	}
	d, err := r.Device(ctx, id)
	if err != nil {
		return nil, err
	}
	r.Apply(Change{Kind: kind, Product: id.Product, Device: id, DeviceID: d.ID})
	return d, nil
}

// deviceTables hold rows of one device, by the column that names it.
var deviceTables = [...][2]string{
	{"queue", "device"}, {"session", "device"}, {"shadow", "device"}, {"latest", "device"}, {"desired", "device"},
	{"command_log", "device"}, {"topology", "subdevice"}, {"topology", "gateway"},
}

// deleteDevice deletes the rows of a device.
func deleteDevice(ctx context.Context, tx *store.Tx, id int64) error {
	for _, t := range deviceTables {
		if _, err := tx.Exec(ctx, `DELETE FROM `+t[0]+` WHERE `+t[1]+` = ?`, id); err != nil {
			return err
		}
	}
	return execOne(ctx, tx, ErrDeviceNotFound, `DELETE FROM device WHERE id = ?`, id)
}

// DeleteDevice deletes a device and everything that is kept of it.
func (r *Registry) DeleteDevice(ctx context.Context, id ident.Device) error {
	d, err := r.readDevice(ctx, `product = ? AND sn = ?`, id.Product, id.SN)
	if err != nil {
		return err
	}
	err = r.db.Update(ctx, func(tx *store.Tx) error { return deleteDevice(ctx, tx, d.ID) })
	if err != nil {
		return fmt.Errorf("registry: delete device %s: %w", id, err)
	}
	r.Apply(Change{Kind: DeviceDeleted, Product: id.Product, Device: id, DeviceID: d.ID})
	return nil
}

// Filter narrows a list of devices; the zero Filter takes all.
type Filter struct {
	Project    string
	Product    string // ProductSN
	State      *State
	SNPrefix   string // case-sensitive
	NamePrefix string // case-sensitive
}

func (f Filter) where() (string, []any) {
	q, args := `1 = 1`, []any(nil)
	add := func(cond string, a ...any) { q, args = q+` AND `+cond, append(args, a...) }
	if f.Project != "" {
		add(`project = ?`, f.Project)
	}
	if f.Product != "" {
		add(`product = ?`, f.Product)
	}
	if f.State != nil {
		add(`state = ?`, int64(*f.State))
	}
	if f.SNPrefix != "" {
		add(`substr(sn, 1, length(?)) = ?`, f.SNPrefix, f.SNPrefix)
	}
	if f.NamePrefix != "" {
		add(`substr(name, 1, length(?)) = ?`, f.NamePrefix, f.NamePrefix)
	}
	return q, args
}

// Devices lists devices in the order of their creation; next is "" on the last page.
func (r *Registry) Devices(ctx context.Context, f Filter, page Page) (list []*Device, next string, err error) {
	limit, after, err := page.open()
	if err != nil {
		return nil, "", err
	}
	where, args := f.where()
	rows, err := r.db.Query(ctx, `SELECT `+deviceColumns+` FROM device WHERE `+where+` AND id > ? ORDER BY id LIMIT ?`,
		append(args, after.number, limit+1)...)
	if err != nil {
		return nil, "", fmt.Errorf("registry: list devices: %w", err)
	}
	list, err = collect(rows, r.scanDevice)
	if err != nil {
		return nil, "", fmt.Errorf("registry: list devices: %w", err)
	}
	if len(list) > limit {
		list = list[:limit]
		next = cursor{number: list[limit-1].ID}.String()
	}
	return list, next, nil
}

// CountDevices counts the devices that f takes.
func (r *Registry) CountDevices(ctx context.Context, f Filter) (int, error) {
	where, args := f.where()
	var n int
	if err := r.db.QueryRow(ctx, `SELECT COUNT(*) FROM device WHERE `+where, args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("registry: count devices: %w", err)
	}
	return n, nil
}
