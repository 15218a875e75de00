package registry

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// setList collects the assignments of an UPDATE.
type setList struct {
	columns []string
	args    []any
}

func (s *setList) add(column string, value any) {
	s.columns = append(s.columns, column+" = ?")
	s.args = append(s.args, value)
}

func (s *setList) addFlag(column string, value *bool) {
	if value != nil {
		s.add(column, flag(*value))
	}
}

// exec updates the one row whose key column equals key, its updated_at and its revision; none is missing's error.
func (s *setList) exec(ctx context.Context, tx *store.Tx, table, column string, key any, missing error, now time.Time) error {
	columns := append(slices.Clip(s.columns), "updated_at = ?", "revision = revision + 1") // not kept: the transaction may run again
	return execOne(ctx, tx, missing, `UPDATE `+table+` SET `+strings.Join(columns, ", ")+` WHERE `+column+` = ?`,
		append(slices.Clip(s.args), millis(now), key)...)
}

// checkRevision holds a row's revision against the one that the caller has seen, nil for whichever. where names the
// table and the row. The row stays locked until the transaction ends.
func checkRevision(ctx context.Context, tx *store.Tx, want *int64, missing error, where string, args ...any) error {
	if want == nil {
		return nil
	}
	table, cond, _ := strings.Cut(where, " WHERE ")
	if err := execOne(ctx, tx, missing, `UPDATE `+table+` SET revision = revision WHERE `+cond, args...); err != nil {
		return err
	}
	var have int64
	if err := tx.QueryRow(ctx, `SELECT revision FROM `+where, args...).Scan(&have); err != nil {
		return err
	}
	if have != *want {
		return fmt.Errorf("%w: it is %d, not %d", ErrRevision, have, *want)
	}
	return nil
}

// IfRevision holds a change to the revision that the caller has seen: when it is another one inside the transaction, nothing is done
// and the answer is ErrRevision.
type IfRevision int64

func checkRevisions(ctx context.Context, tx *store.Tx, only []IfRevision, missing error, where string, args ...any) error {
	for _, want := range only {
		if err := checkRevision(ctx, tx, (*int64)(&want), missing, where, args...); err != nil {
			return err
		}
	}
	return nil
}

func checkProduct(ctx context.Context, tx *store.Tx, sn string, only []IfRevision) error {
	return checkRevisions(ctx, tx, only, ErrProductNotFound, `product WHERE sn = ?`, sn)
}

func checkDevice(ctx context.Context, tx *store.Tx, id ident.Device, only []IfRevision) error {
	return checkRevisions(ctx, tx, only, ErrDeviceNotFound, `device WHERE product = ? AND sn = ?`, id.Product, id.SN)
}

// execOne runs a statement that must affect a row; missing is returned when it does not.
func execOne(ctx context.Context, tx *store.Tx, missing error, q string, args ...any) error {
	res, err := tx.Exec(ctx, q, args...)
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return err
	}
	if n == 0 {
		return missing
	}
	return nil
}

// collect reads and closes rows.
func collect[T any](rows *store.Rows, scan func(scanner) (T, error)) ([]T, error) {
	defer func() { _ = rows.Close() }() // Err below tells
	var list []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, rows.Err()
}

// inList is what stands between the brackets of an IN for values, with its arguments; for none it takes nothing.
func inList[T any](values []T) (marks string, args []any) {
	if len(values) == 0 {
		return `NULL`, nil
	}
	for _, v := range values {
		args = append(args, v)
	}
	return `?` + strings.Repeat(`, ?`, len(values)-1), args
}
