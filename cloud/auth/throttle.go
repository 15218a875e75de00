package auth

import (
	"container/list"
	"context"
	"sync"
	"time"
)

// pair is what wrong credentials are counted by: somebody else's wrong ones, from another address, do not count.
type pair struct {
	identity string // ClientID of a device, id of an API key
	host     string
}

// firstDelay is that of the first try after the free ones; each further one doubles it.
const firstDelay = 100 * time.Millisecond

// throttle counts wrong credentials of a bounded number of pairs.
type throttle struct {
	cfg  Config
	now  func() time.Time
	slot chan struct{} // one for each delayed answer

	mu    sync.Mutex // guards the fields below
	pairs map[pair]*list.Element
	order *list.List // of *tries, the one quiet for longest first
}

type tries struct {
	pair pair
	n    int
	last time.Time
}

func newThrottle(cfg Config, now func() time.Time) *throttle {
	return &throttle{cfg: cfg, now: now, slot: make(chan struct{}, cfg.Delayed), pairs: map[pair]*list.Element{}, order: list.New()}
}

// wrong counts a wrong credential and tells for how long its answer is to be delayed.
func (t *throttle) wrong(p pair) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
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
	return t.delayOf(tr.n)
}

func (t *throttle) delayOf(n int) time.Duration {
	d := time.Duration(0)
	for i := t.cfg.FreeTries; i < n && d < t.cfg.MaxDelay; i++ {
		d = max(firstDelay, 2*d)
	}
	return min(d, t.cfg.MaxDelay)
}

func (t *throttle) forget(p pair) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.pairs[p]; e != nil {
		t.dropLocked(e)
	}
}

func (t *throttle) dropLocked(e *list.Element) {
	delete(t.pairs, e.Value.(*tries).pair)
	t.order.Remove(e)
}

// delay waits, unless so many wait already that waiting would serve the attacker.
func (t *throttle) delay(ctx context.Context, d time.Duration) {
	select {
	case t.slot <- struct{}{}:
	default:
		return
	}
	defer func() { <-t.slot }()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
