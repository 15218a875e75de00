package buffer

import (
	"testing"
	"time"
)

// TestRetiredStream: a stream that the configuration has no longer is there until it is empty, and then gone, with its folder.
func TestRetiredStream(t *testing.T) {
	d := newMemDisk()
	cfg := memConfig()
	with := cfg
	with.Streams = append([]StreamConfig{{Name: "alarms", Priority: 9, Durability: Sync}}, cfg.Streams...)
	b := on(t, d, with, time.Now)
	must(t, commit(b.Stream("alarms"), 0, 40))
	must(t, commit(b.Stream("messages"), 0, 3))
	must(t, b.Close())
	for _, left := range []int{40, 0} {
		b = on(t, d, cfg, time.Now)
		s := b.Stream("alarms")
		if s == nil || len(numbers(t, s)) != 40 || len(b.Streams()) != 2 {
			t.Fatalf("with %d left: the stream is not there whole", left)
		}
		if left == 0 {
			s.RemoveSpan(1, 40)
		}
		must(t, b.Close())
	}
	b = on(t, d, cfg, time.Now)
	if b.Stream("alarms") != nil || len(b.Streams()) != 1 || d.dirs["/b/alarms"] {
		t.Error("an empty stream is still there")
	}
	if n := b.Stream("messages").used; b.used != n {
		t.Errorf("%d bytes, of the only stream %d", b.used, n)
	}
	must(t, b.Close())
	b = on(t, d, with, time.Now)
	must(t, commit(b.Stream("alarms"), 40, 1))
	if got := numbers(t, b.Stream("alarms")); len(got) != 1 || got[0] != "0040" {
		t.Errorf("the stream that is there again holds %v", got)
	}
}
