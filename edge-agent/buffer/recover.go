package buffer

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxAway is how long an agent may have been off for the clock to be believed; a clock that says more has jumped.
const maxAway = 366 * 24 * time.Hour

func isDamaged(err error) bool { return errors.Is(err, errDamaged) }

// openStream opens or makes a stream's folder and finds what is whole in it.
func openStream(b *Buffer, cfg StreamConfig) (*Stream, error) {
	s := &Stream{
		b: b, cfg: cfg, log: b.log.With("stream", cfg.Name),
		queue: make(chan entry, cfg.Queue), closing: make(chan struct{}), poke: make(chan struct{}, 1), changed: make(chan struct{}),
		cursorAt: b.now(),
	}
	dir := b.path(cfg.Name, "")
	if err := b.disk.MkdirAll(dir); err != nil {
		return nil, err
	}
	names, err := b.disk.Names(dir)
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if strings.HasSuffix(n, thinSuffix) { // it was being written, and counts for nothing
			_ = b.disk.Remove(s.path(n))
		}
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasSuffix(n, segmentSuffix) })
	c, absent, err := readCursor(b.disk, s.path(cursorName))
	if err != nil {
		return nil, err
	}
	if absent {
		if c, err = s.replaceCursor(names); err != nil {
			return nil, err
		}
	}
	s.epoch, s.next, s.generation, s.done = c.epoch, c.next, c.generation, c.done
	s.saved, s.savedNext = slices.Clone(c.done), c.next
	for _, g := range c.gaps {
		g.Stream = cfg.Name
		s.gaps = append(s.gaps, g)
	}
	if err := s.load(names, absent); err != nil {
		return nil, err
	}
	s.dirty = s.dirty || c.knowsTouched != (cfg.WhenFull == ThinOut)
	for _, g := range s.segs {
		g.touched = !c.knowsTouched || c.touched.any(g.base, g.last)
	}
	if err := s.persistLocked(); err != nil { // nobody else knows s yet
		s.log.Warn("can't write the buffer's cursor", "err", err)
	}
	return s, nil
}

// replaceCursor makes a cursor for a new stream, or for one that has lost its own: what its segments hold will be sent again.
func (s *Stream) replaceCursor(names []string) (c cursor, err error) {
	c = cursor{generation: 1, next: 1}
	if c.epoch, err = s.commonEpoch(names); err != nil {
		return c, err
	}
	if c.epoch != 0 {
		s.log.Error("the buffer's cursor is damaged: what the hub has of this stream may be sent again")
	}
	for c.epoch == 0 {
		var e [8]byte
		_, _ = rand.Read(e[:]) // it never fails
		c.epoch = binary.BigEndian.Uint64(e[:])
	}
	return c, createCursor(s.b.disk, s.path(cursorName), c)
}

// commonEpoch is the epoch of most segments, 0 when there are none.
func (s *Stream) commonEpoch(names []string) (epoch uint64, err error) {
	votes := make(map[uint64]int)
	for _, n := range names {
		b, err := s.b.disk.ReadFile(s.path(n))
		if err != nil && len(b) == 0 {
			continue
		}
		h, err := parseHeader(b)
		if errors.Is(err, ErrNewerFormat) {
			return 0, err
		}
		if err == nil {
			if votes[h.epoch]++; votes[h.epoch] > votes[epoch] {
				epoch = h.epoch
			}
		}
	}
	return epoch, nil
}

// load reads the segments. What is neither in them nor in the cursor is lost.
func (s *Stream) load(names []string, absent bool) error {
	found := make(map[*segment]scanned)
	for _, n := range names {
		if err := s.loadSegment(n, found); err != nil {
			return err
		}
	}
	slices.SortFunc(s.segs, func(a, b *segment) int {
		return cmp.Or(cmp.Compare(a.base, b.base), cmp.Compare(a.last, b.last))
	})
	s.dropReplaced(found)
	s.cutOverlaps(found)
	var all ranges
	for _, g := range s.segs {
		for _, p := range found[g].found {
			all.add(p.from, p.to)
		}
	}
	s.settleLoaded(all, thinnedAway(s.segs, found), absent)
	for _, g := range s.segs {
		g.count, g.live = 0, 0
		for _, p := range found[g].found {
			g.count += int(p.to - p.from + 1)
			for _, m := range s.done.missing(p.from, p.to) {
				g.live += int(m.to - m.from + 1)
			}
		}
	}
	s.reopenLast(found)
	return nil
}

// cutOverlaps leaves each number to the last segment that has it: what an earlier one has of it was never acknowledged to its sender.
func (s *Stream) cutOverlaps(found map[*segment]scanned) {
	kept := s.segs[:0]
	for i, g := range s.segs {
		if i+1 < len(s.segs) && s.segs[i+1].base <= g.last {
			cut := s.segs[i+1].base - 1
			if cut < found[g].found[0].from {
				s.keepFreeLocked(g)
				continue
			}
			sc, left := found[g], ranges(nil)
			for _, p := range sc.found {
				left.add(p.from, min(p.to, cut))
			}
			sc.found, g.last = left, left[len(left)-1].to
			found[g] = sc
		}
		kept = append(kept, g)
	}
	s.segs = kept
}

// settleLoaded finds what is lost: numbers that are neither settled nor in a segment. Those of thinned are so for that reason.
func (s *Stream) settleLoaded(all, thinned ranges, absent bool) {
	if len(all) > 0 {
		s.next = max(s.next, all[len(all)-1].to+1)
		if absent {
			s.done.add(1, all[0].from-1)
		}
	}
	if n := len(s.done); n > 0 {
		s.next = max(s.next, s.done[n-1].to+1)
	}
	for _, part := range s.done.missing(1, s.next-1) {
		for _, hole := range all.missing(part.from, part.to) {
			why := Corrupt
			if s.cfg.Durability == RAM && (len(all) == 0 || hole.from > all[len(all)-1].to) {
				why = Power
			}
			for _, p := range thinned.missing(hole.from, hole.to) {
				s.foundLost(p, why)
			}
			for _, p := range thinned {
				if p = (span{max(p.from, hole.from), min(p.to, hole.to)}); p.from <= p.to {
					s.foundLost(p, Thinned)
				}
			}
		}
	}
}

// foundLost notes at the start what is lost.
func (s *Stream) foundLost(p span, why Reason) {
	s.gaps = addGap(s.gaps, Gap{s.cfg.Name, s.epoch, p.from, p.to, why, 0})
	s.done.add(p.from, p.to)
	s.stats.Dropped += int64(p.to - p.from + 1)
	s.dirty = true
	if why != Thinned {
		s.log.Error("messages were lost", "reason", why.String(), "from", p.from, "to", p.to)
	}
}

func (s *Stream) loadSegment(name string, found map[*segment]scanned) error {
	if n, err := strconv.Atoi(strings.TrimSuffix(name, segmentSuffix)); err == nil {
		s.files = max(s.files, n)
	}
	b, err := s.b.disk.ReadFile(s.path(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Error("a segment can't be read to its end", "segment", name, "err", err)
	}
	sc, err := scan(b, s.epoch)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	g := &segment{name: name, size: int64(len(b))}
	s.b.used, s.used = s.b.used+g.size, s.used+g.size
	if sc.count == 0 {
		s.keepFreeLocked(g)
		return nil
	}
	g.base, g.last = sc.found[0].from, sc.found[len(sc.found)-1].to
	g.created, g.end, g.bytes = sc.header.created, sc.end, sc.bytes
	if g.level = sc.header.level; g.level > 0 && sc.header.base < g.base {
		g.base = sc.header.base
	}
	now := s.b.now()
	g.newest, g.opened, g.idle = now.Add(-away(now, sc.newest)), now.Add(-away(now, time.UnixMilli(g.created))), now
	s.segs = append(s.segs, g)
	found[g] = sc
	return nil
}

// away is the age of a record as far as the clock can be believed.
func away(now, at time.Time) time.Duration {
	if d := now.Sub(at); d > 0 && d < maxAway {
		return d
	}
	return 0
}

// reopenLast lets the last segment take more records if it is whole.
func (s *Stream) reopenLast(found map[*segment]scanned) {
	if len(s.segs) == 0 {
		return
	}
	g := s.segs[len(s.segs)-1]
	if sc := found[g]; sc.headerOK && g.level == 0 && g.last == s.next-1 && g.size == s.b.cfg.SegmentBytes && g.base == sc.header.base {
		s.active = g
	}
}
