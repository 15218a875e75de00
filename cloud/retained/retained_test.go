package retained

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/bus"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/testbed/harness/leak"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

// node is one of several over one store and one bus.
func node(t *testing.T, db *store.DB, b *bus.Bus, change func(*Config)) *Retained {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	reg, err := registry.New(t.Context(), db, log)
	if err != nil {
		t.Fatal(err)
	}
	c := DefaultConfig()
	if change != nil {
		change(&c)
	}
	r := New(c, Deps{Store: db, Registry: reg, Bus: b, Log: log})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r
}

func newBus(t *testing.T) *bus.Bus {
	t.Helper()
	b, err := bus.Open(t.Context(), bus.Config{Name: "a"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func keep(t *testing.T, r *Retained, product, name, payload string) {
	t.Helper()
	if err := r.Keep(t.Context(), &Message{Product: product, Topic: name, Device: 1, Payload: []byte(payload), QoS: 1}); err != nil {
		t.Fatal(err)
	}
}

// each returns the payloads for a filter, in order.
func each(t *testing.T, r *Retained, filter string) (list []string) {
	t.Helper()
	after := ""
	for {
		page, err := r.Page(t.Context(), filter, after, 100, func(p string) bool { return p != "closed" })
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return list
		}
		for _, m := range page {
			if !m.Retain || !m.Kept {
				t.Errorf("%s without RETAIN", m.Topic)
			}
			list = append(list, string(m.Payload))
			after = m.Topic
		}
	}
}

func TestFilters(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := node(t, db, newBus(t), nil)
		for name, payload := range map[string]string{"/p/d/a": "1", "/p/d/a/b": "2", "/p/d/ab": "3", "/p/e/a": "4", "/$system/p/d/x": "5"} {
			keep(t, r, "p", name, payload)
		}
		keep(t, r, "q", "/q/d/a", "6")
		keep(t, r, "closed", "/closed/d/a", "7")
		for filter, want := range map[string]string{
			"/p/d/a": "1", "/p/d/a/#": "12", "/p/d/#": "123", "/p/d/+": "13", "/p/+/a": "14", "/p/#": "1234", "/$system/p/d/#": "5", "/$system/+/d/x": "5",
			"#": "123456", "/#": "123456", "/+/+/a": "146", "+/+/d/a": "16", "/q/#": "6", "/closed/#": "", "/none/#": "", "/p/d": "", "x/#": "", "/": "", "": "",
		} {
			got := each(t, r, filter)
			slices.Sort(got)
			if strings.Join(got, "") != want {
				t.Errorf("%s matches %v, want %s", filter, got, want)
			}
		}
		keep(t, r, "p", "/p/d/a", "")
		if got := each(t, r, "/p/d/a/#"); len(got) != 1 {
			t.Errorf("after the removal: %v", got)
		}
	})
}

func TestPages(t *testing.T) {
	r := node(t, storetest.SQLite(t), newBus(t), nil)
	var units []*store.Unit
	for n := range 3 * scan {
		c, err := r.Change(t.Context(), &Message{Product: fmt.Sprint("p", n%2), Topic: fmt.Sprintf("/p%d/d/%05d", n%2, n), Device: 1, Payload: fmt.Append(nil, n)})
		if err != nil {
			t.Fatal(err)
		}
		units = append(units, &store.Unit{Device: 1, Ops: c.ops})
	}
	for _, u := range units {
		if err := r.Store.Do(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Trim(t.Context(), time.Now()); err != nil { // forgets what was counted
		t.Fatal(err)
	}
	for filter, want := range map[string]int{"#": 3 * scan, "/p0/#": 3 * scan / 2, "/p1/d/00001": 1} {
		if got := len(each(t, r, filter)); got != want {
			t.Errorf("%s: %d messages, want %d", filter, got, want)
		}
	}
}

// TestNothingCostsNothing: as long as nothing is kept, and that is known, the store is not asked.
func TestNothingCostsNothing(t *testing.T) {
	db, b := storetest.SQLite(t), newBus(t)
	r, other := node(t, db, b, nil), node(t, db, b, nil)
	if got := each(t, r, "/p/#"); len(got) != 0 {
		t.Fatal(got)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel() // whoever asks the store with it fails
	look := func() error {
		_, err := r.Page(gone, "/p/#", "", 10, func(string) bool { return true })
		return err
	}
	if err := look(); err != nil {
		t.Errorf("the store was asked: %v", err)
	}
	keep(t, other, "p", "/p/d/a", "x")
	deadline := time.Now().Add(time.Minute)
	for look() == nil {
		if time.Now().After(deadline) {
			t.Fatal("another node keeps a message, and this one was not told")
		}
		time.Sleep(time.Millisecond)
	}
	if got := each(t, r, "/p/#"); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

// TestLostNote: a note that was lost is made up for after Recheck.
func TestLostNote(t *testing.T) {
	db := storetest.SQLite(t)
	r, other := node(t, db, newBus(t), nil), node(t, db, newBus(t), nil) // they do not hear each other
	each(t, r, "/p/#")
	keep(t, other, "p", "/p/d/a", "x")
	if got := each(t, r, "/p/#"); len(got) != 0 {
		t.Fatalf("the nodes hear each other: %v", got)
	}
	r.now = func() time.Time { return time.Now().Add(r.cfg.Recheck) }
	if got := each(t, r, "/p/#"); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

func TestBounds(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := newBus(t)
		r := node(t, db, b, func(c *Config) { c.MaxCount, c.MaxBytes = 3, 100 })
		other := node(t, db, b, nil)
		put := func(name string, size int) error {
			return r.Keep(t.Context(), &Message{Product: "p", Topic: name, Device: 1, Payload: make([]byte, size)})
		}
		for _, step := range []struct {
			name string
			size int
			want error
		}{
			{"/p/d/1", 80, nil}, {"/p/d/2", 10, ErrFull}, {"/p/d/1", 10, nil}, {"/p/d/2", 10, nil}, {"/p/d/3", 10, nil},
			{"/p/d/4", 1, ErrFull}, {"/p/d/3", 20, nil}, {"/p/d/3", 0, nil}, {"/p/d/4", 1, nil},
		} {
			if err := put(step.name, step.size); !errors.Is(err, step.want) {
				t.Errorf("%s of %d bytes: %v, want %v", step.name, step.size, err, step.want)
			}
		}
		keep(t, other, "p", "/p/d/4", "")
		r.now = func() time.Time { return time.Now().Add(r.cfg.Recheck) }
		if err := put("/p/d/5", 1); err != nil {
			t.Errorf("another node has removed one: %v", err)
		}
	})
}

func TestExpiry(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := node(t, db, newBus(t), nil)
		soon := time.Now().Add(time.Hour)
		err := r.Keep(t.Context(), &Message{Product: "p", Topic: "/p/d/a", Device: 1, Payload: []byte("x"), Expiry: soon})
		if err != nil {
			t.Fatal(err)
		}
		keep(t, r, "p", "/p/d/b", "y")
		if got := each(t, r, "/p/#"); len(got) != 2 {
			t.Errorf("before: %v", got)
		}
		r.now = func() time.Time { return soon }
		if got := each(t, r, "/p/#"); len(got) != 1 {
			t.Errorf("after: %v", got)
		}
		if n, err := r.Trim(t.Context(), soon); n != 1 || err != nil {
			t.Errorf("trimmed %d, %v", n, err)
		}
	})
}

// TestLate: a will that comes after its device was deleted leaves nothing.
func TestLate(t *testing.T) {
	r := node(t, storetest.SQLite(t), newBus(t), nil)
	if err := r.Keep(t.Context(), &Message{Product: "p", Topic: "/p/d/a", Device: 1, Payload: []byte("x"), Late: true}); err != nil {
		t.Fatal(err)
	}
	if got := each(t, r, "#"); len(got) != 0 {
		t.Errorf("kept of a device that is not there: %v", got)
	}
}
