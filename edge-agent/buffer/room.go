package buffer

import (
	"errors"
	"fmt"
	"slices"
)

// maxFree is how many empty segments a stream keeps to use again.
const maxFree = 2

// roomLocked returns an empty segment of size bytes or more, open for writing. It gives up mu while it makes a new one.
func (b *Buffer) roomLocked(s *Stream, size int64) (*segment, error) {
	size = max(size, b.cfg.SegmentBytes)
	for b.used > b.limit { // the budget was larger when the files were made
		if ok, err := b.reclaimLocked(s, 0, true); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		} else if !ok {
			return nil, ErrFull
		}
	}
	for {
		if n := len(s.free); size == b.cfg.SegmentBytes && n > 0 {
			g := s.free[n-1]
			f, err := b.disk.Open(s.path(g.name))
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
			}
			s.free, g.f = s.free[:n-1], f
			return g, nil
		}
		mayDrop := true
		if s.overQuotaLocked(size) {
			ok, err := s.makeRoomLocked()
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
			}
			if !ok {
				return nil, ErrFull
			}
			continue
		}
		if b.used+size <= b.limit {
			g, err := s.createUnlocking(size)
			if err == nil {
				return g, nil
			}
			// The disk is fuller than the budget: what nobody waits for may make room, what waits may not.
			if mayDrop = false; b.used == 0 {
				return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
			}
			if ok, rerr := b.reclaimLocked(s, size, mayDrop); !ok {
				return nil, fmt.Errorf("%w: %w", ErrUnavailable, errors.Join(err, rerr))
			}
			continue
		}
		ok, err := b.reclaimLocked(s, size, mayDrop)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if !ok {
			return nil, ErrFull
		}
	}
}

// createUnlocking makes an empty segment. Only the stream's committer calls it; meanwhile others may read, remove and take the stream's old segments.
func (s *Stream) createUnlocking(size int64) (*segment, error) {
	b := s.b
	s.files++
	g := &segment{name: fmt.Sprintf("%08d%s", s.files, segmentSuffix), size: size}
	b.used, s.used = b.used+size, s.used+size
	b.mu.Unlock()
	f, err := s.newFile(s.path(g.name), size)
	b.mu.Lock()
	if err != nil {
		b.used, s.used = b.used-size, s.used-size
		return nil, err
	}
	g.f = f
	return g, nil
}

// newFile makes a file of size zeros.
func (s *Stream) newFile(name string, size int64) (file, error) {
	f, err := s.b.disk.Create(name)
	if err != nil {
		return nil, err
	}
	if err = f.Allocate(size); err == nil {
		err = s.b.disk.SyncDir(s.path(""))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), s.b.disk.Remove(name))
	}
	return f, nil
}

// overQuotaLocked tells whether size bytes more are more than the stream may have.
func (s *Stream) overQuotaLocked(size int64) bool {
	most := s.quota()
	return most > 0 && s.used+size > most
}

// quota bounds the stream's own bytes, but for what it needs to thin out; 0 is no bound.
func (s *Stream) quota() int64 {
	if s.cfg.MaxBytes > 0 && s.cfg.WhenFull == ThinOut {
		return s.cfg.MaxBytes - s.b.cfg.SegmentBytes
	}
	return s.cfg.MaxBytes
}

// makeRoomLocked gains room from the stream itself.
func (s *Stream) makeRoomLocked() (bool, error) {
	if n := len(s.free); n > 0 { // of another size than is needed
		g := s.free[n-1]
		s.free = s.free[:n-1]
		s.deleteLocked(g)
		return true, nil
	}
	if ok, err := s.releaseIdleLocked(true); ok || err != nil || s.cfg.WhenFull == RejectNew {
		return ok, err
	}
	return s.giveWayLocked(true)
}

// reclaimLocked gains room for s: from free segments, from those that the hub has all of, and when mayDrop from records of streams that are not more
// important. It reports whether it gained any. Free segments of s itself are kept if they have the right size.
func (b *Buffer) reclaimLocked(s *Stream, size int64, mayDrop bool) (bool, error) {
	for _, v := range b.streams {
		if n := len(v.free); n > 0 && (v != s || size != b.cfg.SegmentBytes) {
			g := v.free[n-1]
			v.free = v.free[:n-1]
			v.deleteLocked(g)
			return true, nil
		}
	}
	for _, v := range b.streams {
		if ok, err := v.releaseIdleLocked(v == s); ok || err != nil {
			return ok, err
		}
	}
	if !mayDrop {
		return false, nil
	}
	for _, v := range b.streams {
		if v.cfg.Priority > s.cfg.Priority || v.cfg.Priority == s.cfg.Priority && v.cfg.WhenFull == RejectNew {
			continue
		}
		if ok, err := v.giveWayLocked(v == s); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// releaseIdleLocked gives the oldest segment away that holds nothing to send: to the stream's own use, or from the disk.
func (s *Stream) releaseIdleLocked(own bool) (bool, error) {
	for _, g := range s.segs {
		if g.live > 0 || g == s.active {
			continue
		}
		if ok, err := s.releaseLocked(g, own); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// releaseLocked frees a segment once the cursor on the disk says that nothing in it counts; it reports false when the cursor can't say so yet.
func (s *Stream) releaseLocked(g *segment, own bool) (bool, error) {
	if !s.saved.covers(g.base, g.last) {
		if err := s.persistLocked(); err != nil {
			return false, err
		}
		if !s.saved.covers(g.base, g.last) {
			return false, nil
		}
	}
	s.segs = slices.DeleteFunc(s.segs, func(x *segment) bool { return x == g })
	if s.reader.g == g {
		s.reader.forget()
	}
	if own {
		s.keepFreeLocked(g)
	} else {
		s.deleteLocked(g)
	}
	return true, nil
}

// keepFreeLocked puts an empty segment aside for use, or deletes it when there are enough.
func (s *Stream) keepFreeLocked(g *segment) {
	if g.size != s.b.cfg.SegmentBytes || len(s.free) >= maxFree {
		s.deleteLocked(g)
		return
	}
	s.free = append(s.free, &segment{name: g.name, size: g.size})
}

func (s *Stream) deleteLocked(g *segment) {
	if err := s.b.disk.Remove(s.path(g.name)); err != nil {
		s.log.Warn("a segment can't be removed", "segment", g.name, "err", err)
	}
	s.b.used, s.used = s.b.used-g.size, s.used-g.size
}

// dropOldestLocked gives up what waits in the oldest segment.
func (s *Stream) dropOldestLocked(own bool) (bool, error) {
	for _, g := range s.segs {
		if g.live == 0 || g == s.active {
			continue
		}
		s.loseSegmentLocked(g, Quota)
		if ok, err := s.releaseLocked(g, own); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// loseSegmentLocked gives up all of a segment, with the bytes of each span that it loses.
func (s *Stream) loseSegmentLocked(g *segment, why Reason) {
	lost := s.done.missing(g.base, g.last)
	bytes := make([]int64, len(lost))
	if b, err := s.b.disk.ReadFile(s.path(g.name)); err == nil {
		pos, last := segmentHeader, g.base-1
		for {
			v, ok := nextView(b[:min(int64(len(b)), g.end)], pos, s.epoch, last)
			if !ok {
				break
			}
			pos, last = v.at+v.size, v.seq
			for i, part := range lost {
				if part.from <= v.seq && v.seq <= part.to {
					bytes[i] += int64(len(v.body) - 2)
				}
			}
		}
	}
	for i, part := range lost {
		s.loseLocked(part.from, part.to, why, bytes[i])
	}
}

// sweep does what is due: segments that are too old, those kept for long enough, the cursor.
func (s *Stream) sweep() {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	now := s.b.now()
	for _, g := range slices.Clone(s.segs) {
		if ttl := s.cfg.TTL; ttl > 0 && g.live > 0 && now.Sub(g.newest) > ttl {
			s.loseSegmentLocked(g, TTL)
		}
		if g.live > 0 || g == s.active || now.Sub(g.idle) < s.b.cfg.AckedRetain {
			continue
		}
		// Many become idle in a moment with the same cursor, which must not be written for each.
		if s.saved.covers(g.base, g.last) {
			_, _ = s.releaseLocked(g, true)
		}
	}
	if s.dirty && (s.acks >= cursorAcks || now.Sub(s.cursorAt).Abs() >= cursorEvery) {
		if err := s.persistLocked(); err != nil {
			s.logLossLocked("can't write the buffer's cursor; what the hub has may be sent again", "err", err)
		}
	}
}
