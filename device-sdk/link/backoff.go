package link

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff yields pauses that double from lo to hi. Each is drawn from the upper
// half of its step, so that a fleet that lost its hub does not come back at once.
type backoff struct {
	lo, hi time.Duration
	step   time.Duration
}

func (b *backoff) reset() { b.step = 0 }

func (b *backoff) next() time.Duration {
	switch {
	case b.step == 0:
		b.step = b.lo
	case b.step < b.hi:
		b.step = min(2*b.step, b.hi)
	}
	half := b.step / 2
	return half + rand.N(b.step-half+1)
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
