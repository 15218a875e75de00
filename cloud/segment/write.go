package segment

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// gather is how long the writer lets records come together before it takes them; pruneEvery how often it looks for what
// is old, beside each new segment.
const (
	gather     = 10 * time.Millisecond
	pruneEvery = time.Minute
)

// Run writes until ctx ends, then writes what waits and seals the segment.
func (l *Log) Run(ctx context.Context) error {
	flush, prune := time.NewTicker(l.cfg.FlushEvery), time.NewTicker(pruneEvery)
	defer flush.Stop()
	defer prune.Stop()
	l.prune(time.Now())
	dirty := false
	for {
		select {
		case <-ctx.Done():
			l.absorb()
			return l.finish()
		case done := <-l.sync:
			dirty = l.absorb() || dirty
			close(done)
		case <-l.queue.wake:
			l.gather(ctx)
			dirty = l.absorb() || dirty
		case <-flush.C:
			if dirty {
				l.write(false)
			}
			dirty = false
		case now := <-prune.C:
			l.prune(now)
		}
	}
}

// gather waits a moment for more, so that a busy path does not wake the writer for each record.
func (l *Log) gather(ctx context.Context) {
	t := time.NewTimer(gather)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-l.queue.half:
	}
}

// absorb takes the queue's records into the block, and writes blocks that are full. It reports whether there were any.
func (l *Log) absorb() bool {
	b := l.queue.take()
	var store [MaxKeys]uint64
	for rest := b; len(rest) > 0; {
		var (
			t    int64
			keys []uint64
			data []byte
		)
		t, keys, data, rest = cut(rest, store[:])
		l.mu.Lock()
		l.block.add(t, data, keys)
		full := len(l.block.raw) >= l.cfg.BlockBytes
		l.mu.Unlock()
		if full {
			l.write(true)
		}
	}
	l.queue.give(b)
	return len(b) > 0
}

// write puts the block on disk. A block that is not full stays in memory and is written again, longer, at the same place:
// so a log with few messages has few blocks too.
func (l *Log) write(full bool) {
	if l.block.count == 0 {
		return
	}
	err := l.begin()
	var h header
	if err == nil {
		l.packed, h = l.codec.pack(l.packed[:0], &l.block)
		err = l.active.put(l.packed)
	}
	if err != nil {
		l.failed(err, full)
		return
	}
	l.healthy = true
	if !full {
		return
	}
	l.raw.Add(uint64(h.raw))
	l.mu.Lock()
	a := l.active
	a.entries = append(a.entries, entry{offset: a.end, header: h, keys: append(filter(nil), l.block.filter...)})
	a.end += h.size()
	l.block.reset()
	l.mu.Unlock()
	if a.end >= l.cfg.SegmentBytes || time.Since(a.created) >= l.cfg.SegmentSpan {
		l.roll()
	}
}

// put writes b at the end of the whole blocks.
func (a *active) put(b []byte) error {
	end := a.end + int64(len(b))
	if _, err := a.file.WriteAt(b, a.end); err != nil {
		// What was there is perhaps half overwritten, and the rest would look torn.
		a.written = a.end
		return errors.Join(err, a.file.Truncate(a.end))
	}
	if a.written > end {
		if err := a.file.Truncate(end); err != nil {
			return err
		}
	}
	a.written = end
	return nil
}

// failed tells of a block that could not be written, once until it works again. A full one is counted and forgotten; one
// that is not full is tried again.
func (l *Log) failed(err error, full bool) {
	if l.healthy {
		l.log.Error("segment not written; records are dropped until that works again", "dir", l.cfg.Dir, "err", err)
	}
	l.healthy = false
	if !full {
		return
	}
	l.dropped.disk.Add(uint64(l.block.count))
	l.mu.Lock()
	l.block.reset()
	l.mu.Unlock()
}

// begin makes the next segment when there is none.
func (l *Log) begin() error {
	if l.active != nil {
		return nil
	}
	path := segmentPath(l.cfg.Dir, l.next)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	now := time.Now()
	if _, err := f.WriteAt(appendFileHeader(nil, now), 0); err != nil {
		return errors.Join(err, f.Close(), os.Remove(path))
	}
	l.mu.Lock()
	l.active = &active{path: path, number: l.next, file: f, created: now, end: fileHeader, written: fileHeader}
	l.next++
	l.mu.Unlock()
	return nil
}

// roll seals the segment and removes old ones.
func (l *Log) roll() {
	if err := l.sealActive(); err != nil {
		l.log.Warn("segment not sealed", "dir", l.cfg.Dir, "err", err)
	}
	l.remove(time.Now())
}

// sealActive writes the index and gives the segment to the sealed ones. One that cannot be sealed serves readers as well,
// from its blocks, and is sealed by the next Open.
func (l *Log) sealActive() error {
	a := l.active
	if a == nil {
		return nil
	}
	s, tail := seal(a.path, a.number, a.end, a.entries)
	err := a.put(tail)
	if err == nil {
		err = a.file.Sync()
	}
	l.mu.Lock()
	l.active = nil
	if len(a.entries) > 0 {
		l.sealed = append(l.sealed, s)
	}
	l.mu.Unlock()
	err = errors.Join(err, a.file.Close())
	if len(a.entries) == 0 {
		err = errors.Join(err, os.Remove(a.path))
	}
	return err
}

// finish writes and seals what there is.
func (l *Log) finish() error {
	l.write(true)
	if err := l.sealActive(); err != nil {
		return fmt.Errorf("close log %s: %w", l.cfg.Dir, err)
	}
	return nil
}

// prune seals a segment that is old enough and removes those that are too old.
func (l *Log) prune(now time.Time) {
	if a := l.active; a != nil && now.Sub(a.created) >= l.cfg.SegmentSpan {
		l.write(true) // also a segment that hardly anything was written to grows old
		if l.active == a {
			l.roll()
		}
	}
	l.remove(now)
}

// remove removes sealed segments by age and by size, the oldest first.
func (l *Log) remove(now time.Time) {
	for _, s := range l.takeOld(now) {
		l.pruned.Add(1)
		if err := os.Remove(s.path); err != nil && !gone(err) {
			l.log.Warn("segment not removed", "path", s.path, "err", err)
		}
	}
}

// takeOld takes the segments that are to go out of the list.
func (l *Log) takeOld(now time.Time) (old []*sealed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var total int64
	if l.active != nil {
		total = l.active.end
	}
	for _, s := range l.sealed {
		total += s.size
	}
	keep := l.sealed[:0:0]
	for _, s := range l.sealed {
		aged := l.cfg.MaxAge > 0 && s.max < now.Add(-l.cfg.MaxAge).UnixMicro()
		if aged || l.cfg.MaxBytes > 0 && total > l.cfg.MaxBytes {
			total -= s.size
			old = append(old, s)
			continue
		}
		keep = append(keep, s)
	}
	l.sealed = keep
	return old
}
