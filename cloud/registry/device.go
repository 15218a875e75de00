package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"strings"
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
	Tags              Tags // nil without any
	State             State
	// LastSeen is as it is stored, for lists and searches: see Seen.
	Created, Activated, OnlineAt, OfflineAt, LastSeen Moment
	// Over is the epoch of the device's newest session, while its row is known: it has ended and left nothing behind. 0: not known.
	Over int64
}

// SeenEvery is how exact the stored LastSeen of a device is: sessions that begin or end within it do not move its place in an index.
const SeenEvery = time.Minute

// Seen is when the device was last known to be there, exactly.
func (d *Device) Seen() Moment { return max(d.LastSeen, d.OnlineAt, d.OfflineAt) }

// NewDevice is what CreateDevice needs.
type NewDevice struct {
	Product           string
	SN                string // "" has one generated
	Name, Description string
	Secret            credential.Secret // "" has one generated; else it is of another cloud's making
	Tags              Tags
}

// DeviceUpdate changes the fields that are not nil.
type DeviceUpdate struct {
	Name, Description *string
	Tags              Tags     // added, or replaced where the device has the name already
	DropTags          []string // names of tags to take away
	AllTags           *Tags    // replaces all tags; then Tags and DropTags are empty
	// IfRevision, when not nil, must be the device's revision, else the answer is ErrRevision.
	IfRevision *int64
}

const deviceColumns = `id, product, sn, secret, name, description, state, created_at, activated_at, online_at, offline_at, last_seen,
	project, revision, tags`

// deviceColumnsOf names the columns of the table that is called alias.
func deviceColumnsOf(alias string) string {
	columns := strings.Split(deviceColumns, ",")
	for i, c := range columns {
		columns[i] = alias + "." + strings.TrimSpace(c)
	}
	return strings.Join(columns, ", ")
}

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
		d      Device
		sealed []byte
		tags   string
		state  int64
	)
	err := row.Scan(&d.ID, &d.Identity.Product, &d.Identity.SN, &sealed, &d.Name, &d.Description, &state,
		(*int64)(&d.Created), (*int64)(&d.Activated), (*int64)(&d.OnlineAt), (*int64)(&d.OfflineAt), (*int64)(&d.LastSeen), &d.Project, &d.Revision, &tags)
	if err != nil {
		return nil, err
	}
	secret, err := r.db.Unseal(store.DeviceSecret, d.ID, sealed)
	if err != nil {
		return nil, err
	}
	d.Secret, d.State = credential.Secret(secret), State(state)
	d.Tags = decodeTags(tags)
	if p, ok := r.products.Get(d.Identity.Product); ok { // its devices share their product's texts
		d.Identity.Product = p.SN
		if d.Project == p.Project {
			d.Project = p.Project
		}
	}
	return &d, nil
}

// sealSecret is a device's secret as it is stored.
func (r *Registry) sealSecret(deviceID int64, s credential.Secret) []byte {
	return r.db.Seal(store.DeviceSecret, deviceID, []byte(s.Reveal()))
}

// CreateDevice makes a device with a generated secret.
func (r *Registry) CreateDevice(ctx context.Context, n NewDevice) (*Device, error) {
	list, err := r.CreateEach(ctx, n.Product, []NewDevice{n})
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// UpdateDevice changes what u names.
func (r *Registry) UpdateDevice(ctx context.Context, id ident.Device, u DeviceUpdate) (d *Device, err error) {
	defer r.judged(&err)
	if err := u.validate(); err != nil {
		return nil, err
	}
	err = r.db.Update(ctx, func(tx *store.Tx) error {
		if err := checkRevision(ctx, tx, u.IfRevision, ErrDeviceNotFound, `device WHERE product = ? AND sn = ?`, id.Product, id.SN); err != nil {
			return err
		}
		before, err := r.lockDevice(ctx, tx, id)
		if err != nil {
			return err
		}
		after, err := u.apply(before)
		if err != nil {
			return err
		}
		if err := replaceTerms(ctx, tx, before.ID, before.Project, before.terms(), after.terms()); err != nil {
			return err
		}
		var set setList
		set.add("name", after.Name)
		set.add("description", after.Description)
		set.add("tags", after.Tags.encode())
		return set.execDevice(ctx, tx, id)
	})
	if err != nil {
		return nil, fmt.Errorf("registry: device %s: %w", id, err)
	}
	return r.changed(ctx, id, DeviceUpdated)
}

func (u *DeviceUpdate) validate() error {
	if u.Name != nil {
		if err := checkText("name", *u.Name, 0, MaxName); err != nil {
			return err
		}
	}
	if u.Description != nil {
		if err := checkText("description", *u.Description, 0, MaxDescription); err != nil {
			return err
		}
	}
	if u.AllTags != nil {
		if len(u.Tags) > 0 || len(u.DropTags) > 0 {
			return &ErrInvalid{"tags", "either all are replaced or some are changed"}
		}
		return checkTags(*u.AllTags)
	}
	return checkTags(u.Tags)
}

// apply returns a changed copy of d.
func (u *DeviceUpdate) apply(d *Device) (*Device, error) {
	after := *d
	if u.Name != nil {
		after.Name = *u.Name
	}
	if u.Description != nil {
		after.Description = *u.Description
	}
	switch {
	case u.AllTags != nil:
		after.Tags = *u.AllTags
	case len(u.Tags) > 0 || len(u.DropTags) > 0:
		after.Tags = make(Tags, len(d.Tags)+len(u.Tags))
		maps.Copy(after.Tags, d.Tags)
		for _, name := range u.DropTags {
			delete(after.Tags, name)
		}
		maps.Copy(after.Tags, u.Tags)
	}
	return &after, checkTags(after.Tags)
}

// lockDevice reads a device's row inside a transaction and keeps it from others until the end.
func (r *Registry) lockDevice(ctx context.Context, tx *store.Tx, id ident.Device) (*Device, error) {
	err := execOne(ctx, tx, ErrDeviceNotFound, `UPDATE device SET revision = revision WHERE product = ? AND sn = ?`, id.Product, id.SN)
	if err != nil {
		return nil, err
	}
	return r.scanDevice(tx.QueryRow(ctx, `SELECT `+deviceColumns+` FROM device WHERE product = ? AND sn = ?`, id.Product, id.SN))
}

// SetEnabled switches a device on or off. A device that is switched on again is
// offline, or inactive when it had never connected; one that is on already
// stays as it is.
func (r *Registry) SetEnabled(ctx context.Context, id ident.Device, enabled bool, only ...IfRevision) (*Device, error) {
	kind, already := DeviceDisabled, false
	if enabled {
		kind = DeviceEnabled
	}
	err := r.db.Update(ctx, func(tx *store.Tx) error {
		if err := checkDevice(ctx, tx, id, only); err != nil {
			return err
		}
		d, err := r.lockDevice(ctx, tx, id)
		if err != nil {
			return err
		}
		if already = enabled != (d.State == Disabled); already {
			return nil
		}
		state := Offline
		switch {
		case !enabled:
			state = Disabled
		case d.Activated.IsZero():
			state = Inactive
		}
		var set setList
		set.add("state", int64(state))
		return set.execDevice(ctx, tx, id)
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("registry: device %s: %w", id, err)
	case already:
		return r.readDevice(ctx, `product = ? AND sn = ?`, id.Product, id.SN)
	}
	return r.changed(ctx, id, kind)
}

// resetColumns are the assignments of a reset. There are numbers in the text because PostgreSQL takes parameters of a CASE
// for text.
var resetColumns = fmt.Sprintf("state = CASE WHEN state = %[1]d THEN %[1]d ELSE %[2]d END, activated_at = 0, registered = 0", Disabled, Inactive)

// Reset makes a device inactive again, so that it may register dynamically once
// more; with newSecret its old secret is of no use any longer. One that is
// disabled stays so, and is inactive when it is enabled.
func (r *Registry) Reset(ctx context.Context, id ident.Device, newSecret bool, only ...IfRevision) (*Device, error) {
	set := setList{columns: []string{resetColumns}}
	if newSecret {
		d, err := r.readDevice(ctx, `product = ? AND sn = ?`, id.Product, id.SN)
		if err != nil {
			return nil, err
		}
		set.add("secret", r.sealSecret(d.ID, credential.NewSecret()))
	}
	return r.changeDevice(ctx, id, DeviceReset, set, only)
}

func (r *Registry) changeDevice(ctx context.Context, id ident.Device, kind ChangeKind, set setList, only []IfRevision) (*Device, error) {
	err := r.db.Update(ctx, func(tx *store.Tx) error {
		if err := checkDevice(ctx, tx, id, only); err != nil {
			return err
		}
		return set.execDevice(ctx, tx, id)
	})
	if err != nil {
		return nil, fmt.Errorf("registry: device %s: %w", id, err)
	}
	return r.changed(ctx, id, kind)
}

// changed reads a device again and tells the watchers.
func (r *Registry) changed(ctx context.Context, id ident.Device, kind ChangeKind) (*Device, error) {
	r.devices.remove(id)
	d, err := r.Device(ctx, id)
	if err != nil {
		return nil, err
	}
	r.Apply(Change{Kind: kind, Product: id.Product, Device: id, DeviceID: d.ID})
	return d, nil
}

// deviceTables hold rows of one device, by the column that names it.
var deviceTables = [...][2]string{
	{"module_version", "device"}, {"ota_deployment", "device"}, {"ota_target", "device"},
	{"queue", "device"}, {"session", "device"}, {"shadow", "device"}, {"shadow_history", "device"}, {"latest", "device"}, {"desired", "device"},
	{"command_log", "device"}, {"topology", "subdevice"}, {"topology", "gateway"}, {"topology_request", "subdevice"},
	{"topology_request", "gateway"}, {"device_group_member", "device"}, {"device_connection", "device"},
	{"retained", "device"}, {"event_record", "device"},
	{"agent", "device"}, {"agent_stream", "device"}, {"agent_mark", "device"}, {"agent_gap", "device"},
	{"agent_config", "device"}, {"agent_config_state", "device"}, {"agent_diagnosis", "device"},
}

// deleteDevice deletes the rows of a device, and returns the gateway that had it, 0 for none.
func deleteDevice(ctx context.Context, tx *store.Tx, id int64) (gateway int64, err error) {
	err = tx.QueryRow(ctx, `SELECT gateway FROM topology WHERE subdevice = ?`, id).Scan(&gateway)
	if err != nil && !errors.Is(err, store.ErrNoRows) {
		return 0, err
	}
	if err := deleteTerms(ctx, tx, id); err != nil {
		return 0, err
	}
	for _, t := range deviceTables {
		if _, err := tx.Exec(ctx, `DELETE FROM `+t[0]+` WHERE `+t[1]+` = ?`, id); err != nil {
			return 0, err
		}
	}
	return gateway, execOne(ctx, tx, ErrDeviceNotFound, `DELETE FROM device WHERE id = ?`, id)
}

// DeleteDevice deletes a device and everything that is kept of it.
func (r *Registry) DeleteDevice(ctx context.Context, id ident.Device, only ...IfRevision) error {
	var d *Device
	var gateway int64
	err := r.db.Update(ctx, func(tx *store.Tx) (err error) {
		if err := checkDevice(ctx, tx, id, only); err != nil {
			return err
		}
		if d, err = r.lockDevice(ctx, tx, id); err != nil {
			return err
		}
		gateway, err = deleteDevice(ctx, tx, d.ID)
		return err
	})
	if err != nil {
		return fmt.Errorf("registry: delete device %s: %w", id, err)
	}
	r.Apply(Change{Kind: DeviceDeleted, Product: id.Product, Device: id, DeviceID: d.ID, Gateway: gateway})
	return nil
}
