package rules

import (
	"maps"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// books are an action's counters. They are under one lock, so that a reader finds them balanced: what has matched was settled or is
// open in some shard.
type books struct {
	mu                        sync.Mutex // guards the fields below
	matched, handed           int64
	delivered, dead, fellBack int64
	retries                   int64
	dropped                   map[string]int64
	open                      [store.Shards]open
	last                      error
	lastAt                    time.Time
}

// open is what is not settled in one shard.
type open struct {
	queued int64 // in memory, in the outbox too
	late   int64 // in the outbox alone
	flight int64 // being sent
	bytes  int64 // of all these
}

func (o *open) add(p open) {
	o.queued, o.late, o.flight, o.bytes = o.queued+p.queued, o.late+p.late, o.flight+p.flight, o.bytes+p.bytes
}

// waiting is a number of records of one shard that wait, and their bytes.
type waiting struct {
	shard int
	late  bool
	n     int
	bytes int64
}

// place is where those that wait are counted.
func (b *books) placeLocked(shard int, late bool) *int64 {
	if late {
		return &b.open[shard].late
	}
	return &b.open[shard].queued
}

// arrive enters records that have matched.
func (b *books) arrive(w waiting) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.matched += int64(w.n)
	*b.placeLocked(w.shard, w.late) += int64(w.n)
	b.open[w.shard].bytes += w.bytes
}

// behind says that nothing of a shard is in memory any longer.
func (b *books) behind(shard int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := &b.open[shard]
	o.late, o.queued = o.late+o.queued, 0
}

// forget takes out what is open in a shard, which somebody else counts from now on.
func (b *books) forget(shard int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := &b.open[shard]
	b.handed += o.queued + o.late + o.flight
	*o = open{}
}

// begin says that records are being sent.
func (b *books) begin(w waiting) {
	b.mu.Lock()
	defer b.mu.Unlock()
	*b.placeLocked(w.shard, w.late) -= int64(w.n)
	b.open[w.shard].flight += int64(w.n)
}

// deliver says that what was being sent has arrived.
func (b *books) deliver(w waiting) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open[w.shard].flight -= int64(w.n)
	b.open[w.shard].bytes -= w.bytes
	b.delivered += int64(w.n)
}

// back says that what was being sent waits again; err is why, nil when the action or the hub has ended meanwhile.
func (b *books) back(w waiting, err error, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open[w.shard].flight -= int64(w.n)
	*b.placeLocked(w.shard, w.late) += int64(w.n)
	if err != nil {
		b.retries++
		b.last, b.lastAt = err, now
	}
}

// end says that records that waited are settled in another way; count is where they are counted now.
func (b *books) end(w waiting, count *int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settleLocked(w)
	*count += int64(w.n)
}

// drop is end for records that are lost, for a reason.
func (b *books) drop(w waiting, reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settleLocked(w)
	if b.dropped == nil {
		b.dropped = make(map[string]int64)
	}
	b.dropped[reason] += int64(w.n)
}

func (b *books) settleLocked(w waiting) {
	*b.placeLocked(w.shard, w.late) -= int64(w.n)
	b.open[w.shard].bytes -= w.bytes
}

// left is how many records are not settled in all shards.
func (b *books) left() (n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.open {
		n += b.open[i].queued + b.open[i].late + b.open[i].flight
	}
	return n
}

// bytes is how much waits in all shards.
func (b *books) bytes() (n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.open {
		n += b.open[i].bytes
	}
	return n
}

// share is how much waits in one shard, in all, and in how many shards something waits.
func (b *books) share(shard int) (own, all, shards int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.open {
		if n := b.open[i].bytes; n > 0 {
			all, shards = all+n, shards+1
		}
	}
	return b.open[shard].bytes, all, shards
}

// ActionStats are an action's counters: Matched = Delivered + InFlight + Queued + Late + Dead + FellBack + the sum of Dropped. What waited
// in the outbox when this hub started, or took a shard over from another, counts as matched; what waited when another took a shard over
// counts no longer.
type ActionStats struct {
	Action               int64
	Kind                 string
	Role                 Role
	Matched, Delivered   int64
	InFlight             int64            // being sent
	Queued               int64            // to be sent, in memory
	Late                 int64            // to be sent, left in the outbox because the target does not keep up
	Bytes                int64            // of those three
	Dead                 int64            // became dead letters
	FellBack             int64            // given up and handed to the fallback action
	Dropped              map[string]int64 // by reason; never nil
	Retries              int64
	Status               Status
	Since                time.Time // when Status became what it is
	LastError            string    // "" when there was none
	LastErrorAt          time.Time
	Letters, LetterBytes int64 // dead letters that are there, as last counted
	Total                Total

	handed int64
}

func (a *action) stats() ActionStats {
	s := ActionStats{Action: a.id, Kind: a.kind, Role: a.role}
	s.Status, s.Since = a.breaker.status()
	s.Letters, s.LetterBytes = a.letters.get()
	b := &a.books
	b.mu.Lock()
	defer b.mu.Unlock()
	var all open
	for i := range b.open {
		all.add(b.open[i])
	}
	s.Matched, s.Delivered, s.Dead, s.FellBack, s.Dropped, s.Retries = b.matched-b.handed, b.delivered, b.dead, b.fellBack, maps.Clone(b.dropped), b.retries
	s.handed = b.handed
	s.InFlight, s.Queued, s.Late, s.Bytes = all.flight, all.queued, all.late, all.bytes
	if s.Dropped == nil {
		s.Dropped = map[string]int64{}
	}
	if b.last != nil {
		s.LastError, s.LastErrorAt = b.last.Error(), b.lastAt
	}
	return s
}
