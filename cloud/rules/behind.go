package rules

import (
	"context"
	"errors"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// catchUp works a lane that is behind from the outbox until it has caught up with its shard. It returns an error only when
// ctx has ended or the shard is another node's.
func (ln *lane) catchUp(ctx context.Context) error {
	s := ln.shard
	b := behind{lane: ln, outbox: s.rules.outbox, name: laneConsumer(ln.action.id, s.number)}
	s.mu.Lock()
	b.at, b.epoch = ln.from, s.epoch
	s.mu.Unlock()
	ln.action.books.behind(s.number)
	if err := b.save(ctx); err != nil {
		return err
	}
	// Now that the place is stored, the shard may go on without this lane.
	s.mu.Lock()
	ln.letGoLocked()
	s.mu.Unlock()
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
	epoch  int64
	at     store.Cursor // everything before it is settled
	saved  time.Time

	batch []parcel
	bytes int64          // of the results of batch
	ends  []store.Cursor // for each of batch, the place after it
}

func (b *behind) work(ctx context.Context) error {
	for {
		limit, level := b.level()
		if level {
			return b.lane.persist(ctx, "forget cursor", func() error {
				return b.outbox.ForgetLeased(ctx, consumer, b.epoch, b.name, b.lane.shard.number)
			})
		}
		var rows []store.OutRow
		err := b.lane.persist(ctx, "read outbox", func() (err error) {
			rows, err = b.outbox.Read(ctx, b.lane.shard.number, b.at.Seq, readRows)
			return err
		})
		if err != nil {
			return err
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
	b.lane.place = b.at
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

// add puts a record into the batch, and delivers what is full.
func (b *behind) add(ctx context.Context, raw []byte, end store.Cursor) error {
	a := b.lane.action
	if id, ok := actionOf(raw); !ok || id != a.id {
		return nil
	}
	rec, err := ParseRecord(raw)
	if err != nil {
		a.drop(waiting{b.lane.shard.number, true, 1, int64(len(raw))}, dropDamaged)
		return nil
	}
	v, size := a.service(), int64(len(rec.Result))
	if len(b.batch) > 0 && v.bytes > 0 && b.bytes+size > v.bytes {
		if err := b.flush(ctx); err != nil {
			return err
		}
	}
	b.batch, b.ends, b.bytes = append(b.batch, parcel{rec, len(raw)}), append(b.ends, end), b.bytes+size
	most := v.count
	if b.lane.over() > 0 {
		most = max(most, giveUpBatch) // most of them are not sent
	}
	if len(b.batch) < most {
		return nil
	}
	return b.flush(ctx)
}

// flush delivers the batch, however long it takes.
func (b *behind) flush(ctx context.Context) error {
	if len(b.batch) == 0 {
		return nil
	}
	for rest := b.batch; len(rest) > 0; {
		p := pack{lane: b.lane, parcels: rest, late: true}
		if err := p.relieve(ctx); err != nil {
			return err
		}
		n := min(len(p.parcels), b.lane.action.service().count)
		rest, p.parcels = p.parcels[n:], p.parcels[:n]
		if err := b.deliver(ctx, &p); err != nil {
			return err
		}
	}
	b.at = b.ends[len(b.ends)-1]
	clear(b.batch)
	b.batch, b.ends, b.bytes = b.batch[:0], b.ends[:0], 0
	b.lane.passed(b.at)
	return b.saveNow(ctx)
}

// deliver settles a pack: when it returns nil each parcel is delivered, given up or too old. Of several that are refused each is tried
// alone, so that the others get through.
func (b *behind) deliver(ctx context.Context, p *pack) error {
	faults := 0 // failures that may be the records' own
	for {
		if err := p.relieve(ctx); err != nil {
			return err
		}
		if p.expire(); len(p.parcels) == 0 {
			return nil
		}
		full := b.lane.room.full()
		err := p.send(ctx, full)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errStopped):
			continue
		case !errors.Is(err, ErrUnavailable):
			faults++
		}
		if !errors.Is(err, ErrPermanent) && faults < b.lane.action.service().attempts {
			b.wait(ctx, p.tries, err, full)
			continue
		}
		if len(p.parcels) == 1 {
			return p.giveUp(ctx, err)
		}
		return b.each(ctx, p)
	}
}

// wait lets time pass after a failure, until there is no more room for what waits. Where the breaker is open it makes everybody wait.
func (b *behind) wait(ctx context.Context, tries int, err error, full <-chan struct{}) {
	if b.lane.action.breaker.open() {
		return
	}
	t := time.NewTimer(b.lane.shard.rules.cfg.pause(tries, err))
	defer t.Stop()
	select {
	case <-t.C:
	case <-full:
	case <-ctx.Done():
	}
}

// each delivers parcels one by one.
func (b *behind) each(ctx context.Context, p *pack) error {
	for i := range p.parcels {
		one := pack{lane: p.lane, parcels: p.parcels[i : i+1], late: true}
		if err := b.deliver(ctx, &one); err != nil {
			return err
		}
	}
	return nil
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
	return b.lane.persist(ctx, "save cursor", func() error { return b.saveOnce(ctx) })
}

func (b *behind) saveOnce(ctx context.Context) error {
	return b.outbox.SaveLeased(ctx, consumer, b.epoch, b.name, b.lane.shard.number, b.at)
}

// saveLast saves the place when the delivery ends, so that less is delivered twice.
func (b *behind) saveLast(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := b.saveOnce(ctx); err != nil && !errors.Is(err, store.ErrConflict) {
		b.lane.shard.rules.Deps.Log.Warn("progress of a rule's action not saved, records will be delivered twice", "action", b.lane.action.id, "err", err)
	}
}
