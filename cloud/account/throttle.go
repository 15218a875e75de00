package account

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/cloud/throttle"
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
	throttle.Config
	// PerAddress is how many logins of one address may be under way: one address cannot take all the hashing there is.
	PerAddress int
}

// DefaultThrottleConfig lets five logins be tried, then has the next one wait from 1 s to 5 min.
func DefaultThrottleConfig() ThrottleConfig {
	return ThrottleConfig{Config: throttle.Config{Free: 4, First: time.Second, Max: 5 * time.Minute, Forget: 30 * time.Minute, Pairs: 20_000}, PerAddress: 4}
}

// gate lets logins be tried, or not.
type gate struct {
	*throttle.Throttle
	perAddress int

	mu   sync.Mutex // guards the field below
	busy map[string]int
}

func newGate(cfg ThrottleConfig) *gate {
	return &gate{Throttle: throttle.New(cfg.Config), perAddress: cfg.PerAddress, busy: map[string]int{}}
}

// enter lets a login of the pair be tried, or is a *ThrottledError. leave must be called when it has been.
func (g *gate) enter(p throttle.Pair, now time.Time) (leave func(), err error) {
	if wait := g.Left(p, now); wait > 0 {
		return nil, &ThrottledError{wait}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.busy[p.Host] >= g.perAddress {
		return nil, &ThrottledError{time.Second}
	}
	g.busy[p.Host]++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.busy[p.Host]--; g.busy[p.Host] == 0 {
			delete(g.busy, p.Host)
		}
	}, nil
}
