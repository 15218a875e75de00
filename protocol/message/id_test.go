package message_test

import (
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/protocol/message"
)

func TestIDShape(t *testing.T) {
	now := time.Date(2026, 11, 24, 4, 0, 0, 123_000_000, time.UTC)
	ids := message.NewIDs(513, 0, func() time.Time { return now })
	id := ids.Next()
	if got := id.Time(); !got.Equal(now) {
		t.Errorf("Time = %v, want %v", got, now)
	}
	if got := id.Node(); got != 513 {
		t.Errorf("Node = %d, want 513", got)
	}
	if got := len(id.String()); got != 19 {
		t.Errorf("%s has %d digits, want 19", id, got)
	}
	back, err := message.ParseID(id.String())
	if err != nil || back != id {
		t.Errorf("ParseID = %d, %v, want %d", back, err, id)
	}
	b, err := json.Marshal(id)
	if err != nil || string(b) != `"`+id.String()+`"` {
		t.Errorf("JSON = %s, %v", b, err)
	}
	var read message.ID
	if err := json.Unmarshal(b, &read); err != nil || read != id {
		t.Errorf("read back = %d, %v", read, err)
	}
}

func TestParseID(t *testing.T) {
	for s, want := range map[string]bool{
		"349022219378098176": true, "9223372036854775807": true, "1000000000000000000": true,
		"": false, "1": false, "9223372036854775808": false, "049022219378098176": false, "-49022219378098176": false,
		"34902221937809817x": false, "34902221937809817": false, "34902221937809817600": false, "+49022219378098176": false,
	} {
		if _, err := message.ParseID(s); (err == nil) != want {
			t.Errorf("ParseID(%q) = %v, want valid %v", s, err, want)
		}
	}
}

func TestIDsSurviveTheClock(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	ids := message.NewIDs(1, 0, func() time.Time { return now })
	last := ids.Next()
	step := func(name string, change time.Duration, n int) {
		now = now.Add(change)
		for range n {
			id := ids.Next()
			if id <= last {
				t.Fatalf("%s: %d after %d", name, id, last)
			}
			if id.Node() != 1 {
				t.Fatalf("%s: the counter ran into the node, %d", name, id.Node())
			}
			last = id
		}
	}
	step("standing still", 0, 10_000) // more than the counter holds
	step("an hour back", -time.Hour, 5000)
	step("forward again", 2*time.Hour, 10)
	if got := last.Time(); !got.Equal(now) {
		t.Errorf("Time = %v, want the clock's %v again", got, now)
	}
}

func TestIDsFloor(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	floor := message.NewIDs(1023, 0, clock).Next()
	now = now.Add(-24 * time.Hour) // the clock of the restarted node is a day behind
	if id := message.NewIDs(0, floor, clock).Next(); id <= floor {
		t.Errorf("Next = %d, not after the floor %d", id, floor)
	}
}

func TestIDsConcurrent(t *testing.T) {
	ids := message.NewIDs(7, 0, time.Now)
	const workers, each = 4, 5000
	got := make([][]message.ID, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for range each {
				got[w] = append(got[w], ids.Next())
			}
		})
	}
	wg.Wait()
	all := make(map[message.ID]bool, workers*each)
	for _, s := range got {
		if !slices.IsSorted(s) {
			t.Error("not increasing for one caller")
		}
		for _, id := range s {
			all[id] = true
		}
	}
	if len(all) != workers*each {
		t.Errorf("%d different IDs of %d", len(all), workers*each)
	}
}

func BenchmarkNext(b *testing.B) {
	now := time.Now()
	ids := message.NewIDs(7, 0, func() time.Time { return now }) // the clock's own cost is the machine's
	b.ReportAllocs()
	for b.Loop() {
		ids.Next()
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("349022219378098176")
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := message.ParseID(s); err == nil && (id.String() != s || id <= 0) {
			t.Errorf("ParseID(%q) = %d", s, id)
		}
	})
}
