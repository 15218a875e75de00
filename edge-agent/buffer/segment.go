package buffer

import (
	"fmt"
	"sort"
	"time"
)

const segmentSuffix = ".seg"

// segment is a file of the log. The buffer's mu guards it.
type segment struct {
	name       string
	size       int64
	base, last uint64    // numbers of the first and the last record
	created    int64     // Unix ms, what the records' times are relative to
	end        int64     // behind the last record
	count      int       // records
	live       int       // those that are neither acknowledged nor lost
	bytes      int64     // of topics and payloads of all records
	opened     time.Time // when the first record was taken, by a clock that does not jump
	newest     time.Time // when the last one was
	idle       time.Time // since when live is 0
	level      byte      // how often its records were thinned; then numbers from base on are lost
	touched    bool      // a reader has been in it
	f          file      // open for writing; of the active segment only
}

// scanned is what is whole in the bytes of a segment.
type scanned struct {
	headerOK bool
	header   header
	found    ranges
	count    int
	bytes    int64
	end      int64
	newest   time.Time // of the last record
	torn     bool      // bytes that are no record lie between records
}

// scan finds every whole record of the epoch in b. It returns ErrNewerFormat alone.
func scan(b []byte, epoch uint64) (s scanned, err error) {
	h, err := parseHeader(b)
	pos, last := 0, uint64(0)
	switch {
	case err == nil && h.epoch == epoch:
		s.headerOK, s.header, pos, last = true, h, segmentHeader, max(h.base, 1)-1
	case err != nil && !isDamaged(err):
		return s, err
	default:
		pos = min(segmentHeader, len(b)) // records begin there whatever the header says
	}
	s.end = int64(pos)
	for {
		v, ok := nextView(b, pos, epoch, last)
		if !ok {
			return s, nil
		}
		s.torn = s.torn || v.at != pos
		if s.count == 0 && !s.headerOK {
			s.header = header{epoch: epoch, base: v.seq, created: v.absolute}
		}
		s.found.add(v.seq, v.seq)
		s.newest = v.time(s.header.created)
		s.count++
		s.bytes += int64(len(v.body) - 2)
		pos, last = v.at+v.size, v.seq
		s.end = int64(pos)
	}
}

// reader keeps the place in the segment that was read last.
type reader struct {
	g     *segment
	f     file
	pos   int64  // of the record behind after
	after uint64 // the last number that was read
}

func (r *reader) forget() {
	if r.f != nil {
		_ = r.f.Close()
	}
	*r = reader{}
}

// Read returns up to limit records with a sequence number above after, oldest
// first, without removing them.
func (s *Stream) Read(after uint64, limit int) ([]Record, error) {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	return s.readLocked(after, limit, false)
}

// ReadAcked is Read with the acknowledged records that are still kept.
func (s *Stream) ReadAcked(after uint64, limit int) ([]Record, error) {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	return s.readLocked(after, limit, true)
}

func (s *Stream) readLocked(after uint64, limit int, acked bool) (recs []Record, err error) {
	if s.b.closed {
		return nil, ErrClosed
	}
	i := sort.Search(len(s.segs), func(i int) bool { return s.segs[i].last > after })
	for ; i < len(s.segs) && len(recs) < limit; i++ {
		g := s.segs[i]
		if g.live == 0 && !acked {
			continue
		}
		if recs, err = s.readSegmentLocked(g, after, limit, acked, recs); err != nil {
			return recs, err
		}
	}
	n := len(recs)
	if recs = s.ram.read(after, limit, recs); len(recs) > n {
		s.ram.seen = max(s.ram.seen, recs[len(recs)-1].Seq)
	}
	return recs, nil
}

// chunk is what is read of a segment at a time.
const chunk = 64 << 10

func (s *Stream) readSegmentLocked(g *segment, after uint64, limit int, acked bool, recs []Record) ([]Record, error) {
	if err := s.seekLocked(g, after); err != nil {
		return recs, err
	}
	r := &s.reader
	var buf []byte
	from := r.pos // where buf begins
	want := int64(chunk)
	for r.after < g.last && len(recs) < limit {
		v, ok := viewAt(buf, int(r.pos-from), s.epoch, r.after)
		if whole := from+int64(len(buf)) >= g.end; !ok && !whole {
			from = r.pos
			var err error
			if buf, err = readRange(r.f, from, min(want, g.end-from)); err != nil {
				return recs, fmt.Errorf("buffer: read %s: %w", g.name, err)
			}
			want = g.end // the next time all of it: a record is longer than the chunk, or damaged
			continue
		}
		want = chunk
		if !ok {
			v, ok = nextView(buf, int(r.pos-from), s.epoch, r.after)
		}
		if !ok || v.seq > g.last {
			s.loseMissingLocked(r.after+1, g.last, Corrupt)
			return recs, nil
		}
		s.loseMissingLocked(r.after+1, v.seq-1, Corrupt)
		r.pos, r.after = from+int64(v.at+v.size), v.seq
		if v.seq <= after {
			continue
		}
		if done := s.done.has(v.seq); !done && s.expiredLocked(g, &v) {
			s.loseLocked(v.seq, v.seq, TTL, int64(len(v.body)-2))
		} else if !done || acked {
			s.touchLocked(g)
			recs = append(recs, v.record(g.created))
		}
	}
	return recs, nil
}

// seekLocked brings the reader to g, as near before the record behind after as it knows.
func (s *Stream) seekLocked(g *segment, after uint64) error {
	r := &s.reader
	if r.g != g {
		r.forget()
		f, err := s.b.disk.Open(s.path(g.name))
		if err != nil {
			return fmt.Errorf("buffer: %w", err)
		}
		r.g, r.f = g, f
	} else if r.pos > 0 && r.after <= max(after, g.base-1) {
		return nil
	}
	r.pos, r.after = segmentHeader, g.base-1
	return nil
}

// readRange reads n bytes at from. Blocks that the disk can't read are zeros, as long as it can read any.
func readRange(f file, from, n int64) ([]byte, error) {
	b := make([]byte, n)
	got, err := f.ReadAt(b, from)
	if int64(got) == n {
		return b, nil
	}
	clear(b[got:])
	any := got > 0
	const block = 4096
	for at := from + int64(got); at < from+n; {
		to := min((at/block+1)*block, from+n)
		part := b[at-from : to-from]
		if k, _ := f.ReadAt(part, at); k > 0 {
			any = true
			clear(part[k:])
		}
		at = to
	}
	if !any {
		return nil, err
	}
	return b, nil
}

// expiredLocked reports whether a record is older than the stream keeps them. What counts is the time since the agent took it, not the clock: that of
// the segment's first and newest record are known, those between lie between by their own times.
func (s *Stream) expiredLocked(g *segment, v *view) bool {
	if s.cfg.TTL == 0 {
		return false
	}
	at := g.opened.Add(time.Duration(v.delta) * time.Millisecond)
	if v.flags&flagAbsolute != 0 && v.seq != g.base || at.After(g.newest) {
		at = g.newest
	} else if at.Before(g.opened) {
		at = g.opened
	}
	return s.b.now().Sub(at) > s.cfg.TTL
}
