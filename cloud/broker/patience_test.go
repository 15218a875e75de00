package broker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestPatience: it ends as a context of the library does, whether somebody waits or not, and leaves no clock behind.
func TestPatience(t *testing.T) {
	b := &Broker{cfg: Config{StoreWait: time.Second}}
	type key struct{}
	ended := func(ctx context.Context) bool {
		select {
		case <-ctx.Done():
			return true
		default:
			return false
		}
	}
	for _, test := range []struct {
		name   string
		waited bool // Done is asked for from the beginning
		pass   time.Duration
		end    bool
		want   error
	}{
		{"nobody waits", false, 0, false, nil},
		{"somebody waits", true, 0, false, nil},
		{"nobody waited for its end", false, 0, true, context.Canceled},
		{"its end", true, 0, true, context.Canceled},
		{"its time is over unseen", false, time.Second, false, context.DeadlineExceeded},
		{"its time is over", true, time.Second, false, context.DeadlineExceeded},
		{"its time is over before its end", true, time.Second, true, context.DeadlineExceeded},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := b.wait()
				defer p.end()
				child, cancel := context.WithCancel(context.WithValue(p, key{}, 1))
				if !test.waited {
					cancel() // it asked for Done
					p = b.wait()
					defer p.end()
				}
				defer cancel()
				if by, ok := p.Deadline(); !ok || time.Until(by) != time.Second {
					t.Errorf("deadline in %v, %v", time.Until(by), ok)
				}
				time.Sleep(test.pass)
				synctest.Wait() // the clock has struck
				if test.end {
					p.end()
				}
				synctest.Wait()
				if !errors.Is(p.Err(), test.want) || ended(p) != (test.want != nil) {
					t.Errorf("got %v, done %v, want %v", p.Err(), ended(p), test.want)
				}
				if test.waited && ended(child) != (test.want != nil) {
					t.Errorf("a context made of it: done %v, want %v", ended(child), test.want != nil)
				}
			})
		})
	}
}
