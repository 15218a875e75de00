// Package allowance says how often callers may ask: each has a bucket of tokens, one a request, that fills up again.
//
// It promises that what it remembers is bounded. What is refused, and how that is told, is left to the doors; each node counts for
// itself.
package allowance

import (
	"sync"
	"time"
)

// maxBuckets is how many callers' buckets are kept; when there are more, the full ones go, which are as good as new.
const maxBuckets = 10_000

// Allowance is safe for concurrent use.
type Allowance struct {
	Rate  float64 // tokens a second; 0 is no limit
	Burst float64
	Now   func() time.Time

	mu      sync.Mutex // guards buckets
	buckets map[string]*bucket
}

type bucket struct {
	tokens float64
	at     time.Time // when tokens was right
}

// New returns an Allowance of so many requests a second in the long run, and so many at once.
func New(rate float64, burst int) *Allowance {
	return &Allowance{Rate: rate, Burst: float64(burst), Now: time.Now, buckets: make(map[string]*bucket)}
}

// Take takes a token of the caller's; without one, wait is how long until there is one again. Rate must not be 0.
func (a *Allowance) Take(caller string) (left int, full, wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.Now()
	b := a.buckets[caller]
	if b == nil {
		if len(a.buckets) >= maxBuckets {
			a.forgetLocked(now)
		}
		b = &bucket{tokens: a.Burst, at: now}
		a.buckets[caller] = b
	}
	b.tokens, b.at = min(a.Burst, b.tokens+max(now.Sub(b.at).Seconds(), 0)*a.Rate), now
	if b.tokens < 1 {
		wait = a.seconds(1 - b.tokens)
	} else {
		b.tokens--
	}
	return int(b.tokens), a.seconds(a.Burst - b.tokens), wait
}

func (a *Allowance) seconds(tokens float64) time.Duration {
	return time.Duration(tokens / a.Rate * float64(time.Second))
}

// forgetLocked drops the buckets that are full by now; when none is, all: a moment's generosity instead of ever more memory.
func (a *Allowance) forgetLocked(now time.Time) {
	for caller, b := range a.buckets {
		if b.tokens+now.Sub(b.at).Seconds()*a.Rate >= a.Burst {
			delete(a.buckets, caller)
		}
	}
	if len(a.buckets) >= maxBuckets {
		clear(a.buckets)
	}
}
