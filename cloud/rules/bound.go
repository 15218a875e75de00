package rules

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sort"
	"sync"

	"github.com/hawser-iot/hawser/cloud/store"
)

// Reasons for which records are dropped.
const (
	dropExpired  = "expired"   // too old by the action's expiresSeconds
	dropFull     = "full"      // no room in the queue and none among the dead letters
	dropStopped  = "stopped"   // the action was deleted while they waited
	dropNotFound = "not_found" // the action was deleted before they were read
	dropDamaged  = "damaged"   // the outbox's bytes make no sense
)

var errFull = errors.New("rules: the target has not kept up: there is no more room for what waits for it")

// room tells whether what waits has become too much. It is full above its bound and has room again below nine tenths of it, so
// that it does not flap.
type room struct {
	mu   sync.Mutex // guards the fields below
	over bool
	wake chan struct{} // closed while over; nil until somebody asked
}

// low is where there is room again.
func low(most int64) int64 { return most / 10 * 9 }

// set says how it is now, and returns whether it is full.
func (r *room) set(used, most int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	over := used > most || r.over && used > low(most)
	switch {
	case over && !r.over && r.wake != nil:
		close(r.wake)
	case !over && r.over:
		r.wake = nil
	}
	r.over = over
	return over
}

// full is closed once there is no more room.
func (r *room) full() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.wake == nil {
		r.wake = make(chan struct{})
		if r.over {
			close(r.wake)
		}
	}
	return r.wake
}

// mark is how many bytes had been read of a shard up to a row, since the delivery of the shard began.
type mark struct{ seq, bytes int64 }

// markEvery is the distance between marks.
const markEvery = 256 << 10

// readLocked notes that a row was read.
func (s *shard) readLocked(seq, bytes int64) {
	s.bytes += bytes
	if n := len(s.marks); n > 0 && s.bytes-s.marks[n-1].bytes < markEvery {
		return
	}
	s.marks = append(s.marks, mark{seq, s.bytes})
	old := sort.Search(len(s.marks), func(i int) bool { return s.marks[i].bytes > s.bytes-2*s.rules.pinMost() })
	s.marks = s.marks[max(old-1, 0):]
}

// pinnedLocked is about how many bytes of the shard a place keeps from being trimmed, whosever records they are.
func (s *shard) pinnedLocked(seq int64) int64 {
	i := sort.Search(len(s.marks), func(i int) bool { return s.marks[i].seq > seq })
	if i == 0 {
		return s.bytes
	}
	return s.bytes - s.marks[i-1].bytes
}

// pinMost is how many bytes of a shard one action may keep from being trimmed.
func (r *Rules) pinMost() int64 { return r.cfg.OutboxBytes / int64(len(r.shards)) }

// over is how many bytes the lane is to give up of what is oldest in it: its action has too much waiting, and does not block, or what it
// lacks keeps too much of the shard from being trimmed. Of the lanes of an action those give up that have no less than the others on
// average: so each keeps its newest, however fast the others are.
func (ln *lane) over() int64 {
	v := ln.action.service()
	used, most := int64(0), ln.shard.rules.queueMost(v)
	if own, all, lanes := ln.action.books.share(ln.shard.number); v.options.WhenFull != Block && own*lanes >= all {
		used = all
	}
	ln.shard.mu.Lock()
	pinned := ln.shard.pinnedLocked(ln.place.Seq)
	if !ln.behind {
		pinned = 0
	}
	ln.shard.mu.Unlock()
	// Of the two bounds the one that is nearer counts.
	if pins := ln.shard.rules.pinMost(); float64(pinned)*float64(most) > float64(used)*float64(pins) {
		used, most = pinned, pins
	}
	if !ln.room.set(used, most) {
		return 0
	}
	return used - low(most)
}

// queueMost is how many bytes may wait for an action in the shards that this node delivers.
func (r *Rules) queueMost(v *service) int64 {
	return v.queue / int64(len(r.shards)) * max(int64(r.keeper.held.Load()), 1)
}

// bound looks at what waits for each action; it is called each second.
func (r *Rules) bound(ctx context.Context) error {
	for _, s := range r.shards {
		s.mu.Lock()
		lanes := make([]*lane, 0, len(s.lanes))
		for ln := range s.lanes {
			if ln.behind {
				lanes = append(lanes, ln)
			}
		}
		s.mu.Unlock()
		for _, ln := range lanes {
			ln.over()
		}
	}
	for _, a := range r.set.Load().actions.all() {
		v := a.service()
		a.blocks.Store(v.options.WhenFull == Block && a.room.set(a.books.bytes(), r.queueMost(v)))
	}
	return r.shareBlocks(ctx)
}

// shareBlocks tells the other nodes which actions take no more, as far as this node delivers them, and learns it from them.
func (r *Rules) shareBlocks(ctx context.Context) error {
	actions := r.set.Load().actions.all()
	told := make(map[int64]bool)
	for id, a := range actions {
		if a.blocks.Load() {
			told[id] = true
		}
	}
	if r.keeper.alone {
		r.blocked.Store(&told)
		return nil
	}
	if !maps.Equal(told, r.told) {
		if err := r.tellBlocks(ctx, told); err != nil {
			return err
		}
		r.told = maps.Clone(told)
	}
	rows, err := r.Deps.Store.Query(ctx, `SELECT DISTINCT action FROM action_full`)
	if err != nil {
		return fmt.Errorf("rules: read who takes no more: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err below tells
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return fmt.Errorf("rules: read who takes no more: %w", err)
		}
		told[id] = true
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("rules: read who takes no more: %w", err)
	}
	r.blocked.Store(&told)
	return nil
}

func (r *Rules) tellBlocks(ctx context.Context, told map[int64]bool) error {
	err := r.Deps.Store.Update(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM action_full WHERE node = ?`, r.keeper.node); err != nil {
			return err
		}
		for id := range told {
			if _, err := tx.Exec(ctx, `INSERT INTO action_full (action, node) VALUES (?, ?)`, id, r.keeper.node); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("rules: tell who takes no more: %w", err)
	}
	return nil
}

// blocks tells whether an action of a rule takes no more.
func (r *Rules) blocks(c *compiled) bool {
	full := *r.blocked.Load()
	if len(full) == 0 {
		return false
	}
	for _, a := range c.actions {
		if full[a.id] {
			return true
		}
	}
	return false
}
