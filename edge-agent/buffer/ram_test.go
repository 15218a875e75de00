package buffer

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func ramConfig() Config {
	c := memConfig()
	c.Streams[0].Durability, c.Streams[0].RAMBytes = RAM, 4<<10
	return c
}

// TestRAMWritesNothingOnline: while the hub is in reach and takes what comes, nothing is written; what it has not is on the disk once it is away.
func TestRAMWritesNothingOnline(t *testing.T) {
	d := newMemDisk()
	clock := time.Now()
	b := on(t, d, ramConfig(), func() time.Time { return clock })
	s := b.streams[0]
	s.SetOnline(true)
	must(t, commit(s, 0, 1))
	before := d.ops
	for i := 1; i < 1000; i++ {
		must(t, commit(s, i, 1))
		if i%10 == 0 {
			recs, err := s.Read(0, 100)
			must(t, err)
			for _, r := range recs {
				s.Remove(r.Seq)
			}
			clock = clock.Add(time.Second)
			s.sweep()
		}
	}
	if d.ops != before {
		t.Errorf("%d writes and syncs while the hub was in reach", d.ops-before)
	}
	s.SetOnline(false)
	s.spill()
	must(t, commit(s, 1000, 2))
	var want []string
	for i := 991; i < 1002; i++ {
		want = append(want, fmt.Sprintf("%04d", i))
	}
	if got := numbers(t, s); !slices.Equal(got, want) {
		t.Fatalf("offline: %v, want %v", got, want)
	}
	if st := s.Stats(); st.Records != 11 || st.Appended != 1002 {
		t.Errorf("stats %+v", st)
	}
	b = on(t, d.restart(rand.New(rand.NewPCG(1, 5))), ramConfig(), time.Now)
	s = b.streams[0]
	if got := numbers(t, s); !slices.Equal(got, want) || len(s.Gaps()) > 0 {
		t.Errorf("after a power cut: %v, gaps %v", got, s.Gaps())
	}
}

// TestRAMAndPowerCut: what was in memory is gone, is reported as at most so many, and no number is given twice.
func TestRAMAndPowerCut(t *testing.T) {
	d := newMemDisk()
	s := on(t, d, ramConfig(), time.Now).streams[0]
	must(t, commit(s, 0, 3)) // offline
	s.SetOnline(true)
	must(t, commit(s, 3, 10))
	last := s.next - 1
	s = on(t, d.restart(rand.New(rand.NewPCG(2, 5))), ramConfig(), time.Now).streams[0]
	if got := numbers(t, s); len(got) != 3 {
		t.Errorf("left: %v", got)
	}
	if g := s.Gaps(); len(g) != 1 || g[0].Reason != Power || g[0].From != 4 || g[0].To < last || s.next <= last {
		t.Errorf("gaps %+v, next %d after %d", g, s.next, last)
	}
}

// TestRAMSpillsWhenFull: more than RAMBytes goes to the disk, in order; a stop puts all of it there.
func TestRAMSpillsWhenFull(t *testing.T) {
	d := newMemDisk()
	b := on(t, d, ramConfig(), time.Now)
	s := b.streams[0]
	stop := runBuffer(t, b)
	s.SetOnline(true)
	for i := range 200 {
		done := make(chan error, 1)
		s.Append(numbered(i), func(err error) { done <- err })
		must(t, <-done)
		if i%7 == 0 {
			s.Remove(uint64(i + 1))
		}
	}
	want := numbers(t, s)
	if !slices.IsSorted(want) || len(want) != 200-29 {
		t.Fatalf("%d records: %v", len(want), want)
	}
	stop()
	s = on(t, d, ramConfig(), time.Now).streams[0]
	if got := numbers(t, s); !slices.Equal(got, want) || len(s.Gaps()) > 0 {
		t.Errorf("after a stop %d records, want %d; gaps %v", len(got), len(want), s.Gaps())
	}
}
