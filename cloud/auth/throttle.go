package auth

import (
	"context"
	"time"

	"github.com/hawser-iot/hawser/cloud/throttle"
)

// firstDelay is that of the first try after the free ones; each further one doubles it.
const firstDelay = 100 * time.Millisecond

func newThrottle(cfg Config) *throttle.Throttle {
	return throttle.New(throttle.Config{Free: cfg.FreeTries, First: firstDelay, Max: cfg.MaxDelay, Forget: cfg.Forget, Pairs: cfg.Pairs})
}

// delay waits, unless so many wait already that waiting would serve the attacker.
func (s *Service) delay(ctx context.Context, d time.Duration) {
	select {
	case s.delayed <- struct{}{}:
	default:
		return
	}
	defer func() { <-s.delayed }()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
