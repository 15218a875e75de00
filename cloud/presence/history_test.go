package presence

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// TestHistory: each session's begin and end is there with its reason, newest first, and is trimmed by count and by age.
func TestHistory(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		f := newFixture(t, db)
		start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		hours := 0
		f.now = func() time.Time { hours++; return start.Add(time.Duration(hours) * time.Hour) }
		l := f.login()
		l.Remote, l.Transport, l.Protocol = "192.0.2.1:1", "tls", "MQTT 3.1.1"
		connect := func() *Session {
			t.Helper()
			var err error
			if l.Device, err = f.Registry.Device(ctx, f.dev.Identity); err != nil { // as auth does
				t.Fatal(err)
			}
			s, _, err := f.Connect(ctx, l)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		leave := func(s *Session, why server.Cause) {
			t.Helper()
			f.Disconnect(s, why)
			if err := db.Do(ctx, &store.Unit{Device: f.dev.ID}); err != nil { // behind the leave
				t.Fatal(err)
			}
		}
		first := connect()
		second := connect() // takes over
		leave(first, server.CauseTakenOver)
		leave(second, server.CauseKeepAlive)
		leave(connect(), server.CauseDisconnect)
		history := func() (list []string) {
			t.Helper()
			page := registry.Page{Limit: 2}
			for {
				some, next, err := f.Registry.Connections(ctx, f.dev.ID, page)
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range some {
					if c.Remote != l.Remote || c.Transport != l.Transport || c.Protocol != l.Protocol {
						t.Errorf("entry %+v is not of the login", c)
					}
					list = append(list, fmt.Sprint(c.Epoch, " ", c.Event, " ", c.Reason, " ", int(c.At.Sub(start).Hours())))
				}
				if page.Cursor = next; next == "" {
					return list
				}
			}
		}
		want := []string{"3 offline disconnect 5", "3 online login 4", "2 offline keep_alive 3", "2 online take_over 2", "1 online login 1"}
		if got := history(); !slices.Equal(got, want) {
			t.Fatalf("history %q, want %q", got, want)
		}
		trim := registry.NewHistory(db, registry.HistoryConfig{MaxAge: 10 * time.Hour, MaxCount: 5}) // two whole sessions
		if n, err := trim.Trim(ctx, start.Add(8*time.Hour)); err != nil || n != 1 || !slices.Equal(history(), want[:4]) {
			t.Errorf("trimmed %d by count, %v: %q", n, err, history())
		}
		if n, err := trim.Trim(ctx, start.Add(14*time.Hour)); err != nil || n != 1 || !slices.Equal(history(), want[:2]) {
			t.Errorf("trimmed %d by age, %v: %q", n, err, history())
		}
	})
}

// TestHistoryOfADeadProcess: a session whose process died is in the history as open, and has its end, with what its login said, when
// the next process settles it.
func TestHistoryOfADeadProcess(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		f := newFixture(t, db)
		l := f.login()
		l.Remote, l.Transport, l.Protocol = "192.0.2.1:1", "wss", "MQTT 5.0"
		s, _, err := f.Connect(ctx, l)
		if err != nil {
			t.Fatal(err)
		}
		want := registry.Connection{At: time.UnixMilli(s.past().at).UTC(), Event: registry.EventOnline, Reason: registry.ReasonLogin,
			Remote: l.Remote, Transport: l.Transport, Protocol: l.Protocol, Epoch: 1}
		history := func() []registry.Connection {
			t.Helper()
			list, _, err := f.Registry.Connections(ctx, f.dev.ID, registry.Page{})
			if err != nil {
				t.Fatal(err)
			}
			return list
		}
		if got := history(); !slices.Equal(got, []registry.Connection{want}) {
			t.Fatalf("while it is open: %+v, want %+v", got, want)
		}
		next := New(Config{Node: "a"}, f.Deps)
		left, err := next.leftOnline(ctx)
		if err != nil || len(left) != 1 {
			t.Fatalf("left online: %d, %v", len(left), err)
		}
		next.offline(left[0])
		if err := db.Do(ctx, &store.Unit{Device: f.dev.ID}); err != nil {
			t.Fatal(err)
		}
		got := history()
		if len(got) != 2 || got[1] != want {
			t.Fatalf("after its end: %+v", got)
		}
		if want.At, want.Event, want.Reason = got[0].At, registry.EventOffline, registry.ReasonLost; got[0] != want {
			t.Errorf("its end: %+v, want %+v", got[0], want)
		}
	})
}

// TestSeenToTheMinute: a short session does not move what lists are sorted by, and what the device shows is exact nevertheless.
func TestSeenToTheMinute(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		f := newFixture(t, db)
		clock := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		first := clock
		f.now = func() time.Time { return clock }
		check := func(stored, seen time.Time) {
			t.Helper()
			if err := db.Do(ctx, &store.Unit{Device: f.dev.ID}); err != nil {
				t.Fatal(err)
			}
			cached, err := f.Registry.Device(ctx, f.dev.Identity)
			if err != nil {
				t.Fatal(err)
			}
			f.Registry.Invalidate(f.dev.ID)
			read, err := f.Registry.Device(ctx, f.dev.Identity)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range []*registry.Device{cached, read} {
				if !d.LastSeen.Time().Equal(stored) || !d.Seen().Time().Equal(seen) {
					t.Errorf("stored %v, seen %v, want %v and %v", d.LastSeen.Time(), d.Seen().Time(), stored, seen)
				}
			}
		}
		for _, wait := range []time.Duration{10 * time.Second, 20 * time.Second} {
			l := f.login()
			l.Device, _ = f.Registry.Device(ctx, f.dev.Identity)
			s, _, err := f.Connect(ctx, l)
			if err != nil {
				t.Fatal(err)
			}
			check(first, clock)
			clock = clock.Add(wait)
			f.Disconnect(s, server.CauseNetwork)
			check(first, clock)
		}
		l := f.login()
		l.Device, _ = f.Registry.Device(ctx, f.dev.Identity)
		clock = first.Add(registry.SeenEvery)
		if _, _, err := f.Connect(ctx, l); err != nil {
			t.Fatal(err)
		}
		check(clock, clock)
	})
}
