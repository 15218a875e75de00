package shadow

import (
	"context"
	"sync"
)

// turns lets one change of a device's shadow at a time be on its way to the
// store, so that the next request is answered from what the one before made. A
// turn is as short as a group commit.
type turns struct {
	mu   sync.Mutex
	open map[int64]chan struct{} // guarded by mu: closed when the turn is over; nil while nobody waits for that
}

// take waits until no change of the device is on its way and begins one.
func (t *turns) take(ctx context.Context, deviceID int64) error {
	for {
		t.mu.Lock()
		before, busy := t.open[deviceID]
		if !busy {
			if t.open == nil {
				t.open = make(map[int64]chan struct{})
			}
			t.open[deviceID] = nil
			t.mu.Unlock()
			return nil
		}
		if before == nil {
			before = make(chan struct{})
			t.open[deviceID] = before
		}
		t.mu.Unlock()
		select {
		case <-before:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// give ends the turn.
func (t *turns) give(deviceID int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if waited := t.open[deviceID]; waited != nil {
		close(waited)
	}
	delete(t.open, deviceID)
}
