package ota

import (
	"reflect"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
)

// TestTrimHistory: moments of what has ended go by age and by number, counters and ends stay; what is opened again has moments again.
func TestTrimHistory(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		f.cfg.HistoryTasks = 2
		f.fleet("thermo", 3)
		run := func(version string) *Campaign {
			c := f.campaign(f.firmwareOf(version, version), Spec{})
			f.turns(2)
			f.all(f.offered(), `{"Method":"report_success","Payload":{"Version":"`+version+`"}}`)
			f.turns(2)
			return f.wantStatus(c, Done, 1)
		}
		moments := func(c *Campaign) (n int) {
			_, list, err := f.Timeline(t.Context(), c.ID, f.dev("thermo-0").Identity)
			if err != nil {
				t.Fatal(err)
			}
			return len(list)
		}
		trim := func(in time.Duration, want int) {
			t.Helper()
			if n, err := f.TrimHistory(t.Context(), f.clock.Add(in)); n != want || err != nil {
				t.Errorf("trimmed %d, %v, want %d", n, err, want)
			}
		}
		first, second := run("2.0"), run("2.1")
		trim(0, 0)
		third := run("2.2")
		before, err := f.Progress(t.Context(), first.ID)
		if err != nil {
			t.Fatal(err)
		}
		trim(0, 1) // the first is not among the newest two
		if moments(first) != 0 || moments(second) == 0 || moments(third) == 0 {
			t.Errorf("moments: %d, %d, %d", moments(first), moments(second), moments(third))
		}
		after, err := f.Progress(t.Context(), first.ID)
		if err != nil || !reflect.DeepEqual(after.States(), before.States()) || after.Bytes() != before.Bytes() {
			t.Errorf("progress %+v, %v; before %+v", after, err, before)
		}
		f.counted(&first.Task)
		trim(f.cfg.HistoryLife+time.Hour, 2)
		trim(f.cfg.HistoryLife+time.Hour, 0)
		open := f.campaign(f.firmwareOf("2.3", "x"), Spec{})
		f.turns(2)
		trim(f.cfg.HistoryLife+9*24*time.Hour, 0) // it goes on
		f.wantStatus(open, Running, 1)
	})
}
