package series

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/bus"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
)

// start opens a series that runs until the test ends.
func start(t testing.TB, dir string, peers ...Peers) *Series {
	t.Helper()
	cfg := Config{Dir: dir, MaxAge: -1, MaxBytes: -1}
	for _, p := range peers {
		cfg.Peers = p
	}
	s, err := Open(cfg, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	end := make(chan error, 1)
	go func() { end <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-end; err != nil {
			t.Error(err)
		}
	})
	return s
}

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// add keeps "id=value@second id=value@second".
func add(s *Series, device int64, text string) {
	r := s.Begin(device)
	for word := range strings.FieldsSeq(text) {
		id, rest, _ := strings.Cut(word, "=")
		v, second, _ := strings.Cut(rest, "@")
		n, _ := strconv.Atoi(second)
		r.Add(id, noon.Add(time.Duration(n)*time.Second).UnixMilli(), append(r.Room(), v...))
	}
	r.Keep()
}

func show(list []Point) string {
	var words []string
	for _, p := range list {
		words = append(words, fmt.Sprintf("%s=%s@%d", p.Identifier, p.Value, int(p.Time.Sub(noon).Seconds())))
	}
	return strings.Join(words, " ")
}

// ask returns all pages, one a line.
func ask(t *testing.T, s *Series, q Query) string {
	t.Helper()
	var pages []string
	for range 20 {
		p, err := s.Points(t.Context(), q)
		if err != nil || len(p.Missing) > 0 {
			t.Fatal(err, p.Missing)
		}
		pages = append(pages, show(p.Points))
		if q.Cursor = p.Next; p.Next == "" {
			return strings.Join(pages, " | ")
		}
	}
	t.Fatal("pages without end")
	return ""
}

func TestPoints(t *testing.T) {
	s := start(t, t.TempDir())
	add(s, 7, `a=1@0 b="x"@0`)
	add(s, 8, `a=99@0`)
	add(s, 7, `a=2@10`)
	add(s, 7, `a=3@10 c={"d":1}@30`)
	add(s, 7, `a=0@-60`) // late
	add(s, 7, `a=5@65 b="y"@65`)
	points(t, s)
	for _, cursor := range []string{"!", "AA", "Zm9v"} {
		if _, err := s.Points(t.Context(), Query{Device: 7, Identifiers: []string{"a"}, Limit: 1, Cursor: cursor}); !errors.Is(err, ErrCursor) {
			t.Errorf("cursor %q: %v", cursor, err)
		}
	}
	s.max = 2
	if _, err := s.Points(t.Context(), Query{Device: 7, Identifiers: []string{"a"}, Limit: 9}); !errors.Is(err, ErrTooMuch) {
		t.Errorf("too much: %v", err)
	}
}

// points asks all sorts of questions about device 7.
func points(t *testing.T, s *Series) {
	t.Helper()
	at := func(second int) time.Time { return noon.Add(time.Duration(second) * time.Second) }
	tests := []struct {
		name string
		q    Query
		want string
	}{
		{"newest first", Query{Identifiers: []string{"a"}, Limit: 10}, `a=5@65 a=3@10 a=2@10 a=1@0 a=0@-60`},
		{"oldest first", Query{Identifiers: []string{"a"}, Limit: 10, Ascending: true}, `a=0@-60 a=1@0 a=2@10 a=3@10 a=5@65`},
		{"pages", Query{Identifiers: []string{"a"}, Limit: 2}, `a=5@65 a=3@10 | a=2@10 a=1@0 | a=0@-60`},
		{"pages upward", Query{Identifiers: []string{"a"}, Limit: 3, Ascending: true}, `a=0@-60 a=1@0 a=2@10 | a=3@10 a=5@65`},
		{"two", Query{Identifiers: []string{"a", "b"}, Limit: 3, Ascending: true}, `a=0@-60 a=1@0 b="x"@0 | a=2@10 a=3@10 a=5@65 | b="y"@65`},
		{"object", Query{Identifiers: []string{"c"}, Limit: 3}, `c={"d":1}@30`},
		{"span", Query{Identifiers: []string{"a"}, Limit: 9, From: at(0), To: at(65)}, `a=3@10 a=2@10 a=1@0`},
		{"nothing", Query{Identifiers: []string{"z"}, Limit: 9}, ``},
		{"at most", Query{Identifiers: []string{"a", "b"}, Limit: 9, Most: 2}, `b="y"@65 a=5@65 a=3@10 a=2@10 b="x"@0 a=1@0`},
		{"at most of one", Query{Identifiers: []string{"a"}, Limit: 9, Most: 1}, `a=5@65`},
		{"avg", Query{Identifiers: []string{"a"}, Limit: 9, Step: time.Minute, Fn: Avg, Ascending: true}, `a=0@-60 a=2@0 a=5@60`},
		{"avg downward", Query{Identifiers: []string{"a"}, Limit: 9, Step: time.Minute, Fn: Avg}, `a=5@60 a=2@0 a=0@-60`},
		{"avg pages", Query{Identifiers: []string{"a"}, Limit: 1, Step: time.Minute, Fn: Avg}, `a=5@60 | a=2@0 | a=0@-60`},
		{"avg pages upward", Query{Identifiers: []string{"a"}, Limit: 2, Step: time.Minute, Fn: Avg, Ascending: true}, `a=0@-60 a=2@0 | a=5@60`},
		{"min", Query{Identifiers: []string{"a"}, Limit: 9, Step: time.Hour, Fn: Min}, `a=1@0 a=0@-3600`},
		{"max", Query{Identifiers: []string{"a"}, Limit: 9, Step: time.Hour, Fn: Max}, `a=5@0 a=0@-3600`},
		{"sum", Query{Identifiers: []string{"a"}, Limit: 9, Step: time.Hour, Fn: Sum}, `a=11@0 a=0@-3600`},
		{"count", Query{Identifiers: []string{"a", "b"}, Limit: 9, Step: time.Hour, Fn: Count}, `a=4@0 b=2@0 a=1@-3600`},
		{"last", Query{Identifiers: []string{"a", "b"}, Limit: 9, Step: time.Hour, Fn: Last}, `a=5@0 b="y"@0 a=0@-3600`},
		{"last upward", Query{Identifiers: []string{"b", "a"}, Limit: 9, Step: time.Hour, Fn: Last, Ascending: true}, `a=0@-3600 b="y"@0 a=5@0`},
		{"no numbers", Query{Identifiers: []string{"b"}, Limit: 9, Step: time.Hour, Fn: Avg}, ``},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.q.Device = 7
			if got := ask(t, s, tt.q); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// A device was on two nodes: either answers for both.
func TestPointsOfTwoNodes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b, err := bus.Open(t.Context(), bus.Config{Name: "test"}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close() })
		one := start(t, t.TempDir(), Peers{"n1", db, b})
		two := start(t, t.TempDir(), Peers{"n2", db, b})
		add(one, 7, `a=1@0`)
		add(two, 7, `b="x"@0`)
		add(two, 8, `a=99@0`)
		add(one, 7, `a=2@10`)
		add(one, 7, `a=3@10 c={"d":1}@30`)
		add(two, 7, `a=0@-60`)
		add(two, 7, `a=5@65`)
		add(one, 7, `b="y"@65`)
		deadline := time.Now().Add(time.Minute)
		for {
			names, err := one.others(t.Context())
			own, err2 := two.others(t.Context())
			if err == nil && err2 == nil && len(names) == 1 && len(own) == 1 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal(names, own, err, err2)
			}
			time.Sleep(5 * time.Millisecond)
		}
		all := func(limit int, ascending bool, step time.Duration, fn Fn) string {
			return ask(t, one, Query{Device: 7, Identifiers: []string{"a", "b", "c"}, Limit: limit, Ascending: ascending, Step: step, Fn: fn})
		}
		for _, tt := range []struct{ got, want string }{
			{all(9, true, 0, ""), `a=0@-60 a=1@0 b="x"@0 a=2@10 a=3@10 c={"d":1}@30 b="y"@65 a=5@65`},
			{all(3, true, 0, ""), `a=0@-60 a=1@0 b="x"@0 | a=2@10 a=3@10 c={"d":1}@30 | b="y"@65 a=5@65`},
			{all(3, false, 0, ""), `b="y"@65 a=5@65 c={"d":1}@30 | a=3@10 a=2@10 a=1@0 | b="x"@0 a=0@-60`},
			{all(1, true, 0, ""), `a=0@-60 | a=1@0 | b="x"@0 | a=2@10 | a=3@10 | c={"d":1}@30 | b="y"@65 | a=5@65`},
			{all(9, true, time.Minute, Count), `a=1@-60 a=3@0 b=1@0 c=1@0 a=1@60 b=1@60`},
			{all(1, false, time.Minute, Count), `a=1@60 b=1@60 | a=3@0 b=1@0 c=1@0 | a=1@-60`},
			{all(9, true, time.Hour, Last), `a=0@-3600 a=5@0 b="y"@0 c={"d":1}@0`},
			{all(9, true, time.Hour, Sum), `a=0@-3600 a=11@0`},
		} {
			if tt.got != tt.want {
				t.Errorf("got  %s\nwant %s", tt.got, tt.want)
			}
		}
		if got, want := ask(t, two, Query{Device: 7, Identifiers: []string{"a"}, Limit: 9}), `a=5@65 a=3@10 a=2@10 a=1@0 a=0@-60`; got != want {
			t.Errorf("the other node: got  %s\nwant %s", got, want)
		}
		two.max = 1
		if _, err := one.Points(t.Context(), Query{Device: 7, Identifiers: []string{"a"}, Limit: 9}); !errors.Is(err, ErrTooMuch) {
			t.Errorf("too much on the other node: %v", err)
		}
		err = db.Do(t.Context(), &store.Unit{Ops: []store.Op{announceNode.Op("n3", time.Now().UnixMilli())}})
		if err != nil {
			t.Fatal(err)
		}
		two.max = 1000
		if p, err := one.Points(t.Context(), Query{Device: 7, Identifiers: []string{"a"}, Limit: 9}); err != nil || len(p.Points) != 5 || !slices.Equal(p.Missing, []string{"n3"}) {
			t.Errorf("with a node that is away: %+v, %v", p, err)
		}
	})
}

func TestKeptOverAStop(t *testing.T) {
	dir := t.TempDir()
	t.Run("first", func(t *testing.T) {
		s := start(t, dir)
		for i := range 1000 {
			add(s, 7, fmt.Sprintf("a=%d@%d", i, i))
		}
		dropped := s.Begin(7)
		dropped.Add("a", noon.UnixMilli(), []byte("7"))
		dropped.End(errors.New("not stored"))
	})
	t.Run("second", func(t *testing.T) {
		s := start(t, dir)
		p, err := s.Points(t.Context(), Query{Device: 7, Identifiers: []string{"a"}, Limit: 2000})
		if err != nil || len(p.Points) != 1000 || string(p.Points[0].Value) != "999" {
			t.Errorf("%d points, %v", len(p.Points), err)
		}
	})
}

// FuzzRecord: no record makes a reader fail otherwise than by its error.
func FuzzRecord(f *testing.F) {
	f.Add([]byte{1, 1, 1, 'a', 1, '7'})
	f.Add([]byte{1, 2, 1, 'a', 3, '"', 'x', '"', 0, 0})
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, backward := range []bool{false, true} {
			n := 0
			values, on, err := each(b, nil, func(value) bool { n++; return true }, backward)
			if !on || err == nil && n != len(values) || err != nil && !errors.Is(err, errRecord) {
				t.Fatalf("%x: %d of %d, %v, %v", b, n, len(values), on, err)
			}
		}
	})
}

func BenchmarkReport(b *testing.B) {
	s := start(b, b.TempDir())
	ms := noon.UnixMilli()
	b.ReportAllocs()
	for b.Loop() {
		ms++
		r := s.Begin(ms & 1023)
		for _, id := range []string{"count", "temp", "on", "pos"} {
			r.Add(id, ms, append(r.Room(), "21.5"...))
		}
		r.Keep()
	}
}
