package store

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
)

// Cursor is how far a consumer has got in a shard: every row up to Seq is done, and of the row after Seq the first Idx
// records are.
type Cursor struct {
	Seq int64
	Idx int64
}

var saveCursor = NewStmt(`INSERT INTO outbox_cursor (consumer, shard, seq, idx) VALUES (?, ?, ?, ?)
	ON CONFLICT (consumer, shard) DO UPDATE SET seq = excluded.seq, idx = excluded.idx`)

// Register makes consumer known: from here on nothing that it has not passed is trimmed. A new consumer begins at the
// present end of each shard; one that is known stays where it is. Register before the first unit whose records it shall see.
func (o *Outbox) Register(ctx context.Context, consumer string) error {
	err := o.db.Update(ctx, func(tx *Tx) error {
		var n int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM outbox_cursor WHERE consumer = ?`, consumer).Scan(&n); err != nil || n > 0 {
			return err
		}
		for shard := range Shards {
			if _, err := tx.Exec(ctx, `INSERT INTO outbox_cursor (consumer, shard, seq, idx)
				SELECT ?, ?, COALESCE(MAX(seq), 0), 0 FROM outbox WHERE shard = ?`, consumer, shard, shard); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("register outbox consumer %s: %w", consumer, err)
	}
	return nil
}

// Forget removes consumer; what only it had not passed may be trimmed.
func (o *Outbox) Forget(ctx context.Context, consumer string) error {
	err := o.db.Update(ctx, func(tx *Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM outbox_cursor WHERE consumer = ?`, consumer)
		return err
	})
	if err != nil {
		return fmt.Errorf("forget outbox consumer %s: %w", consumer, err)
	}
	return nil
}

// Cursor returns where consumer stands in shard; the zero Cursor, the oldest row there is, when it is not known.
func (o *Outbox) Cursor(ctx context.Context, consumer string, shard int) (Cursor, error) {
	var c Cursor
	err := o.db.QueryRow(ctx, `SELECT seq, idx FROM outbox_cursor WHERE consumer = ? AND shard = ?`, consumer, shard).Scan(&c.Seq, &c.Idx)
	if err != nil && !errors.Is(err, ErrNoRows) {
		return Cursor{}, fmt.Errorf("outbox cursor of %s: %w", consumer, err)
	}
	return c, nil
}

// SaveCursor stores where consumer stands in shard, through the group commit, and returns when it is durable. Saving for
// an unknown consumer registers it for this shard.
func (o *Outbox) SaveCursor(ctx context.Context, consumer string, shard int, c Cursor) error {
	u := &Unit{Device: cursorStream(consumer, shard), Ops: []Op{o.CursorOp(consumer, shard, c)}}
	if err := o.db.Do(ctx, u); err != nil {
		return fmt.Errorf("save outbox cursor of %s: %w", consumer, err)
	}
	return nil
}

// CursorOp is SaveCursor as an operation of the caller's own unit: what the consumer stores and its progress are then one.
func (o *Outbox) CursorOp(consumer string, shard int, c Cursor) Op {
	return saveCursor.Op(consumer, shard, c.Seq, c.Idx)
}

// cursorStream is a negative stream number, so that the cursors of different consumers need not wait for each other, as
// units of one device would.
func cursorStream(consumer string, shard int) int64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(consumer)) // a hash's Write never fails
	return -1 - int64(h.Sum32())*Shards - int64(shard)
}

// Trim deletes the rows that every registered consumer has passed and returns how many; call it every few seconds. Without a
// consumer nothing is deleted.
func (o *Outbox) Trim(ctx context.Context) (int64, error) {
	var deleted int64
	err := o.db.Update(ctx, func(tx *Tx) error {
		passed, err := passed(ctx, tx)
		if err != nil || len(passed) == 0 {
			return err
		}
		deleted, err = o.deletePassed(ctx, tx, passed)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("trim outbox: %w", err)
	}
	return deleted, nil
}

// passed returns for each shard the seq that all its consumers have passed.
func passed(ctx context.Context, tx *Tx) (map[int]int64, error) {
	rows, err := tx.Query(ctx, `SELECT shard, MIN(seq) FROM outbox_cursor GROUP BY shard HAVING MIN(seq) > 0`)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err tells
	m := make(map[int]int64)
	for rows.Next() {
		var shard int
		var seq int64
		if err := rows.Scan(&shard, &seq); err != nil {
			return nil, err
		}
		m[shard] = seq
	}
	return m, rows.Err()
}

// deletePassed runs one DELETE a shard on PostgreSQL, whose key starts with the shard, and one for all on SQLite, whose
// rows lie in the order of seq.
func (o *Outbox) deletePassed(ctx context.Context, tx *Tx, passed map[int]int64) (int64, error) {
	if o.db.Dialect() == Postgres {
		var deleted int64
		for shard, seq := range passed {
			res, err := tx.Exec(ctx, `DELETE FROM outbox WHERE shard = ? AND seq <= ?`, shard, seq)
			if err != nil {
				return deleted, err
			}
			n, _ := res.RowsAffected() // never fails, see Tx.Exec
			deleted += n
		}
		return deleted, nil
	}
	q := `DELETE FROM outbox WHERE seq <= ? AND seq <= CASE shard`
	args := []any{int64(0)}
	for shard, seq := range passed {
		q += ` WHEN ? THEN ?`
		args = append(args, shard, seq)
		args[0] = max(args[0].(int64), seq)
	}
	res, err := tx.Exec(ctx, q+` ELSE 0 END`, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}
