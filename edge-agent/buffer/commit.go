package buffer

import (
	"errors"
	"fmt"
	"time"
)

// piece is the part of a commit that goes into one segment with one write.
type piece struct {
	g     *segment
	at    int64
	buf   []byte
	n     int    // records
	first uint64 // numbers of the first and the last one
	last  uint64
	bytes int64
}

// commit makes a batch durable and tells the senders.
func (s *Stream) commit(batch []entry) {
	if s.cfg.Durability == RAM && len(batch) > 0 {
		if s.keep(batch) {
			for _, e := range batch {
				e.done(nil)
			}
			return
		}
		s.spill() // those on the disk come before those in memory
	}
	for len(batch) > 0 {
		p, err := s.prepare(batch)
		n := max(p.n, 1)
		if err == nil {
			err = p.write()
			s.publish(p, err)
			if err != nil {
				err = fmt.Errorf("%w: %w", ErrUnavailable, err)
			}
		} else {
			s.refuse(batch[0], err)
		}
		for _, e := range batch[:n] {
			e.done(err)
		}
		batch = batch[n:]
	}
}

// prepare encodes as many records as the segment takes that the first one goes into.
func (s *Stream) prepare(batch []entry) (p piece, err error) {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	first := &batch[0].rec
	if g := s.active; g != nil && (g.end+first.size() > g.size || s.next-g.last > seqWindow/2) {
		s.sealLocked()
	}
	if s.active == nil {
		g, err := s.b.roomLocked(s, segmentHeader+first.size())
		if err != nil {
			return p, err
		}
		g.base = s.next
		if first.Seq != 0 { // from memory
			g.base = first.Seq
		}
		g.last, g.created, g.end = g.base-1, first.Time.UnixMilli(), 0
		g.count, g.live, g.bytes, g.opened, g.level, g.touched = 0, 0, 0, s.b.now(), 0, false
		s.active = g
	}
	g := s.active
	if g.f == nil {
		if g.f, err = s.b.disk.Open(s.path(g.name)); err != nil {
			return p, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
	p = piece{g: g, at: g.end, last: s.next - 1}
	if g.end == 0 {
		p.buf = header{epoch: s.epoch, base: g.base, created: g.created}.encode()
	}
	ttl := ttlCode(s.cfg.TTL)
	for i := range batch {
		r := batch[i].rec
		if p.at+int64(len(p.buf))+r.size() > g.size {
			break
		}
		if p.last++; r.Seq != 0 {
			p.last = r.Seq
		}
		if r.Seq = p.last; p.n == 0 {
			p.first = r.Seq
		}
		p.buf = appendRecord(p.buf, s.epoch, g.created, &r, byte(s.cfg.Priority), ttl, g.count+p.n == 0)
		p.n++
		p.bytes += int64(len(r.Topic) + len(r.Payload))
	}
	return p, nil
}

func (p *piece) write() error {
	if _, err := p.g.f.WriteAt(p.buf, p.at); err != nil {
		return err
	}
	return p.g.f.Sync()
}

// publish shows what was written to readers. After an error nobody knows what is on the disk: the segment is left as it was, and not written again.
func (s *Stream) publish(p piece, err error) {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	g := p.g
	if err != nil {
		s.stats.Failed += int64(p.n)
		s.log.Error("can't write the buffer", "segment", g.name, "err", err, "records", p.n)
		s.sealLocked()
		return
	}
	if g.count == 0 {
		s.segs = append(s.segs, g)
	}
	if p.first <= s.ram.seen && !g.touched {
		g.touched, s.dirty = true, true
	}
	g.end, g.last, g.newest = p.at+int64(len(p.buf)), p.last, s.b.now()
	g.count += p.n
	for _, part := range s.done.missing(p.first, p.last) { // some of those from memory are acknowledged meanwhile
		g.live += int(part.to - part.from + 1)
	}
	if g.live == 0 {
		g.idle = s.b.now()
	}
	g.bytes += p.bytes
	s.stats.Commits++
	if s.ram.settle(p.first, p.last) > 0 || p.last < s.next {
		return // readers and counters know them
	}
	s.next = p.last + 1
	s.stats.Appended += int64(p.n)
	s.wakeReadersLocked()
}

func (s *Stream) wakeReadersLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// refuse counts a record that found no room. One that was refused for good reasons of the stream's is a gap, so that the hub learns of it.
func (s *Stream) refuse(e entry, err error) {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	if !errors.Is(err, ErrFull) {
		s.stats.Failed++
		s.logLossLocked("can't write the buffer", "err", err)
		return
	}
	s.stats.Rejected++
	n := s.next
	s.next++
	s.done.add(n, n)
	s.gaps = addGap(s.gaps, Gap{s.cfg.Name, s.epoch, n, n, Reject, int64(len(e.rec.Topic) + len(e.rec.Payload))})
	s.dirty = true
	s.logLossLocked("buffer full: new messages refused", "refused_total", s.stats.Rejected)
}

// sealLocked ends the active segment: no more records go into it.
func (s *Stream) sealLocked() {
	g := s.active
	if g == nil {
		return
	}
	if g.f != nil {
		_ = g.f.Close() // all of it is synced, or given up
		g.f = nil
	}
	s.active = nil
	if g.count == 0 {
		s.keepFreeLocked(g)
	} else if g.live == 0 {
		g.idle = s.b.now()
	}
}

// loseMissingLocked gives up those of the numbers that are not settled.
func (s *Stream) loseMissingLocked(from, to uint64, why Reason) {
	for _, part := range s.done.missing(from, to) {
		s.loseLocked(part.from, part.to, why, 0)
	}
}

// loseLocked gives records up and leaves a gap.
func (s *Stream) loseLocked(from, to uint64, why Reason, bytes int64) {
	s.settleLocked(from, to)
	s.gaps = addGap(s.gaps, Gap{s.cfg.Name, s.epoch, from, to, why, bytes})
	s.stats.Dropped += int64(to - from + 1)
	s.dirty = true
	s.logLossLocked("messages are lost", "reason", why.String(), "from", from, "to", to, "bytes", bytes, "lost_total", s.stats.Dropped)
}

// logLossLocked logs, at most every ten seconds; the gaps hold it all.
func (s *Stream) logLossLocked(msg string, args ...any) {
	if now := s.b.now(); s.lossLogged.IsZero() || now.Sub(s.lossLogged).Abs() >= 10*time.Second {
		s.lossLogged = now
		s.log.Warn(msg, args...) //nolint:sloglint // the callers' messages are constants
	}
}
