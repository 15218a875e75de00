package rules

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/cloud/monitor"
	"github.com/hawser-iot/hawser/cloud/store"
)

// shard hands the records of one shard of the outbox to the lanes of the actions, while this node holds the lease on it.
type shard struct {
	rules   *Rules
	number  int
	workers sync.WaitGroup // the lanes' goroutines
	seen    int64          // the shard's newest row when it was last read to its end; of distribute alone

	mu     sync.Mutex // guards the fields below and the lanes of this shard
	epoch  int64      // of the lease; 0 when another node delivers, or nobody
	ctx    context.Context
	cancel context.CancelFunc
	read   int64          // seq of the row that was handed out last
	rows   []*row         // handed out and not yet done, in order, and those done behind one that is not
	done   int64          // every row up to this one is done, or the lanes that lack it have cursors of their own
	saved  int64          // done as it is stored
	lanes  map[*lane]bool // those that have had something to do
	bytes  int64          // read since the delivery began, or since the place of the lane that was furthest behind
	marks  []mark
}

// row is a row of the outbox, done when open is 0: each of its records is delivered, dead, dropped, or left to a lane
// that is behind and has its own stored cursor.
type row struct {
	seq  int64
	open int
}

// readRows is how many rows are read at once.
const readRows = 64

// held is the epoch of this node's lease, 0 when it has none.
func (s *shard) held() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epoch
}

// begin starts to deliver under a new lease: from the stored place, with the actions that are behind at theirs. When it cannot, the
// lease stays unused.
func (s *shard) begin(ctx context.Context, epoch int64) error {
	r := s.rules
	at, err := r.outbox.Cursor(ctx, consumer, s.number)
	if err != nil {
		return fmt.Errorf("rules: %w", err)
	}
	cursors, err := r.knownCursors(ctx, s.number)
	if err != nil {
		return err
	}
	log, err := r.readBacklog(ctx, s.number, cursors, at.Seq)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ctx, s.cancel = context.WithCancel(ctx)
	s.epoch, s.read, s.done, s.saved, s.rows = epoch, at.Seq, at.Seq, at.Seq, nil
	s.lanes, s.bytes, s.marks = make(map[*lane]bool), log.bytes, log.marks
	set := r.set.Load()
	for i, c := range cursors {
		if a := set.action(c.action); a != nil {
			a.lanes[s.number].resumeLocked(c.at, log.waiting[i].n, log.waiting[i].bytes)
		}
	}
	r.keeper.held.Add(1)
	select {
	case r.again <- struct{}{}:
	default:
	}
	return nil
}

// lose ends the deliveries of a shard that turned out to be another node's; end does the rest.
func (s *shard) lose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancel != nil {
		s.cancel()
	}
}

// end ends the delivery of a shard and forgets what was in memory.
func (s *shard) end() {
	s.lose()
	s.workers.Wait() // nobody starts any more
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch == 0 {
		return
	}
	for ln := range s.lanes {
		ln.resetLocked()
	}
	s.epoch, s.lanes, s.rows, s.marks = 0, nil, nil, nil
	s.rules.keeper.held.Add(-1)
}

// yield ends the delivery of a shard, saves how far it got, and gives the lease back.
func (s *shard) yield(ctx context.Context) {
	s.lose()
	s.workers.Wait()
	s.mu.Lock()
	epoch, done, saved := s.epoch, s.done, s.saved
	s.mu.Unlock()
	if epoch == 0 {
		return
	}
	r := s.rules
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	var err error
	if done != saved {
		err = r.Deps.Store.Do(ctx, &store.Unit{Ops: []store.Op{r.outbox.MoveOp(consumer, s.number, store.Cursor{Seq: done}, epoch)}})
	}
	s.end()
	if err == nil {
		err = r.outbox.Yield(ctx, consumer, s.number, store.Lease{Node: r.keeper.node, Epoch: epoch})
	}
	if err != nil {
		r.Deps.Log.Warn("progress of the rules not saved, records will be delivered twice", "shard", s.number, "err", err)
	}
}

// dispatch hands out one row that was read under the lease with that epoch. It never blocks: a lane that is full falls behind.
func (s *shard) dispatch(set *set, out *store.OutRow, epoch int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch != epoch || s.ctx.Err() != nil {
		return
	}
	r := &row{seq: out.Seq, open: 1} // open until all is handed out
	s.rows = append(s.rows, r)
	before, bytes := s.read, int64(0)
	s.read = out.Seq
	for i, b := range out.Records {
		bytes += int64(len(b))
		rec, err := ParseRecord(b)
		if err != nil {
			s.rules.metrics.damaged.Inc()
			s.rules.Deps.Log.Error("outbox record dropped", "shard", s.number, "seq", out.Seq, "err", err)
			continue
		}
		a := set.action(rec.Action)
		if a == nil {
			s.rules.metrics.orphaned.WithLabelValues(dropNotFound).Inc()
			continue
		}
		a.lanes[s.number].offerLocked(item{row: r, at: store.Cursor{Seq: before, Idx: int64(i)}, record: rec, size: len(b)})
		s.rules.show(set, &rec)
	}
	s.readLocked(out.Seq, bytes)
	s.closeLocked(r)
}

// closeLocked takes one open record off a row.
func (s *shard) closeLocked(r *row) {
	r.open--
	for len(s.rows) > 0 && s.rows[0].open == 0 {
		s.done = s.rows[0].seq
		s.rows[0] = nil
		s.rows = s.rows[1:]
	}
}

// show lets people who watch see that a rule fired, once for all of its actions.
func (r *Rules) show(set *set, rec *Record) {
	if r.Deps.Feed == nil || !r.Deps.Feed.Watched() {
		return
	}
	a := set.action(rec.Action)
	if a == nil {
		return
	}
	c := set.rule(a.rule)
	if c == nil || c.actions[0] != a {
		return
	}
	r.Deps.Feed.Publish(monitor.Event{Time: rec.Time, Type: monitor.TypeRule, Product: rec.Device.Product, Device: rec.Device.SN,
		Topic: rec.Topic, MessageID: rec.MessageID, Data: ruleEvent(c, rec.Result)})
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
