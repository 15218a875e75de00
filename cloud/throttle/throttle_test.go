package throttle

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
)

var (
	cfg   = Config{Free: 2, First: time.Second, Max: 5 * time.Second, Forget: time.Minute, Pairs: 3}
	start = time.Unix(1_800_000_000, 0)
)

func TestCosts(t *testing.T) {
	th, p := New(cfg), Pair{"ann", "192.0.2.1"}
	var got []time.Duration
	for range 6 {
		got = append(got, th.Wrong(p, start)/time.Second)
	}
	if want := []time.Duration{0, 0, 1, 2, 4, 5}; !slices.Equal(got, want) {
		t.Errorf("wrong ones cost %v s, want %v", got, want)
	}
	if c := th.cost(math.MaxInt); c != cfg.Max {
		t.Errorf("very many cost %v", c)
	}
	for after, want := range map[time.Duration]time.Duration{0: 5 * time.Second, 3 * time.Second: 2 * time.Second, 5 * time.Second: 0, time.Hour: 0} {
		if got := th.Left(p, start.Add(after)); got != want {
			t.Errorf("after %v there are %v left, want %v", after, got, want)
		}
	}
	for _, other := range []Pair{{"ann", "192.0.2.2"}, {"bob", "192.0.2.1"}} {
		if th.Left(other, start) != 0 || th.Wrong(other, start) != 0 {
			t.Errorf("%v pays for %v", other, p)
		}
	}
	if got := th.Wrong(p, start.Add(cfg.Forget+6*time.Second)); got != 0 {
		t.Errorf("after a quiet time one costs %v", got)
	}
	for range 4 {
		th.Wrong(p, start)
	}
	th.Right(p)
	if th.Left(p, start) != 0 || th.Wrong(p, start) != 0 {
		t.Error("after a right one the wrong ones count still")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	th := New(cfg)
	for i := range 100 {
		th.Wrong(Pair{"x", fmt.Sprint(i)}, start)
		th.Wrong(Pair{"x", "0"}, start) // never the one that is quiet for longest
	}
	if th.Len() != cfg.Pairs {
		t.Errorf("%d pairs are remembered, want %d", th.Len(), cfg.Pairs)
	}
	if th.Left(Pair{"x", "0"}, start) != cfg.Max {
		t.Error("the one that goes on was forgotten")
	}
}

func TestHost(t *testing.T) {
	for address, want := range map[string]string{"192.0.2.1:1": "192.0.2.1", "[::ffff:192.0.2.1]:7": "192.0.2.1", "[2001:db8::1]:7": "2001:db8::/64",
		"[2001:db8::ffff%eth0]:9": "2001:db8::/64", "[2001:db8:0:1::1]:7": "2001:db8:0:1::/64", "@": "@"} {
		if got := Host(address); got != want {
			t.Errorf("%s is of %s, want %s", address, got, want)
		}
	}
}

func BenchmarkWrong(b *testing.B) {
	th, p := New(Config{Free: 5, First: time.Second, Max: time.Minute, Forget: time.Hour, Pairs: 10_000}), Pair{"ann", "192.0.2.1"}
	b.ReportAllocs()
	for b.Loop() {
		th.Wrong(p, start)
	}
}
