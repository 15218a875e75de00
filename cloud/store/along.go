package store

import (
	"context"
	"sync/atomic"
)

// rider is what goes along with the changes of a context.
type rider struct {
	ops  func() []Op
	rode atomic.Bool // a transaction with ops has been committed
}

type riderKey struct{}

// Along returns a context whose change takes ops into its transaction: an entry of a log, for one, that must be there if and
// only if the change is. What ops returns is asked for in the transaction itself, each time that it is tried, after everything
// else in it; it must be quick and may be nothing. When a transaction that it was part of has been committed, later ones of the
// context go without, and rode tells so.
//
// It holds for Update, Do and SubmitFor. Submit, which devices' messages take, knows no context and carries nothing.
func Along(ctx context.Context, ops func() []Op) (with context.Context, rode func() bool) {
	r := &rider{ops: ops}
	return context.WithValue(ctx, riderKey{}, r), r.rode.Load
}

// riderOf is what is to go along with the next change of ctx; nil when nothing is.
func riderOf(ctx context.Context) *rider {
	r, _ := ctx.Value(riderKey{}).(*rider)
	if r == nil || r.rode.Load() {
		return nil
	}
	return r
}

// update runs fn and what goes along with it as one transaction of e.
func (r *rider) update(ctx context.Context, e engine, fn func(tx *Tx) error) error {
	if r == nil {
		return e.update(ctx, fn)
	}
	n := 0
	err := e.update(ctx, func(tx *Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		ops := r.ops()
		n = len(ops)
		for _, op := range ops {
			if _, err := tx.Exec(ctx, op.Stmt.sql, op.Args...); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && n > 0 {
		r.rode.Store(true)
	}
	return err
}

// SubmitFor is Submit for a unit that ctx causes: what goes along with ctx (see Along) becomes a part of it.
func (db *DB) SubmitFor(ctx context.Context, u *Unit) {
	if r := riderOf(ctx); r != nil {
		if ops := r.ops(); len(ops) > 0 {
			u.Ops = append(u.Ops[:len(u.Ops):len(u.Ops)], ops...)
			done := u.Done
			u.Done = func(err error) {
				if err == nil {
					r.rode.Store(true)
				}
				done(err)
			}
		}
	}
	db.Submit(u)
}
