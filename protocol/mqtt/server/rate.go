package server

import (
	"time"
)

// rate spreads a connection's publishes over time: each pushes the point ahead at which the next is due, and
// one second's worth may be ahead of the clock.
type rate struct {
	perMessage, perByte   time.Duration // what one costs; 0 = nothing
	nextMessage, nextByte time.Duration // since the server's start
}

// burst is how far ahead of the clock a connection may get.
const burst = time.Second

// newRate returns nil when neither rate, in units a second, is greater than 0.
func newRate(msgs, bytes float64) *rate {
	if msgs <= 0 && bytes <= 0 {
		return nil
	}
	r := &rate{}
	if msgs > 0 {
		r.perMessage = time.Duration(float64(time.Second) / msgs)
	}
	if bytes > 0 {
		r.perByte = max(1, time.Duration(float64(time.Second)/bytes))
	}
	return r
}

// take accounts for one publish of n bytes and returns how long to wait before it; now is since the server's start.
func (r *rate) take(now time.Duration, n int) time.Duration {
	wait := time.Duration(0)
	for _, b := range []struct {
		next *time.Duration
		cost time.Duration
	}{{&r.nextMessage, r.perMessage}, {&r.nextByte, time.Duration(n) * r.perByte}} {
		*b.next = max(*b.next, now)
		wait = max(wait, *b.next-now-burst)
		*b.next += b.cost
	}
	return wait
}

// throttle holds the connection's goroutine back to its rate, until l are no longer its limits.
func (c *conn) throttle(l *limits, n int) error {
	wait := l.rate.take(time.Since(c.srv.start), n)
	if wait <= 0 {
		return nil
	}
	until := time.Now().Add(wait)
	timer := time.AfterFunc(wait, func() {
		c.mu.Lock()
		c.signalLocked()
		c.mu.Unlock()
	})
	defer timer.Stop()
	return c.holdBack(never, func() bool { return c.draining || c.limits.Load() != l || !time.Now().Before(until) })
}
