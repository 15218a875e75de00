// Package throttle counts wrong guesses at secrets, by who is guessed at and from where, and tells how long each is to cost.
//
// A few are free; the next one costs a little, each further one twice as much, up to a bound. A right one, or a long quiet time,
// starts afresh. What is counted by name and address does not keep the right one out who comes from elsewhere.
//
// The package promises that what it remembers is bounded: the pair that was quiet for longest goes first. How the cost is paid, by a
// later answer or by none, is left to its callers; and it knows nothing of other nodes, each of which counts for itself.
package throttle

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

// Config says how much guessing costs.
type Config struct {
	Free   int           // so many wrong ones cost nothing
	First  time.Duration // what the next one costs; each further one doubles it
	Max    time.Duration // … up to this
	Forget time.Duration // without a wrong one for so long, all is forgotten
	Pairs  int           // so many pairs are remembered
}

// Pair is what wrong ones are counted by.
type Pair struct{ Name, Host string }

// Throttle is safe for concurrent use.
type Throttle struct {
	cfg Config

	mu    sync.Mutex // guards the fields below
	pairs map[Pair]*list.Element
	order *list.List // of *tries, the one quiet for longest first
}

type tries struct {
	pair Pair
	n    int
	last time.Time
}

// New returns a Throttle that has seen nothing.
func New(cfg Config) *Throttle {
	return &Throttle{cfg: cfg, pairs: map[Pair]*list.Element{}, order: list.New()}
}

// Wrong counts a wrong one and returns what it costs.
func (t *Throttle) Wrong(p Pair, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.pairs[p]
	if e == nil {
		e = t.order.PushBack(&tries{pair: p})
		t.pairs[p] = e
		if t.order.Len() > t.cfg.Pairs {
			t.dropLocked(t.order.Front())
		}
	}
	tr := e.Value.(*tries)
	if now.Sub(tr.last) > t.cfg.Forget {
		tr.n = 0
	}
	tr.n, tr.last = tr.n+1, now
	t.order.MoveToBack(e)
	return t.cost(tr.n)
}

// Left is how much of the cost of the last wrong one is still to be paid, when time pays it.
func (t *Throttle) Left(p Pair, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.pairs[p]
	if e == nil {
		return 0
	}
	tr := e.Value.(*tries)
	since := now.Sub(tr.last)
	if since >= t.cfg.Forget {
		return 0
	}
	return max(0, t.cost(tr.n)-since)
}

// cost is that of the nth wrong one.
func (t *Throttle) cost(n int) time.Duration {
	d := time.Duration(0)
	for i := t.cfg.Free; i < n && d < t.cfg.Max; i++ {
		d = max(t.cfg.First, 2*d)
	}
	return min(d, t.cfg.Max)
}

// Right forgets the wrong ones of a pair.
func (t *Throttle) Right(p Pair) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.pairs[p]; e != nil {
		t.dropLocked(e)
	}
}

// Len is how many pairs are remembered.
func (t *Throttle) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.order.Len()
}

func (t *Throttle) dropLocked(e *list.Element) {
	delete(t.pairs, e.Value.(*tries).pair)
	t.order.Remove(e)
}

// Host is the part of an address that one caller has for themselves: of IPv6 the first 64 bits.
func Host(address string) string {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return address
	}
	addr := ap.Addr().Unmap()
	if addr.Is6() {
		if p, err := addr.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return addr.String()
}
