package rules

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/codec"
)

// closeTimeout bounds the writes after the end of Run's context.
const closeTimeout = 10 * time.Second

const (
	trimEvery    = 5 * time.Second        // how often the outbox is relieved of what all have got
	boundEvery   = time.Second            // how often it is looked at who lags too far behind
	lettersEvery = 30 * time.Second       // how often dead letters are counted and old ones deleted
	pollEvery    = 100 * time.Millisecond // how often rows of other nodes are looked for
	totalsEvery  = time.Second            // how often totals are saved
	rulesEvery   = time.Second            // how often other nodes' changes of rules are looked for
)

var errRunning = errors.New("rules: Run was called twice")

// Run delivers this node's share of what is in the outbox until ctx ends, then waits for its goroutines, saves how far they got and gives
// its share back. It returns nil when ctx ended it. It may be called once.
func (r *Rules) Run(ctx context.Context) error {
	if !r.running.CompareAndSwap(false, true) {
		return errRunning
	}
	var wg sync.WaitGroup
	wg.Go(func() { r.distribute(ctx) })
	wg.Go(func() { r.housekeep(ctx) })
	r.keeper.keep(ctx)
	wg.Wait()
	r.saveLastTotals()
	r.changing.Lock() // nobody adds to them then
	r.closing.Wait()
	r.changing.Unlock()
	for _, a := range r.set.Load().actions.all() {
		if err := a.service().Close(); err != nil {
			r.Deps.Log.Warn("sink not closed", "action", a.id, "err", err)
		}
	}
	return nil
}

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
			again, news = time.After(pause), nil
			pause = min(2*pause, r.cfg.RetryMax)
		case more:
			continue
		default:
			again, pause = r.poll(), r.cfg.RetryMin
		}
		select {
		case <-news:
		case <-r.again:
			force = true
		case <-again:
			force = err != nil
			if e := r.outbox.Refresh(ctx); e != nil && err == nil && ctx.Err() == nil {
				r.Deps.Log.Warn("rows of other nodes not looked for, trying again", "err", e)
			}
		case <-ctx.Done():
		}
	}
}

// round gives each shard one turn: those of which this process knows that they have got rows, or all by force. It tells
// whether some may have more.
func (r *Rules) round(ctx context.Context, force bool) (more bool, err error) {
	heads := r.outbox.Heads()
	for i, s := range r.shards {
		s.mu.Lock()
		epoch, after := s.epoch, s.read
		s.mu.Unlock()
		if epoch == 0 || s.seen == heads[i] && !force {
			continue
		}
		rows, err := r.outbox.Read(ctx, i, after, readRows)
		if err != nil {
			return false, err
		}
		if err := r.know(ctx, rows); err != nil {
			return false, err
		}
		set := r.set.Load()
		for j := range rows {
			s.dispatch(set, &rows[j], epoch)
		}
		if len(rows) < readRows {
			s.seen = heads[i]
		} else {
			more = true
		}
	}
	return more, nil
}

// poll is when to look for rows that do not wake us: where other nodes may write to the same store.
func (r *Rules) poll() <-chan time.Time {
	if r.keeper.alone {
		return nil
	}
	return time.After(pollEvery)
}

// know sees to it that the actions of all records are known: another node may have made a rule a moment ago. What is unknown
// afterwards was deleted.
func (r *Rules) know(ctx context.Context, rows []store.OutRow) error {
	unknown := false
	for i := range rows {
		for _, raw := range rows[i].Records {
			if id, ok := actionOf(raw); ok && r.set.Load().action(id) == nil && !r.gone[id] {
				unknown = true
			}
		}
	}
	if !unknown {
		return nil
	}
	if err := r.Refresh(ctx); err != nil {
		return err
	}
	for i := range rows {
		for _, raw := range rows[i].Records {
			if id, ok := actionOf(raw); ok && r.set.Load().action(id) == nil {
				if len(r.gone) >= maxGone {
					clear(r.gone)
				}
				r.gone[id] = true
			}
		}
	}
	return nil
}

// maxGone bounds what is remembered of actions that are gone.
const maxGone = 10_000

// housekeep saves progress, trims the outbox and looks after bounds until ctx ends.
func (r *Rules) housekeep(ctx context.Context) {
	jobs := []struct {
		every time.Duration
		do    func(context.Context) error
		next  time.Time
	}{
		{r.cfg.SaveEvery, r.saveProgress, time.Time{}},
		{boundEvery, r.bound, time.Time{}},
		{totalsEvery, r.saveTotals, time.Time{}},
		{rulesEvery, r.sync, time.Time{}},
		{trimEvery, func(ctx context.Context) error { _, err := r.outbox.Trim(ctx); return err }, r.now().Add(trimEvery)},
		{lettersEvery, r.keepLetters, time.Time{}},
	}
	tick := time.NewTicker(min(r.cfg.SaveEvery, boundEvery))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.heard:
			if err := r.sync(ctx); err != nil && ctx.Err() == nil {
				r.Deps.Log.Warn("changes of rules not read, trying again", "err", err)
			}
		case <-r.recount:
			jobs[len(jobs)-1].next = time.Time{}
		case <-tick.C:
		}
		for i := range jobs {
			j := &jobs[i]
			if r.now().Before(j.next) {
				continue
			}
			j.next = r.now().Add(j.every - j.every/8)
			if err := j.do(ctx); err != nil && ctx.Err() == nil {
				r.Deps.Log.Warn("outbox not looked after, trying again", "err", err)
			}
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
		if s.epoch != 0 && s.done != s.saved {
			done[i] = s.done
			ops = append(ops, r.outbox.MoveOp(consumer, i, store.Cursor{Seq: s.done}, s.epoch))
		}
		s.mu.Unlock()
	}
	if len(ops) == 0 {
		return nil
	}
	err := r.Deps.Store.Do(ctx, &store.Unit{Ops: ops})
	if errors.Is(err, store.ErrConflict) {
		return r.saveEach(ctx)
	}
	if err != nil {
		return fmt.Errorf("rules: save progress: %w", err)
	}
	for i, s := range r.shards {
		if done[i] != 0 {
			s.mu.Lock()
			s.saved = max(s.saved, done[i])
			s.mu.Unlock()
		}
	}
	return nil
}

// saveEach stores how far each shard is done by itself: one of them has been lost.
func (r *Rules) saveEach(ctx context.Context) error {
	for i, s := range r.shards {
		s.mu.Lock()
		epoch, done, saved := s.epoch, s.done, s.saved
		s.mu.Unlock()
		if epoch == 0 || done == saved {
			continue
		}
		err := r.Deps.Store.Do(ctx, &store.Unit{Ops: []store.Op{r.outbox.MoveOp(consumer, i, store.Cursor{Seq: done}, epoch)}})
		switch {
		case errors.Is(err, store.ErrConflict):
			s.lose() // the keeper sees to the rest
		case err != nil:
			return fmt.Errorf("rules: save progress: %w", err)
		default:
			s.mu.Lock()
			s.saved = max(s.saved, done)
			s.mu.Unlock()
		}
	}
	return nil
}

// ruleEvent is {"rule":"name","result":…}, of bytes in base64.
func ruleEvent(c *compiled, result []byte) []byte {
	b := append(make([]byte, 0, len(result)+len(c.Name)+32), `{"rule":`...)
	b = codec.AppendString(b, c.Name)
	b = append(b, `,"result":`...)
	if c.DataType == Binary {
		b = base64.StdEncoding.AppendEncode(append(b, '"'), result)
		return append(b, '"', '}')
	}
	return append(append(b, result...), '}')
}
