package rules

import (
	"context"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/cloud/monitor"
	"github.com/hawser-iot/hawser/cloud/store"
)

// shard hands the records of one shard of the outbox to the lanes of the actions.
type shard struct {
	rules   *Rules
	number  int
	workers sync.WaitGroup // the lanes' goroutines; Run waits for them
	seen    int64          // the shard's newest row when it was last read to its end; of distribute alone

	mu   sync.Mutex // guards the fields below and the lanes of this shard
	ctx  context.Context
	read int64  // seq of the row that was handed out last
	rows []*row // handed out and not yet done, in order, and those done behind one that is not
	done int64  // every row up to this one is done, or the lanes that lack it have cursors of their own

	saved int64 // done as it is stored; of saveProgress alone
}

// row is a row of the outbox, done when open is 0: each of its records is delivered, dead, dropped, or left to a lane
// that is behind and has its own stored cursor.
type row struct {
	seq  int64
	open int
}

// readRows is how many rows are read at once.
const readRows = 64

// distribute hands out rows until ctx ends. One goroutine does it for all shards, because each commit brings rows for most
// of them; it never waits for a sink.
func (r *Rules) distribute(ctx context.Context) {
	pause, force := r.cfg.RetryMin, true
	for ctx.Err() == nil {
		news := r.outbox.News()
		more, err := r.round(ctx, force)
		force = false
		var again <-chan time.Time
		switch {
		case err != nil && ctx.Err() == nil:
			r.Deps.Log.Error("outbox not read, trying again", "err", err)
			again, news, force = time.After(pause), nil, true
			pause = min(2*pause, r.cfg.RetryMax)
		case more:
			continue
		default:
			again, pause = r.poll(), r.cfg.RetryMin
		}
		select {
		case <-news:
		case <-again:
			force = true
		case <-ctx.Done():
		}
	}
}

// round gives each shard one turn: those of which this process knows that they have got rows, or all by force. It tells
// whether some may have more.
func (r *Rules) round(ctx context.Context, force bool) (more bool, err error) {
	heads, set := r.outbox.Heads(), r.set.Load()
	for i, s := range r.shards {
		if s.seen == heads[i] && !force {
			continue
		}
		rows, err := r.outbox.Read(ctx, i, s.read, readRows)
		if err != nil {
			return false, err
		}
		for j := range rows {
			s.dispatch(set, &rows[j])
		}
		if len(rows) < readRows {
			s.seen = heads[i]
		} else {
			more = true
		}
	}
	return more, nil
}

// pollEvery is how often rows of other nodes are looked for.
const pollEvery = time.Second

// poll is when to look for rows that do not wake us: where other nodes may write to the same store.
func (r *Rules) poll() <-chan time.Time {
	if r.Deps.Store.Dialect() != store.Postgres {
		return nil
	}
	return time.After(pollEvery)
}

// dispatch hands out one row. It never blocks: a lane that is full falls behind.
func (s *shard) dispatch(set *set, out *store.OutRow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &row{seq: out.Seq, open: 1} // open until all is handed out
	s.rows = append(s.rows, r)
	before := s.read
	s.read = out.Seq
	for i, b := range out.Records {
		rec, err := ParseRecord(b)
		if err != nil {
			s.rules.metrics.damaged.Inc()
			s.rules.Deps.Log.Error("outbox record dropped", "shard", s.number, "seq", out.Seq, "err", err)
			continue
		}
		a := set.actions[rec.Action]
		if a == nil {
			// The rule may have been made since set was taken.
			if a = s.rules.set.Load().actions[rec.Action]; a == nil {
				s.rules.metrics.orphaned.Inc()
				continue
			}
		}
		a.lanes[s.number].offerLocked(item{row: r, at: store.Cursor{Seq: before, Idx: int64(i)}, record: rec, size: len(b)})
		s.rules.show(set, &rec)
	}
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
	a := set.actions[rec.Action]
	if a == nil {
		return
	}
	c := set.rules[a.rule]
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
