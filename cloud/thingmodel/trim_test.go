package thingmodel

import (
	"fmt"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/topic"
)

func TestTrim(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		r := newRig(t, db)
		waits := r.queue(`{"v":1}`, time.Hour)
		for i := range 5 {
			r.send(topic.EventPost, "", fmt.Sprintf(`{"RequestID":"1","Identifier":"alarm","Output":{"code":%d}}`, i))
			cancelled := r.queue(`{"v":2}`, time.Hour)
			if _, err := r.things.CancelCommand(ctx, r.device.Identity, cancelled); err != nil {
				t.Fatal(err)
			}
		}
		keep := Keep{MaxAge: time.Hour, MaxCount: 3}
		events, commands := NewEventTrimmer(db, keep), NewCommandTrimmer(db, keep)
		count := func() (int, int) {
			t.Helper()
			e, err := r.things.Events(ctx, r.device.Identity, Query{Limit: 100})
			if err != nil {
				t.Fatal(err)
			}
			c, err := r.things.Commands(ctx, r.device.Identity, Query{Limit: 100})
			if err != nil {
				t.Fatal(err)
			}
			return len(e), len(c)
		}
		for _, tt := range []struct {
			now              time.Time
			events, commands int
		}{
			{time.Now(), 3, 3},
			{time.Now(), 3, 3}, // nothing is left to do
			{time.Now().Add(2 * time.Hour), 0, 1},
		} {
			for _, trimmer := range []*Trimmer{events, commands} {
				if _, err := trimmer.Trim(ctx, tt.now); err != nil {
					t.Fatal(err)
				}
			}
			if e, c := count(); e != tt.events || c != tt.commands {
				t.Errorf("%v: %d events and %d commands are left, want %d and %d", time.Until(tt.now).Round(time.Hour), e, c, tt.events, tt.commands)
			}
		}
		if rec := r.record(waits); rec.Status != StatusQueued {
			t.Errorf("the one that waits %+v", rec)
		}
	})
}
