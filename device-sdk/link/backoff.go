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
	return jitter(b.step)
}

// afterLoss is the pause when a connection that lasted has ended: all others of a fleet may have lost theirs.
func (b *backoff) afterLoss(window time.Duration) time.Duration {
	d := b.next()
	if window > 0 {
		d = max(d, rand.N(window))
		b.step = max(b.step, window/2) // a second attempt must not fall among the first ones of others
	}
	return d
}

// jitter draws from the upper half of d.
func jitter(d time.Duration) time.Duration {
	half := d / 2
	return half + rand.N(d-half+1)
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
