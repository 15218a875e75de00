package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// thinSuffix is that of a thinned segment that is being written; without its last name it counts for nothing.
const thinSuffix = ".thin"

// maxLevel is how often records are thinned at the most: one of 4,096 is left.
const maxLevel = 12

// extent is what decides which of two segments counts for numbers that both have.
type extent struct {
	base, last uint64
	level      byte
}

func (g *segment) extent() extent { return extent{g.base, g.last, g.level} }

// replaces tells whether x was made of y and others. It is on the disk beside y when the agent ended before y was used again.
func (x extent) replaces(y extent) bool {
	return x.level > y.level && x.base <= y.base && y.base <= x.last
}

// giveWayLocked gains room from records that wait: by thinning where the stream says so and it is possible, else from the oldest segment.
func (s *Stream) giveWayLocked(own bool) (bool, error) {
	if s.cfg.WhenFull == ThinOut {
		if ok, err := s.thinLocked(own); ok || err != nil {
			return ok, err
		}
	}
	return s.dropOldestLocked(own)
}

// thinLocked makes one segment of two neighbours, with half of the records of each topic: of those that were thinned the least, the oldest. Thus all that
// waits has about the same distance in time. Segments that a reader has been in stay: what the hub may have must keep its number. It reports false when
// no two can be thinned.
func (s *Stream) thinLocked(own bool) (bool, error) {
	if s.b.used+s.b.cfg.SegmentBytes > s.b.cfg.MaxBytes {
		return false, nil
	}
	for level := range byte(maxLevel) {
		for i := 0; i+1 < len(s.segs); i++ {
			if a, b := s.segs[i], s.segs[i+1]; a.level != level || b.level != level || !s.mayThin(a) || !s.mayThin(b) {
				continue
			}
			if ok, err := s.thinPairLocked(i, own); ok || err != nil {
				return ok, err
			}
		}
	}
	return false, nil
}

func (s *Stream) mayThin(g *segment) bool {
	return g != s.active && g.live > 1 && !g.touched
}

// thinPairLocked thins the segments i and i+1. It reports false when what is left of them would not fit into one, or the disk refuses.
func (s *Stream) thinPairLocked(i int, own bool) (bool, error) {
	a, b := s.segs[i], s.segs[i+1]
	t := thinner{created: a.created}
	for _, g := range []*segment{a, b} {
		data, err := s.b.disk.ReadFile(s.path(g.name))
		if err != nil {
			return false, nil // dropping it needs no reading
		}
		t.take(s, g, data)
	}
	if len(t.recs) < 2 || !t.choose(s.b.cfg.SegmentBytes) {
		return false, nil
	}
	g, lost := t.place(a, b)
	s.files++
	g.name, g.size = fmt.Sprintf("%08d%s", s.files, segmentSuffix), s.b.cfg.SegmentBytes
	if err := s.writeThinned(g, &t); err != nil {
		s.log.Warn("messages can't be thinned out", "err", err)
		return false, nil
	}
	s.b.used, s.used = s.b.used+g.size, s.used+g.size
	for k, part := range lost {
		bytes := int64(0)
		if k == 0 {
			bytes = t.lostBytes
		}
		s.loseLocked(part.from, part.to, Thinned, bytes)
	}
	s.segs = slices.Replace(s.segs, i, i+2, g)
	s.stats.Thinned += int64(t.kept)
	if err := s.persistLocked(); err != nil { // it is the gaps that are not kept; that the numbers are lost, the segment says too
		s.logLossLocked("can't write the buffer's cursor", "err", err)
	}
	if s.reader.g == a || s.reader.g == b {
		s.reader.forget()
	}
	s.deleteLocked(a) // the new one has its room
	if own {
		s.keepFreeLocked(b)
	} else {
		s.deleteLocked(b)
	}
	return true, nil
}

// thinner is the records of two segments, and which of them stay.
type thinner struct {
	created   int64
	recs      []thinRecord
	kept      int
	lostBytes int64
	numbers   []uint64 // of those that stay, when they are placed
}

type thinRecord struct {
	seq      uint64
	at       int64  // Unix ms
	body     []byte // topic and payload as they are in the segment
	flags    byte
	priority byte
	ttl      uint16
	stays    bool
}

// take collects what waits in a segment.
func (t *thinner) take(s *Stream, g *segment, data []byte) {
	data = data[:min(int64(len(data)), g.end)]
	for pos, last := segmentHeader, g.base-1; ; {
		v, ok := nextView(data, pos, s.epoch, last)
		if !ok || v.seq > g.last {
			return
		}
		pos, last = v.at+v.size, v.seq
		if !s.done.has(v.seq) {
			t.recs = append(t.recs, thinRecord{seq: v.seq, at: v.time(g.created).UnixMilli(), body: v.body, flags: v.flags & flagQoS1, priority: v.priority, ttl: v.ttl})
		}
	}
}

func (r *thinRecord) topic() string {
	return string(r.body[2 : 2+int(binary.BigEndian.Uint16(r.body))])
}

func (r *thinRecord) payload() []byte { return r.body[2+len(r.topic()):] }

// choose marks half of the records, of each topic as a sampler does; of topics with an odd number the one that is over by turns. When these do not fit into room
// bytes it is every second one whatever is in them, and when these do not the other half; false when that does not fit either.
func (t *thinner) choose(room int64) bool {
	byTopic, last := make(map[string][]*thinRecord, 64), make(map[string]int, 64)
	for i := range t.recs {
		name := t.recs[i].topic()
		byTopic[name], last[name] = append(byTopic[name], &t.recs[i]), i
	}
	topics := slices.SortedFunc(maps.Keys(last), func(x, y string) int { return last[y] - last[x] })
	mark := func(look bool) {
		more := true
		for _, name := range topics {
			s := &sampler{recs: byTopic[name]}
			if look {
				s = newSampler(s.recs)
			}
			s.mark(more)
			more = more != (len(s.recs)%2 == 1)
		}
	}
	if mark(true); t.fits(room) {
		return true
	}
	t.invert(false)
	if mark(false); t.fits(room) {
		return true
	}
	t.invert(true)
	return t.fits(room)
}

// invert has the other records stay, or none.
func (t *thinner) invert(others bool) {
	for i := range t.recs {
		t.recs[i].stays = others && !t.recs[i].stays
	}
}

// fits counts what stays and what is lost.
func (t *thinner) fits(room int64) bool {
	t.kept, t.lostBytes = 0, 0
	size := int64(segmentHeader)
	for i := range t.recs {
		r := &t.recs[i]
		if !r.stays {
			t.lostBytes += int64(len(r.body) - 2)
			continue
		}
		size += int64(recordHeader + len(r.body))
		if delta := r.at - t.created; t.kept == 0 || delta != int64(int32(delta)) {
			size += 8
		}
		t.kept++
	}
	return t.kept > 0 && t.kept < len(t.recs) && size <= room
}

// place gives what stays the highest of the numbers of all, so that those that are lost are together, and returns these and the segment.
func (t *thinner) place(a, b *segment) (g *segment, lost ranges) {
	first := len(t.recs) - t.kept
	for i := range t.recs {
		if n := t.recs[i].seq; i < first {
			lost.add(n, n)
		} else {
			t.numbers = append(t.numbers, n)
		}
	}
	g = &segment{
		base: t.recs[0].seq, last: t.numbers[t.kept-1], created: t.created, level: a.level + 1, count: t.kept, live: t.kept, opened: a.opened, newest: b.newest,
	}
	return g, lost
}

// writeThinned makes g's file. Under its name it is whole.
func (s *Stream) writeThinned(g *segment, t *thinner) (err error) {
	name := s.path(g.name) + thinSuffix
	f, err := s.newFile(name, g.size)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = s.b.disk.Remove(name)
		}
	}()
	buf := header{epoch: s.epoch, base: g.base, created: g.created, level: g.level}.encode()
	k := 0
	for i := range t.recs {
		if r := &t.recs[i]; r.stays {
			n := len(r.topic())
			rec := Record{Seq: t.numbers[k], Time: time.UnixMilli(r.at), Topic: r.topic(), Payload: r.body[2+n:], QoS: r.flags}
			buf = appendRecord(buf, s.epoch, g.created, &rec, r.priority, r.ttl, k == 0)
			g.bytes += int64(len(r.body) - 2)
			k++
		}
		if len(buf) >= chunk || i == len(t.recs)-1 {
			if _, err := f.WriteAt(buf, g.end); err != nil {
				return errors.Join(err, f.Close())
			}
			g.end += int64(len(buf))
			buf = buf[:0]
		}
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return s.b.disk.Rename(name, s.path(g.name))
}

// dropReplaced frees segments that others were made of.
func (s *Stream) dropReplaced(found map[*segment]scanned) {
	s.segs = slices.DeleteFunc(slices.Clone(s.segs), func(g *segment) bool {
		replaced := slices.ContainsFunc(s.segs, func(x *segment) bool { return x.extent().replaces(g.extent()) })
		if replaced {
			delete(found, g)
			s.keepFreeLocked(g)
		}
		return replaced
	})
}

// thinnedAway are the numbers that thinned segments stand for and do not hold.
func thinnedAway(segs []*segment, found map[*segment]scanned) (r ranges) {
	for _, g := range segs {
		if first := found[g].found[0].from; g.level > 0 && first > g.base {
			r.add(g.base, first-1)
		}
	}
	return r
}

// touchLocked notes that a reader has been in a segment, on the disk too before the record leaves it.
func (s *Stream) touchLocked(g *segment) {
	if g.touched {
		return
	}
	g.touched = true
	if s.cfg.WhenFull != ThinOut {
		return
	}
	s.dirty = true
	if err := s.persistLocked(); err != nil {
		s.logLossLocked("can't write the buffer's cursor", "err", err)
	}
}

// touchedLocked are the numbers of the segments that a reader has been in, as far as the cursor has room for them: of more, those that are next to each
// other are joined.
func (s *Stream) touchedLocked() (r ranges) {
	for _, g := range s.segs {
		if g.touched {
			r.add(g.base, g.last)
		}
	}
	for len(r) > maxTouched {
		near := 1
		for k := 2; k < len(r); k++ {
			if r[k].from-r[k-1].to < r[near].from-r[near-1].to {
				near = k
			}
		}
		r.add(r[near-1].from, r[near].to)
	}
	return r
}
