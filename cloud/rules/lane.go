package rules

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// lane is the queue of one action in one shard. It is worked off by at most one goroutine, which exists while there is
// something to do: that keeps the order. A sink that takes batches may let records wait for company: then a timer stands
// for the goroutine until the batch is full or the oldest record has waited for Sink.Linger.
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
	from   store.Cursor // where it begins when nothing is in queue; its place in the outbox while behind
	hold   *row         // kept open until the cursor is stored
	linger *time.Timer  // runs while the queue waits for company; nil until the sink first asked for that
	due    bool         // what is in the queue has waited long enough
	ended  bool         // the action was deleted
	past   store.Cursor // records before it were delivered before they were handed out here
}

// item is a record in a lane.
type item struct {
	row    *row
	at     store.Cursor // where the record is
	record Record
	size   int
}

func before(a, b store.Cursor) bool { return a.Seq < b.Seq || a.Seq == b.Seq && a.Idx < b.Idx }

// offerLocked takes a record that was read from the outbox.
func (ln *lane) offerLocked(it item) {
	if ln.ended || before(it.at, ln.past) {
		return
	}
	ln.action.books.queue(1)
	cfg := &ln.shard.rules.cfg
	switch {
	case ln.behind:
		return
	case len(ln.queue) >= cfg.LaneRecords || ln.bytes >= cfg.LaneBytes:
		ln.behind, ln.from, ln.hold = true, it.at, it.row
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

// lingerLocked tells whether the queue is to wait for company, and starts the clock when that begins.
func (ln *lane) lingerLocked(begin bool) bool {
	sink := ln.action.sink()
	d := sink.Linger()
	if d <= 0 || ln.due || ln.busy || len(ln.queue) >= sink.MaxBatch() {
		return false
	}
	switch {
	case ln.linger == nil:
		ln.linger = time.AfterFunc(d, ln.lingered)
	case begin:
		ln.linger.Reset(d)
	}
	return true
}

// lingered is called when the queue has waited long enough, or by a clock that was started for records that went with a
// full batch meanwhile: then those behind them go a little early.
func (ln *lane) lingered() {
	ln.shard.mu.Lock()
	defer ln.shard.mu.Unlock()
	if len(ln.queue) == 0 || ln.ended || ln.shard.ctx.Err() != nil { // Run does not start anybody once it waits for all
		return
	}
	ln.due = true
	ln.wakeLocked()
}

// wakeLocked sees to it that somebody works.
func (ln *lane) wakeLocked() {
	if ln.busy {
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
		if err != nil { // ctx ended: what is not done is read again by the next Run
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
	most := max(ln.action.sink().MaxBatch(), 1)
	if len(ln.queue) < most && !ln.due {
		if ln.busy = false; ln.lingerLocked(true) {
			return nil, false, true
		}
		ln.busy = true
	}
	n := min(len(ln.queue), most)
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
	records := make([]Record, len(batch))
	for i := range batch {
		records[i] = batch[i].record
	}
	for try := 1; ; try++ {
		err := ln.send(ctx, records)
		if err != nil && errors.Is(err, ErrPermanent) && len(batch) == 1 {
			err = ln.bury(ctx, &records[0], err)
		}
		if err == nil {
			ln.settle(batch)
			return nil
		}
		if ctx.Err() != nil {
			if ln.action.ctx.Err() != nil {
				ln.settle(batch) // the action was deleted
			}
			return ctx.Err()
		}
		if try >= freshTries || errors.Is(err, ErrPermanent) {
			return ln.fallBehind(batch)
		}
		sleep(ctx, ln.pause(try, err))
	}
}

// settle lets the shard go on without batch.
func (ln *lane) settle(batch []item) {
	ln.shard.mu.Lock()
	defer ln.shard.mu.Unlock()
	for i := range batch {
		ln.shard.closeLocked(batch[i].row)
	}
}

// fallBehind puts batch back, so that the lane goes on from the outbox with it.
func (ln *lane) fallBehind(batch []item) error {
	ln.shard.mu.Lock()
	defer ln.shard.mu.Unlock()
	ln.behind = true
	ln.queue = append(batch, ln.queue...)
	for i := range batch {
		ln.bytes += batch[i].size
	}
	if ln.ended {
		ln.letGoLocked()
	}
	return nil
}

// send tries once and keeps the books.
func (ln *lane) send(ctx context.Context, records []Record) error {
	r, a := ln.shard.rules, ln.action
	err := a.sink().Send(ctx, records)
	if err == nil {
		if a.books.deliver(len(records)) {
			r.Deps.Log.Info("rule action works again", "rule", a.rule, "action", a.id, "sink", a.kind)
		}
		r.metrics.delivered.WithLabelValues(a.kind).Add(float64(len(records)))
		return nil
	}
	if ctx.Err() != nil {
		return err
	}
	r.metrics.retries.WithLabelValues(a.kind).Inc()
	if a.books.fail(err, r.now()) {
		r.Deps.Log.Warn("rule action fails", "rule", a.rule, "action", a.id, "sink", a.kind, "topic", records[0].Topic,
			"message_id", records[0].MessageID, "err", err)
	}
	return err
}

// pause is how long to wait after the n-th failure in a row.
func (ln *lane) pause(n int, err error) time.Duration {
	cfg := &ln.shard.rules.cfg
	d := cfg.RetryMax
	if shift := n - 1; shift < 30 {
		d = min(cfg.RetryMin<<shift, cfg.RetryMax)
	}
	var after RetryAfter
	if errors.As(err, &after) {
		d = min(max(d, after.RetryAfter()), max(cfg.RetryMax, time.Minute))
	}
	return d/2 + rand.N(d/2+1)
}

// persist tries something on the store until it succeeds or ctx ends.
func (ln *lane) persist(ctx context.Context, what string, f func() error) error {
	for n := 1; ; n++ {
		err := f()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		ln.shard.rules.Deps.Log.Warn("rules cannot write to the store, trying again", "what", what, "action", ln.action.id, "err", err)
		sleep(ctx, ln.pause(n, nil))
	}
}
