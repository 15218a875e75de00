package ota

import (
	"errors"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/ota/rollout"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/signing"
)

// TestChange: what is still to come can be changed, what has begun cannot, and a change under another revision is refused.
func TestChange(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		f.fleet("thermo", 10)
		c := f.campaign(f.firmwareOf("2.0", "new"), Spec{Waves: []rollout.Wave{{Count: 2, Settled: 100}, {Percent: 100}}, Window: &signing.Window{Cron: "0 2 * * *", Minutes: 60}})
		f.turns(2)
		first := f.offered()
		c = f.wantStatus(c, Running, 1)
		change := func(p Patch) (*Campaign, error) { return f.Change(t.Context(), f.product, c.ID, 0, p, "ann") }
		for name, p := range map[string]Patch{
			"the wave that has begun":  {Waves: []rollout.Wave{{Count: 3, Settled: 100}, {Percent: 100}}},
			"without it":               {Waves: []rollout.Wave{{Percent: 100}}},
			"no last wave":             {Waves: []rollout.Wave{{Count: 2, Settled: 100}}},
			"a rate below none":        {Rate: &rollout.Rate{PerMinute: -1}},
			"a stop at all":            {Stop: &rollout.Stop{Limit: 100}},
			"what cannot be mended":    {Retry: &rollout.Retry{Classes: []failure.Class{failure.Signature}}},
			"a state that there isn't": {Deadlines: map[string]int64{"asleep": 60}},
			"over before it begins":    {Expires: f.clock.Add(-time.Hour)},
		} {
			if _, err := change(p); !errors.As(err, new(*ErrInvalid)) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := f.Change(t.Context(), f.product, c.ID, c.Revision-1, Patch{}, "ann"); !errors.Is(err, ErrRevision) {
			t.Errorf("under an old revision: %v", err)
		}
		until := f.clock.Add(48 * time.Hour).Truncate(time.Millisecond)
		got, err := change(Patch{Waves: []rollout.Wave{{Count: 2, Settled: 100}, {Count: 5, Settled: 100, Hold: true}, {Percent: 100}}, Window: &signing.Window{},
			Rate: &rollout.Rate{Concurrent: 4}, Deadlines: map[string]int64{"downloading": 120}, Expires: until})
		if err != nil || len(got.Waves) != 3 || got.Window != nil || got.Rate.Concurrent != 4 || got.Deadlines["downloading"] != 120 || !got.Expires.Equal(until) {
			t.Fatalf("changed: %+v, %v", got, err)
		}
		f.all(first, succeed)
		f.turns(3)
		second := f.offered()
		if len(second) != 3 {
			t.Fatalf("the second wave is %v, want 3 devices", second)
		}
		f.all(second[:1], `{"Method":"report_progress","Payload":{"State":"downloading","Percent":1}}`)
		if d := f.at(&c.Task, f.dev(second[0])); d.Deadline.Sub(d.Updated).Round(time.Second) != 2*time.Minute {
			t.Errorf("a deadline of %s", d.Deadline.Sub(d.Updated))
		}
		f.all(second, succeed)
		f.turns(2)
		f.wantStatus(c, Paused, 3)
		if _, err := f.Abort(t.Context(), f.product, c.ID, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := change(Patch{}); !errors.As(err, new(*ErrStatus)) {
			t.Errorf("an aborted one: %v", err)
		}
	})
}

// TestChangeApproved: what somebody has approved its author does not change alone.
func TestChangeApproved(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		f.fleet("thermo", 1)
		fw := f.firmwareOf("2.0", "new")
		c, err := f.CreateCampaign(t.Context(), NewCampaign{Product: f.product, Firmware: fw.ID, Owner: "ann", Approval: true, Targets: Targets{All: true}})
		if err != nil {
			t.Fatal(err)
		}
		f.turns(1)
		p := Patch{Rate: &rollout.Rate{Concurrent: 1}}
		if _, err := f.Change(t.Context(), f.product, c.ID, 0, p, "ann"); err != nil {
			t.Errorf("before it was approved: %v", err)
		}
		if _, err := f.Approve(t.Context(), f.product, c.ID, 0, "bob"); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Change(t.Context(), f.product, c.ID, 0, p, "ann"); !errors.Is(err, ErrOwnApproval) {
			t.Errorf("by its author: %v", err)
		}
		if _, err := f.Change(t.Context(), f.product, c.ID, 0, p, "bob"); err != nil {
			t.Errorf("by another: %v", err)
		}
	})
}

// TestChangeStop: a stop rule that is given to a campaign which goes on counts who has settled already, and retries hold for the failures that come.
func TestChangeStop(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	f.fleet("thermo", 10)
	c := f.campaign(f.firmwareOf("2.0", "new"), Spec{})
	f.turns(2)
	list := f.offered()
	const fails = `{"Method":"report_fail","Payload":{"ErrCode":-1}}`
	f.all(list[:5], fails)
	f.turns(2)
	f.wantStatus(c, Running, 1)
	if _, err := f.Change(t.Context(), f.product, c.ID, 0, Patch{Retry: &rollout.Retry{Attempts: 2}}, "ann"); err != nil {
		t.Fatal(err)
	}
	f.turns(1)
	f.all(list[5:6], fails)
	f.want(&c.Task, f.dev(list[0]), Failed, "url_unreachable")
	f.want(&c.Task, f.dev(list[5]), Initial, "url_unreachable")
	got, err := f.Change(t.Context(), f.product, c.ID, 0, Patch{Stop: &rollout.Stop{Limit: 5, Action: rollout.Abort}}, "ann")
	if err != nil || got.Retry.Attempts != 2 {
		t.Fatal(got, err)
	}
	f.turns(2)
	f.wantStatus(c, Aborted, 1)
}
