package ota

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hawser-iot/hawser/cloud/ota/rollout"
	"github.com/hawser-iot/hawser/cloud/registry/filter/listing"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
)

// TestActions holds which action may be taken in which status.
func TestActions(t *testing.T) {
	table := map[string]string{ // preparing, awaiting, running, paused, aborted, done
		ActionApprove: ". x . . . .", ActionPause: ". . x . . .", ActionResume: ". . . x . .", ActionAbort: "x x x x . .",
		ActionRollBack: ". . x x x x", ActionRetry: ". . x x . x",
	}
	f := newFixture(t, storetest.SQLite(t))
	f.fleet("thermo", 2)
	f.firmwareOf("1.0", "old")
	fw := f.firmwareOf("2.0", "new")
	act := map[string]func(id int64) error{
		ActionApprove:  func(id int64) error { _, err := f.Approve(t.Context(), f.product, id, 0, "bob"); return err },
		ActionPause:    func(id int64) error { _, err := f.Pause(t.Context(), f.product, id, 0); return err },
		ActionResume:   func(id int64) error { _, err := f.Resume(t.Context(), f.product, id, 0); return err },
		ActionAbort:    func(id int64) error { _, err := f.Abort(t.Context(), f.product, id, 0); return err },
		ActionRollBack: func(id int64) error { _, err := f.RollBack(t.Context(), f.product, id, 0, 0, 0, "bob"); return err },
		ActionRetry:    func(id int64) error { _, _, err := f.Retry(t.Context(), f.product, id, 0, ""); return err },
	}
	for action, row := range table {
		for status, cell := range strings.Fields(row) {
			c := f.campaign(fw, Spec{})
			err := f.Store.Update(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Exec(t.Context(), `UPDATE ota_campaign SET status = ? WHERE id = ?`, status, c.ID)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			err = act[action](c.ID)
			var refused *ErrStatus
			var invalid *ErrInvalid // nobody to bring back
			if errors.As(err, &refused) != (cell == ".") || cell == "x" && err != nil && !errors.As(err, &invalid) {
				t.Errorf("%s while %s: %v", action, Status(status), err)
			}
		}
	}
	c := f.campaign(fw, Spec{})
	if _, err := f.Abort(t.Context(), f.product, c.ID, c.Revision+1); !errors.Is(err, ErrRevision) {
		t.Errorf("another revision: %v", err)
	}
	if _, err := f.Abort(t.Context(), f.product, 12345, 0); !errors.Is(err, ErrCampaignNotFound) {
		t.Errorf("no such campaign: %v", err)
	}
}

// TestPauseAndResume: a pause keeps devices that are at it, and resume goes on along the rank.
func TestPauseAndResume(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	f.fleet("thermo", 10)
	c := f.campaign(f.firmwareOf("2.0", "new"), Spec{Rate: rollout.Rate{Concurrent: 4}})
	f.turns(2)
	first := f.offered()
	if len(first) != 4 {
		t.Fatalf("at a time: %v", first)
	}
	if _, err := f.Pause(t.Context(), f.product, c.ID, 0); err != nil {
		t.Fatal(err)
	}
	f.all(first[:2], succeed)
	f.turns(15)
	if got := f.offered(); got != nil {
		t.Errorf("offered while paused: %v", got)
	}
	rest := f.dev("thermo-0")
	for i := range 10 {
		if sn := fmt.Sprint("thermo-", i); !slices.Contains(first, sn) {
			rest = f.dev(sn)
		}
	}
	if got := f.say(rest, 2, requestOld); got != "" {
		t.Errorf("asked while paused: %s", got)
	}
	if _, err := f.Resume(t.Context(), f.product, c.ID, 0); err != nil {
		t.Fatal(err)
	}
	f.turns(1)
	if got := f.offered(); len(got) != 2 {
		t.Errorf("two are at it, two more may: %v", got)
	}
	if _, err := f.Abort(t.Context(), f.product, c.ID, 0); err != nil {
		t.Fatal(err)
	}
	f.turns(1)
	p, err := f.Progress(t.Context(), c.ID)
	if err != nil || p.States()[Cancelled] != 8 || p.States()[Succeeded] != 2 {
		t.Errorf("%+v, %v", p.States(), err)
	}
	f.counted(&c.Task)
}

// TestApproval: somebody else than the author.
func TestApproval(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	f.fleet("thermo", 1)
	c, err := f.CreateCampaign(t.Context(), NewCampaign{Product: f.product, Firmware: f.firmwareOf("2.0", "x").ID, Owner: "ann", Approval: true, Targets: Targets{All: true}})
	if err != nil {
		t.Fatal(err)
	}
	f.turns(3)
	f.wantStatus(c, Awaiting, 1)
	if _, err := f.Approve(t.Context(), f.product, c.ID, 0, "ann"); !errors.Is(err, ErrOwnApproval) {
		t.Errorf("the author: %v", err)
	}
	if got, err := f.Approve(t.Context(), f.product, c.ID, 0, "bob"); err != nil || got.Approver != "bob" {
		t.Errorf("%+v, %v", got, err)
	}
	f.turns(1)
	if got := f.offered(); len(got) != 1 {
		t.Errorf("offered %v", got)
	}
}

// TestRollBackIsOne: the end of a campaign and its ways back are one commit, which whoever asks at the same moment, or once more, does not double; one that cannot
// be made ends nothing.
func TestRollBackIsOne(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		f.fleet("thermo", 4)
		c := f.campaign(f.firmwareOf("2.0", "new"), Spec{Waves: []rollout.Wave{{Count: 2}, {Percent: 100}}, Stop: rollout.Stop{Limit: 5}})
		f.turns(2)
		first := f.offered()
		if _, err := f.RollBack(t.Context(), f.product, c.ID, 0, 0, 0, "ann"); !errors.As(err, new(*ErrInvalid)) {
			t.Errorf("nobody to bring back: %v", err)
		}
		f.wantStatus(c, Running, 1)
		f.firmwareOf("1.0", "old")
		f.all(first[:1], succeed)
		var g errgroup.Group
		made := make([]int64, 4)
		for i := range made {
			g.Go(func() error {
				list, err := f.RollBack(t.Context(), f.product, c.ID, 0, 0, 0, "ann")
				if err == nil && len(list) == 1 {
					made[i] = list[0].ID
				}
				return err
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		if made = slices.Compact(made); len(made) != 1 || made[0] == 0 {
			t.Errorf("campaigns back: %d", made)
		}
		f.turns(3)
		f.wantStatus(c, Aborted, 1)
		if got := f.offered(); !slices.Equal(got, first[:1]) {
			t.Errorf("brought back: %v, want %v", got, first[:1])
		}
		f.all(first[:1], `{"Method":"report_success","Payload":{"Version":"1.0"}}`)
		f.turns(2)
		if list, _, err := f.SearchCampaigns(t.Context(), f.product, listing.Query{Limit: 10}); err != nil || len(list) != 2 || list[0].Status != Done {
			t.Errorf("campaigns %v, %v", list, err)
		}
	})
}

// TestStopsOnAllNodes: two nodes that end the same campaign make one way back, and neither remembers it.
func TestStopsOnAllNodes(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	f.fleet("thermo", 10)
	f.firmwareOf("1.0", "old")
	c := f.campaign(f.firmwareOf("2.0", "new"), Spec{Waves: []rollout.Wave{{Count: 8}, {Percent: 100}}, Stop: rollout.Stop{Limit: 5, Action: rollout.RollBack}})
	f.turns(2)
	wave := f.offered()
	other := New(f.cfg, f.Deps)
	other.now = f.now
	if err := other.tick(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.all(wave[:5], `{"Method":"report_fail","Payload":{"ErrCode":-5}}`)
	f.all(wave[5:], succeed)
	if err := f.tick(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen := f.wantStatus(c, Aborted, 1)
	for _, node := range []*OTA{f.OTA, other} {
		if err := node.cancelOpen(t.Context(), seen); err != nil && !errors.Is(err, ErrRevision) {
			t.Error(err)
		}
		if err := node.tick(t.Context()); err != nil {
			t.Error(err)
		}
		if node.lives.get(c.ID) != nil {
			t.Error("a node remembers a campaign that has ended")
		}
	}
	if list, _, err := f.SearchCampaigns(t.Context(), f.product, listing.Query{Limit: 10}); err != nil || len(list) != 2 {
		t.Errorf("campaigns %v, %v", list, err)
	}
}

// TestRetryCountsAnew: what was pardoned by a resume and is tried again counts when it fails once more, and a campaign that has expired waits for what is tried again.
func TestRetryCountsAnew(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	f.fleet("thermo", 10)
	c := f.campaign(f.firmwareOf("2.0", "new"), Spec{Waves: []rollout.Wave{{Count: 6}, {Percent: 100}}, Stop: rollout.Stop{Limit: 5}})
	f.turns(2)
	first := f.offered()
	f.all(first, `{"Method":"report_fail","Payload":{"ErrCode":-5}}`)
	f.turns(1)
	f.wantStatus(c, Paused, 1)
	if _, err := f.Resume(t.Context(), f.product, c.ID, 0); err != nil {
		t.Fatal(err)
	}
	f.turns(1)
	f.wantStatus(c, Running, 1)
	f.clock = f.clock.Add(8 * 24 * time.Hour)
	if _, n, err := f.Retry(t.Context(), f.product, c.ID, 0, ""); err != nil || n != 6 {
		t.Fatal(n, err)
	}
	if err := f.expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.offered()
	f.turns(1)
	if got := f.offered(); !slices.Equal(got, first) {
		t.Fatalf("tried again: %v, want %v", got, first)
	}
	f.all(first, `{"Method":"report_fail","Payload":{"ErrCode":-5}}`)
	f.turns(1)
	f.wantStatus(c, Paused, 1)
}

// TestBlameless: a device without a way, or for which the firmware is gone, says nothing about it.
func TestBlameless(t *testing.T) {
	p := Progress{{State: Failed, Class: classNoWay, N: 7}, {State: Failed, Class: classGone, N: 7}, {State: Failed, Class: "checksum", N: 1}, {State: Succeeded, N: 2}}
	if got, want := p.Tally(), (rollout.Tally{Succeeded: 2, Failed: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
