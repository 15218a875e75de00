package update

import (
	"context"
	"sync"
	"time"
)

// guard ends a connection that is too slow. Time counts only between enter and leave: that the device itself is slow is nobody's fault.
type guard struct {
	stall  time.Duration
	least  int64 // bytes in stall
	cancel context.CancelCauseFunc
	timer  *time.Timer

	mu      sync.Mutex // guards the fields below
	entered time.Time
	waited  time.Duration
	bytes   int64
	slow    bool
}

func newGuard(stall time.Duration, rate int64, cancel context.CancelCauseFunc) *guard {
	g := &guard{stall: stall, least: max(1, int64(float64(rate)*stall.Seconds())), cancel: cancel}
	g.timer = time.AfterFunc(stall, g.fire)
	g.timer.Stop()
	return g
}

func (g *guard) enter() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.entered = time.Now()
	g.timer.Reset(max(g.stall-g.waited, 0))
}

func (g *guard) leave(n int) {
	g.timer.Stop()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waited += time.Since(g.entered)
	g.bytes += int64(n)
	if g.bytes >= g.least {
		g.waited, g.bytes = 0, 0
	}
}

// fire is called when Stall has passed with fewer bytes than there must be.
func (g *guard) fire() {
	g.mu.Lock()
	g.slow = true
	g.mu.Unlock()
	g.cancel(errSlow)
}

func (g *guard) fired() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.slow
}

func (g *guard) stop() { g.timer.Stop() }
