package ota

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hawser-iot/hawser/cloud/monitor"
	"github.com/hawser-iot/hawser/cloud/ota/rollout"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/registry/filter/listing"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
)

// fleet makes devices named <name>-0 to <name>-(n-1), online, that run 1.0.
func (f *fixture) fleet(name string, n int) (list []*registry.Device) {
	f.t.Helper()
	for i := range n {
		d := f.device(fmt.Sprintf("%s-%d", name, i))
		f.say(d, 1, reportOld)
		list = append(list, d)
	}
	return list
}

func (f *fixture) campaign(fw *Firmware, spec Spec) *Campaign {
	f.t.Helper()
	c, err := f.CreateCampaign(f.t.Context(), NewCampaign{Product: f.product, Firmware: fw.ID, Name: "spring", Owner: "ann", Targets: Targets{All: true}, Spec: spec})
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

// turns lets so many ticks pass, a second each.
func (f *fixture) turns(n int) {
	f.t.Helper()
	for range n {
		if err := f.tick(f.t.Context()); err != nil {
			f.t.Fatal(err)
		}
		f.clock = f.clock.Add(time.Second)
	}
}

// now reads a campaign again.
func (f *fixture) again(c *Campaign) *Campaign {
	f.t.Helper()
	c, err := f.Campaign(f.t.Context(), c.Product, c.ID)
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

// offered are the devices that were sent update_firmware since the last look, in the order of their names.
func (f *fixture) offered() (sns []string) {
	for _, s := range f.wire.take() {
		if strings.Contains(s.payload, `"update_firmware"`) {
			sns = append(sns, s.dev.SN)
		}
	}
	slices.Sort(sns)
	return sns
}

func (f *fixture) dev(sn string) *registry.Device {
	f.t.Helper()
	d, err := f.Registry.Device(f.t.Context(), ident.Device{Product: f.product, SN: sn})
	if err != nil {
		f.t.Fatal(err)
	}
	return d
}

// all lets devices say something.
func (f *fixture) all(sns []string, payload string) {
	f.t.Helper()
	for _, sn := range sns {
		f.say(f.dev(sn), 1, payload)
	}
}

func (f *fixture) wantStatus(c *Campaign, status Status, wave int) *Campaign {
	f.t.Helper()
	got := f.again(c)
	if got.Status != status || got.Wave != wave {
		f.t.Errorf("%s in wave %d (%s), want %s in wave %d", got.Status, got.Wave, got.Reason, status, wave)
	}
	return got
}

// TestCampaign goes from the canaries over two waves to the end.
func TestCampaign(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		f.fleet("thermo", 20)
		has := f.device("has-it")
		f.say(has, 1, `{"Method":"report_version","Payload":{"Version":"2.0"}}`)
		c := f.campaign(f.firmwareOf("2.0", "new"), Spec{Canary: []string{"thermo-3", "thermo-7"},
			Waves: []rollout.Wave{{Count: 2, Soak: 60, Settled: 100}, {Percent: 50}, {Percent: 100}}})
		f.wantStatus(c, Preparing, 1)
		f.turns(2)
		c = f.wantStatus(c, Running, 1)
		if c.Targets != 20 || c.Already != 1 || c.Released != 2 {
			t.Errorf("campaign %+v", c)
		}
		first := f.offered()
		if !slices.Equal(first, []string{"thermo-3", "thermo-7"}) {
			t.Fatalf("canaries %v", first)
		}
		// Others that ask get nothing yet.
		if got := f.say(f.dev("thermo-1"), 1, requestOld); got != "" {
			t.Errorf("offered: %s", got)
		}
		f.all(first, succeed)
		f.turns(30)
		if got := f.offered(); got != nil {
			t.Errorf("offered while it soaks: %v", got)
		}
		f.turns(40)
		second := f.offered()
		if len(second) != 8 {
			t.Fatalf("second wave %v", second)
		}
		f.wantStatus(c, Running, 2)
		f.all(second[1:], succeed)
		f.all(second[:1], `{"Method":"report_fail","Payload":{"ErrCode":-4}}`)
		f.turns(3)
		third := f.offered()
		if len(third) != 10 {
			t.Fatalf("third wave %v", third)
		}
		f.all(third, succeed)
		f.turns(2)
		done := f.wantStatus(c, Done, 3)
		p, err := f.Progress(t.Context(), c.ID)
		if err != nil || p.States()[Succeeded] != 19 || p.States()[Failed] != 1 || p.Classes()["checksum"] != 1 || done.Ended.IsZero() {
			t.Errorf("progress %+v, %v", p, err)
		}
		f.counted(&done.Task)
		f.turns(3)
		if got := f.offered(); got != nil {
			t.Errorf("offered after its end: %v", got)
		}
		if tasks, err := f.Tasks(t.Context(), f.product, 0, 10); err != nil || len(tasks) != 0 {
			t.Errorf("campaigns among tasks: %v, %v", tasks, err)
		}
		// The one that failed is offered it once more when somebody says so.
		if _, n, err := f.Retry(t.Context(), f.product, c.ID, 0, "checksum"); err != nil || n != 1 {
			t.Fatalf("retry: %d, %v", n, err)
		}
		f.turns(2)
		if got := f.offered(); !slices.Equal(got, second[:1]) {
			t.Errorf("tried again: %v", got)
		}
		f.all(second[:1], succeed)
		f.turns(2)
		f.wantStatus(c, Done, 3)
		f.counted(&done.Task)
	})
}

// TestStopRule: a bad build is stopped, and the wave brought back.
func TestStopRule(t *testing.T) {
	for _, action := range []rollout.Action{rollout.Pause, rollout.Abort, rollout.RollBack} {
		t.Run(string(action), func(t *testing.T) {
			f := newFixture(t, storetest.SQLite(t))
			f.fleet("thermo", 20)
			f.firmwareOf("1.0", "old")
			c := f.campaign(f.firmwareOf("2.0", "new"), Spec{Waves: []rollout.Wave{{Count: 8}, {Percent: 100}}, Stop: rollout.Stop{Limit: 5, Action: action}})
			f.turns(2)
			wave := f.offered()
			f.all(wave[:5], `{"Method":"report_fail","Payload":{"ErrCode":-5}}`)
			f.all(wave[5:7], succeed)
			f.turns(3)
			switch action {
			case rollout.Pause:
				paused := f.wantStatus(c, Paused, 1)
				if paused.Reason == "" {
					t.Error("no reason")
				}
				// Whoever resumes it has seen the failures: it goes on until there are more.
				if _, err := f.Resume(t.Context(), f.product, c.ID, 0); err != nil {
					t.Fatal(err)
				}
				f.all(wave[7:], succeed)
				f.turns(3)
				f.wantStatus(c, Running, 2)
				if got := f.offered(); len(got) != 12 {
					t.Errorf("second wave %v", got)
				}
			case rollout.Abort:
				f.wantStatus(c, Aborted, 1)
				if list, _, err := f.SearchCampaigns(t.Context(), f.product, listing.Query{}); err != nil || len(list) != 1 {
					t.Errorf("campaigns %v, %v", list, err)
				}
				f.want(&c.Task, f.dev(wave[7]), Cancelled, "")
			case rollout.RollBack:
				f.wantStatus(c, Aborted, 1)
				list, _, err := f.SearchCampaigns(t.Context(), f.product, listing.Query{})
				if err != nil || len(list) != 2 || list[0].Version != "1.0" {
					t.Fatalf("campaigns %v, %v", list, err)
				}
				f.turns(2)
				if got := f.offered(); !slices.Equal(got, wave[5:7]) {
					t.Errorf("brought back: %v, want %v", got, wave[5:7])
				}
				f.all(wave[5:7], `{"Method":"report_success","Payload":{"Version":"1.0"}}`)
				f.turns(2)
				f.wantStatus(list[0], Done, 1)
			}
			f.counted(&c.Task)
		})
	}
}

// TestNewestWins: a later wave of an older campaign does not undo a newer one.
func TestNewestWins(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	f.fleet("thermo", 4)
	old := f.campaign(f.firmwareOf("2.0", "x"), Spec{Waves: []rollout.Wave{{Count: 1, Soak: 3600}, {Percent: 100}}})
	f.turns(2)
	first := f.offered()
	young := f.campaign(f.firmwareOf("3.0", "y"), Spec{})
	f.turns(2)
	if got := f.offered(); len(got) != 4 {
		t.Fatalf("the newer one offers to %v", got)
	}
	f.want(&old.Task, f.dev(first[0]), Superseded, "")
	f.all([]string{"thermo-0", "thermo-1", "thermo-2", "thermo-3"}, `{"Method":"report_success","Payload":{"Version":"3.0"}}`)
	f.turns(2)
	f.wantStatus(young, Done, 1)
	f.clock = f.clock.Add(2 * time.Hour)
	f.turns(3)
	if got := f.offered(); got != nil {
		t.Errorf("the older one offers to %v", got)
	}
	if p, err := f.Progress(t.Context(), old.ID); err != nil || p.States()[Superseded] != 4 {
		t.Errorf("%v, %v", p.States(), err)
	}
	f.wantStatus(old, Done, 2)
}

// TestRetries: what may be mended by another try is tried again, later, and what may not is not.
func TestRetries(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	f.fleet("thermo", 2)
	c := f.campaign(f.firmwareOf("2.0", "x"), Spec{Retry: rollout.Retry{Attempts: 2}})
	f.turns(2)
	f.offered()
	f.say(f.dev("thermo-0"), 1, `{"Method":"report_fail","Payload":{"ErrCode":-1}}`)
	f.say(f.dev("thermo-1"), 1, `{"Method":"report_fail","Payload":{"ErrCode":-101}}`)
	f.want(&c.Task, f.dev("thermo-0"), Initial, "url_unreachable")
	f.want(&c.Task, f.dev("thermo-1"), Failed, "bad_signature")
	if got := f.say(f.dev("thermo-0"), 1, requestOld); got != "" {
		t.Errorf("at once: %s", got)
	}
	f.clock = f.clock.Add(20 * time.Second)
	f.turns(1)
	if got := f.offered(); !slices.Equal(got, []string{"thermo-0"}) {
		t.Fatalf("again: %v", got)
	}
	f.say(f.dev("thermo-0"), 1, `{"Method":"report_fail","Payload":{"ErrCode":-1}}`)
	f.want(&c.Task, f.dev("thermo-0"), Failed, "url_unreachable")
	f.turns(2)
	f.wantStatus(c, Done, 1)
	f.counted(&c.Task)
}

// TestFindsTargets: whom a campaign is for, and why others are not.
func TestFindsTargets(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	f.fleet("thermo", 6)
	f.say(f.device("newer"), 1, `{"Method":"report_version","Payload":{"Version":"1.5"}}`)
	f.say(f.device("has-it"), 1, `{"Method":"report_version","Payload":{"Version":"2.0"}}`)
	f.device("quiet")
	off := f.device("dark-1")
	if _, err := f.Registry.SetEnabled(t.Context(), off.Identity, false); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Registry.CreateGroup(t.Context(), registry.NewGroup{Project: registry.DefaultProject, Name: "east", Filter: "sn:thermo*"}); err != nil {
		t.Fatal(err)
	}
	fw := f.firmwareOf("2.0", "0123456789")
	for name, tt := range map[string]struct {
		targets  Targets
		versions string
		want     string
	}{
		"all":      {Targets{All: true}, "", "8 targets, 1 already, map[disabled:1]"},
		"versions": {Targets{All: true}, ">=1.2", "1 targets, 1 already, map[disabled:1 other_version:6 version_unknown:1]"},
		"group":    {Targets{Group: "east"}, "", "6 targets, 0 already, map[]"},
		"of group": {Targets{Group: "east", Filter: "sn:thermo-1 OR sn:newer"}, "", "1 targets, 0 already, map[]"},
		"named":    {Targets{Devices: []string{"thermo-1", "nobody-1", "thermo-1", "dark-1"}}, "", "1 targets, 0 already, map[disabled:1 no_such_device:1]"},
	} {
		n := NewCampaign{Product: f.product, Firmware: fw.ID, Targets: tt.targets, Spec: Spec{Versions: tt.versions, Rate: rollout.Rate{PerMinute: 4},
			Waves: []rollout.Wave{{Percent: 50}, {Percent: 100}}}}
		p, err := f.PlanCampaign(t.Context(), n)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := fmt.Sprintf("%d targets, %d already, %v", p.Targets, p.Already, p.Excluded); got != tt.want || p.Bytes != 10*p.Targets ||
			p.Waves[1] != p.Targets || p.Minutes != float64(p.Targets)/4 {
			t.Errorf("%s: got %s, want %s (%+v)", name, got, tt.want, p)
		}
		c, err := f.CreateCampaign(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		f.turns(1)
		c = f.again(c)
		if got := fmt.Sprintf("%d targets, %d already, %v", c.Targets, c.Already, c.Excluded); got != tt.want {
			t.Errorf("%s: prepared %s, want %s", name, got, tt.want)
		}
	}
	for name, n := range map[string]NewCampaign{
		"no targets": {}, "two": {Targets: Targets{All: true, Devices: []string{"a"}}}, "bad filter": {Targets: Targets{Filter: "("}},
		"waves": {Targets: Targets{All: true}, Spec: Spec{Waves: []rollout.Wave{{Percent: 10}}}}, "range": {Targets: Targets{All: true}, Spec: Spec{Versions: "=>1"}},
		"deadline": {Targets: Targets{All: true}, Spec: Spec{Deadlines: map[string]int64{"failed": 60}}},
	} {
		n.Product, n.Firmware = f.product, fw.ID
		if _, err := f.CreateCampaign(t.Context(), n); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// TestShown: watchers are told how many devices are where, once for all that a second brings.
func TestShown(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	feed := monitor.New(monitor.DefaultConfig())
	f.Feed = feed
	events, cancel := feed.Subscribe(monitor.Filter{Product: f.product, Types: []string{monitor.TypeCampaign}})
	defer cancel()
	f.fleet("thermo", 30)
	f.campaign(f.firmwareOf("2.0", "x"), Spec{})
	f.turns(2)
	f.all(f.offered(), succeed)
	f.turns(3)
	cancel()
	var shown []string
	for e := range events {
		var got progressEvent
		if err := json.Unmarshal(e.Data, &got); err != nil || e.Device != "" {
			t.Fatalf("%+v, %v", e, err)
		}
		shown = append(shown, fmt.Sprint(got.Status, " ", got.Released, " ", got.Devices))
	}
	want := []string{"preparing 0 map[]", "running 30 map[offered:30]", "running 30 map[succeeded:30]", "done 30 map[succeeded:30]"}
	if !slices.Equal(shown, want) {
		t.Errorf("got  %v\nwant %v", shown, want)
	}
	// A firmware that a campaign is still to bring is not deleted, though no device has been offered it.
	waits := f.firmwareOf("3.0", "y")
	c := f.campaign(waits, Spec{})
	if err := f.DeleteFirmware(t.Context(), f.product, waits.ID); !errors.Is(err, ErrInUse) {
		t.Errorf("deleted under a campaign: %v", err)
	}
	if _, err := f.Abort(t.Context(), f.product, c.ID, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.DeleteFirmware(t.Context(), f.product, waits.ID); err != nil {
		t.Errorf("after its end: %v", err)
	}
}

// TestTimeline: what became of a device is kept, and versions are counted.
func TestTimeline(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		d := f.fleet("thermo", 2)[0]
		c := f.campaign(f.firmwareOf("2.0", "x"), Spec{})
		f.turns(2)
		f.say(d, 1, `{"Method":"report_progress","Payload":{"State":"downloading","Percent":10}}`)
		f.say(d, 1, `{"Method":"report_progress","Payload":{"State":"downloading","Percent":90}}`)
		f.say(d, 1, succeed)
		at, list, err := f.Timeline(t.Context(), c.ID, d.Identity)
		var states []string
		for _, m := range list {
			states = append(states, m.State.String())
		}
		if err != nil || at.State != Succeeded || !slices.Equal(states, []string{"offered", "downloading", "succeeded"}) {
			t.Errorf("%+v, %v, %v", at, states, err)
		}
		if _, _, err := f.Timeline(t.Context(), c.ID, ident.Device{Product: f.product, SN: "nobody"}); !errors.Is(err, ErrNoDeployment) {
			t.Errorf("nobody: %v", err)
		}
		now, err := f.Distribution(t.Context(), f.product)
		if got := fmt.Sprint(now, err); got != fmt.Sprint([]VersionCount{{Module: "default", Version: "1.0", N: 1}, {Module: "default", Version: "2.0", N: 1}}, nil) {
			t.Errorf("versions %s", got)
		}
		for range 3 { // once an hour, however often it is asked
			if err := errors.Join(f.sample(t.Context()), f.sample(t.Context())); err != nil {
				t.Fatal(err)
			}
			f.clock = f.clock.Add(time.Hour)
		}
		history, err := f.VersionHistory(t.Context(), f.product, "default", f.clock.Add(-24*time.Hour))
		if err != nil || len(history) != 6 {
			t.Errorf("history %v, %v", history, err)
		}
		if err := f.Registry.DeleteDevice(t.Context(), d.Identity); err != nil {
			t.Fatal(err)
		}
		f.counted(&c.Task)
	})
}

// TestTwoNodes: two nodes that look at a campaign at the same moments do each step once, and offer nothing twice.
func TestTwoNodes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		f.fleet("thermo", 40)
		deps := f.Deps
		deps.IDs = message.NewIDs(2, 0, time.Now)
		other := New(f.cfg, deps)
		other.now = f.now
		c := f.campaign(f.firmwareOf("2.0", "x"), Spec{Waves: []rollout.Wave{{Count: 5}, {Percent: 50}, {Percent: 100}}, Rate: rollout.Rate{Concurrent: 10}})
		times := map[string]int{}
		for range 60 {
			var g errgroup.Group
			for _, node := range []*OTA{f.OTA, other} {
				g.Go(func() error { return node.tick(t.Context()) })
			}
			if err := g.Wait(); err != nil {
				t.Fatal(err)
			}
			sns := f.offered()
			if len(sns) > 20 { // each node grants ten within one second
				t.Errorf("%d at a time", len(sns))
			}
			for _, sn := range sns {
				times[sn]++
			}
			f.all(sns, succeed)
			f.clock = f.clock.Add(time.Second)
		}
		f.wantStatus(c, Done, 3)
		for sn, n := range times {
			if n != 1 {
				t.Errorf("%s was offered it %d times", sn, n)
			}
		}
		if len(times) != 40 {
			t.Errorf("%d devices, want 40", len(times))
		}
		f.counted(&c.Task)
	})
}
