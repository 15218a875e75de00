package allowance

import (
	"fmt"
	"testing"
	"time"
)

func TestAllowance(t *testing.T) {
	l := New(2, 3)
	now := time.Now()
	l.Now = func() time.Time { return now }
	for i, want := range []int{2, 1, 0} {
		if left, _, wait := l.Take("a"); left != want || wait != 0 {
			t.Errorf("request %d: %d left, wait %v, want %d", i+1, left, wait, want)
		}
	}
	if _, full, wait := l.Take("a"); wait != 500*time.Millisecond || full != 1500*time.Millisecond {
		t.Errorf("fourth: wait %v, full in %v", wait, full)
	}
	if _, _, wait := l.Take("b"); wait != 0 {
		t.Errorf("another caller waits %v", wait)
	}
	now = now.Add(time.Second)
	if left, _, wait := l.Take("a"); left != 1 || wait != 0 {
		t.Errorf("a second later: %d left, wait %v", left, wait)
	}
	now = now.Add(-time.Hour) // a clock that is set back takes nothing away
	if left, _, wait := l.Take("a"); left != 0 || wait != 0 {
		t.Errorf("after the clock was set back: %d left, wait %v", left, wait)
	}
	// Whoever makes up callers cannot fill the memory.
	for i := range 3 * maxBuckets {
		l.Take(fmt.Sprint(i))
	}
	if n := len(l.buckets); n > maxBuckets {
		t.Errorf("%d buckets", n)
	}
}
