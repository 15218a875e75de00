package monitor

import (
	"slices"
	"sync"
	"testing"
)

// drain takes what is queued.
func drain(ch <-chan Event) []Event {
	var list []Event
	for {
		select {
		case e, ok := <-ch:
			if !ok {
				return list
			}
			list = append(list, e)
		default:
			return list
		}
	}
}

func topics(list []Event) []string {
	var s []string
	for _, e := range list {
		s = append(s, e.Topic)
	}
	return s
}

func TestFilter(t *testing.T) {
	events := []Event{
		{Type: TypeMessage, Product: "p", Device: "d", Topic: "a"},
		{Type: TypePresence, Product: "p", Device: "d", Topic: "b"},
		{Type: TypeMessage, Product: "q", Device: "d", Topic: "c"},
		{Type: TypeMessage, Product: "p", Device: "e", Topic: "d"},
	}
	tests := []struct {
		name   string
		filter Filter
		want   []string
	}{
		{"all", Filter{}, []string{"a", "b", "c", "d"}},
		{"product", Filter{Product: "p"}, []string{"a", "b", "d"}},
		{"device", Filter{Product: "p", Device: "d"}, []string{"a", "b"}},
		{"type", Filter{Types: []string{TypePresence, TypeRule}}, []string{"b"}},
		{"none", Filter{Types: []string{TypeRule}}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := New(DefaultConfig())
			ch, cancel := f.Subscribe(tt.filter)
			defer cancel()
			for _, e := range events {
				f.Publish(e)
			}
			if got := topics(drain(ch)); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestSlowSubscriberLosesOldest(t *testing.T) {
	f := New(Config{Ring: 4, Queue: 3})
	slow, cancel := f.Subscribe(Filter{})
	defer cancel()
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		f.Publish(Event{Topic: name})
	}
	if got, want := topics(drain(slow)), []string{"c", "d", "e"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := f.Dropped(); got != 2 {
		t.Errorf("Dropped = %d, want 2", got)
	}
}

func TestAfter(t *testing.T) {
	f := New(Config{Ring: 4, Queue: 10})
	all, cancel := f.Subscribe(Filter{})
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		f.Publish(Event{Topic: name})
	}
	seen := drain(all)
	cancel()
	cancel()
	if f.Watched() {
		t.Errorf("Watched after the last cancel")
	}
	tests := []struct {
		name  string
		after int64
		want  []string
	}{
		{"recent", seen[3].ID, []string{"e", "f"}},
		{"newest", seen[5].ID, nil},
		{"older than the ring", seen[0].ID, []string{"c", "d", "e", "f"}},
		{"from another life", 1, []string{"c", "d", "e", "f"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ch, cancel := f.Subscribe(Filter{After: tt.after})
			defer cancel()
			if got := topics(drain(ch)); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestConcurrent(t *testing.T) {
	f := New(Config{Ring: 16, Queue: 8})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 500 {
				f.Publish(Event{Type: TypeMessage})
			}
		})
		wg.Go(func() {
			for range 50 {
				ch, cancel := f.Subscribe(Filter{After: 1})
				last := int64(0)
				for _, e := range drain(ch) {
					if e.ID <= last {
						t.Errorf("id %d after %d", e.ID, last)
					}
					last = e.ID
				}
				cancel()
			}
		})
	}
	wg.Wait()
}

func BenchmarkPublishUnwatched(b *testing.B) {
	f := New(DefaultConfig())
	b.ReportAllocs()
	e := Event{Type: TypeMessage, Product: "p", Device: "d", Topic: "t"}
	for b.Loop() {
		f.Publish(e)
	}
}

func TestResume(t *testing.T) {
	f := New(Config{Ring: 4, Queue: 2})
	start := f.last
	for range 3 {
		f.Publish(Event{Type: TypeMessage})
	}
	for _, tt := range []struct {
		name  string
		after int64
		whole bool
		want  int
	}{
		{"a new reader", 0, true, 0},
		{"from the beginning", start, true, 3},
		{"one that has seen all", start + 3, true, 0},
		{"one of another life", start - 10, false, 3},
		{"one of another hub", start + 99, false, 0},
	} {
		events, whole, cancel := f.Resume(Filter{After: tt.after})
		if whole != tt.whole || len(events) != tt.want {
			t.Errorf("%s: whole %v with %d events, want %v with %d", tt.name, whole, len(events), tt.whole, tt.want)
		}
		cancel()
	}
	for range 3 {
		f.Publish(Event{Type: TypeMessage})
	}
	events, whole, cancel := f.Resume(Filter{After: start + 1})
	defer cancel()
	if whole || len(events) != 4 {
		t.Errorf("after more than the ring holds: whole %v with %d events", whole, len(events))
	}
	// A slow reader sees by Seq how many it has lost, and where.
	slow, stop := f.Subscribe(Filter{})
	defer stop()
	for range 5 {
		f.Publish(Event{Type: TypeMessage})
	}
	if a, b := <-slow, <-slow; a.Seq != 4 || b.Seq != 5 {
		t.Errorf("Seq %d and %d, want 4 and 5: three were lost before", a.Seq, b.Seq)
	}
}
