package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/credential"
)

// Action is what Bulk does to each of many devices.
type Action string

// The actions; each does what the method of that name does to one device.
const (
	ActionEnable      Action = "enable"
	ActionDisable     Action = "disable"
	ActionReset       Action = "reset"
	ActionResetSecret Action = "reset-secret" // reset, with a new secret
	ActionDelete      Action = "delete"
	ActionTag         Action = "tag"               // adds, replaces and takes away tags
	ActionJoin        Action = "add-to-group"      // a group of members
	ActionLeave       Action = "remove-from-group" // likewise
)

var actionChanges = map[Action]ChangeKind{ActionEnable: DeviceEnabled, ActionDisable: DeviceDisabled, ActionReset: DeviceReset,
	ActionResetSecret: DeviceReset, ActionDelete: DeviceDeleted, ActionTag: DeviceUpdated, ActionJoin: DeviceUpdated, ActionLeave: DeviceUpdated}

// Valid tells whether a is one of the actions.
func (a Action) Valid() bool { return actionChanges[a] != 0 }

// Bulk is an action with what it needs to know.
type Bulk struct {
	Action   Action
	Tags     Tags     // of ActionTag: added, or replaced
	DropTags []string // of ActionTag: names of tags to take away
	// Group, of Project, is what ActionJoin and ActionLeave are about.
	Project, Group string
}

// Check says what is wrong with b, as *ErrInvalid.
func (b Bulk) Check() error {
	switch {
	case !b.Action.Valid():
		return &ErrInvalid{"action", fmt.Sprintf("there is no %q", string(b.Action))}
	case b.Action == ActionTag && len(b.Tags)+len(b.DropTags) == 0:
		return &ErrInvalid{"tags", "there is none to set or to drop"}
	case b.Action != ActionTag && len(b.Tags)+len(b.DropTags) > 0:
		return &ErrInvalid{"tags", "are for the action tag"}
	case (b.Action == ActionJoin || b.Action == ActionLeave) != (b.Group != ""):
		return &ErrInvalid{"group", "goes with the actions add-to-group and remove-from-group"}
	}
	return checkTags(b.Tags)
}

// BulkResult is what Bulk did to one device.
type BulkResult struct {
	// Changed is false for a device that was so already.
	Changed bool
	// Secret is the new one, if the action gave it one.
	Secret credential.Secret
	// Err is ErrDeviceNotFound for a device that has gone meanwhile.
	Err error

	gateway int64 // that had a sub-device which was deleted
}

// Bulk does b to each device of list in one transaction; a few hundred at most. also, if given, runs in the transaction,
// which may be run again; its error undoes all. Those who watch are told as for a single change.
func (r *Registry) Bulk(ctx context.Context, b Bulk, list []*Device, also func(ctx context.Context, tx *store.Tx, results []BulkResult) error) error {
	if err := b.Check(); err != nil {
		return err
	}
	results := make([]BulkResult, len(list))
	err := r.db.Update(ctx, func(tx *store.Tx) (err error) {
		do, err := r.bulkAction(ctx, tx, b)
		if err != nil {
			return err
		}
		for i, d := range list {
			if results[i], err = do(d); err != nil {
				return err
			}
		}
		if also == nil {
			return nil
		}
		return also(ctx, tx, results)
	})
	if err != nil {
		return fmt.Errorf("registry: %s %d devices: %w", b.Action, len(list), err)
	}
	for i, d := range list {
		if results[i].Changed {
			r.Apply(Change{Kind: actionChanges[b.Action], Product: d.Identity.Product, Device: d.Identity, DeviceID: d.ID, Gateway: results[i].gateway})
		}
	}
	return nil
}

// bulkAction is what b does to one device inside tx.
func (r *Registry) bulkAction(ctx context.Context, tx *store.Tx, b Bulk) (func(*Device) (BulkResult, error), error) {
	switch b.Action {
	case ActionDelete:
		return func(d *Device) (BulkResult, error) {
			gateway, err := deleteDevice(ctx, tx, d.ID)
			res, err := gone(err)
			res.gateway = gateway
			return res, err
		}, nil
	case ActionTag:
		return func(d *Device) (BulkResult, error) { return r.bulkTag(ctx, tx, b, d) }, nil
	case ActionJoin, ActionLeave:
		g, err := readGroup(ctx, tx, b.Project, b.Group)
		if err == nil && g.Filter != "" {
			err = ErrGroupByFilter
		}
		if err != nil {
			return nil, err
		}
		return func(d *Device) (BulkResult, error) { return bulkMember(ctx, tx, b.Action, g.ID, d) }, nil
	}
	return func(d *Device) (BulkResult, error) { return r.bulkState(ctx, tx, b.Action, d) }, nil
}

// gone makes the absence of a device the result of that device alone.
func gone(err error) (BulkResult, error) {
	if errors.Is(err, ErrDeviceNotFound) {
		return BulkResult{Err: ErrDeviceNotFound}, nil
	}
	return BulkResult{Changed: err == nil}, err
}

func (r *Registry) bulkTag(ctx context.Context, tx *store.Tx, b Bulk, d *Device) (BulkResult, error) {
	before, err := r.lockDevice(ctx, tx, d.Identity)
	if err != nil {
		return gone(err)
	}
	after, err := (&DeviceUpdate{Tags: b.Tags, DropTags: b.DropTags}).apply(before)
	if err != nil {
		return BulkResult{Err: err}, nil // it would have too many
	}
	if maps.Equal(before.Tags, after.Tags) {
		return BulkResult{}, nil
	}
	if err := replaceTerms(ctx, tx, before.ID, before.Project, before.terms(), after.terms()); err != nil {
		return BulkResult{}, err
	}
	var set setList
	set.add("tags", after.Tags.encode())
	return BulkResult{Changed: true}, set.execDevice(ctx, tx, d.Identity)
}

func bulkMember(ctx context.Context, tx *store.Tx, a Action, group int64, d *Device) (BulkResult, error) {
	q := `INSERT INTO device_group_member (grp, device) SELECT ?, id FROM device WHERE id = ? ON CONFLICT DO NOTHING`
	if a == ActionLeave {
		q = `DELETE FROM device_group_member WHERE grp = ? AND device = ?`
	}
	res, err := tx.Exec(ctx, q, group, d.ID)
	if err != nil {
		return BulkResult{}, err
	}
	n, err := res.RowsAffected()
	return BulkResult{Changed: n > 0}, err
}

// bulkState switches a device or resets it.
func (r *Registry) bulkState(ctx context.Context, tx *store.Tx, a Action, d *Device) (res BulkResult, err error) {
	// Numbers in the text, because PostgreSQL takes parameters of a CASE for text.
	var q string
	args := []any{d.ID}
	switch a {
	case ActionEnable:
		q = fmt.Sprintf(`state = CASE WHEN activated_at = 0 THEN %d ELSE %d END WHERE state = %d`, Inactive, Offline, Disabled)
	case ActionDisable:
		q = fmt.Sprintf(`state = %[1]d WHERE state <> %[1]d`, Disabled)
	case ActionResetSecret:
		res.Secret = credential.NewSecret()
		args = slices.Insert(args, 0, any(r.sealSecret(d.ID, res.Secret)))
		q = `secret = ?, ` + resetColumns + ` WHERE 1 = 1`
	default:
		q = resetColumns + ` WHERE 1 = 1`
	}
	out, err := tx.Exec(ctx, `UPDATE device SET revision = revision + 1, `+q+` AND id = ?`, args...)
	if err != nil {
		return res, err
	}
	n, err := out.RowsAffected()
	if err != nil || n > 0 {
		res.Changed = n > 0
		return res, err
	}
	var there int
	if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM device WHERE id = ?`, d.ID).Scan(&there); err != nil {
		return res, err
	}
	if there == 0 {
		return BulkResult{Err: ErrDeviceNotFound}, nil
	}
	return BulkResult{}, nil
}
