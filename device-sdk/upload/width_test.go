package upload

import (
	"log/slog"
	"testing"
	"time"
)

// TestWidth: no more parts are on their way than go in ten seconds.
func TestWidth(t *testing.T) {
	const part = 5 << 20
	for _, tt := range []struct {
		took time.Duration // of one part; 0: none went yet
		want int
	}{{0, 1}, {time.Minute, 1}, {10 * time.Second, 1}, {4 * time.Second, 2}, {time.Second, 4}} {
		u := New(Config{Parallel: 4}, slog.New(slog.DiscardHandler))
		u.went(part, tt.took, 1)
		if got := u.width(part); got != tt.want {
			t.Errorf("a part in %v: %d at a time, want %d", tt.took, got, tt.want)
		}
		if u.cfg.Parallel = 1; u.width(part) != 1 {
			t.Errorf("a part in %v: more than is allowed", tt.took)
		}
	}
	u := New(Config{Parallel: 4}, slog.New(slog.DiscardHandler))
	u.went(part, 4*time.Second, 4) // each of four
	if u.width(part) != 4 {
		t.Errorf("four at a time, each in 4 s: %d", u.width(part))
	}
}
