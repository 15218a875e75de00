package rollout

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"testing/quick"
	"time"

	"github.com/hawser-iot/hawser/firmware/failure"
)

// TestRank pins the order: it may never change under a campaign that runs.
func TestRank(t *testing.T) {
	for _, tt := range []struct {
		campaign    int64
		product, sn string
		want        int64
	}{{1, "p", "a", 1560507338616488729}, {1, "p", "b", 1218330956092287144}, {2, "p", "a", 8583503242496960451}} {
		got := Rank(tt.campaign, tt.product, tt.sn)
		if got != tt.want {
			t.Errorf("%s in %d: got %d, want %d", tt.sn, tt.campaign, got, tt.want)
		}
		if c := CanaryRank(got); c >= 0 {
			t.Errorf("canary %d comes after others", c)
		}
	}
}

// TestGrows: whoever is among the first of a percentage is among the first of every larger one, whichever devices there are.
func TestGrows(t *testing.T) {
	grows := func(campaign int64, n uint16, a, b float64) bool {
		total := int64(n%2000) + 1
		small, large := math.Mod(math.Abs(a), 100), math.Mod(math.Abs(b), 100)
		if small > large {
			small, large = large, small
		}
		order := make([]int64, total)
		for i := range order {
			order[i] = Rank(campaign, "p", fmt.Sprint("device-", i))
		}
		slices.Sort(order)
		first := func(percent float64) []int64 { return order[:Wave{Percent: percent}.End(total, 0)] }
		return slices.Equal(first(small), first(large)[:len(first(small))]) && len(first(100)) == int(total)
	}
	if err := quick.Check(grows, &quick.Config{MaxCount: 60}); err != nil {
		t.Error(err)
	}
}

func TestEnds(t *testing.T) {
	for _, tt := range []struct {
		w                   Wave
		total, before, want int64
	}{
		{Wave{Percent: 5}, 100, 0, 5}, {Wave{Percent: 5}, 10, 0, 1}, {Wave{Percent: 5}, 0, 0, 0}, {Wave{Percent: 25}, 100, 30, 30},
		{Wave{Percent: 100}, 7, 3, 7}, {Wave{Count: 10}, 5, 0, 5}, {Wave{Count: 3}, 100, 0, 3}, {Wave{Percent: 33.3}, 1000, 0, 333},
	} {
		if got := tt.w.End(tt.total, tt.before); got != tt.want {
			t.Errorf("%+v of %d after %d: got %d, want %d", tt.w, tt.total, tt.before, got, tt.want)
		}
	}
	for name, tt := range map[string]struct {
		waves []Wave
		ok    bool
	}{
		"one": {[]Wave{{Percent: 100}}, true}, "three": {[]Wave{{Count: 3}, {Percent: 10, Soak: 60}, {Percent: 100}}, true},
		"none": {nil, false}, "not all": {[]Wave{{Percent: 99}}, false}, "shrinks": {[]Wave{{Percent: 50}, {Percent: 40}, {Percent: 100}}, false},
		"both": {[]Wave{{Percent: 50, Count: 1}, {Percent: 100}}, false}, "neither": {[]Wave{{}, {Percent: 100}}, false},
		"count late": {[]Wave{{Percent: 5}, {Count: 9}, {Percent: 100}}, false}, "NaN": {[]Wave{{Percent: math.NaN()}, {Percent: 100}}, false},
		"soak": {[]Wave{{Percent: 100, Soak: -1}}, false}, "settled": {[]Wave{{Percent: 100, Settled: 101}}, false}, "above": {[]Wave{{Percent: 101}}, false},
	} {
		if err := CheckWaves(tt.waves); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStop(t *testing.T) {
	five := Stop{Limit: 5}
	for _, tt := range []struct {
		name string
		s    Stop
		t    Tally
		stop bool
	}{
		{"nobody", five, Tally{}, false},
		{"5 of 5", five, Tally{Failed: 5}, true},
		{"4 of 4 are too few", five, Tally{Failed: 4}, false},
		{"4 of 4, minimum 4", Stop{Limit: 5, Minimum: 4}, Tally{Failed: 4}, true},
		{"1 of 5 may be chance", five, Tally{Succeeded: 4, Failed: 1}, false},
		{"2 of 5", five, Tally{Succeeded: 3, Failed: 2}, true},
		{"5 of 100 is the limit", five, Tally{Succeeded: 95, Failed: 5}, false},
		{"10 of 100", five, Tally{Succeeded: 90, Failed: 10}, true},
		{"52 of 1000 may be chance", five, Tally{Succeeded: 948, Failed: 52}, false},
		{"70 of 1000", five, Tally{Succeeded: 930, Failed: 70}, true},
		{"1 of 5 that did not boot", five, Tally{Succeeded: 4, Failed: 1, Weighty: 1}, true},
		{"no limit", Stop{}, Tally{Failed: 1000, Reverted: 1000}, false},
		{"2 reverted", Stop{Reverted: 3}, Tally{Succeeded: 1000, Failed: 2, Reverted: 2}, false},
		{"3 reverted", Stop{Reverted: 3}, Tally{Succeeded: 1000, Failed: 3, Reverted: 3}, true},
		{"failures are not reverted", Stop{Reverted: 3}, Tally{Failed: 50}, false},
	} {
		if got := tt.s.Verdict(tt.t); (got != "") != tt.stop {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
	for _, tt := range []struct {
		k, n int64
		want float64
	}{{0, 0, 0}, {0, 10, 0}, {5, 5, 0.5655}, {1, 1, 0.2065}, {5, 100, 0.0215}, {50, 100, 0.4038}} {
		if got := WilsonLow(tt.k, tt.n); math.Abs(got-tt.want) > 1e-3 {
			t.Errorf("%d of %d: got %.4f, want %.4f", tt.k, tt.n, got, tt.want)
		}
	}
	for _, bad := range []Stop{{Limit: 100}, {Limit: math.NaN()}, {Minimum: -1}, {Action: "cry"}} {
		if bad.Check() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

func TestHealth(t *testing.T) {
	h := &Health{Reconnects: 2, Offline: 10, Silent: 5}
	well := Vitals{Devices: 100, Reconnects: 100, Offline: 5, Silent: 1, Hours: 1}
	for name, tt := range map[string]struct {
		h               *Health
		updated, others Vitals
		ill             bool
	}{
		"alike": {h, well, well, false}, "not looked at": {nil, Vitals{Devices: 1, Offline: 1}, well, false}, "nobody": {h, Vitals{}, well, false},
		"nobody else": {h, Vitals{Devices: 1, Offline: 1}, Vitals{}, false},
		"reconnects":  {h, Vitals{Devices: 10, Reconnects: 30, Hours: 1}, well, true},
		"a few more":  {h, Vitals{Devices: 10, Reconnects: 5, Hours: 1}, Vitals{Devices: 10, Hours: 1}, false},
		"offline":     {h, Vitals{Devices: 10, Offline: 2, Hours: 1}, well, true},
		"silent":      {h, Vitals{Devices: 10, Silent: 1, Hours: 1}, well, true},
	} {
		if got := tt.h.Verdict(tt.updated, tt.others); (got != "") != tt.ill {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestRate(t *testing.T) {
	grows := Rate{PerMinute: 60, Growth: 2, MaxPerMinute: 500}
	for running, want := range map[time.Duration]float64{0: 60, 59 * time.Second: 60, time.Minute: 120, 3 * time.Minute: 480, time.Hour: 500} {
		if got := grows.At(running); got != want {
			t.Errorf("after %s: got %g, want %g", running, got, want)
		}
	}
	for _, tt := range []struct {
		name string
		r    Rate
		want int64 // offers over 10 minutes of which each second is asked
	}{
		{"none", Rate{}, 600 * 1000}, {"60 a minute", Rate{PerMinute: 60}, 599}, {"6 a minute", Rate{PerMinute: 6}, 59},
		{"bytes", Rate{BytesPerSecond: 50}, 299}, {"concurrent", Rate{Concurrent: 7}, 7},
	} {
		var m Meter
		var made int64
		now := time.Unix(1000, 0)
		for range 600 {
			running := made // nobody ends
			n := m.Grant(tt.r, now, 0, running, 100, 1000)
			m.Spend(n, 100)
			made += n
			now = now.Add(time.Second)
		}
		if made < tt.want-1 || made > tt.want+1 {
			t.Errorf("%s: %d offers, want %d", tt.name, made, tt.want)
		}
	}
}

func TestRetry(t *testing.T) {
	r := Retry{Attempts: 3, Classes: []failure.Class{failure.Space}, Delay: 60}
	for _, c := range append(failure.Classes(), failure.Unclassified) {
		for n := 1; n <= 3; n++ {
			wait, ok := r.After(c, n, 0.5)
			want := n < 3 && (c == failure.Network || c == failure.Server || c == failure.Space)
			if ok != want || ok && (wait <= 0 || wait > 4*time.Minute) {
				t.Errorf("%s, failure %d: %s, %v", c, n, wait, ok)
			}
		}
	}
	for _, c := range never {
		if (Retry{Classes: []failure.Class{c}}).Check() == nil {
			t.Errorf("%s may be tried again", c)
		}
		if _, ok := (Retry{Attempts: 9, Classes: never}).After(c, 1, 0); ok {
			t.Errorf("%s is tried again", c)
		}
	}
}

func TestVersions(t *testing.T) {
	order := []string{"0.9", "1.2-rc1", "1.2-rc2", "1.2", "1.2.1", "1.9", "1.10", "1.010.1", "2.0"}
	for i := range order {
		for j := range order {
			got, want := Compare(order[i], order[j]), 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got != want {
				t.Errorf("%s and %s: got %d, want %d", order[i], order[j], got, want)
			}
		}
	}
	for text, takes := range map[string]map[string]bool{
		"":               {"": true, "1": true},
		">=1.2 <2.0":     {"1.2": true, "1.9": true, "2.0": false, "1.1": false, "": false},
		"<1 || >=3 || 2": {"0.9": true, "1": false, "2": true, "2.1": false, "3": true},
		"!=1.5":          {"1.5": false, "1.6": true, "": false},
	} {
		r, err := ParseRange(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		for v, want := range takes {
			if got := r.Takes(v); got != want {
				t.Errorf("%q takes %q: %v", text, v, got)
			}
		}
	}
	for _, bad := range []string{"=>1", "1 ||", ">", "1 ä", "<<1"} {
		if _, err := ParseRange(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func FuzzRange(f *testing.F) {
	f.Add(">=1.2 <2.0 || 3.1", "1.5")
	f.Fuzz(func(t *testing.T, text, version string) {
		r, err := ParseRange(text)
		if err == nil {
			r.Takes(version)
		}
		if Compare(text, version) != -Compare(version, text) {
			t.Errorf("%q and %q: no order", text, version)
		}
	})
}
