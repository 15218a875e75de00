package store

import (
	"context"
	"errors"
	"fmt"
)

// Lease is the right to deliver what a shard holds. Epoch rises each time that somebody takes it, and operations made with
// Fence end with ErrConflict once somebody else has.
type Lease struct {
	Node  string // "" when nobody holds it
	Epoch int64
}

var (
	fenceLease = NewStmt(`UPDATE outbox_cursor SET epoch = epoch WHERE consumer = ? AND shard = ? AND epoch = ?`)
	moveCursor = NewStmt(`UPDATE outbox_cursor SET seq = ?, idx = ? WHERE consumer = ? AND shard = ? AND epoch = ?`)
	dropCursor = NewStmt(`DELETE FROM outbox_cursor WHERE consumer = ? AND shard = ?`)
)

// Leases returns who holds consumer's shards.
func (o *Outbox) Leases(ctx context.Context, consumer string) (leases [Shards]Lease, err error) {
	rows, err := o.db.Query(ctx, `SELECT shard, node, epoch FROM outbox_cursor WHERE consumer = ?`, consumer)
	if err != nil {
		return leases, fmt.Errorf("read outbox leases: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var (
			shard int
			l     Lease
		)
		if err := rows.Scan(&shard, &l.Node, &l.Epoch); err != nil {
			return leases, fmt.Errorf("read outbox leases: %w", err)
		}
		if shard >= 0 && shard < Shards {
			leases[shard] = l
		}
	}
	return leases, nil
}

// Claim takes the lease of a shard for node, from whoever had it when it was have, and returns the new one. When somebody was
// faster the error is ErrConflict.
func (o *Outbox) Claim(ctx context.Context, consumer string, shard int, node string, have Lease) (Lease, error) {
	next := Lease{Node: node, Epoch: have.Epoch + 1}
	return next, o.swap(ctx, consumer, shard, next, have)
}

// Yield gives a lease back, so that the next one need not wait. When it was lost already the error is ErrConflict.
func (o *Outbox) Yield(ctx context.Context, consumer string, shard int, have Lease) error {
	return o.swap(ctx, consumer, shard, Lease{Epoch: have.Epoch + 1}, have)
}

func (o *Outbox) swap(ctx context.Context, consumer string, shard int, next, have Lease) error {
	err := o.db.Update(ctx, func(tx *Tx) error {
		res, err := tx.Exec(ctx, `UPDATE outbox_cursor SET node = ?, epoch = ? WHERE consumer = ? AND shard = ? AND node = ? AND epoch = ?`,
			next.Node, next.Epoch, consumer, shard, have.Node, have.Epoch)
		if err != nil {
			return err
		}
		if n, _ := res.RowsAffected(); n != 1 { // never fails, see Tx.Exec
			return ErrConflict
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("lease of outbox shard %d: %w", shard, err)
	}
	return nil
}

// Fence is an operation to begin a unit with: the unit is stored only while the lease with that epoch is held.
func (o *Outbox) Fence(consumer string, shard int, epoch int64) Op {
	return fenceLease.Guard(consumer, shard, epoch)
}

// MoveOp is CursorOp for the holder of the lease with that epoch: it guards the unit as Fence does.
func (o *Outbox) MoveOp(consumer string, shard int, c Cursor, epoch int64) Op {
	return moveCursor.Guard(c.Seq, c.Idx, consumer, shard, epoch)
}

// Beat says that node lives.
func (o *Outbox) Beat(ctx context.Context, node string) error {
	err := o.db.Update(ctx, func(tx *Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO outbox_node (node, beat) VALUES (?, 1) ON CONFLICT (node) DO UPDATE SET beat = outbox_node.beat + 1`, node)
		return err
	})
	if err != nil {
		return fmt.Errorf("outbox node %s: %w", node, err)
	}
	return nil
}

// Beats returns how often each node has said so. Who wants to know whether one lives looks whether its number rises: that needs
// no clock that nodes agree on.
func (o *Outbox) Beats(ctx context.Context) (beats map[string]int64, err error) {
	rows, err := o.db.Query(ctx, `SELECT node, beat FROM outbox_node`)
	if err != nil {
		return nil, fmt.Errorf("read outbox nodes: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	beats = make(map[string]int64)
	for rows.Next() {
		var (
			node string
			beat int64
		)
		if err := rows.Scan(&node, &beat); err != nil {
			return nil, fmt.Errorf("read outbox nodes: %w", err)
		}
		beats[node] = beat
	}
	return beats, nil
}

// Leave takes node off the list, unless it has said that it lives since beat was read (0: in any case).
func (o *Outbox) Leave(ctx context.Context, node string, beat int64) error {
	err := o.db.Update(ctx, func(tx *Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM outbox_node WHERE node = ? AND (beat = ? OR ? = 0)`, node, beat, beat)
		return err
	})
	if err != nil {
		return fmt.Errorf("outbox node %s: %w", node, err)
	}
	return nil
}

// Refresh looks for rows that other nodes have added, so that Heads tells of them. On SQLite there are no others.
func (o *Outbox) Refresh(ctx context.Context) error {
	if o.db.Dialect() != Postgres {
		return nil
	}
	heads, err := o.db.engine.heads(ctx)
	if err != nil {
		return fmt.Errorf("read outbox heads: %w", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for s := range heads {
		o.tail.last[s] = max(o.tail.last[s], heads[s])
	}
	return nil
}

// SaveLeased is SaveCursor of a second consumer, for the holder of owner's lease on the shard with that epoch; ErrConflict when it is
// lost.
func (o *Outbox) SaveLeased(ctx context.Context, owner string, epoch int64, consumer string, shard int, c Cursor) error {
	ops := []Op{o.Fence(owner, shard, epoch), o.CursorOp(consumer, shard, c)}
	if err := o.db.Do(ctx, &Unit{Device: cursorStream(consumer, shard), Ops: ops}); err != nil {
		return fmt.Errorf("save outbox cursor of %s: %w", consumer, err)
	}
	return nil
}

// ForgetLeased removes such a cursor.
func (o *Outbox) ForgetLeased(ctx context.Context, owner string, epoch int64, consumer string, shard int) error {
	ops := []Op{o.Fence(owner, shard, epoch), dropCursor.Op(consumer, shard)}
	if err := o.db.Do(ctx, &Unit{Device: cursorStream(consumer, shard), Ops: ops}); err != nil {
		return fmt.Errorf("forget outbox consumer %s: %w", consumer, err)
	}
	return nil
}
