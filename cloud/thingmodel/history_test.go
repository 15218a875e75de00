package thingmodel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/cloud/thingmodel/series"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// keepHistory gives the rig a history of properties.
func (r *rig) keepHistory() {
	r.t.Helper()
	s, err := series.Open(series.Config{Dir: r.t.TempDir(), MaxAge: -1, MaxBytes: -1}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	end := make(chan error, 1)
	go func() { end <- s.Run(ctx) }()
	r.t.Cleanup(func() {
		cancel()
		if err := <-end; err != nil {
			r.t.Error(err)
		}
	})
	r.things.Series = s
}

func (r *rig) history(q HistoryQuery) string {
	r.t.Helper()
	if q.Limit == 0 {
		q.Limit = 100
	}
	page, err := r.things.History(r.t.Context(), r.device.Identity, q)
	if err != nil {
		return err.Error()
	}
	var words []string
	for _, p := range page.Points {
		words = append(words, fmt.Sprintf("%s=%s@%d", p.Identifier, p.Value, p.Time.UnixMilli()%1_000_000))
	}
	return strings.Join(words, " ")
}

func TestHistory(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := newRig(t, db)
		if got := r.history(HistoryQuery{Identifiers: []string{"t"}}); got != ErrNoHistory.Error() {
			t.Errorf("without a history: %s", got)
		}
		r.keepHistory()
		const at = 1_764_241_000_000
		post := func(values string) {
			t.Helper()
			r.send(topic.PropertyPost, "", `{"RequestID":"1","Property":{`+values+`}}`)
		}
		post(fmt.Sprintf(`"t":{"Value":20.5,"Time":%d},"h":{"Value":40,"Time":%d},"on":{"Value":true,"Time":%d}`, at+1000, at+1000, at+2000))
		post(fmt.Sprintf(`"t":{"Value":21,"Time":%d}`, at+3000))
		post(fmt.Sprintf(`"t":{"Value":19,"Time":%d}`, at))     // older than the latest: kept here all the same
		post(fmt.Sprintf(`"t":{"Value":999,"Time":%d}`, at+10)) // refused
		for _, tt := range []struct {
			q    HistoryQuery
			want string
		}{
			{HistoryQuery{Identifiers: []string{"t"}}, "t=21@3000 t=20.5@1000 t=19@0"},
			{HistoryQuery{Identifiers: []string{"t", "h", "on"}, Ascending: true}, "t=19@0 h=40@1000 t=20.5@1000 on=1@2000 t=21@3000"},
			{HistoryQuery{Identifiers: []string{"t"}, Step: time.Minute, Fn: series.Max}, fmt.Sprintf("t=21@%d", (at-at%60_000)%1_000_000)},
			{HistoryQuery{Identifiers: []string{"s"}, Step: time.Minute, Fn: series.Max}, "thingmodel: fn: s is no number: use last or count"},
			{HistoryQuery{Identifiers: []string{"t"}, Fn: series.Max}, "thingmodel: fn: goes with step"},
			{HistoryQuery{Identifiers: []string{"t"}, Step: time.Minute, Fn: "median"}, "thingmodel: fn: must be avg, min, max, last, sum or count"},
			{HistoryQuery{Identifiers: []string{"t"}, Step: time.Millisecond, Fn: series.Max}, "thingmodel: step: must be 1s to 8784h"},
			{HistoryQuery{Identifiers: []string{"t"}, Limit: -1}, "thingmodel: limit: must be 1 to 5000"},
			{HistoryQuery{Identifiers: nil}, "thingmodel: identifier: must be 1 to 20 properties"},
			{HistoryQuery{Identifiers: []string{"a b"}}, `thingmodel: identifier: "a b" is no identifier`},
			{HistoryQuery{Identifiers: []string{"t"}, Cursor: "?"}, "thingmodel: cursor: the cursor was not made by this list: leave it out to start again"},
			{HistoryQuery{Identifiers: []string{"t"}, From: time.UnixMilli(at), To: time.UnixMilli(at)}, "thingmodel: from: must be before to"},
			{HistoryQuery{Identifiers: []string{"t"}, From: time.UnixMilli(at + 1), To: time.UnixMilli(at + 3000)}, "t=20.5@1000"},
		} {
			if got := r.history(tt.q); got != tt.want {
				t.Errorf("%+v:\ngot  %s\nwant %s", tt.q, got, tt.want)
			}
		}
		set := func(days, count int64) {
			t.Helper()
			s := registry.Settings{HistoryDays: &days}
			if count > 0 {
				s.HistoryCount = &count
			}
			if _, err := r.things.Registry.UpdateProduct(t.Context(), r.prod.SN, registry.ProductUpdate{Settings: &s}); err != nil {
				t.Fatal(err)
			}
		}
		r.things.now = func() time.Time { return time.UnixMilli(at + 2500).Add(24 * time.Hour) }
		set(1, 0)
		if got, want := r.history(HistoryQuery{Identifiers: []string{"t"}}), "t=21@3000"; got != want {
			t.Errorf("a day: %s, want %s", got, want)
		}
		set(3650, 2)
		if got, want := r.history(HistoryQuery{Identifiers: []string{"t"}}), "t=21@3000 t=20.5@1000"; got != want {
			t.Errorf("two values: %s, want %s", got, want)
		}
		set(0, 0)
		post(fmt.Sprintf(`"t":{"Value":5,"Time":%d}`, at+4000))
		if _, err := r.things.History(t.Context(), r.device.Identity, HistoryQuery{Identifiers: []string{"t"}, Limit: 1}); !errors.Is(err, ErrNoHistory) {
			t.Errorf("switched off: %v", err)
		}
		set(3650, 0)
		if got, want := r.history(HistoryQuery{Identifiers: []string{"t"}, Limit: 1}), "t=21@3000"; got != want {
			t.Errorf("what came while it was off: %s, want %s", got, want)
		}
	})
}
