package store

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestWindow: how long a batch gathers, with a unit each millisecond. Patient units wait longer for each other, but nobody waits for
// them, and they wait for nobody who does not come.
func TestWindow(t *testing.T) {
	for _, test := range []struct {
		name      string
		units     int // that come, the first at once
		impatient int // the one that is not patient, -1: none
		wantAfter time.Duration
		want      int
	}{
		{"impatient", 100, 0, 10 * time.Millisecond, 10},
		{"patient", 100, -1, 50 * time.Millisecond, 50},
		{"an impatient one in the first window", 100, 4, 10 * time.Millisecond, 10},
		{"an impatient one after it", 100, 20, 20 * time.Millisecond, 20},
		{"the senders wait", 7, -1, 8 * time.Millisecond, 7},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg, err := Config{Dir: "unused"}.withDefaults()
				if err != nil {
					t.Fatal(err)
				}
				c := newCommitter(cfg, &DB{queue: newQueue(cfg.QueueMax), metrics: newMetrics(nil)})
				start := time.Now()
				c.last, c.crowd = start, true
				var senders sync.WaitGroup
				defer senders.Wait()
				senders.Go(func() {
					for i := range test.units {
						c.queue.put(&Unit{Patient: i != test.impatient})
						time.Sleep(time.Millisecond)
					}
				})
				c.gather()
				took := time.Since(start)
				if slack := 2 * time.Millisecond; took < test.wantAfter || took > test.wantAfter+slack || len(c.pending) < test.want || len(c.pending) > test.want+3 {
					t.Errorf("%d units after %v, want %d after %v", len(c.pending), took, test.want, test.wantAfter)
				}
			})
		})
	}
}
