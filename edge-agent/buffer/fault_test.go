package buffer

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// on opens a buffer on d whose Run nobody runs: tests commit themselves.
func on(t *testing.T, d *memDisk, cfg Config, now func() time.Time) *Buffer {
	t.Helper()
	b, err := openOn(d, cfg, quiet(), now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// commit appends numbered records, each in a commit of its own, and returns the first error.
func commit(s *Stream, from, n int) (err error) {
	for i := from; i < from+n && err == nil; i++ {
		s.commit([]entry{{numbered(i), func(e error) { err = e }}})
	}
	return err
}

func numbers(t *testing.T, s *Stream) (got []string) {
	t.Helper()
	recs, err := s.Read(0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range recs {
		got = append(got, string(r.Payload[:4]))
	}
	return got
}

func lost(gaps []Gap) (n int) {
	for _, g := range gaps {
		n += int(g.To - g.From + 1)
	}
	return n
}

// TestDamageCostsWhatItHits flips bits, zeroes blocks and cuts files anywhere. What is whole comes back, and what does not is in a gap.
func TestDamageCostsWhatItHits(t *testing.T) {
	const n = 60
	good := newMemDisk()
	b := on(t, good, memConfig(), time.Now)
	if err := commit(b.streams[0], 0, n); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	rounds := 1500
	if os.Getenv("HAWSER_TEST_LONG") != "" {
		rounds = 50_000
	}
	for round := range rounds {
		rng := rand.New(rand.NewPCG(uint64(round), 2))
		d := good.restart(rng)
		name, hit := damage(d, rng)
		b := on(t, d, memConfig(), time.Now)
		s := b.streams[0]
		got := numbers(t, s)
		if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
			t.Fatalf("round %d: %v", round, got)
		}
		// Both slots of the cursor are never hit here: it knows how many there were.
		if len(got)+lost(s.Gaps()) != n {
			t.Fatalf("round %d, %s: %d records and gaps %+v of %d", round, name, len(got), s.Gaps(), n)
		}
		if len(got) < n-hit/50-2 {
			t.Fatalf("round %d, %s: %d bytes were hit, and %d of %d records are left", round, name, hit, len(got), n)
		}
		if err := commit(s, n, 1); err != nil {
			t.Fatal(err)
		}
		if got := numbers(t, s); got[len(got)-1] != fmt.Sprintf("%04d", n) {
			t.Fatalf("round %d: the next record reads %v", round, got)
		}
		_ = b.Close()
	}
}

// damage does something to a file and returns how many bytes it hit at the most.
func damage(d *memDisk, rng *rand.Rand) (name string, hit int) {
	var all []string
	for n := range d.files {
		all = append(all, n)
	}
	slices.Sort(all)
	name = all[rng.IntN(len(all))]
	f := d.files[name]
	end := len(f.data)
	if strings.HasSuffix(name, cursorName) {
		end = slotSize // one slot at the most
	}
	at := rng.IntN(end)
	switch rng.IntN(4) {
	case 0:
		f.data[at] ^= 1 << rng.IntN(8)
		hit = 1
	case 1:
		hit = min(sector, end-at)
		clear(f.data[at : at+hit])
	case 2:
		hit = min(sector, end-at)
		for i := range hit {
			f.data[at+i] = byte(rng.Uint32())
		}
	case 3:
		if end == slotSize {
			return name, 0
		}
		hit = end - at
		f.data = f.data[:at]
	}
	f.durable = slices.Clone(f.data)
	return name, hit
}

func TestLostCursorSendsAgain(t *testing.T) {
	d := newMemDisk()
	b := on(t, d, memConfig(), time.Now)
	s := b.streams[0]
	if err := commit(s, 0, 20); err != nil {
		t.Fatal(err)
	}
	s.Remove(1, 2, 3)
	epoch := s.epoch
	must(t, b.Close())
	clear(d.files["/b/messages/cursor"].data)
	b = on(t, d, memConfig(), time.Now)
	s = b.streams[0]
	if got := numbers(t, s); len(got) != 20 || s.epoch != epoch || len(s.Gaps()) != 0 {
		t.Errorf("%d records, gaps %v", len(got), s.Gaps())
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestFullDiskDropsNothing: the disk has less room than the budget. What waits stays, and what is acknowledged makes room.
func TestFullDiskDropsNothing(t *testing.T) {
	d := newMemDisk()
	d.room = 2*slotSize + 6*1024
	s := on(t, d, memConfig(), time.Now).streams[0]
	err := commit(s, 0, 1000)
	if !errors.Is(err, ErrUnavailable) || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("on a full disk: %v", err)
	}
	got := numbers(t, s)
	if len(got) < 20 || got[0] != "0000" || len(s.Gaps()) != 0 {
		t.Fatalf("%d records, gaps %v", len(got), s.Gaps())
	}
	for n := range s.segs[0].last {
		s.Remove(n + 1)
	}
	if err := commit(s, len(got), 5); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

func TestReadOnlyDisk(t *testing.T) {
	d := newMemDisk()
	b := on(t, d, memConfig(), time.Now)
	s := b.streams[0]
	must(t, commit(s, 0, 20))
	d.fail = syscall.EROFS
	if err := commit(s, 20, 1); !errors.Is(err, ErrUnavailable) {
		t.Errorf("append on a read-only disk: %v", err)
	}
	s.Remove(1)
	s.sweep()
	if got := numbers(t, s); len(got) != 19 || got[0] != "0001" {
		t.Errorf("read %v", got)
	}
	d.fail = nil
	if err := commit(s, 20, 1); err != nil {
		t.Errorf("writable again: %v", err)
	}
	must(t, b.Close())
	d.fail = syscall.EROFS
	b = on(t, d, memConfig(), time.Now)
	if got := numbers(t, b.streams[0]); len(got) != 20 {
		t.Errorf("opened on a read-only disk: %d records", len(got))
	}
	_ = b.Close()
}

// TestClockJumps: the clock says 1970, then 2026, then 2100, and then 2026 again, over restarts. No record is dropped for that, and each keeps its time.
func TestClockJumps(t *testing.T) {
	cfg := memConfig()
	cfg.Streams[0].TTL = 24 * time.Hour
	times := []time.Time{time.Unix(100, 0), time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 11, 1, 1, 0, 0, 0, time.UTC)}
	for _, restart := range []bool{true, false} {
		d := newMemDisk()
		var clock time.Time
		var b *Buffer
		for i, at := range times {
			clock = at
			if b == nil || restart {
				b = on(t, d, cfg, func() time.Time { return clock })
			}
			s := b.streams[0]
			if restart {
				s.sweep()
			}
			for range 3 {
				s.commit([]entry{{Record{Topic: "/p/d/x", Payload: []byte("payload"), Time: at}, func(err error) { must(t, err) }}})
			}
			if restart {
				recs, err := s.Read(0, 100)
				must(t, err)
				if len(recs) != 3*(i+1) || len(s.Gaps()) != 0 {
					t.Fatalf("at %v: %d records, gaps %v", at, len(recs), s.Gaps())
				}
				for k, r := range recs {
					if !r.Time.Equal(times[k/3]) {
						t.Errorf("record %d has the time %v, want %v", k, r.Time, times[k/3])
					}
				}
				must(t, b.Close())
			}
		}
	}
}

// TestOutage is 24 hours without the hub in virtual time: a record every ten seconds, an alarm every hour, within a budget that is much too small.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemDisk()
		cfg := Config{Dir: "/b", MaxBytes: 256 << 10, SegmentBytes: 4 << 10, Streams: []StreamConfig{
			{Name: "telemetry", Priority: 10, CommitEvery: time.Second}, {Name: "alarms", Priority: 20, Durability: Sync},
		}}
		b := on(t, d, cfg, time.Now)
		stop := runBuffer(t, b)
		telemetry, alarms := b.Stream("telemetry"), b.Stream("alarms")
		const every, total = 10 * time.Second, 24 * 360
		for i := range total {
			put := func(s *Stream) {
				s.Append(Record{Topic: "/p/d/upload", Payload: fmt.Appendf(nil, "%d", i), QoS: 1, Time: time.Now()}, func(err error) { must(t, err) })
			}
			put(telemetry)
			if i%360 == 0 {
				put(alarms)
			}
			time.Sleep(every)
		}
		recs, err := telemetry.Read(0, total)
		must(t, err)
		gaps := telemetry.Gaps()
		if len(gaps) != 1 || gaps[0].Reason != Quota || gaps[0].From != 1 || lost(gaps)+len(recs) != total {
			t.Errorf("%d records and gaps %+v of %d", len(recs), gaps, total)
		}
		if recs[len(recs)-1].Seq != total || recs[0].Seq != gaps[0].To+1 {
			t.Errorf("records %d to %d behind the gap %+v", recs[0].Seq, recs[len(recs)-1].Seq, gaps[0])
		}
		if got, err := alarms.Read(0, 100); err != nil || len(got) != 24 || len(alarms.Gaps()) != 0 {
			t.Errorf("%d alarms, gaps %v, %v", len(got), alarms.Gaps(), err)
		}
		if b.used > cfg.MaxBytes || b.used < cfg.MaxBytes/2 {
			t.Errorf("%d bytes of %d", b.used, cfg.MaxBytes)
		}
		stop()
		b = on(t, d, cfg, time.Now)
		if again, err := b.Stream("telemetry").Read(0, total); err != nil || len(again) != len(recs) {
			t.Errorf("%d records after a restart, want %d; %v", len(again), len(recs), err)
		}
	})
}

// TestFailedWriteIsNotSent: a write fails after a part of it is on the disk, and later ones succeed. What was refused never comes up, and its numbers
// are given again.
func TestFailedWriteIsNotSent(t *testing.T) {
	for cut := range 8 {
		d := newMemDisk()
		b := on(t, d, memConfig(), time.Now)
		s := b.streams[0]
		must(t, commit(s, 0, 5))
		f := d.files["/b/messages/"+s.active.name]
		f.refuse = cut + 1
		if err := commit(s, 100, 1); !errors.Is(err, ErrUnavailable) {
			t.Fatalf("a write that fails: %v", err)
		}
		f.refuse = 0
		must(t, commit(s, 5, 3))
		want := numbers(t, s)
		if len(want) != 8 || want[5] != "0005" {
			t.Fatalf("cut %d: records %v", cut, want)
		}
		must(t, b.Close())
		b = on(t, d.restart(rand.New(rand.NewPCG(uint64(cut), 3))), memConfig(), time.Now)
		if got := numbers(t, b.streams[0]); !slices.Equal(got, want) || len(b.streams[0].Gaps()) > 0 {
			t.Fatalf("cut %d: after a restart %v, want %v; gaps %v", cut, got, want, b.streams[0].Gaps())
		}
	}
}

// TestDamageWhileItRuns: a block goes bad behind the agent's back. Reading passes it, in small steps too.
func TestDamageWhileItRuns(t *testing.T) {
	for _, limit := range []int{1, 3, 1000} {
		d := newMemDisk()
		s := on(t, d, memConfig(), time.Now).streams[0]
		must(t, commit(s, 0, 40))
		clear(d.files["/b/messages/"+s.segs[1].name].data[100:300])
		var got int
		var after uint64
		for {
			recs, err := s.Read(after, limit)
			must(t, err)
			if len(recs) == 0 {
				break
			}
			for _, r := range recs {
				if want := numbered(int(r.Seq) - 1); string(r.Payload) != string(want.Payload) {
					t.Fatalf("record %d reads %q", r.Seq, r.Payload)
				}
				after = r.Seq
				got++
			}
		}
		n := lost(s.Gaps())
		if n == 0 || n > 6 || got+n != 40 || s.Stats().Records != int64(got) {
			t.Errorf("limit %d: %d records, %d lost, %+v", limit, got, n, s.Stats())
		}
	}
}
