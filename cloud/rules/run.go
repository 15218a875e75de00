package rules

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/codec"
)

// closeTimeout bounds the writes after the end of Run's context.
const closeTimeout = 5 * time.Second

// trimEvery is how often the outbox is relieved of what all have got.
const trimEvery = 5 * time.Second

var errRunning = errors.New("rules: Run was called twice")

// Run delivers what is in the outbox until ctx ends, then waits for its goroutines and saves how far they got. It
// returns nil when ctx ended it. It may be called once.
func (r *Rules) Run(ctx context.Context) error {
	if !r.running.CompareAndSwap(false, true) {
		return errRunning
	}
	if err := r.start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	var wg sync.WaitGroup
	wg.Go(func() { r.distribute(ctx) })
	r.housekeep(ctx)
	wg.Wait()
	for _, s := range r.shards {
		s.mu.Lock()   // behind whoever saw ctx alive in lingered
		s.mu.Unlock() //nolint:staticcheck // an empty section is what is meant
		s.workers.Wait()
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := r.saveProgress(last); err != nil {
		r.Deps.Log.Warn("progress of the rules not saved, records will be delivered twice", "err", err)
	}
	for _, a := range r.set.Load().actions {
		if err := a.sink().Close(); err != nil {
			r.Deps.Log.Warn("sink not closed", "action", a.id, "err", err)
		}
	}
	return nil
}

// start reads where delivery stopped and sets the actions that were behind to work.
func (r *Rules) start(ctx context.Context) error {
	cursors, err := r.laneCursors(ctx)
	if err != nil {
		return err
	}
	for _, s := range r.shards {
		c, err := r.outbox.Cursor(ctx, consumer, s.number)
		if err != nil {
			return fmt.Errorf("rules: %w", err)
		}
		s.mu.Lock()
		s.ctx, s.read, s.done, s.rows = ctx, c.Seq, c.Seq, nil
		s.mu.Unlock()
	}
	if err := r.countBacklog(ctx, cursors); err != nil {
		return err
	}
	actions := r.set.Load().actions
	for _, c := range cursors {
		if a := actions[c.action]; a != nil {
			a.lanes[c.shard].resume(c.at)
		}
	}
	r.forgetCursors(ctx, func(action int64, _ int) bool { return actions[action] == nil })
	return nil
}

// resume goes on from a stored place.
func (ln *lane) resume(at store.Cursor) {
	ln.shard.mu.Lock()
	defer ln.shard.mu.Unlock()
	ln.behind, ln.from, ln.past = true, at, at
	ln.wakeLocked()
}

// countBacklog enters into the books what waits between the places of the actions that are behind and that of their
// shard; the shard itself counts the rest.
func (r *Rules) countBacklog(ctx context.Context, cursors []storedCursor) error {
	actions := r.set.Load().actions
	for _, c := range cursors {
		a := actions[c.action]
		if a == nil {
			continue
		}
		n, err := r.countFrom(ctx, c, r.shards[c.shard].read)
		if err != nil {
			return err
		}
		a.books.queue(n)
	}
	return nil
}

// countFrom counts the records of an action from its place up to the row limit.
func (r *Rules) countFrom(ctx context.Context, c storedCursor, limit int64) (n int, err error) {
	skip := c.at.Idx
	for seq := c.at.Seq; seq < limit; {
		rows, err := r.outbox.Read(ctx, c.shard, seq, readRows)
		if err != nil {
			return 0, fmt.Errorf("rules: count what waits: %w", err)
		}
		if len(rows) == 0 {
			return n, nil
		}
		for _, row := range rows {
			if seq = row.Seq; seq > limit {
				return n, nil
			}
			for i, raw := range row.Records {
				if id, ok := actionOf(raw); ok && id == c.action && int64(i) >= skip {
					n++
				}
			}
			skip = 0
		}
	}
	return n, nil
}

// housekeep saves progress and trims the outbox until ctx ends.
func (r *Rules) housekeep(ctx context.Context) {
	save, trim := time.NewTicker(r.cfg.SaveEvery), time.NewTicker(trimEvery)
	defer save.Stop()
	defer trim.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-save.C:
			err = r.saveProgress(ctx)
		case <-trim.C:
			_, err = r.outbox.Trim(ctx)
		}
		if err != nil && ctx.Err() == nil {
			r.Deps.Log.Warn("outbox not looked after, trying again", "err", err)
		}
	}
}

// saveProgress stores, in one unit, how far each shard is done.
func (r *Rules) saveProgress(ctx context.Context) error {
	var (
		ops  []store.Op
		done [store.Shards]int64
	)
	for i, s := range r.shards {
		s.mu.Lock()
		done[i] = s.done
		s.mu.Unlock()
		if done[i] != s.saved {
			ops = append(ops, r.outbox.CursorOp(consumer, i, store.Cursor{Seq: done[i]}))
		}
	}
	if len(ops) == 0 {
		return nil
	}
	if err := r.Deps.Store.Do(ctx, &store.Unit{Ops: ops}); err != nil {
		return fmt.Errorf("rules: save progress: %w", err)
	}
	for i, s := range r.shards {
		s.saved = done[i]
	}
	return nil
}

// ruleEvent is {"rule":"name","result":…}.
func ruleEvent(c *compiled, result []byte) []byte {
	b := append(make([]byte, 0, len(result)+len(c.Name)+32), `{"rule":`...)
	b = codec.AppendString(b, c.Name)
	b = append(append(b, `,"result":`...), result...)
	return append(b, '}')
}
