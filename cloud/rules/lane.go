package rules

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// lane is the queue of one action in one shard. It is worked off by at most one goroutine, which exists while there is
// something to do: that keeps the order. A sink that takes batches may let records wait for company: then a timer stands
// for the goroutine until the batch is full or the oldest record has waited long enough.
//
// While the sink keeps up, records come from memory. When it fails, or the queue is full, the lane falls behind: it
// stores a cursor of its own, gives up its memory, and reads the outbox itself until it has caught up with the shard.
type lane struct {
	action *action
	shard  *shard

	// Guarded by shard.mu.
	queue  []item
	bytes  int
	busy   bool         // a goroutine works
	behind bool         // records are left to the goroutine, which reads them from the outbox
	from   store.Cursor // where it begins when nothing is in queue
	place  store.Cursor // how far it has got while behind
	hold   *row         // kept open until the cursor is stored
	linger *time.Timer  // runs while the queue waits for company; nil until the sink first asked for that
	due    bool         // what is in the queue has waited long enough
	ended  bool         // the action was deleted
	past   store.Cursor // records before it were delivered before they were handed out here

	room room // whether it has to give up what is oldest
}

// item is a record in a lane.
type item struct {
	row    *row
	at     store.Cursor // where the record is
	record Record
	size   int // in the outbox
}

func before(a, b store.Cursor) bool { return a.Seq < b.Seq || a.Seq == b.Seq && a.Idx < b.Idx }

// offerLocked takes a record that was read from the outbox.
func (ln *lane) offerLocked(it item) {
	if ln.ended || before(it.at, ln.past) {
		return
	}
	ln.shard.lanes[ln] = true
	ln.action.arrive(waiting{ln.shard.number, ln.behind, 1, int64(it.size)})
	cfg := &ln.shard.rules.cfg
	switch {
	case ln.behind:
		return
	case len(ln.queue) >= cfg.LaneRecords || ln.bytes >= cfg.LaneBytes:
		ln.fallBehindLocked()
		ln.from, ln.place, ln.hold = it.at, it.at, it.row
		it.row.open++
		ln.wakeLocked() // the queue may have been waiting for company
		return
	}
	it.row.open++
	ln.queue = append(ln.queue, it)
	ln.bytes += it.size
	if !ln.lingerLocked(len(ln.queue) == 1) {
		ln.wakeLocked()
	}
}

func (ln *lane) fallBehindLocked() {
	ln.behind = true
	ln.action.books.behind(ln.shard.number)
}

// lingerLocked tells whether the queue is to wait for company, and starts the clock when that begins.
func (ln *lane) lingerLocked(begin bool) bool {
	v := ln.action.service()
	if v.linger <= 0 || ln.due || ln.busy || ln.fillLocked(v) < len(ln.queue) || len(ln.queue) >= v.count {
		return false
	}
	switch {
	case ln.linger == nil:
		ln.linger = time.AfterFunc(v.linger, ln.lingered)
	case begin:
		ln.linger.Reset(v.linger)
	}
	return true
}

// fillLocked is how many of the queue fit into a batch.
func (ln *lane) fillLocked(v *service) int {
	n, bytes := 0, int64(0)
	for n < min(len(ln.queue), v.count) {
		bytes += int64(len(ln.queue[n].record.Result))
		if n > 0 && v.bytes > 0 && bytes > v.bytes {
			break
		}
		n++
	}
	return n
}

// lingered is called when the queue has waited long enough, or by a clock that was started for records that went with a
// full batch meanwhile: then those behind them go a little early.
func (ln *lane) lingered() {
	ln.shard.mu.Lock()
	defer ln.shard.mu.Unlock()
	if len(ln.queue) == 0 || ln.ended {
		return
	}
	ln.due = true
	ln.wakeLocked()
}

// wakeLocked sees to it that somebody works, unless the shard's delivery has ended.
func (ln *lane) wakeLocked() {
	if ln.busy || ln.shard.ctx.Err() != nil {
		return
	}
	ln.busy = true
	ctx, cancel := context.WithCancel(ln.shard.ctx)
	stop := context.AfterFunc(ln.action.ctx, cancel)
	ln.shard.workers.Go(func() {
		defer cancel()
		defer stop()
		ln.work(ctx)
	})
}

// letGoLocked gives up the records in memory.
func (ln *lane) letGoLocked() {
	for i := range ln.queue {
		ln.shard.closeLocked(ln.queue[i].row)
	}
	ln.queue, ln.bytes = nil, 0
	if ln.hold != nil {
		ln.shard.closeLocked(ln.hold)
		ln.hold = nil
	}
}

// resetLocked forgets everything, when another node delivers from here on or nobody does. Nobody works any more.
func (ln *lane) resetLocked() {
	if ln.linger != nil {
		ln.linger.Stop()
	}
	ln.action.forget(ln.shard.number)
	ln.queue, ln.bytes, ln.busy, ln.behind, ln.due, ln.hold, ln.linger = nil, 0, false, false, false, nil, nil
	ln.from, ln.place, ln.past = store.Cursor{}, store.Cursor{}, store.Cursor{}
	ln.room.set(0, 1)
}

// resumeLocked goes on from a stored place, before which n records of so many bytes wait.
func (ln *lane) resumeLocked(at store.Cursor, n int, bytes int64) {
	ln.shard.lanes[ln] = true
	ln.behind, ln.from, ln.place, ln.past = true, at, at, at
	ln.action.arrive(waiting{ln.shard.number, true, n, bytes})
	ln.wakeLocked()
}

// work delivers until nothing is left or ctx ends.
func (ln *lane) work(ctx context.Context) {
	for {
		batch, behind, idle := ln.next()
		var err error
		switch {
		case idle:
			return
		case behind:
			err = ln.catchUp(ctx)
		default:
			err = ln.deliverFresh(ctx, batch)
		}
		if err != nil { // ctx ended: what is not done is read again by whoever delivers next
			return
		}
	}
}

// next takes a batch from the queue.
func (ln *lane) next() (batch []item, behind, idle bool) {
	ln.shard.mu.Lock()
	defer ln.shard.mu.Unlock()
	switch {
	case ln.ended:
		ln.busy = false
		return nil, false, true
	case ln.behind:
		if len(ln.queue) > 0 {
			ln.from = ln.queue[0].at
		}
		return nil, true, false
	case len(ln.queue) == 0:
		ln.busy, ln.queue = false, nil
		return nil, false, true
	}
	ln.busy = false
	if ln.lingerLocked(true) {
		return nil, false, true
	}
	ln.busy = true
	n := ln.fillLocked(ln.action.service())
	ln.due = ln.due && len(ln.queue) > n
	batch = append(batch, ln.queue[:n]...)
	clear(ln.queue[:n])
	ln.queue = ln.queue[n:]
	for i := range batch {
		ln.bytes -= batch[i].size
	}
	return batch, false, false
}

// freshTries is how often a record is tried from memory before the lane falls behind.
const freshTries = 2

// deliverFresh delivers a batch from memory. What goes wrong more than once makes the lane fall behind, which then sees to it.
func (ln *lane) deliverFresh(ctx context.Context, batch []item) error {
	all := make([]parcel, len(batch))
	for i := range batch {
		all[i] = parcel{record: batch[i].record, size: batch[i].size}
	}
	p := pack{lane: ln, parcels: all}
	for try := 1; ; try++ {
		if p.expire(); len(p.parcels) == 0 {
			break
		}
		if ln.action.breaker.open() {
			return ln.fallBehind(batch, len(p.parcels))
		}
		err := p.send(ctx, nil)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			if ln.action.ctx.Err() != nil {
				ln.settle(batch) // the action was deleted
			}
			return ctx.Err()
		}
		if errors.Is(err, ErrPermanent) && len(p.parcels) == 1 {
			if err := p.giveUp(ctx, err); err != nil {
				return err
			}
			break
		}
		if try >= freshTries || errors.Is(err, ErrPermanent) {
			return ln.fallBehind(batch, len(p.parcels))
		}
		sleep(ctx, ln.shard.rules.cfg.pause(try, err))
	}
	ln.settle(batch)
	return nil
}

// passed notes how far a lane that is behind has got.
func (ln *lane) passed(at store.Cursor) {
	ln.shard.mu.Lock()
	defer ln.shard.mu.Unlock()
	ln.place = at
}

// settle lets the shard go on without batch.
func (ln *lane) settle(batch []item) {
	ln.shard.mu.Lock()
	defer ln.shard.mu.Unlock()
	for i := range batch {
		ln.shard.closeLocked(batch[i].row)
	}
}

// fallBehind puts the last n of a batch back, the others being settled, so that the lane goes on from the outbox with them.
func (ln *lane) fallBehind(batch []item, n int) error {
	ln.settle(batch[:len(batch)-n])
	batch = batch[len(batch)-n:]
	ln.shard.mu.Lock()
	defer ln.shard.mu.Unlock()
	ln.fallBehindLocked()
	ln.queue = append(batch, ln.queue...)
	ln.place = ln.queue[0].at
	for i := range batch {
		ln.bytes += batch[i].size
	}
	if ln.ended {
		ln.letGoLocked()
	}
	return nil
}

// persist tries something on the store until it succeeds or ctx ends. When the shard is another node's meanwhile, ctx ends.
func (ln *lane) persist(ctx context.Context, what string, f func() error) error {
	r := ln.shard.rules
	for n := 1; ; n++ {
		err := f()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, store.ErrConflict):
			ln.shard.lose()
			return fmt.Errorf("%s: %w", what, err)
		}
		r.Deps.Log.Warn("rules cannot write to the store, trying again", "what", what, "action", ln.action.id, "err", err)
		sleep(ctx, r.cfg.pause(n, nil))
	}
}
