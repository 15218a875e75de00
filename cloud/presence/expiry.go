package presence

import (
	"context"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// What is left of a persistent session is its row's subscriptions, its queue, its receipts and its origins. They go when its expiry has passed: at
// once where the engine knows of it, else with Trim.
var (
	endRow = store.NewStmt(`UPDATE session SET persistent = 0, subs = NULL WHERE device = ? AND epoch = ? AND persistent = 1`)
	setEnd = store.NewStmt(`UPDATE session SET expiry = ? WHERE device = ? AND epoch = ?`)
)

// SetExpiry changes how long a persistent session outlives its connection, as a DISCONNECT may; 0 ends it. It does not wait for the
// store.
func (p *Presence) SetExpiry(s *Session, seconds uint32) {
	if !s.persistent || seconds == s.expiry {
		return
	}
	if seconds == 0 {
		p.Expire(s)
		return
	}
	p.submit(s, store.Op{Stmt: setEnd, Want: 1, Args: []any{int64(seconds), s.Device.ID, s.Epoch}})
}

// Expire forgets a persistent session that is over, unless the device has come back. It does not wait for the store.
func (p *Presence) Expire(s *Session) {
	id := s.Device.ID
	if !s.persistent {
		return
	}
	p.submit(s, store.Op{Stmt: endRow, Want: 1, Args: []any{id, s.Epoch}}, store.Op{Stmt: dropQueue, Want: -1, Args: []any{id}},
		store.Op{Stmt: dropReceipts, Want: -1, Args: []any{id}}, store.Op{Stmt: dropOrigins, Want: -1, Args: []any{id}})
}

func (p *Presence) submit(s *Session, ops ...store.Op) {
	p.Store.Submit(&store.Unit{Device: s.Device.ID, Ops: ops, Done: func(err error) {
		if err != nil { // a newer session has the row, or Trim has to do it
			p.Log.Debug("end of a session not stored", "device", s.Device.Identity, "err", err)
		}
	}})
}

// expired are the sessions that have outlived their expiry.
const expired = `persistent = 1 AND online = 0 AND ended_at <> 0 AND expiry <> ? AND ended_at + 1000 * expiry <= ?`

// Trim forgets what is left of persistent sessions whose expiry has passed, and returns how many there were.
func (p *Presence) Trim(ctx context.Context, now time.Time) (removed int, err error) {
	never, ms := int64(server.NoExpiry), now.UnixMilli()
	err = p.Store.Update(ctx, func(tx *store.Tx) error {
		for _, table := range []string{"queue", "receipt", "origin"} {
			_, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE device IN (SELECT device FROM session WHERE `+expired+`)`, never, ms)
			if err != nil {
				return err
			}
		}
		r, err := tx.Exec(ctx, `UPDATE session SET persistent = 0, subs = NULL WHERE `+expired, never, ms)
		if err != nil {
			return err
		}
		n, err := r.RowsAffected()
		removed = int(n)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("forget expired sessions: %w", err)
	}
	return removed, nil
}
