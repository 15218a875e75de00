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
		trim := registry.NewHistory(db, registry.HistoryConfig{MaxAge: 10 * time.Hour, MaxCount: 3})
		if n, err := trim.Trim(ctx, start.Add(8*time.Hour)); err != nil || n != 2 || !slices.Equal(history(), want[:3]) {
			t.Errorf("trimmed %d by count, %v: %q", n, err, history())
		}
		if n, err := trim.Trim(ctx, start.Add(14*time.Hour)); err != nil || n != 1 || !slices.Equal(history(), want[:2]) {
			t.Errorf("trimmed %d by age, %v: %q", n, err, history())
		}
	})
}
