package ota

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/ota/rollout"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/firmware/signing"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// TestAttackBytes: what devices say that they have downloaded is added up; no number of theirs breaks the sum, and with it the campaign.
func TestAttackBytes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		fleet := f.fleet("thermo", 3)
		c := f.campaign(f.firmwareOf("2.0", "x"), Spec{Retry: rollout.Retry{Attempts: 2}})
		f.turns(2)
		f.offered()
		for _, d := range fleet {
			f.say(d, 1, said(&c.Task, 1, 1, "downloading", "", 1, math.MaxInt64))
		}
		f.say(fleet[0], 1, said(&c.Task, 1, 2, "failed", "NET", 1, math.MaxInt64))
		f.turns(1)
		p, err := f.Progress(t.Context(), c.ID)
		if err != nil || p.Bytes() != 3*maxBytes {
			t.Errorf("%d bytes, %v", p.Bytes(), err)
		}
	})
}

// TestAttackModules: a device may name so many modules and no more; those that it has named it can go on to report.
func TestAttackModules(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	d := f.device("thermo-1")
	report := func(method string, i int, version string) string {
		return f.say(d, 1, fmt.Sprintf(`{"Method":"%s","Payload":{"Module":"m%d","Version":"%s"}}`, method, i, version))
	}
	for i := range maxReported {
		if got := report("report_version", i, "1.0"); got != "" {
			t.Fatalf("module %d: %s", i, got)
		}
	}
	if got := report("report_version", maxReported, "1.0"); !strings.HasPrefix(got, "refused") {
		t.Errorf("one more: %q", got)
	}
	report("report_success", maxReported+1, "1.0")
	if got := report("report_version", 0, "1.1"); got != "" {
		t.Errorf("one that was named: %s", got)
	}
	list, err := f.Versions(t.Context(), d.ID)
	if err != nil || len(list) != maxReported || list[0].Version != "1.1" {
		t.Errorf("%d modules, %v", len(list), err)
	}
}

// TestAttackVersions: the history of versions has the most common ones, however many devices make one up.
func TestAttackVersions(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		f.fleet("thermo", 3)
		err := db.Update(t.Context(), func(tx *store.Tx) error { // as if they had said so
			for i := range sampledVersions {
				_, err := tx.Exec(t.Context(), `INSERT INTO module_version (device, module, version, reported_at) SELECT id, ?, ?, 1 FROM device WHERE sn = 'thermo-0'`,
					fmt.Sprint("m", i), "1.0")
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for i := range sampledVersions + 5 {
			d, err := f.Registry.CreateDevice(t.Context(), registry.NewDevice{Product: f.product, SN: fmt.Sprint("liar-", i)})
			if err != nil {
				t.Fatal(err)
			}
			err = db.Update(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Exec(t.Context(), `INSERT INTO module_version (device, module, version, reported_at) VALUES (?, 'default', ?, 1)`, d.ID, fmt.Sprint("0.", i))
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := f.sample(t.Context()); err != nil {
			t.Fatal(err)
		}
		list, err := f.VersionHistory(t.Context(), f.product, DefaultModule, time.Time{})
		if err != nil || len(list) != sampledVersions || !slices.ContainsFunc(list, func(c VersionCount) bool { return c.Version == "1.0" && c.N == 3 }) {
			t.Errorf("%d versions, %v", len(list), err)
		}
		if other, err := f.VersionHistory(t.Context(), f.product, "m99", time.Time{}); err != nil || len(other) != 1 {
			t.Errorf("another module: %v, %v", other, err)
		}
	})
}

// TestOneOfMany: what fails for one device does not end what goes on for the others.
func TestOneOfMany(t *testing.T) {
	bad := errors.New("bad")
	list := make([]deployment, 3*together)
	started, failed := make(chan struct{}), make(chan struct{})
	var done, cut atomic.Int64
	err := each(t.Context(), list, func(ctx context.Context, d *deployment) error {
		switch d {
		case &list[0]:
			<-started
			close(failed)
			return bad
		case &list[1]:
			close(started)
			<-failed
		}
		done.Add(1)
		if ctx.Err() != nil {
			cut.Add(1)
		}
		return nil
	})
	if !errors.Is(err, bad) || done.Load() != int64(len(list)-1) || cut.Load() > 0 {
		t.Errorf("%v, %d done, %d of them cut off", err, done.Load(), cut.Load())
	}
}

// TestOfferTakenBackAtTheEnd: a hub that ends takes the note of an offer back that it could not bring.
func TestOfferTakenBackAtTheEnd(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	d := f.fleet("thermo", 1)[0]
	task := f.task(f.firmwareOf("2.0", "x"), d.Identity.SN)
	ctx, cancel := context.WithCancel(t.Context())
	f.wire.away[d.Identity.SN], f.wire.missed = true, func(ident.Device) { cancel() }
	_ = f.push(ctx) // it ends with ctx
	f.want(task, d, Initial, "")
}

// TestOtherNodeDeletes: a node does not bring devices, or show, what another one has deleted.
func TestOtherNodeDeletes(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	f.device("thermo-1")
	fw := f.firmwareOf("2.0", "x")
	other := New(f.cfg, f.Deps)
	if _, err := other.firmware(t.Context(), fw.ID); err != nil {
		t.Fatal(err)
	}
	if err := f.DeleteFirmware(t.Context(), f.product, fw.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Firmware(t.Context(), f.product, fw.ID); !errors.Is(err, ErrFirmwareNotFound) {
		t.Errorf("shown: %v", err)
	}
	if _, err := other.CreateTask(t.Context(), NewTask{Product: f.product, Firmware: fw.ID, Targets: Targets{All: true}}); !errors.Is(err, ErrFirmwareNotFound) {
		t.Errorf("brought: %v", err)
	}
}

// TestPageReadsCampaignOnce: a page of the devices of a campaign that has ended needs one look at it.
func TestPageReadsCampaignOnce(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	f.fleet("thermo", 3)
	c := f.campaign(f.firmwareOf("2.0", "x"), Spec{})
	f.turns(2)
	f.all(f.offered(), succeed)
	f.turns(2)
	f.wantStatus(c, Done, 1)
	list, err := f.query(t.Context(), `WHERE d.task = ?`, c.ID)
	if err != nil || len(list) != 3 || list[0].campaign == nil || list[0].campaign != list[2].campaign {
		t.Errorf("%d devices, %v", len(list), err)
	}
}

// TestReleaseDeletedMeanwhile: a release that is deleted between two looks at it is left out of a list, and keeps no other from being completed.
func TestReleaseDeletedMeanwhile(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	m := f.trusted()
	gone, left := f.release(m, 1, plainImage("1.0")), f.release(m, 2, plainImage("2.0"))
	err := f.Store.Update(t.Context(), func(tx *store.Tx) error { return f.Artifacts.Delete(t.Context(), tx, gone.ID) })
	if err != nil {
		t.Fatal(err)
	}
	list, err := f.releases(t.Context(), `product = ? AND signed = 1`, f.product)
	if err != nil || len(list) != 1 || list[0].ID != left.ID {
		t.Errorf("%v, %v", list, err)
	}
	if _, err := f.Release(t.Context(), f.product, gone.ID); !errors.Is(err, ErrFirmwareNotFound) {
		t.Errorf("the one that is gone: %v", err)
	}
}

// TestRetryAfterTooMany: a device that was offered the firmware as often as is allowed is offered it once more when somebody wants that, also when it asks for itself.
func TestRetryAfterTooMany(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	d := f.fleet("thermo", 1)[0]
	c := f.campaign(f.firmwareOf("2.0", "x"), Spec{})
	f.turns(2)
	f.offered()
	for epoch := range int64(f.cfg.MaxAttempts) {
		f.say(d, epoch+2, requestOld)
	}
	f.want(&c.Task, d, Failed, classAttempts)
	if _, n, err := f.Retry(t.Context(), f.product, c.ID, 0, ""); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	f.turns(1)
	if got := f.offered(); len(got) != 1 {
		t.Fatalf("tried again: %v", got)
	}
	f.say(d, 100, requestOld)
	f.want(&c.Task, d, Pending, "")
	f.say(d, 101, succeed)
	f.turns(2)
	f.wantStatus(c, Done, 1)
}

// TestLongerCampaign: who is waited for as long as a campaign lives is waited for longer when that is to live longer.
func TestLongerCampaign(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	d := f.fleet("thermo", 1)[0]
	f.wire.away[d.Identity.SN] = true
	c := f.campaign(f.firmwareOf("2.0", "x"), Spec{})
	f.turns(2)
	if _, err := f.Change(t.Context(), f.product, c.ID, 0, Patch{Expires: c.Expires.Add(24 * time.Hour)}, "ann"); err != nil {
		t.Fatal(err)
	}
	f.clock = c.Expires.Add(time.Hour)
	if err := f.expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.want(&c.Task, d, Initial, "")
	f.clock = f.clock.Add(24 * time.Hour)
	if err := f.expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.want(&c.Task, d, TimedOut, Initial.String())
}

// TestRollBackBeforeTheHub: who brings a campaign back that a rule has stopped, before the hub does so by itself, brings its devices back once.
func TestRollBackBeforeTheHub(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	f.fleet("thermo", 10)
	f.firmwareOf("1.0", "old")
	c := f.campaign(f.firmwareOf("2.0", "new"), Spec{Waves: []rollout.Wave{{Count: 8}, {Percent: 100}}, Stop: rollout.Stop{Limit: 5, Action: rollout.RollBack}})
	f.turns(2)
	wave := f.offered()
	f.all(wave[:5], `{"Method":"report_fail","Payload":{"ErrCode":-5}}`)
	f.all(wave[5:], succeed)
	f.turns(1)
	f.wantStatus(c, Aborted, 1)
	if list, err := f.RollBack(t.Context(), f.product, c.ID, 0, 0, 0, "bob"); err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	f.turns(2)
	open, err := f.queryCampaigns(t.Context(), `k.id > ?`, c.ID)
	if err != nil || len(open) != 1 {
		t.Errorf("%d campaigns back, %v", len(open), err)
	}
}

// TestNamedWayBackIsApproved: what devices are brought back to by name is new to them: it needs somebody's approval where the campaign did.
func TestNamedWayBackIsApproved(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	f.fleet("thermo", 1)
	c, err := f.CreateCampaign(t.Context(), NewCampaign{Product: f.product, Firmware: f.firmwareOf("2.0", "x").ID, Owner: "ann", Approval: true, Targets: Targets{All: true}})
	if err != nil {
		t.Fatal(err)
	}
	f.turns(1)
	if _, err := f.Approve(t.Context(), f.product, c.ID, 0, "bob"); err != nil {
		t.Fatal(err)
	}
	f.turns(2)
	f.all(f.offered(), succeed)
	list, err := f.RollBack(t.Context(), f.product, c.ID, 0, 0, f.firmwareOf("2.1", "never seen").ID, "ann")
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	f.turns(2)
	f.wantStatus(list[0], Awaiting, 1)
	if got := f.offered(); got != nil {
		t.Errorf("offered: %v", got)
	}
}

// TestPlansWithinBounds: what no device could read, or what would cost every second, is no plan.
func TestPlansWithinBounds(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	f.device("thermo-1")
	fw := f.firmwareOf("2.0", "x")
	waves := []rollout.Wave{}
	for i := range rollout.MaxWaves {
		waves = append(waves, rollout.Wave{Count: int64(i) + 1})
	}
	for name, spec := range map[string]Spec{
		"no hour 25":   {Window: &signing.Window{Cron: "0 25 * * *", Minutes: 60}},
		"no such zone": {Window: &signing.Window{Cron: "0 2 * * *", Minutes: 60, Zone: "Europe/Atlantis"}},
		"too long":     {Window: &signing.Window{Cron: "0 2 * * *", Minutes: 10081}},
		"waves":        {Waves: append(waves, rollout.Wave{Percent: 100})},
		"versions":     {Versions: strings.Repeat("1 || ", maxVersions/5) + "2"},
	} {
		_, err := f.CreateCampaign(t.Context(), NewCampaign{Product: f.product, Firmware: fw.ID, Targets: Targets{All: true}, Spec: spec})
		if !errors.As(err, new(*ErrInvalid)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := f.campaign(fw, Spec{Window: &signing.Window{Cron: " 0  2 * * 1-5", Minutes: 60}, Waves: slices.Concat(waves[:99], []rollout.Wave{{Percent: 100}})})
	if err := c.Window.Check(); err != nil {
		t.Errorf("it can't be signed: %v", err)
	}
}
