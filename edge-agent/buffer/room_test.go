package buffer

import (
	"errors"
	"testing"
	"time"
)

func TestQuotaByPriority(t *testing.T) {
	cfg := Config{Dir: "/b", MaxBytes: 10 << 10, SegmentBytes: 1 << 10, Streams: []StreamConfig{
		{Name: "alarms", Priority: 30}, {Name: "billing", Priority: 20, WhenFull: RejectNew}, {Name: "telemetry", Priority: 10}, {Name: "logs"},
	}}
	b := on(t, newMemDisk(), cfg, time.Now)
	logs, telemetry, billing, alarms := b.Stream("logs"), b.Stream("telemetry"), b.Stream("billing"), b.Stream("alarms")
	must(t, commit(logs, 0, 90))
	must(t, commit(telemetry, 0, 15))
	if lost(logs.Gaps()) < 10 || lost(telemetry.Gaps()) > 0 {
		t.Errorf("logs lost %d, telemetry %d", lost(logs.Gaps()), lost(telemetry.Gaps()))
	}
	must(t, commit(billing, 0, 15))
	if err := commit(billing, 15, 200); !errors.Is(err, ErrFull) {
		t.Errorf("billing without room: %v", err)
	}
	if g := billing.Gaps(); len(g) != 1 || g[0].Reason != Reject || g[0].Bytes == 0 || billing.Stats().Rejected != 1 {
		t.Errorf("billing's gaps: %+v", g)
	}
	if len(numbers(t, telemetry)) > 15 || len(numbers(t, logs)) > 15 {
		t.Errorf("%d telemetry and %d logs are left while billing was refused", len(numbers(t, telemetry)), len(numbers(t, logs)))
	}
	must(t, commit(alarms, 0, 20))
	if g := billing.Gaps(); len(alarms.Gaps()) > 0 || len(g) != 2 || g[0].Reason != Quota || g[0].From != 1 {
		t.Errorf("after 20 alarms: gaps of them %v, of billing %+v", alarms.Gaps(), g)
	}
	if b.used > cfg.MaxBytes {
		t.Errorf("%d bytes", b.used)
	}
}

func TestTTL(t *testing.T) {
	cfg := memConfig()
	cfg.Streams[0].TTL = time.Hour
	clock := time.Now()
	b := on(t, newMemDisk(), cfg, func() time.Time { return clock })
	s := b.streams[0]
	put := func(n int) {
		for range n {
			s.commit([]entry{{Record{Topic: "/p/d/x", Payload: make([]byte, 50), Time: clock}, func(err error) { must(t, err) }}})
		}
	}
	put(4)
	clock = clock.Add(50 * time.Minute)
	put(26)
	clock = clock.Add(20 * time.Minute)
	recs, err := s.Read(0, 100)
	must(t, err)
	if len(recs) != 26 {
		t.Errorf("%d records are young enough, want 26", len(recs))
	}
	clock = clock.Add(41 * time.Minute)
	s.sweep()
	if g := s.Gaps(); len(g) != 1 || g[0] != (Gap{"messages", s.epoch, 1, 30, TTL, 30 * 56}) {
		t.Errorf("gaps %+v", g)
	}
}

func TestAckedIsRetained(t *testing.T) {
	cfg := memConfig()
	cfg.AckedRetain = time.Hour
	clock := time.Now()
	d := newMemDisk()
	b := on(t, d, cfg, func() time.Time { return clock })
	s := b.streams[0]
	must(t, commit(s, 0, 50))
	for n := range uint64(50) {
		s.Remove(n + 1)
	}
	clock = clock.Add(time.Minute)
	s.sweep()
	if recs, err := s.ReadAcked(0, 100); err != nil || len(recs) != 50 || len(numbers(t, s)) != 0 {
		t.Errorf("%d records are kept, %v", len(recs), err)
	}
	before := b.used
	clock = clock.Add(2 * time.Hour)
	s.sweep()
	if recs, _ := s.ReadAcked(0, 100); len(recs) > 15 || b.used >= before {
		t.Errorf("%d records are kept for too long, %d bytes of %d", len(recs), b.used, before)
	}
	// Kept segments give way before anything that waits does.
	must(t, commit(s, 50, 300))
	if n := len(numbers(t, s)); n != 300 || len(s.Gaps()) > 0 {
		t.Errorf("%d records, gaps %v", n, s.Gaps())
	}
}

func TestSmallerBudget(t *testing.T) {
	d := newMemDisk()
	cfg := memConfig()
	b := on(t, d, cfg, time.Now)
	must(t, commit(b.streams[0], 0, 300))
	must(t, b.Close())
	cfg.MaxBytes = 8 << 10
	b = on(t, d, cfg, time.Now)
	s := b.streams[0]
	if n := len(numbers(t, s)); n != 300 {
		t.Errorf("%d records before the first that needs room", n)
	}
	must(t, commit(s, 300, 20))
	got := numbers(t, s)
	if b.used > cfg.MaxBytes || got[len(got)-1] != "0319" || len(got)+lost(s.Gaps()) != 320 {
		t.Errorf("%d bytes, %d records, gaps %+v", b.used, len(got), s.Gaps())
	}
	// Segments of another size are used up, not used again.
	must(t, b.Close())
	cfg.SegmentBytes = 2 << 10
	b = on(t, d, cfg, time.Now)
	s = b.streams[0]
	must(t, commit(s, 320, 100))
	if got := numbers(t, s); got[len(got)-1] != "0419" || b.used > cfg.MaxBytes {
		t.Errorf("%d bytes, the last is %s", b.used, got[len(got)-1])
	}
}

func TestLargeRecordHasItsOwnSegment(t *testing.T) {
	b := on(t, newMemDisk(), memConfig(), time.Now)
	s := b.streams[0]
	large := Record{Topic: "/p/d/x", Payload: make([]byte, 20<<10), Time: time.Now()}
	for i := range 6 {
		must(t, commit(s, i, 1))
		s.commit([]entry{{large, func(err error) { must(t, err) }}})
	}
	recs, err := s.Read(0, 100)
	must(t, err)
	if n := len(recs); n < 5 || len(recs)+lost(s.Gaps()) != 12 || len(recs[n-1].Payload) != 20<<10 {
		t.Errorf("%d records, gaps %+v", n, s.Gaps())
	}
	if b.used > b.cfg.MaxBytes {
		t.Errorf("%d bytes", b.used)
	}
}

func TestRangesAndGaps(t *testing.T) {
	var r ranges
	for _, s := range []span{{5, 6}, {1, 2}, {8, 8}, {3, 3}, {7, 7}, {20, 30}, {25, 40}} {
		r.add(s.from, s.to)
	}
	want := ranges{{1, 3}, {5, 8}, {20, 40}}
	if len(r) != 3 || r[0] != want[0] || r[1] != want[1] || r[2] != want[2] {
		t.Errorf("ranges %v, want %v", r, want)
	}
	if m := r.missing(2, 50); len(m) != 3 || m[0] != (span{4, 4}) || m[1] != (span{9, 19}) || m[2] != (span{41, 50}) {
		t.Errorf("missing %v", m)
	}
	if !r.covers(20, 40) || r.covers(3, 5) || r.has(4) || !r.has(5) {
		t.Error("covers or has")
	}
	var gaps []Gap
	for i := range uint64(200) {
		gaps = addGap(gaps, Gap{From: 10 * i, To: 10*i + i%3, Reason: Reason(1 + i%2), Bytes: 1})
	}
	var bytes int64
	for i, g := range gaps {
		bytes += g.Bytes
		if i > 0 && gaps[i-1].To >= g.From {
			t.Errorf("gap %+v behind %+v", g, gaps[i-1])
		}
	}
	if len(gaps) != maxGaps || bytes != 200 {
		t.Errorf("%d gaps of %d bytes", len(gaps), bytes)
	}
	for d, want := range map[time.Duration]uint16{0: 0, time.Second: 1, 5 * time.Hour: 1<<14 | 300, 1500 * time.Millisecond: 2, 1 << 62: 3<<14 | 16383} {
		if got := ttlCode(d); want != got && d < 1<<61 {
			t.Errorf("ttlCode(%v) = %x, want %x", d, got, want)
		}
	}
}
