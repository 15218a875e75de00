package registry

import (
	"context"
	"errors"
	"fmt"
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
)

var actionChanges = map[Action]ChangeKind{ActionEnable: DeviceEnabled, ActionDisable: DeviceDisabled, ActionReset: DeviceReset,
	ActionResetSecret: DeviceReset, ActionDelete: DeviceDeleted}

// Valid tells whether a is one of the actions.
func (a Action) Valid() bool { return actionChanges[a] != 0 }

// BulkResult is what Bulk did to one device.
type BulkResult struct {
	// Changed is false for a device that was so already.
	Changed bool
	// Secret is the new one, if the action gave it one.
	Secret credential.Secret
	// Err is ErrDeviceNotFound for a device that has gone meanwhile.
	Err error
}

// Bulk does a to each device of list in one transaction; a few hundred at most. also, if given, runs in the transaction,
// which may be run again; its error undoes all. Those who watch are told as for a single change.
func (r *Registry) Bulk(ctx context.Context, a Action, list []*Device, also func(ctx context.Context, tx *store.Tx, results []BulkResult) error) error {
	if !a.Valid() {
		return &ErrInvalid{"action", fmt.Sprintf("there is no %q", string(a))}
	}
	results := make([]BulkResult, len(list))
	err := r.db.Update(ctx, func(tx *store.Tx) (err error) {
		for i, d := range list {
			if results[i], err = r.bulkOne(ctx, tx, a, d); err != nil {
				return err
			}
		}
		if also == nil {
			return nil
		}
		return also(ctx, tx, results)
	})
	if err != nil {
		return fmt.Errorf("registry: %s %d devices: %w", a, len(list), err)
	}
	for i, d := range list {
		if results[i].Changed {
			r.Apply(Change{Kind: actionChanges[a], Product: d.Identity.Product, Device: d.Identity, DeviceID: d.ID})
		}
	}
	return nil
}

func (r *Registry) bulkOne(ctx context.Context, tx *store.Tx, a Action, d *Device) (res BulkResult, err error) {
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
	case ActionReset:
		q = resetColumns + ` WHERE 1 = 1`
	case ActionDelete:
		if err := deleteDevice(ctx, tx, d.ID); err != nil {
			if errors.Is(err, ErrDeviceNotFound) {
				return BulkResult{Err: err}, nil
			}
			return res, err
		}
		return BulkResult{Changed: true}, nil
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
