package buffer

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func thinConfig() Config {
	c := memConfig()
	c.MaxBytes, c.Streams[0].WhenFull = 12<<10, ThinOut
	return c
}

// TestThinOut: twenty times as much as there is room for leaves records of all of the time, at about the same distance, in order, and all are accounted for.
func TestThinOut(t *testing.T) {
	d := newMemDisk()
	b := on(t, d, thinConfig(), time.Now)
	s := b.streams[0]
	const n = 2000
	must(t, commit(s, 0, n))
	got := numbers(t, s)
	if !slices.IsSorted(got) || len(got)+lost(s.Gaps()) != n || s.Stats().Thinned == 0 {
		t.Fatalf("%d records and gaps %+v of %d", len(got), s.Gaps(), n)
	}
	widest, before := 0, 0
	for _, g := range got {
		v, _ := strconv.Atoi(g)
		widest, before = max(widest, v-before), v
	}
	if widest > 4*n/len(got) || before != n-1 {
		t.Errorf("%d records of %d, the last is %d and the widest hole %d", len(got), n, before, widest)
	}
	for _, g := range s.Gaps() {
		if g.Reason != Thinned || g.Bytes == 0 {
			t.Errorf("gap %+v", g)
		}
	}
	if b.used > b.cfg.MaxBytes || b.used != s.used {
		t.Errorf("%d bytes, of the stream %d", b.used, s.used)
	}
	must(t, b.Close())
	b = on(t, d, thinConfig(), time.Now)
	if again := numbers(t, b.streams[0]); !slices.Equal(again, got) || len(b.streams[0].Gaps()) != len(s.Gaps()) {
		t.Errorf("after a restart %d records and gaps %+v, want %d", len(again), b.streams[0].Gaps(), len(got))
	}
}

// TestThinOutByValue: of an outage that leaves one message in many the extremes of each number are there, and the mean of what is left is about that of all.
func TestThinOutByValue(t *testing.T) {
	b := on(t, newMemDisk(), thinConfig(), time.Now)
	s := b.streams[0]
	rng := rand.New(rand.NewPCG(1, 2))
	const n, lowT, highT, highH = 4000, 1217, 2411, 30
	sum, err := 0, error(nil)
	for i := range n {
		temp, hum := 5000+rng.IntN(100), 4000+rng.IntN(100)
		switch i {
		case lowT:
			temp = 1000
		case highT:
			temp = 9999
		case highH:
			hum = 8888
		}
		sum += temp
		r := numbered(i)
		r.Payload = fmt.Appendf(nil, `{"RequestID":"1","Property":{"t":{"Value":%d,"Time":%d},"h":{"Value":%d}}}`, temp, 1795737600000+i, hum)
		s.commit([]entry{{r, func(e error) { err = errors.Join(err, e) }}})
	}
	left, kept := s.Stats().Records, 0
	var all strings.Builder
	must(t, err)
	recs, err := s.Read(0, n)
	must(t, err)
	for _, r := range recs {
		all.Write(r.Payload)
		kept += int(fieldsOf(r.Payload)[0].value)
	}
	for _, want := range []string{`"t":{"Value":1000,`, `"t":{"Value":9999,`, `"h":{"Value":8888}`} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("%s is lost; %d of %d are left", want, left, n)
		}
	}
	if all, few := sum/n, kept/len(recs); few < all-150 || few > all+150 || len(recs) > n/10 {
		t.Errorf("the mean of all is %d, of the %d that are left %d", all, len(recs), few)
	}
}

// TestSample: which records of one topic stay.
func TestSample(t *testing.T) {
	for _, tt := range []struct{ about, in, want string }{
		{"no numbers: every second", "a b c d e f g", "x.x.x.x"},
		{"newest, least, greatest", "4 9 5 1 5.5 3", ".x.x.x"},
		{"nearest to the mean", "7 8 4 9 5 1 6 3", "...xxx.x"},
		{"intervals, the newest only of the last", "4 9 5 1 5 2 4 9 1 1 5 3", "xx.x...xx..x"},
		{"few that are left are not alone", "5 5 1 9 5 5 5 5", "x.xx...x"},
		{"one value: apart", "5 5 5 5 5 5", "x.x..x"},
		{"of two numbers both", "1,9 2,8 3,1 9,5 4,5 5,5 5,6 6,4 5,5 5,4", "x.xx..x..x"},
		{"one without a number", "4 x 5 1 9 3", "...xxx"},
		{"one of two", "4 9", ".x"},
		{"one", "4", "x"},
	} {
		var recs []*thinRecord
		for _, w := range strings.Fields(tt.in) {
			if a, b, two := strings.Cut(w, ","); two {
				w = fmt.Sprintf(`{"a":%s,"b":%s,"Time":%d}`, a, b, len(recs))
			}
			recs = append(recs, &thinRecord{body: []byte("\x00\x01t" + w)})
		}
		newSampler(recs).mark(true)
		got := ""
		for _, r := range recs {
			if r.stays {
				got += "x"
			} else {
				got += "."
			}
		}
		if got != tt.want {
			t.Errorf("%s: of %s stay %s, want %s", tt.about, tt.in, got, tt.want)
		}
	}
}

// TestThinOutByTopic: a topic with few messages keeps some, beside one with many; and what a reader has seen keeps its number and is not thinned.
func TestThinOutByTopic(t *testing.T) {
	b := on(t, newMemDisk(), thinConfig(), time.Now)
	s := b.streams[0]
	put := func(name string, n int) {
		r := numbered(n)
		r.Topic = name
		s.commit([]entry{{r, func(err error) { must(t, err) }}})
	}
	for i := range 30 {
		put("/p/d/seen", i)
	}
	seen, err := s.Read(0, 8)
	must(t, err)
	for i := range 600 {
		put("/p/d/many", i)
		if i%20 == 0 {
			put("/p/d/few", i)
		}
	}
	recs, err := s.Read(0, 1000)
	must(t, err)
	count := make(map[string]int)
	last := make(map[string]string)
	for _, r := range recs {
		count[r.Topic]++
		last[r.Topic] = string(r.Payload[:4])
	}
	if count["/p/d/few"] < 2 || count["/p/d/many"] < 10*count["/p/d/few"] || last["/p/d/many"] != "0599" {
		t.Errorf("left are %v, the last ones %v", count, last)
	}
	for i, r := range seen {
		if recs[i].Seq != r.Seq || string(recs[i].Payload) != string(r.Payload) {
			t.Errorf("record %d was seen with %.4s and reads %.4s", r.Seq, r.Payload, recs[i].Payload)
		}
	}
}

// TestPowerCutWhileThinning cuts the power in each change of the disk, twice: what is left is in order, all numbers are accounted for, and a number that a
// reader has seen has the same record for ever.
func TestPowerCutWhileThinning(t *testing.T) {
	step := 5
	if os.Getenv("HAWSER_TEST_LONG") != "" {
		step = 1
	}
	total := 0
	for cut := 1; ; cut += step {
		rng := rand.New(rand.NewPCG(uint64(cut), 9))
		seen := make(map[uint64]string)
		d := newMemDisk()
		d.cutAt = cut
		acked := thinRun(t, d, rng, 0, 260, seen)
		if d.ops < cut {
			break
		}
		total++
		d = d.restart(rng)
		d.cutAt = 1 + rng.IntN(150)
		acked += thinRun(t, d, rng, 260, 60, seen)
		checkThinned(t, cut, d.restart(rng), acked, seen)
		if t.Failed() {
			return
		}
	}
	if total < 150 {
		t.Errorf("only %d cuts", total)
	}
}

// thinRun appends n records until the power goes, reads here and there and settles some of what it read. It returns how many were acknowledged.
func thinRun(t *testing.T, d *memDisk, rng *rand.Rand, first, n int, seen map[uint64]string) (acked int) {
	b, err := openOn(d, thinConfig(), quiet(), time.Now)
	if err != nil {
		return 0
	}
	s := b.streams[0]
	for i := first; i < first+n && err == nil; i++ {
		s.commit([]entry{{numbered(i), func(e error) { err = e }}})
		if err == nil {
			acked++
		}
		if rng.IntN(60) == 0 {
			_, next := s.Place()
			recs, _ := s.Read(rng.Uint64N(next), 1+rng.IntN(5))
			if d.ops >= d.cutAt {
				break // the power went while it was read: nobody got it
			}
			note(t, recs, seen)
			for _, r := range recs[:len(recs)/2] {
				s.Remove(r.Seq)
			}
		}
	}
	_ = b.Close()
	return acked
}

func note(t *testing.T, recs []Record, seen map[uint64]string) {
	t.Helper()
	for _, r := range recs {
		if was, ok := seen[r.Seq]; ok && was != string(r.Payload) {
			t.Errorf("record %d was %.4s and is %.4s", r.Seq, was, r.Payload)
		}
		seen[r.Seq] = string(r.Payload)
	}
}

func checkThinned(t *testing.T, cut int, d *memDisk, acked int, seen map[uint64]string) {
	t.Helper()
	b, err := openOn(d, thinConfig(), quiet(), time.Now)
	if err != nil {
		t.Fatalf("cut %d: open: %v", cut, err)
	}
	defer b.Close()
	s := b.streams[0]
	recs, err := s.Read(0, 1000)
	if err != nil {
		t.Fatalf("cut %d: %v", cut, err)
	}
	note(t, recs, seen)
	var got []string
	for _, r := range recs {
		got = append(got, string(r.Payload[:4]))
	}
	if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
		t.Fatalf("cut %d: out of order or twice: %v", cut, got)
	}
	for _, g := range s.Gaps() {
		if g.Reason != Thinned && g.Reason != Quota && g.Reason != Mixed {
			t.Fatalf("cut %d: gap %+v", cut, g)
		}
	}
	if n := len(s.done.missing(1, s.next-1)); n > 0 && len(got) == 0 || int(s.next)-1 < acked {
		t.Fatalf("cut %d: %d records were acknowledged, the next number is %d and %d records are left", cut, acked, s.next, len(got))
	}
	waiting := 0
	for _, p := range s.done.missing(1, s.next-1) {
		waiting += int(p.to - p.from + 1)
	}
	if waiting != len(got) || b.used > b.cfg.MaxBytes {
		t.Fatalf("cut %d: %d numbers wait and %d records; %d bytes", cut, waiting, len(got), b.used)
	}
}

// TestQuotaOfAStream: a stream with a quota of its own takes nothing from the others and no more than that.
func TestQuotaOfAStream(t *testing.T) {
	for _, when := range []WhenFull{DropOldest, RejectNew, ThinOut} {
		cfg := Config{Dir: "/b", MaxBytes: 64 << 10, SegmentBytes: 1 << 10, Streams: []StreamConfig{
			{Name: "small", Priority: 9, MaxBytes: 6 << 10, WhenFull: when}, {Name: "other"},
		}}
		b := on(t, newMemDisk(), cfg, time.Now)
		small, other := b.Stream("small"), b.Stream("other")
		must(t, commit(other, 0, 20))
		if err := commit(small, 0, 300); (err != nil) != (when == RejectNew) {
			t.Errorf("%s: %v", when, err)
		}
		if small.used > 6<<10 || small.used < 4<<10 || len(other.Gaps()) > 0 {
			t.Errorf("%s: %d bytes, gaps of the other %v", when, small.used, other.Gaps())
		}
		if g := small.Gaps(); len(g) == 0 {
			t.Errorf("%s: no gap", when)
		}
		large := Record{Topic: "/p/d/x", Payload: []byte(strings.Repeat("x", 3000)), Time: time.Now()}
		small.commit([]entry{{large, func(err error) {
			if (err != nil) != (when == RejectNew) {
				t.Errorf("%s: a record larger than a segment: %v", when, err)
			}
		}}})
		if small.used > 6<<10 {
			t.Errorf("%s: %d bytes behind a large record", when, small.used)
		}
		var refused error
		small.Append(Record{Topic: "/p/d/x", Payload: make([]byte, 7<<10)}, func(err error) { refused = err })
		if refused == nil {
			t.Errorf("%s: a record larger than the quota was taken", when)
		}
	}
}

// TestDamageOfThinned: damage costs of a thinned segment too what it hits.
func TestDamageOfThinned(t *testing.T) {
	good := newMemDisk()
	b := on(t, good, thinConfig(), time.Now)
	const n = 400
	must(t, commit(b.streams[0], 0, n))
	whole := numbers(t, b.streams[0])
	must(t, b.Close())
	for round := range 300 {
		rng := rand.New(rand.NewPCG(uint64(round), 5))
		d := good.restart(rng)
		name, hit := damage(d, rng)
		b := on(t, d, thinConfig(), time.Now)
		s := b.streams[0]
		got := numbers(t, s)
		if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) || len(got) < len(whole)-hit/50-2 {
			t.Fatalf("round %d, %s, %d bytes: %d records of %d: %v", round, name, hit, len(got), len(whole), got)
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
