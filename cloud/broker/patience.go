package broker

import (
	"context"
	"sync"
	"time"
)

// patience is a context that ends at a time and starts a clock only when somebody waits for that: most messages are handed on without
// anybody waiting for anything, and a clock for each is a tenth of what that costs.
type patience struct {
	by time.Time

	mu     sync.Mutex // guards the fields below
	inner  context.Context
	cancel context.CancelFunc
}

var _ context.Context = (*patience)(nil)

// over is how a context ends that nobody needs any more.
var over = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// wait returns a context for as long as the store is waited for. end must be called when it is not needed any more.
func (b *Broker) wait() *patience { return &patience{by: time.Now().Add(b.cfg.StoreWait)} }

// Deadline implements context.Context.
func (p *patience) Deadline() (time.Time, bool) { return p.by, true }

// Done implements context.Context: it starts the clock.
func (p *patience) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.inner == nil {
		p.inner, p.cancel = context.WithDeadline(context.Background(), p.by)
	}
	return p.inner.Done()
}

// Err implements context.Context.
func (p *patience) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.inner != nil:
		return p.inner.Err()
	case !time.Now().Before(p.by):
		return context.DeadlineExceeded
	}
	return nil
}

// Value implements context.Context.
func (*patience) Value(any) any { return nil }

// end ends it, unless its time is over.
func (p *patience) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.inner == nil:
		p.inner = over
	case p.cancel != nil:
		p.cancel()
	}
}
