package pool

import (
	"testing"
	"time"
)

// TestOwnStandstillIsNoCalls: a call is late by the time in which this process could have read its answer.
func TestOwnStandstillIsNoCalls(t *testing.T) {
	began := time.Now()
	for _, tt := range []struct {
		name         string
		after, still time.Duration // since the call began; and of that stood still
		late         bool
	}{
		{"in time", 10 * time.Second, 0, false},
		{"late", 12 * time.Second, 0, true},
		{"this process stood still", time.Minute, 55 * time.Second, false},
		{"the call began afterwards", time.Second, time.Hour, false},
		{"late all the same", time.Minute, 40 * time.Second, true},
	} {
		w := &worker{flight: []*Call{{}}, head: began}
		p := &Pool{cfg: DefaultConfig(), workers: []*worker{w}}
		w.pool = p
		p.lookLocked(began.Add(tt.after), tt.still)
		if w.late != tt.late {
			t.Errorf("%s: late is %v", tt.name, w.late)
		}
	}
}
