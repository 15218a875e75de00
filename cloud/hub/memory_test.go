package hub

import (
	"testing"
	"time"
)

// TestMemoryKeeper: memory is released once after a burst of logins, when it is over, and not again before its time.
func TestMemoryKeeper(t *testing.T) {
	logins, released := uint64(0), 0
	k := &memoryKeeper{logins: func() uint64 { return logins }, release: func() { released++ }}
	now := time.Now()
	for i, step := range []struct {
		after time.Duration
		more  uint64
		want  int // releases so far
	}{
		{settleTime, 0, 0},
		{settleTime, 20, 0},          // a few
		{settleTime, 0, 0},           // are not worth it
		{settleTime, 5000, 0},        // a burst, under way
		{settleTime, 5000, 0},        // still
		{settleTime, 50, 1},          // over: stragglers do not count
		{settleTime, 0, 1},           // nothing new
		{settleTime, 5000, 1},        // another one
		{settleTime, 0, 1},           // too soon
		{releasePause, 0, 2},         // and now
		{releasePause, burst - 1, 2}, // just too few, and fresh
		{settleTime, 1, 3},           // enough with those before
	} {
		now = now.Add(step.after)
		logins += step.more
		k.look(now)
		if released != step.want {
			t.Fatalf("step %d: released %d times, want %d", i, released, step.want)
		}
	}
}
