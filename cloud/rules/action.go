package rules

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/hawser-iot/hawser/cloud/store"
)

// Role says what an action is for.
type Role uint8

// The roles of actions. The numbers are stored.
const (
	RoleAction   Role = 0 // gets each output of its rule
	RoleError    Role = 1 // gets an Envelope of each record that another action of its rule gives up
	RoleFallback Role = 2 // gets the records that its parent gives up
)

func (r Role) String() string { return [...]string{"action", "errorAction", "fallback"}[r] }

// action is an action in force or one whose records are still delivered. It outlives changes of its rule.
type action struct {
	id, rule int64
	kind     string
	role     Role
	books    books
	breaker  breaker
	letters  letters
	room     room        // of an action that blocks
	blocks   atomic.Bool // it blocks, as this node sees it
	current  atomic.Pointer[service]

	ctx   context.Context // ends when the action is deleted; the one context that is kept, because it is the action's life
	end   context.CancelFunc
	lanes [store.Shards]lane
}

func (a *action) service() *service { return a.current.Load() }

// use replaces the sink and returns the one before, nil for none.
func (a *action) use(s *service) (before *service) { return a.current.Swap(s) }

// retire closes a sink that is in use no longer, though a Send may still be under way in it, or just about to begin: see Sink.Close.
func (r *Rules) retire(a *action, s *service) {
	if s == nil {
		return
	}
	r.closing.Go(func() {
		if err := s.Close(); err != nil {
			r.Deps.Log.Warn("sink not closed", "action", a.id, "err", err)
		}
	})
}

func (a *action) arrive(w waiting)              { a.books.arrive(w) }
func (a *action) forget(shard int)              { a.books.forget(shard) }
func (a *action) delivered(w waiting)           { a.books.deliver(w) }
func (a *action) drop(w waiting, reason string) { a.books.drop(w, reason) }

// laneConsumer is the name of the outbox's cursor of an action that is behind in a shard.
func laneConsumer(action int64, shard int) string {
	return fmt.Sprintf("%s/%d/%d", consumer, action, shard)
}

// parseLaneConsumer is the inverse of laneConsumer.
func parseLaneConsumer(s string) (action int64, shard int, ok bool) {
	parts := strings.Split(s, "/")
	if len(parts) != 3 || parts[0] != consumer {
		return 0, 0, false
	}
	action, err1 := strconv.ParseInt(parts[1], 10, 64)
	shard, err2 := strconv.Atoi(parts[2])
	return action, shard, err1 == nil && err2 == nil && shard >= 0 && shard < store.Shards
}

// endAction ends the delivery for a deleted action and lets go of what waits for it.
func (r *Rules) endAction(ctx context.Context, a *action) {
	for i := range a.lanes {
		ln := &a.lanes[i]
		ln.shard.mu.Lock()
		ln.ended = true
		ln.letGoLocked()
		ln.shard.mu.Unlock()
	}
	r.metrics.orphaned.WithLabelValues(dropStopped).Add(float64(a.books.left()))
	a.end() // last: a goroutine that this stops must find its lane ended
	r.retire(a, a.service())
	r.forgetCursors(context.WithoutCancel(ctx), func(action int64, _ int) bool { return action == a.id })
}

// storedCursor is where an action that is behind stands in a shard.
type storedCursor struct {
	action int64
	shard  int
	at     store.Cursor
}

// laneCursors reads where the actions that are behind stand.
func (r *Rules) laneCursors(ctx context.Context) ([]storedCursor, error) {
	rows, err := r.Deps.Store.Query(ctx, `SELECT consumer, shard, seq, idx FROM outbox_cursor WHERE consumer LIKE 'rules/%'`)
	if err != nil {
		return nil, fmt.Errorf("rules: read cursors: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err below tells
	var list []storedCursor
	for rows.Next() {
		var (
			name string
			c    storedCursor
		)
		if err := rows.Scan(&name, &c.shard, &c.at.Seq, &c.at.Idx); err != nil {
			return nil, fmt.Errorf("rules: read cursors: %w", err)
		}
		if action, shard, ok := parseLaneConsumer(name); ok && shard == c.shard {
			c.action = action
			list = append(list, c)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("rules: read cursors: %w", err)
	}
	return list, nil
}

// forgetCursors removes stored cursors of actions that are behind. One that stays keeps its rows from being trimmed until
// the next start, which removes it.
func (r *Rules) forgetCursors(ctx context.Context, gone func(action int64, shard int) bool) {
	list, err := r.laneCursors(ctx)
	for _, c := range list {
		if err == nil && gone(c.action, c.shard) {
			err = r.outbox.Forget(ctx, laneConsumer(c.action, c.shard))
		}
	}
	if err != nil {
		r.Deps.Log.Warn("cursor of a deleted action not removed", "err", err)
	}
}
