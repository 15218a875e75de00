package buffer

import "slices"

// ramReserve is how many numbers a ram stream notes as given at a time, so that none is given twice after a crash.
const ramReserve = 4096

// memory is what a ram stream has not put on the disk. The buffer's mu guards it.
type memory struct {
	online   bool
	records  []Record // not settled, ascending; their numbers are above those in the segments
	bytes    int64
	reserved uint64 // numbers below it may be given without a write
	seen     uint64 // the highest number that was read from here
}

// SetOnline says whether the hub is in reach, which matters to ram streams alone: while it is they write nothing, and when it no longer is they put on the
// disk what they hold. A stream begins offline.
func (s *Stream) SetOnline(online bool) {
	s.b.mu.Lock()
	s.ram.online = online
	s.b.mu.Unlock()
	s.wake()
}

// keep takes a batch into memory and reports whether it could.
func (s *Stream) keep(batch []entry) bool {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	m := &s.ram
	var size int64
	for i := range batch {
		size += batch[i].rec.size()
	}
	if s.cfg.Durability != RAM || !m.online || m.bytes+size > s.cfg.RAMBytes {
		return false
	}
	if s.next+uint64(len(batch)) > m.reserved {
		s.dirty = true
		if s.persistLocked() != nil {
			return false
		}
	}
	for i := range batch {
		r := batch[i].rec
		r.Seq = s.next
		r.Payload = slices.Clone(r.Payload) // the sender's until done
		s.next++
		m.records = append(m.records, r)
		m.bytes += r.size()
	}
	s.stats.Appended += int64(len(batch))
	s.wakeReadersLocked()
	return true
}

// spill puts on the disk what is in memory. What finds no room there stays in memory.
func (s *Stream) spill() {
	s.b.mu.Lock()
	batch := make([]entry, len(s.ram.records))
	for i, r := range s.ram.records {
		batch[i].rec = r
	}
	s.b.mu.Unlock()
	if len(batch) == 0 {
		return
	}
	for len(batch) > 0 {
		p, err := s.prepare(batch)
		if err == nil {
			err = p.write()
			s.publish(p, err)
		}
		if err != nil {
			s.b.mu.Lock()
			s.logLossLocked("what is in memory can't be put on the disk", "err", err, "records", len(batch))
			s.b.mu.Unlock()
			return
		}
		batch = batch[p.n:]
	}
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.dirty = true // numbers that were reserved are free again
	if err := s.persistLocked(); err != nil {
		s.logLossLocked("can't write the buffer's cursor", "err", err)
	}
}

// settle forgets records that are acknowledged or lost and returns how many.
func (m *memory) settle(from, to uint64) (n int) {
	m.records = slices.DeleteFunc(m.records, func(r Record) bool {
		gone := from <= r.Seq && r.Seq <= to
		if gone {
			n++
			m.bytes -= r.size()
		}
		return gone
	})
	return n
}

// read appends what is behind after, up to limit.
func (m *memory) read(after uint64, limit int, recs []Record) []Record {
	for _, r := range m.records {
		if len(recs) >= limit {
			break
		}
		if r.Seq > after {
			recs = append(recs, r)
		}
	}
	return recs
}
