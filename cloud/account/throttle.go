package account

import (
	"container/list"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// ErrThrottled is the kind of every *ThrottledError.
var ErrThrottled = errors.New("account: too many wrong passwords or codes")

// ThrottledError says for how long a login is not even tried.
type ThrottledError struct{ After time.Duration }

func (e *ThrottledError) Error() string {
	return fmt.Sprintf("account: too many wrong passwords or codes from this address: try again in %d seconds", int(e.After.Round(time.Second)/time.Second))
}

// Is makes errors.Is(err, ErrThrottled) true.
func (e *ThrottledError) Is(target error) bool { return target == ErrThrottled }

// ThrottleConfig says how wrong logins are slowed down. They are counted for each pair of name and address, so that
// somebody else's wrong guesses do not keep the right user out.
type ThrottleConfig struct {
	FreeTries int           // so many wrong ones cost nothing
	First     time.Duration // how long the next one keeps the pair out; each further one doubles it
	Max       time.Duration // … up to this
	Forget    time.Duration // without a wrong one for so long, all is forgotten
	Pairs     int           // so many pairs are remembered, the latest
	// PerAddress is how many logins of one address may be under way: one address cannot take all the hashing there is.
	PerAddress int
}

// DefaultThrottleConfig lets five wrong ones pass, then waits from 1 s to 5 min.
func DefaultThrottleConfig() ThrottleConfig {
	return ThrottleConfig{FreeTries: 5, First: time.Second, Max: 5 * time.Minute, Forget: 30 * time.Minute, Pairs: 20_000, PerAddress: 4}
}

// pair is what wrong ones are counted by.
type pair struct{ name, host string }

// throttle counts wrong logins of a bounded number of pairs.
type throttle struct {
	cfg ThrottleConfig

	mu    sync.Mutex // guards the fields below
	pairs map[pair]*list.Element
	order *list.List // of *tries, the one quiet for longest first
	busy  map[string]int
}

type tries struct {
	pair pair
	n    int
	last time.Time
}

func newThrottle(cfg ThrottleConfig) *throttle {
	return &throttle{cfg: cfg, pairs: map[pair]*list.Element{}, order: list.New(), busy: map[string]int{}}
}

// host is the part of an address that one caller has for themselves: of IPv6 the first 64 bits.
func host(address string) string {
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

// enter lets a login of the pair be tried, or is a *ThrottledError. leave must be called when it has been.
func (t *throttle) enter(p pair, now time.Time) (leave func(), err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.pairs[p]; e != nil {
		tr := e.Value.(*tries)
		if wait := tr.last.Add(t.waitLocked(tr.n)).Sub(now); wait > 0 && now.Sub(tr.last) < t.cfg.Forget {
			return nil, &ThrottledError{wait}
		}
	}
	if t.busy[p.host] >= t.cfg.PerAddress {
		return nil, &ThrottledError{time.Second}
	}
	t.busy[p.host]++
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.busy[p.host]--; t.busy[p.host] == 0 {
			delete(t.busy, p.host)
		}
	}, nil
}

func (t *throttle) waitLocked(n int) time.Duration {
	d := time.Duration(0)
	for i := t.cfg.FreeTries; i <= n && d < t.cfg.Max; i++ {
		d = max(t.cfg.First, 2*d)
	}
	return min(d, t.cfg.Max)
}

// wrong counts a wrong one.
func (t *throttle) wrong(p pair, now time.Time) {
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
}

// right forgets the wrong ones.
func (t *throttle) right(p pair) {
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
