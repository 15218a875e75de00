package registry

import (
	"context"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
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

// exec updates the one row whose key column equals key, and its updated_at; none is missing's error.
func (s *setList) exec(ctx context.Context, tx *store.Tx, table, column string, key any, missing error, now time.Time) error {
	s.add("updated_at", millis(now))
	return execOne(ctx, tx, missing, `UPDATE `+table+` SET `+strings.Join(s.columns, ", ")+` WHERE `+column+` = ?`, append(s.args, key)...)
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
