package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/hawser-iot/hawser/cloud/keyring"
)

// resealRows is how many values are sealed anew in one transaction: other writers wait for it on SQLite.
const resealRows = 200

// Reseal seals every value anew that lies under another key than the one that seals now, and forgets the keys that are not
// needed any more. It may be stopped and called again at any time, and on several nodes at once: a value counts only as it
// was read.
func (db *DB) Reseal(ctx context.Context) (n int, err error) {
	if db.keys == nil {
		return 0, ErrNoKeyring
	}
	if _, err := db.noteKey(ctx); err != nil {
		return 0, err
	}
	prefix := db.keys.Prefix()
	n, err = db.reseal(ctx, func(b []byte) bool { return !bytes.HasPrefix(b, prefix) })
	if err != nil {
		return n, fmt.Errorf("seal secrets under the new key: %w", err)
	}
	count, err := db.SealedBy(ctx)
	if err != nil {
		return n, err
	}
	return n, db.Update(ctx, func(tx *Tx) error {
		ids, err := usedKeys(ctx, tx)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if count[id] > 0 || id == db.keys.Sealing() {
				continue
			}
			if _, err := tx.Exec(ctx, `DELETE FROM keyring_key WHERE id = ?`, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// SealedBy counts the values under each key; "" are those in clear.
func (db *DB) SealedBy(ctx context.Context) (map[string]int, error) {
	count := map[string]int{}
	for _, c := range Sealed() {
		err := db.eachSealed(ctx, c, func(rows []sealedRow) error {
			for _, r := range rows {
				count[keyring.KeyOf(r.value)]++
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return count, nil
}

// reseal seals anew what stale picks. What does not open is left as it is, and is the error in the end.
func (db *DB) reseal(ctx context.Context, stale func([]byte) bool) (n int, err error) {
	var damaged []error
	for _, c := range Sealed() {
		err := db.eachSealed(ctx, c, func(rows []sealedRow) error {
			picked, bad := db.pick(c, rows, stale)
			damaged = append(damaged, bad...)
			done, err := db.resealBatch(ctx, c, picked)
			n += done
			return err
		})
		if err != nil {
			return n, err
		}
	}
	if len(damaged) > 0 {
		return n, fmt.Errorf("%d values do not open and were left as they are, the first: %w", len(damaged), damaged[0])
	}
	return n, nil
}

// pick opens those of rows that are stale.
func (db *DB) pick(c Column, rows []sealedRow, stale func([]byte) bool) (picked []sealedRow, damaged []error) {
	for _, r := range rows {
		if !stale(r.value) {
			continue
		}
		r.plain = r.value
		if keyring.Sealed(r.value) {
			var err error
			if r.plain, err = db.Unseal(c, r.key, r.value); err != nil {
				damaged = append(damaged, err)
				continue
			}
		}
		picked = append(picked, r)
	}
	return picked, damaged
}

// sealedRow is a value with what names its row: an integer or a text.
type sealedRow struct {
	key          any
	value, plain []byte
}

func (db *DB) resealBatch(ctx context.Context, c Column, rows []sealedRow) (n int, err error) {
	if len(rows) == 0 {
		return 0, nil
	}
	err = db.Update(ctx, func(tx *Tx) error {
		n = 0 // it may run again
		for _, r := range rows {
			res, err := tx.Exec(ctx, `UPDATE `+c.Table+` SET `+c.Column+` = ? WHERE `+c.Key+` = ? AND `+c.Column+` = ?`,
				db.Seal(c, r.key, r.plain), r.key, db.stored(r.value))
			if err != nil {
				return err
			}
			done, err := res.RowsAffected()
			if err != nil {
				return err
			}
			n += int(done)
		}
		return nil
	})
	return n, err
}

// stored is a value as a comparison wants it: on SQLite a text is never equal to bytes.
func (db *DB) stored(b []byte) any {
	if db.Dialect() == SQLite && !keyring.Sealed(b) {
		return string(b)
	}
	return b
}

// eachSealed hands over the values of a column that are not empty, some rows at a time, in the order of their keys.
func (db *DB) eachSealed(ctx context.Context, c Column, f func([]sealedRow) error) error {
	var after any
	for {
		q, args := `SELECT `+c.Key+`, `+c.Column+` FROM `+c.Table+` WHERE length(`+c.Column+`) > 0`, []any(nil)
		if after != nil {
			q, args = q+` AND `+c.Key+` > ?`, []any{after}
		}
		rows, err := db.sealedRows(ctx, q+` ORDER BY `+c.Key+fmt.Sprintf(` LIMIT %d`, resealRows), args)
		if err != nil {
			return fmt.Errorf("read %s of %s: %w", c.Column, c.Table, err)
		}
		if len(rows) == 0 {
			return nil
		}
		after = rows[len(rows)-1].key
		if err := f(rows); err != nil {
			return err
		}
	}
}

func (db *DB) sealedRows(ctx context.Context, q string, args []any) (list []sealedRow, err error) {
	rows, err := db.Query(ctx, q, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var r sealedRow
		if err := rows.Scan(&r.key, &r.value); err != nil {
			return nil, err
		}
		if text, ok := r.key.([]byte); ok {
			r.key = string(text)
		}
		list = append(list, r)
	}
	return list, nil
}
