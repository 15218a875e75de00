package rules

import (
	"context"
	"sync"
	"time"
)

// Status says how it is with an action's target.
type Status string

// The states of a target.
const (
	Connecting   Status = "connecting"   // nothing was tried yet, or the target is tried again after it was not available
	Connected    Status = "connected"    // it answers
	Disconnected Status = "disconnected" // it is not available, and left alone for a while
)

// breakerFaults is after how many failures in a row, each saying that the target is not available, nobody tries it any more
// but one at a time, after a pause.
const breakerFaults = 3

// breaker is an action's circuit breaker. It is closed at first: all lanes send. It opens when the target is not available several times in
// a row: then nobody sends until a pause is over, and after it (half-open) a single lane does, whose outcome closes or opens it again. The
// pauses grow. So a target that is down costs one attempt at a time, however many devices there are, and is not overrun when it
// comes back.
type breaker struct {
	mu     sync.Mutex // guards the fields below
	state  Status
	since  time.Time
	faults int           // in a row
	until  time.Time     // nobody tries before
	trial  bool          // one lane tries
	change chan struct{} // closed at the next change; nil when nobody waits
}

// turn is what enter grants and leave takes back.
type turn struct{ trial bool }

// enter waits until the caller may send, or ctx ends, or stop is closed (nil: never): then it is false.
func (b *breaker) enter(ctx context.Context, now func() time.Time, stop <-chan struct{}) (turn, bool) {
	for {
		t, wait, change := b.ask(now())
		if wait == 0 {
			return t, true
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-change:
		case <-stop:
			timer.Stop()
			return turn{}, false
		case <-ctx.Done():
			timer.Stop()
			return turn{}, false
		}
		timer.Stop()
	}
}

// ask grants a turn at once, or says how long to wait before asking again.
func (b *breaker) ask(now time.Time) (t turn, wait time.Duration, change <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.faults < breakerFaults {
		return turn{}, 0, nil
	}
	wait = b.until.Sub(now)
	switch {
	case b.trial:
		wait = time.Minute // its end is a change
	case wait <= 0:
		b.trial = true
		b.becomeLocked(Connecting, now)
		return turn{trial: true}, 0, nil
	}
	if b.change == nil {
		b.change = make(chan struct{})
	}
	return turn{}, wait, b.change
}

// open tells whether nobody may send but in turn.
func (b *breaker) open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.faults >= breakerFaults
}

// answered says that the target has taken, or refused, something: it is there. It tells whether it was not before.
func (b *breaker) answered(t turn, now time.Time) (recovered bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	recovered = b.faults > 0
	b.faults, b.trial = 0, b.trial && !t.trial
	b.becomeLocked(Connected, now)
	return recovered
}

// absent says that the target was not available; pause gives how long after so many failures in a row it is left alone. It tells whether
// that is news.
func (b *breaker) absent(t turn, now time.Time, pause func(n int) time.Duration) (first bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	first = b.faults == 0
	if t.trial || b.faults < breakerFaults { // what began before it opened says nothing new
		b.faults++
		b.until = now.Add(pause(b.faults))
	}
	b.trial = b.trial && !t.trial
	b.becomeLocked(Disconnected, now)
	return first
}

// gone says that a turn has ended without an outcome.
func (b *breaker) gone(t turn, now time.Time) {
	if !t.trial {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trial = false
	b.becomeLocked(Disconnected, now)
}

// becomeLocked wakes those who wait: whatever has changed, they look again.
func (b *breaker) becomeLocked(s Status, now time.Time) {
	if b.state != s {
		b.state, b.since = s, now
	}
	if b.change != nil && s != Connecting {
		close(b.change)
		b.change = nil
	}
}

func (b *breaker) status() (Status, time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == "" {
		return Connecting, b.since
	}
	return b.state, b.since
}
