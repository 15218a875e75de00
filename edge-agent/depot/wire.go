package depot

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/update"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// wire is the connection of one Updater: there is one while the sub-device is attached and the hub in reach.
type wire struct {
	w *ward

	mu     sync.Mutex // guards the fields below
	down   func(ctx context.Context, payload []byte)
	up     func(ctx context.Context)
	closed bool
}

var _ update.Link = (*wire)(nil)

// sendAgain is after how long a message is tried again that the gateway's buffer could not take.
const sendAgain = time.Second

// Send implements update.Link. A message is said when it is in the gateway's buffer, which is carried to the hub in order.
func (l *wire) Send(ctx context.Context, payload []byte) error {
	for {
		if err := l.WaitConnected(ctx); err != nil {
			return err
		}
		durable := make(chan error, 1)
		l.w.depot.Up.Forward(l.w.device, l.w.upstream, slices.Clone(payload), 1, func(err error) { durable <- err })
		var err error
		select {
		case err = <-durable:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if !errors.Is(err, server.ErrUnavailable) {
			return err
		}
		select {
		case <-time.After(sendAgain):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Receive implements update.Link.
func (l *wire) Receive(f func(ctx context.Context, payload []byte)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = f
	return nil
}

// OnUp implements update.Link.
func (l *wire) OnUp(f func(ctx context.Context)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up = f
}

// WaitConnected implements update.Link.
func (l *wire) WaitConnected(ctx context.Context) error {
	for {
		l.w.mu.Lock()
		met, changed := l.w.met, l.w.changed
		l.w.mu.Unlock()
		if met != nil && met.Err() == nil {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// hand gives the Updater a message of the hub's; false when it has ended.
func (l *wire) hand(payload []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.down == nil {
		return false
	}
	l.down(context.Background(), payload)
	return true
}

// close ends the connection for the Updater.
func (l *wire) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}

// begun tells the Updater of a login.
func (l *wire) begun(ctx context.Context) {
	l.mu.Lock()
	up, closed := l.up, l.closed
	l.mu.Unlock()
	if up != nil && !closed {
		up(ctx)
	}
}
