package buffer

import (
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// changes is what one transaction did, applied to the counters only after it is
// on the disk.
type changes struct {
	records, bytes          int64
	removed, dropped, added int64
}

// commit makes a batch durable, together with the removals since the last one,
// and then tells the senders.
func (b *Buffer) commit(batch []entry) {
	gone := b.takeGone()
	var ch changes
	err := b.db.Update(func(tx *bbolt.Tx) error {
		ch = changes{}
		bk := tx.Bucket(bucketRecords)
		bk.FillPercent = 1 // keys only grow: full pages, no splits
		if err := removeAll(bk, gone, &ch); err != nil {
			return err
		}
		if err := b.makeRoom(bk, batch, &ch); err != nil {
			return err
		}
		return addAll(bk, batch, &ch)
	})
	if err != nil {
		b.failed.Add(int64(len(batch)))
		b.log.Error("can't write the buffer", "path", b.cfg.Path, "err", err, "records", len(batch))
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	} else {
		b.forget(gone)
		b.apply(ch)
	}
	for _, e := range batch {
		e.done(err)
	}
}

func removeAll(bk *bbolt.Bucket, seqs []uint64, ch *changes) error {
	for _, s := range seqs {
		k := key(s)
		v := bk.Get(k)
		if v == nil {
			continue // dropped for space before
		}
		ch.records--
		ch.removed++
		ch.bytes -= storedSize(v)
		if err := bk.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// makeRoom drops the oldest records until batch fits.
func (b *Buffer) makeRoom(bk *bbolt.Bucket, batch []entry, ch *changes) error {
	var need int64
	for _, e := range batch {
		need += e.rec.size()
	}
	// A batch larger than the whole buffer keeps its own newest records: addAll
	// adds all, and the next commit drops the surplus.
	free := b.cfg.MaxBytes - b.bytes.Load() - ch.bytes
	for free < need {
		k, v := bk.Cursor().First()
		if k == nil {
			return nil
		}
		n := storedSize(v)
		if err := bk.Delete(k); err != nil {
			return err
		}
		free += n
		ch.bytes -= n
		ch.records--
		ch.dropped++
	}
	return nil
}

func addAll(bk *bbolt.Bucket, batch []entry, ch *changes) error {
	for _, e := range batch {
		seq, err := bk.NextSequence()
		if err != nil {
			return err
		}
		if err := bk.Put(key(seq), e.rec.encode()); err != nil {
			return err
		}
		ch.records++
		ch.added++
		ch.bytes += e.rec.size()
	}
	return nil
}

func (b *Buffer) apply(ch changes) {
	b.records.Add(ch.records)
	b.bytes.Add(ch.bytes)
	b.appended.Add(ch.added)
	b.removed.Add(ch.removed)
	b.dropped.Add(ch.dropped)
	b.commits.Add(1)
	b.reportDrops(ch.dropped)
	if ch.added == 0 {
		return
	}
	b.mu.Lock()
	close(b.changed)
	b.changed = make(chan struct{})
	b.mu.Unlock()
}

// reportDrops logs losses, at most every ten seconds.
func (b *Buffer) reportDrops(n int64) {
	b.droppedSince += n
	if b.droppedSince == 0 || time.Since(b.droppedLogged) < 10*time.Second {
		return
	}
	b.log.Warn("buffer full: oldest messages dropped", "dropped", b.droppedSince,
		"dropped_total", b.dropped.Load(), "max_bytes", b.cfg.MaxBytes)
	b.droppedLogged, b.droppedSince = time.Now(), 0
}

// takeGone lists the removals; they stay invisible to Read until forget.
func (b *Buffer) takeGone() []uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	gone := make([]uint64, 0, len(b.gone))
	for s := range b.gone {
		gone = append(gone, s)
	}
	return gone
}

func (b *Buffer) forget(gone []uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range gone {
		delete(b.gone, s)
	}
}
