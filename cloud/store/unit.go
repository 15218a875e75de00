package store

import (
	"context"
)

// Op is one statement of a unit.
type Op struct {
	Stmt *Stmt
	Args []any
	// Want is the number of rows that must be affected, -1 for any. Only the first operation of a unit may be conditional
	// in the sense that missing is expected: see Unit.
	Want int64
}

// Unit is everything that one message causes: it is stored whole or not at all.
//
// The first operation may be a guard: when it affects another number of rows than it wants, the rest is not run, the unit
// ends with ErrConflict, and no other unit is harmed. A later operation that misses its Want ends the unit with
// ErrConflict too, but at the price of running the whole batch again without it.
//
// The unit and what it points to belong to the store until Done ran.
type Unit struct {
	// Device is the id of the device that the unit belongs to. Units of one device are committed in the order in which they
	// were submitted; units of different devices in no particular order, so they must not depend on each other's rows.
	// 0 is a stream of its own for units that belong to no device.
	Device int64
	// Epoch, when not 0, must be the epoch of Device's row in the session table, else the unit ends with ErrFenced. An
	// operation may write the session row of its own unit's Device and no other, unless Device is 0.
	Epoch int64
	// Ops run in this order.
	Ops []Op
	// Out are the records for the outbox, stored in the same transaction, in the shard of Device.
	Out [][]byte
	// Patient says that nobody waits for the outcome: as long as only such units come, a commit takes more of them.
	Patient bool
	// Done is called once with the outcome, on the committer's goroutine (or inside Submit after Close). It must not
	// block, nor call Submit, Do or Update.
	Done func(error)
}

// Submit hands u to the committer. It blocks while the queue is full: that is the back-pressure which in the end stops
// reading from the connection. Submit takes u even while the store is unavailable; Done tells.
func (db *DB) Submit(u *Unit) {
	if !db.queue.put(u) {
		u.Done(errClosed)
	}
}

// Do submits u and waits for its outcome; u.Done is used by Do. When ctx ends first, Do returns its error while the unit
// may still be committed. What goes along with ctx is a part of u: see Along.
func (db *DB) Do(ctx context.Context, u *Unit) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	done := make(chan error, 1)
	u.Done = func(err error) { done <- err }
	db.SubmitFor(ctx, u)
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
