package rules

import (
	"context"
	"errors"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// catchUp works a lane that is behind from the outbox until it has caught up with its shard. It returns an error only when
// ctx has ended.
func (ln *lane) catchUp(ctx context.Context) error {
	b := behind{lane: ln, outbox: ln.shard.rules.outbox, name: laneConsumer(ln.action.id, ln.shard.number)}
	ln.shard.mu.Lock()
	b.at = ln.from
	ln.shard.mu.Unlock()
	if err := b.save(ctx); err != nil {
		return err
	}
	// Now that the place is stored, the shard may go on without this lane.
	ln.shard.mu.Lock()
	ln.letGoLocked()
	ln.shard.mu.Unlock()
	err := b.work(ctx)
	if err != nil && ctx.Err() != nil && ln.action.ctx.Err() == nil {
		b.saveLast(ctx)
	}
	return err
}

// behind is a lane at work in the outbox.
type behind struct {
	lane   *lane
	outbox *store.Outbox
	name   string
	at     store.Cursor // everything before it is settled
	saved  time.Time

	batch []Record
	ends  []store.Cursor // for each of batch, the place after it
}

func (b *behind) work(ctx context.Context) error {
	for {
		limit, level := b.level()
		if level {
			return b.lane.persist(ctx, "forget cursor", func() error { return b.outbox.Forget(ctx, b.name) })
		}
		rows, err := b.outbox.Read(ctx, b.lane.shard.number, b.at.Seq, readRows)
		if err != nil {
			if err := b.lane.persist(ctx, "read outbox", func() error { return err }); err != nil {
				return err
			}
		}
		if err := b.rows(ctx, rows, limit); err != nil {
			return err
		}
	}
}

// level tells up to which row the lane may read; it has caught up, and is no longer behind, when it is there.
func (b *behind) level() (limit int64, level bool) {
	s := b.lane.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.at.Seq < s.read {
		return s.read, false
	}
	b.lane.behind, b.lane.past = false, b.at
	return 0, true
}

// rows delivers this action's records of rows up to limit.
func (b *behind) rows(ctx context.Context, rows []store.OutRow, limit int64) error {
	last := limit // without rows there is nothing left up to limit
	before := b.at.Seq
	for _, r := range rows {
		if r.Seq > limit {
			break
		}
		last = r.Seq
		for i, raw := range r.Records {
			at := store.Cursor{Seq: before, Idx: int64(i)}
			if at.Seq == b.at.Seq && at.Idx < b.at.Idx {
				continue
			}
			if err := b.add(ctx, raw, store.Cursor{Seq: before, Idx: int64(i) + 1}); err != nil {
				return err
			}
		}
		before = r.Seq
	}
	if err := b.flush(ctx); err != nil {
		return err
	}
	b.at = store.Cursor{Seq: last}
	return b.saveNow(ctx)
}

func (b *behind) add(ctx context.Context, raw []byte, end store.Cursor) error {
	if id, ok := actionOf(raw); !ok || id != b.lane.action.id {
		return nil
	}
	rec, err := ParseRecord(raw)
	if err != nil {
		b.lane.action.books.drop("damaged", 1)
		return nil
	}
	b.batch, b.ends = append(b.batch, rec), append(b.ends, end)
	if len(b.batch) < b.lane.action.sink().MaxBatch() {
		return nil
	}
	return b.flush(ctx)
}

// flush delivers the batch, however long it takes.
func (b *behind) flush(ctx context.Context) error {
	if len(b.batch) == 0 {
		return nil
	}
	err := b.deliver(ctx, b.batch)
	if err != nil {
		return err
	}
	b.at = b.ends[len(b.ends)-1]
	clear(b.batch)
	b.batch, b.ends = b.batch[:0], b.ends[:0]
	return b.saveNow(ctx)
}

// deliver settles records: they are delivered or dead letters when it returns nil. Of several that are refused each is
// tried alone, so that the others get through.
func (b *behind) deliver(ctx context.Context, records []Record) error {
	faults := 0 // failures that may be the records' own
	for n := 1; ; n++ {
		err := b.lane.send(ctx, records)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !errors.Is(err, ErrUnavailable) {
			faults++
		}
		if !errors.Is(err, ErrPermanent) && faults < b.lane.shard.rules.cfg.MaxAttempts {
			sleep(ctx, b.lane.pause(n, err))
			continue
		}
		if len(records) == 1 {
			return b.lane.bury(ctx, &records[0], err)
		}
		for i := range records {
			if err := b.deliver(ctx, records[i:i+1]); err != nil {
				return err
			}
		}
		return nil
	}
}

// saveNow saves the place if the last time is long enough ago.
func (b *behind) saveNow(ctx context.Context) error {
	if b.lane.shard.rules.now().Sub(b.saved) < b.lane.shard.rules.cfg.SaveEvery {
		return nil
	}
	return b.save(ctx)
}

func (b *behind) save(ctx context.Context) error {
	b.saved = b.lane.shard.rules.now()
	return b.lane.persist(ctx, "save cursor", func() error {
		return b.outbox.SaveCursor(ctx, b.name, b.lane.shard.number, b.at)
	})
}

// saveLast saves the place when Run ends, so that less is delivered twice.
func (b *behind) saveLast(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := b.outbox.SaveCursor(ctx, b.name, b.lane.shard.number, b.at); err != nil {
		b.lane.shard.rules.Deps.Log.Warn("progress of a rule's action not saved, records will be delivered twice", "action", b.lane.action.id, "err", err)
	}
}
