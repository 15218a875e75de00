package buffer

import "slices"

// Span is the sequence numbers from From to To, both included.
type Span struct{ From, To uint64 }

// Place returns the stream's epoch and the number that is given next.
func (s *Stream) Place() (epoch, next uint64) {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	return s.epoch, s.next
}

// Settled returns those of the numbers that are acknowledged or lost.
func (s *Stream) Settled(from, to uint64) (out []Span) {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	for _, p := range s.done {
		if lo, hi := max(p.from, from), min(p.to, to); lo <= hi {
			out = append(out, Span{lo, hi})
		}
	}
	return out
}

// RemoveSpan is Remove for all records of a span.
func (s *Stream) RemoveSpan(from, to uint64) {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	n := s.settleLocked(from, to)
	s.stats.Removed += int64(n)
	if s.acks += n; s.acks >= cursorAcks {
		s.wake()
	}
}

// Restore has records that were removed wait again, as far as they are still on the disk (Config.AckedRetain), and returns which it found. A record
// that was given up for its age comes again too.
func (s *Stream) Restore(from, to uint64) (found []Span, err error) {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	var back ranges
	for _, g := range s.segs {
		if g.last < from || g.base > to || !s.done.any(max(from, g.base), min(to, g.last)) {
			continue
		}
		b, err := s.b.disk.ReadFile(s.path(g.name))
		if err != nil {
			return nil, err
		}
		b = b[:min(int64(len(b)), g.end)]
		for pos, last := segmentHeader, g.base-1; ; {
			v, ok := nextView(b, pos, s.epoch, last)
			if !ok || v.seq > min(to, g.last) {
				break
			}
			pos, last = v.at+v.size, v.seq
			if v.seq >= from && s.done.has(v.seq) {
				back.add(v.seq, v.seq)
				g.live++
			}
		}
	}
	for _, p := range back {
		s.done.remove(p.from, p.to)
		found = append(found, Span{p.from, p.to})
	}
	if len(back) > 0 {
		s.dirty = true
		s.reader.forget()
		s.wakeReadersLocked()
	}
	return found, nil
}

// any reports whether one of the numbers is in r.
func (r ranges) any(from, to uint64) bool {
	i := r.find(from)
	return i < len(r) && r[i].from <= to
}

// remove takes from to to out of r.
func (r *ranges) remove(from, to uint64) {
	i := r.find(from)
	j := i
	var left ranges
	for ; j < len(*r) && (*r)[j].from <= to; j++ {
		if p := (*r)[j]; p.from < from {
			left = append(left, span{p.from, from - 1})
		}
		if p := (*r)[j]; p.to > to {
			left = append(left, span{to + 1, p.to})
		}
	}
	*r = slices.Replace(*r, i, j, left...)
}

// Lost leaves a gap for numbers that are settled, and turn out to be with nobody.
func (s *Stream) Lost(from, to uint64, why Reason) {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.loseLocked(from, to, why, 0)
}
