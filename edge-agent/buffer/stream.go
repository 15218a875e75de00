package buffer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sort"
	"sync"
	"time"
)

// Durability says when a record counts as taken.
type Durability string

// The durabilities of a stream. With Sync and Group a record is acknowledged only when it is on the disk.
const (
	Sync  Durability = "sync"  // a commit waits for no company: it takes what came during the last one
	Group Durability = "group" // a commit waits CommitEvery for company
	RAM   Durability = "ram"   // in memory while the hub is in reach, else as with Group: a power cut costs what the hub does not have
)

// WhenFull says what gives way when the budget is used up.
type WhenFull string

// What a stream does when the budget is used up.
const (
	DropOldest WhenFull = "drop-oldest" // its oldest segment goes
	ThinOut    WhenFull = "thin-out"    // half of the records of each topic go, in two neighbouring segments at a time; the oldest segment where that can't be
	RejectNew  WhenFull = "reject-new"  // Append fails with ErrFull; only streams of a higher priority take from it
)

// StreamConfig describes a stream. Zero fields get the defaults that are named.
type StreamConfig struct {
	// Name is its folder: lower case letters, digits and -.
	Name string
	// Priority decides who gives way for the common budget: a stream takes room from those of the same or a lower one.
	Priority int
	// Durability is Group by default.
	Durability Durability
	// CommitEvery is how long a commit waits for company (1 s); CommitMax records end the wait (512).
	CommitEvery time.Duration
	CommitMax   int
	// Queue is how many records may wait for the commit (1024); when it is full Append
	// blocks, and with it the sub-device that sends.
	Queue int
	// RAMBytes is how much a ram stream holds in memory (256 KiB); what is more goes to the disk.
	RAMBytes int64
	// WhenFull is DropOldest by default.
	WhenFull WhenFull
	// MaxBytes bounds the files of this stream alone; 0: the Config's bound is its only one. At least MinSegments segments.
	MaxBytes int64
	// TTL is after how long a record is dropped; 0 is never.
	TTL time.Duration
}

// ValidName tells whether a stream may be named so: up to 32 lower case letters, digits and -, which is not the first.
func ValidName(s string) bool {
	for _, c := range s {
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return s != "" && s[0] != '-' && len(s) <= 32
}

func (c *StreamConfig) fill() error {
	if c.Durability == "" {
		c.Durability = Group
	}
	if c.CommitEvery == 0 {
		c.CommitEvery = time.Second
	}
	if c.CommitMax == 0 {
		c.CommitMax = 512
	}
	if c.Queue == 0 {
		c.Queue = 1024
	}
	if c.RAMBytes == 0 {
		c.RAMBytes = 256 << 10
	}
	if c.WhenFull == "" {
		c.WhenFull = DropOldest
	}
	switch {
	case !ValidName(c.Name):
		return fmt.Errorf("buffer: %q is no name of a stream", c.Name)
	case c.Priority < 0 || c.Priority > 255:
		return fmt.Errorf("buffer: stream %s: priority %d is outside 0..255", c.Name, c.Priority)
	case c.Durability != Sync && c.Durability != Group && c.Durability != RAM:
		return fmt.Errorf("buffer: stream %s: durability %q", c.Name, c.Durability)
	case c.WhenFull != DropOldest && c.WhenFull != RejectNew && c.WhenFull != ThinOut:
		return fmt.Errorf("buffer: stream %s: when full %q", c.Name, c.WhenFull)
	case c.CommitEvery < 0 || c.CommitMax < 0 || c.Queue < 0 || c.TTL < 0 || c.RAMBytes < 0 || c.MaxBytes < 0:
		return fmt.Errorf("buffer: stream %s: a negative value", c.Name)
	}
	return nil
}

// Stats describe a stream.
type Stats struct {
	Records  int64 // held now
	Bytes    int64 // held now, topics and payloads, about
	Appended int64 // made durable since Open
	Removed  int64 // removed since Open
	Dropped  int64 // lost since Open, for whatever reason; Gaps says why
	Thinned  int64 // kept since Open when others were thinned out
	Rejected int64 // refused since Open because the buffer was full
	Commits  int64 // commits since Open
	Failed   int64 // records refused because the disk failed, since Open
}

// When the cursor is written: at the latest.
const (
	cursorEvery = 5 * time.Second
	cursorAcks  = 1000
)

// Add adds the counters of another stream.
func (s *Stats) Add(o Stats) {
	s.Records, s.Bytes, s.Appended, s.Removed = s.Records+o.Records, s.Bytes+o.Bytes, s.Appended+o.Appended, s.Removed+o.Removed
	s.Dropped, s.Thinned, s.Rejected = s.Dropped+o.Dropped, s.Thinned+o.Thinned, s.Rejected+o.Rejected
	s.Commits, s.Failed = s.Commits+o.Commits, s.Failed+o.Failed
}

// Stream is a log of records.
type Stream struct {
	b   *Buffer
	cfg StreamConfig
	log *slog.Logger

	queue   chan entry
	closing chan struct{}
	poke    chan struct{} // holds one token: the cursor is due
	senders sync.RWMutex  // held for reading while a sender may put into queue

	// b.mu guards the fields below.
	epoch      uint64
	next       uint64     // the number that is given next
	segs       []*segment // with records, by their numbers; the active one is the last
	free       []*segment // without records, to be used again
	active     *segment   // takes records; nil before the first and after a failed write
	files      int        // counts names
	used       int64      // bytes of the files
	done       ranges     // acknowledged or lost
	gaps       []Gap
	changed    chan struct{} // closed and replaced when records were added
	generation uint64        // of the cursor on the disk
	saved      ranges        // done as it is there
	savedNext  uint64
	dirty      bool      // the cursor on the disk is old
	acks       int       // since it was written
	cursorAt   time.Time // when it was written
	cursorFile file
	stats      Stats
	reader     reader
	ram        memory

	lossLogged time.Time // when the last loss was logged
}

type entry struct {
	rec  Record
	done func(error)
}

// Name is the stream's.
func (s *Stream) Name() string { return s.cfg.Name }

// Priority is the stream's.
func (s *Stream) Priority() int { return s.cfg.Priority }

// Append takes a record; Seq is ignored and given by the stream. done runs once,
// on the committer's goroutine, and must not block: with nil when the record is
// durable, else with ErrClosed, ErrTooLarge, ErrFull or ErrUnavailable. Records of one
// caller keep their order. Topic and Payload must not change until done.
func (s *Stream) Append(r Record, done func(error)) {
	if err := r.check(); err != nil {
		done(err)
		return
	}
	if need := segmentHeader + r.size(); need > s.b.limit || s.quota() > 0 && need > s.quota() {
		done(fmt.Errorf("%w: %d bytes", ErrTooLarge, r.size()))
		return
	}
	r.Seq = 0
	s.senders.RLock()
	defer s.senders.RUnlock()
	select {
	case <-s.closing:
		done(ErrClosed)
		return
	default:
	}
	select {
	case s.queue <- entry{r, done}:
	case <-s.closing:
		done(ErrClosed)
	}
}

// Remove forgets records that the hub has, at once for Read and within seconds on the disk.
func (s *Stream) Remove(seqs ...uint64) {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	for _, n := range seqs {
		if s.settleLocked(n, n) > 0 {
			s.stats.Removed++
			s.acks++
		}
	}
	if s.acks >= cursorAcks {
		s.wake()
	}
}

// wake has the committer look what is due.
func (s *Stream) wake() {
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// Changed returns a channel that is closed when records are added after the
// call. Take it before Read, so that nothing slips between.
func (s *Stream) Changed() <-chan struct{} {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	return s.changed
}

// Stats returns the counters.
func (s *Stream) Stats() Stats {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	st := s.stats
	st.Records, st.Bytes = int64(len(s.ram.records)), s.ram.bytes
	for _, g := range s.segs {
		st.Records += int64(g.live)
		if g.count > 0 {
			st.Bytes += g.bytes * int64(g.live) / int64(g.count)
		}
	}
	return st
}

// Gaps returns what was lost and is not reported yet.
func (s *Stream) Gaps() []Gap {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	return append([]Gap{}, s.gaps...)
}

// Reported forgets gaps that the hub has. One that has grown since Gaps returned it stays.
func (s *Stream) Reported(gaps ...Gap) {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	for _, g := range gaps {
		for i := range s.gaps {
			if s.gaps[i] == g {
				s.gaps = append(s.gaps[:i], s.gaps[i+1:]...)
				s.dirty = true
				break
			}
		}
	}
}

// settleLocked marks the numbers as acknowledged or lost and returns how many records that were.
func (s *Stream) settleLocked(from, to uint64) (n int) {
	to = min(to, s.next-1)
	for _, part := range s.done.missing(from, to) {
		i := sort.Search(len(s.segs), func(i int) bool { return s.segs[i].last >= part.from })
		for ; i < len(s.segs) && s.segs[i].base <= part.to; i++ {
			g := s.segs[i]
			lo, hi := max(part.from, g.base), min(part.to, g.last)
			// Numbers of a segment that are no records were settled when that was found.
			k := int(hi - lo + 1)
			g.live -= k
			n += k
			if g.live == 0 {
				g.idle = s.b.now()
			}
		}
		before := n
		n += s.ram.settle(part.from, part.to)
		// Of what was in memory the disk learns with the next numbers that are reserved.
		s.dirty = s.dirty || before > 0 || n == 0
	}
	s.done.add(from, to)
	return n
}

// run commits until ctx ends, and then the rest.
func (s *Stream) run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case e := <-s.queue:
			s.commit(s.gather(ctx, e))
		case <-tick.C:
			s.sweep()
		case <-s.poke:
			if !s.isOnline() {
				s.spill()
			}
			s.sweep()
		case <-ctx.Done():
			s.finish()
			return
		}
	}
}

// gather collects what a commit takes along, beginning with e.
func (s *Stream) gather(ctx context.Context, e entry) []entry {
	batch := append(make([]entry, 0, 32), e)
	var due <-chan time.Time
	if s.cfg.Durability == Group || s.cfg.Durability == RAM && !s.isOnline() {
		wait := time.NewTimer(s.cfg.CommitEvery)
		defer wait.Stop()
		due = wait.C
	}
	for len(batch) < s.cfg.CommitMax {
		if due == nil {
			select {
			case e := <-s.queue:
				batch = append(batch, e)
				continue
			default:
				return batch
			}
		}
		select {
		case e := <-s.queue:
			batch = append(batch, e)
		case <-due:
			return batch
		case <-ctx.Done():
			return batch
		}
	}
	return batch
}

// finish refuses new records and commits those already taken.
func (s *Stream) finish() {
	close(s.closing)
	s.senders.Lock() // every sender is out; the queue can't grow any more
	defer s.senders.Unlock()
	var batch []entry
	for len(s.queue) > 0 {
		batch = append(batch, <-s.queue)
	}
	s.SetOnline(false)
	s.spill()
	s.commit(batch)
}

func (s *Stream) isOnline() bool {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	return s.ram.online
}

func (s *Stream) path(file string) string { return s.b.path(s.cfg.Name, file) }

func (s *Stream) closeLocked() error {
	s.dirty = s.dirty || s.next != s.savedNext // then what the disk loses of the last records is known too
	err := s.persistLocked()
	s.reader.forget()
	s.sealLocked()
	if s.cursorFile != nil {
		err = errors.Join(err, s.cursorFile.Close())
		s.cursorFile = nil
	}
	return err
}
