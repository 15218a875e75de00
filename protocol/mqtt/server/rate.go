package server

import (
	"time"
)

// rate spreads a connection's publishes over time: each pushes the point ahead at which the next is due, and
// one second's worth may be ahead of the clock.
type rate struct {
	pace                  *pace
	nextMessage, nextByte time.Duration // since the server's start
}

// pace is what one message and one byte cost; 0 is nothing.
type pace struct{ perMessage, perByte time.Duration }

// burst is how far ahead of the clock a connection may get.
const burst = time.Second

// newPace takes rates in units a second; without one that is greater than 0 it is zero.
func newPace(msgs, bytes float64) (p pace) {
	if msgs > 0 {
		p.perMessage = time.Duration(float64(time.Second) / msgs)
	}
	if bytes > 0 {
		p.perByte = max(1, time.Duration(float64(time.Second)/bytes))
	}
	return p
}

// take accounts for one publish of n bytes and returns how long to wait before it; now is since the server's start.
func (r *rate) take(now time.Duration, n int) time.Duration {
	wait := time.Duration(0)
	for _, b := range []struct {
		next *time.Duration
		cost time.Duration
	}{{&r.nextMessage, r.pace.perMessage}, {&r.nextByte, time.Duration(n) * r.pace.perByte}} {
		*b.next = max(*b.next, now)
		wait = max(wait, *b.next-now-burst)
		*b.next += b.cost
	}
	return wait
}

// throttle holds the connection's goroutine back to a rate, until l are no longer its limits.
func (c *conn) throttle(l *limits, r *rate, n int) error {
	wait := r.take(time.Since(c.srv.start), n)
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
