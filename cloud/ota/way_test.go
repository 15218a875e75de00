package ota

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/cloud/ota/rollout"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/firmware/manifest"
	"github.com/hawser-iot/hawser/protocol/message"
)

func ruled(t *testing.T, version, rule string, sequence uint64) stone {
	t.Helper()
	s := stone{module: DefaultModule, signed: true, becoming: modules{DefaultModule: {version, sequence}}}
	if rule != "" {
		r, err := manifest.ParseRule(rule)
		if err != nil {
			t.Fatal(err)
		}
		s.asks = []ask{{module: DefaultModule, rule: r}}
	}
	return s
}

func plainStone(version, needs string) stone { return stoneOf(DefaultModule, version, needs, "", "") }

// stoneOf is a firmware of a module that needs a version of it, and of another one a range.
func stoneOf(module, version, needs, other, in string) stone {
	s := stone{module: module, becoming: modules{module: {version: version}}}
	if needs != "" {
		s.asks = append(s.asks, ask{module: module, atLeast: needs})
	}
	if other != "" {
		r, err := rollout.ParseRange(in)
		if err != nil {
			panic(err)
		}
		s.asks = append(s.asks, ask{module: other, in: r})
	}
	return s
}

func TestWays(t *testing.T) {
	numbered := func(to stone, stones ...stone) *ways {
		for i := range stones {
			stones[i].id = int64(i + 1)
		}
		return waysOver(to, stones)
	}
	runs := func(version string, sequence uint64) modules { return modules{DefaultModule: {version, sequence}} }
	with := func(version, radio string) modules {
		return modules{DefaultModule: {version: version}, "radio": {version: radio}}
	}
	plain := numbered(plainStone("4.0", "3.0"), plainStone("1.5", ""), plainStone("2.0", "1.5"), plainStone("3.0", "2.0"), plainStone("3.1", "2.5"), plainStone("3.5", "9"))
	signed := numbered(ruled(t, "4.0", ">=3.0,#5", 9), ruled(t, "3.0", ">=2.0", 5), ruled(t, "3.2", "", 4), ruled(t, "2.0", "", 3))
	// The firmware wants a radio of 1.4 to 2; the radio's 1.4 wants a firmware of 2.0, which wants nothing, and its 1.2 is on the way to that.
	radio := numbered(stoneOf(DefaultModule, "4.0", "3.0", "radio", ">=1.4 <2"), plainStone("2.0", ""), plainStone("3.0", "2.0"),
		stoneOf("radio", "1.4", "1.2", DefaultModule, ">=2.0"), stoneOf("radio", "1.2", "", "", ""), stoneOf("radio", "2.1", "", "", ""), stoneOf("lamp", "9", "", "", ""))
	both := numbered(stoneOf(DefaultModule, "4.0", "", "radio", ">=1.4"),
		stone{module: DefaultModule, becoming: modules{DefaultModule: {version: "3.0"}, "radio": {version: "1.5"}}}, stoneOf("radio", "1.4", "", "lamp", ">=2"), stoneOf("lamp", "2", "", "", ""))
	for _, tc := range []struct {
		name string
		ways *ways
		runs modules
		want string // versions, "-" for none
	}{
		{"at once", plain, runs("3.0", 0), ""},
		{"one stone, the newest", plain, runs("2.5", 0), "3.1"},
		{"one stone", plain, runs("2.0", 0), "3.0"},
		{"three stones", plain, runs("1.0", 0), "1.5 2.0 3.0"},
		{"unknown", plain, nil, "-"},
		{"no restriction", nil, nil, ""},
		{"nothing leads there", numbered(plainStone("4.0", "3.0"), plainStone("2.0", "")), runs("1.0", 0), "-"},
		{"never back", numbered(plainStone("4.0", "3.0"), plainStone("3.0", "")), runs("3.0-rc1", 0), "3.0"},
		{"by sequence", signed, runs("2.0", 3), "3.0"},
		{"not below the sequence", signed, runs("3.1", 8), ""},
		{"over a sequence", signed, runs("1.0", 1), "2.0 3.0"},
		{"a floor that no stone passes", signed, runs("2.5", 6), "-"},
		{"another module first", radio, with("3.0", "1.3"), "radio 1.4"},
		{"another module, which needs this one first", radio, with("1.0", "1.0"), "radio 1.2 2.0 radio 1.4 3.0"},
		{"all is there", radio, with("3.5", "1.9"), ""},
		{"another module is too new", radio, with("3.0", "2.0"), "-"},
		{"another module is unknown", radio, runs("3.0", 0), "-"},
		{"a release of both", both, with("1.0", "1.0"), "3.0"},
		{"a release of both would bring one back", both, modules{DefaultModule: {version: "3.5"}, "radio": {version: "1.0"}, "lamp": {version: "1"}}, "lamp 2 radio 1.4"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for range 2 { // the second time from memory
				over, ok := tc.ways.from(tc.runs)
				var got []string
				for _, s := range over {
					got = append(got, s.name(DefaultModule))
				}
				text := strings.Join(got, " ")
				if !ok {
					text = "-"
				}
				if text != tc.want {
					t.Errorf("over %q, want %q", text, tc.want)
				}
			}
		})
	}
}

// TestWaysAreBounded: a firmware that asks for many modules with many versions is answered, whether there is a way or not.
func TestWaysAreBounded(t *testing.T) {
	to, all, runs := stone{module: DefaultModule, becoming: modules{DefaultModule: {version: "2"}}}, []stone(nil), modules{DefaultModule: {version: "1"}}
	for m := range 9 {
		module := "module-" + strconv.Itoa(m)
		to.asks = append(to.asks, ask{module: module, atLeast: "10"})
		runs[module] = running{version: "0"}
		for v := range 10 {
			all = append(all, stoneOf(module, strconv.Itoa(v+1), "", "", ""))
		}
	}
	if over, ok := waysOver(to, slices.Clone(all)).from(runs); !ok || len(over) != 9 {
		t.Errorf("over %d stones, want 9", len(over))
	}
	for i := range all { // the last of each module wants what no module has without it
		if all[i].version() == "10" {
			all[i].asks = []ask{{module: all[i].module, atLeast: "10"}}
		}
	}
	if _, ok := waysOver(to, all).from(runs); ok {
		t.Error("a way to what there is not")
	}
}

func (f *fixture) needing(version, needs string) *Firmware {
	f.t.Helper()
	fw, err := f.AddFirmware(f.t.Context(), NewFirmware{Product: f.product, Version: version, Needs: needs, Data: strings.NewReader("image " + version)})
	if err != nil {
		f.t.Fatal(err)
	}
	return fw
}

// TestStones: a campaign brings stock devices over the firmwares in between, each counted once, and is refused with the names of those that have no way.
func TestStones(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		old := f.fleet("old", 2)
		f.say(f.device("newer"), 1, `{"Method":"report_version","Payload":{"Version":"2.5"}}`)
		f.device("silent")
		target := f.needing("3.0", "2.0")
		all := NewCampaign{Product: f.product, Firmware: target.ID, Targets: Targets{All: true}, Spec: Spec{Retry: rollout.Retry{Attempts: 2}}}
		_, err := f.CreateCampaign(t.Context(), all)
		none, ok := errors.AsType[*ErrNoWay](err)
		if !ok || none.N != 3 || !slices.Equal(none.Devices, []string{"old-0 (1.0)", "old-1 (1.0)", "silent (unknown)"}) {
			t.Fatalf("without a stone: %v", err)
		}
		if _, err := f.CreateTask(t.Context(), NewTask{Product: f.product, Firmware: target.ID, Targets: Targets{Devices: []string{"old-0", "newer"}}}); !errors.As(err, &none) || none.N != 1 {
			t.Errorf("a task without a stone: %v", err)
		}
		stone := f.needing("2.0", "1.0")
		all.Spec.Versions = ">=1.0"
		plan, err := f.PlanCampaign(t.Context(), all)
		if err != nil || plan.Targets != 3 || plan.Stones["2.0"] != 2 || plan.Bytes != 5*9 || plan.Excluded[ExcludedUnknown] != 1 {
			t.Errorf("plan %+v, %v", plan, err)
		}
		c, err := f.CreateCampaign(t.Context(), all)
		if err != nil {
			t.Fatal(err)
		}
		f.turns(2)
		versions := map[string]string{}
		offers := func() {
			for _, s := range f.wire.take() {
				versions[s.dev.SN] = parseOffer(t, s.payload).Payload.Version
			}
		}
		if offers(); versions["old-0"] != "2.0" || versions["old-1"] != "2.0" || versions["newer"] != "3.0" {
			t.Fatalf("offered %v", versions)
		}
		if err := f.DeleteFirmware(t.Context(), f.product, stone.ID); !errors.Is(err, ErrInUse) {
			t.Errorf("a stone that devices are still to get was deleted: %v", err)
		}
		f.say(old[0], 1, `{"Method":"report_fail","Payload":{"ErrCode":-1}}`) // the network: it is tried again
		f.say(old[1], 1, succeed)
		f.want(&c.Task, old[1], Initial, "")
		f.turns(60)
		if offers(); versions["old-0"] != "2.0" || versions["old-1"] != "3.0" {
			t.Fatalf("offered then %v", versions)
		}
		f.say(old[0], 2, `{"Method":"report_version","Payload":{"Version":"2.0"}}`)
		f.turns(2)
		if offers(); versions["old-0"] != "3.0" {
			t.Fatalf("offered then %v", versions)
		}
		const done = `{"Method":"report_success","Payload":{"Version":"3.0"}}`
		f.all([]string{"old-0", "old-1", "newer"}, done)
		f.turns(2)
		c = f.wantStatus(c, Done, 1)
		f.counted(&c.Task)
		p, err := f.Progress(t.Context(), c.ID)
		if err != nil || p.States()[Succeeded] != 3 || len(p.States()) != 1 {
			t.Errorf("progress %+v, %v", p, err)
		}
	})
}

// TestSignedStones: a release says in its manifest what must be there first; a device that verifies attests stone by stone.
func TestSignedStones(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		m := f.trusted()
		stone := f.release(m, 2, plainImage("2.0"))
		final := plainImage("3.0")
		final.From = ">=2.0"
		target := f.firmwareWith(f.release(m, 3, final).ID)
		d := f.device("thermo-1")
		tell(f, d, 1, message.OTAReportVersion, verifying)
		task := f.task(target, "thermo-1")
		first := heard[message.OTAOffer](f, tell(f, d, 1, message.OTARequestFirmware, verifying), message.OTAOfferFirmware)
		if first.Version != "2.0" || !slices.Equal(first.Digest, stone.Digest[:]) {
			t.Fatalf("offered %+v, want the stone", first)
		}
		if a := f.assigned(m, tell(f, d, 1, message.OTARequestAssignment, question(first, 1))); a.Manifest != stone.Digest {
			t.Errorf("assigned %+v", a)
		}
		said := attestation(t, d, first.Deployment, first.Digest, true)
		tell(f, d, 1, message.OTAAttest, said)
		f.want(task, d, Initial, "")
		runs := message.OTAVersion{Module: DefaultModule, Version: "2.0", Manifest: true, Sequence: 2, Root: 1}
		second := heard[message.OTAOffer](f, tell(f, d, 2, message.OTARequestFirmware, runs), message.OTAOfferFirmware)
		if second.Version != "3.0" || second.Deployment != first.Deployment || second.Attempt <= first.Attempt {
			t.Fatalf("offered %+v after %+v", second, first)
		}
		heard[message.OTADeployment](f, tell(f, d, 2, message.OTAAttest, said), message.OTAAttested) // once more
		f.want(task, d, Pending, "")
		tell(f, d, 2, message.OTAAttest, attestation(t, d, second.Deployment, second.Digest, true))
		f.want(task, d, Succeeded, "")
	})
}

// TestConsentAsked: a campaign may want owners to agree, and says so beside the assignment.
func TestConsentAsked(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		m := f.trusted()
		fw := f.firmwareWith(f.release(m, 2, plainImage("2.0")).ID)
		d := f.device("thermo-1")
		tell(f, d, 1, message.OTAReportVersion, verifying)
		f.campaign(fw, Spec{Consent: true})
		f.turns(2)
		offers := f.wire.take()
		if len(offers) != 1 {
			t.Fatalf("offers: %v", offers)
		}
		offer, err := message.DecodeOTA[message.OTAOffer]([]byte(offers[0].payload))
		if err != nil {
			t.Fatal(err)
		}
		got := heard[message.OTABytes](f, tell(f, d, 1, message.OTARequestAssignment, question(offer, 1)), message.OTAAssignment)
		if !got.Consent {
			t.Errorf("the assignment does not ask for consent: %+v", got)
		}
	})
}

// TestStonesOfOtherModules: a firmware asks for another module; the device is brought that first, within the same deployment, and a task for that module goes before.
func TestStonesOfOtherModules(t *testing.T) {
	const reportRadio, radioDone = `{"Method":"report_version","Payload":{"Module":"radio","Version":"1.0"}}`, `{"Method":"report_success","Payload":{"Module":"radio","Version":"1.4"}}`
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		d := f.fleet("thermo", 1)[0]
		add := func(module, version string, requires map[string]string) *Firmware {
			fw, err := f.AddFirmware(t.Context(), NewFirmware{Product: f.product, Module: module, Version: version, Requires: requires, Data: strings.NewReader(module + version)})
			if err != nil {
				t.Fatal(err)
			}
			return fw
		}
		for _, bad := range []map[string]string{{"default": ">=1"}, {"radio": ""}, {"radio": "=>1"}, {"ra dio": "1"}} {
			if _, err := f.AddFirmware(t.Context(), NewFirmware{Product: f.product, Version: "9", Requires: bad, Data: strings.NewReader("x")}); !errors.As(err, new(*ErrInvalid)) {
				t.Errorf("%v: %v", bad, err)
			}
		}
		target := add("", "2.0", map[string]string{"radio": ">=1.4 <2"})
		stone := add("radio", "1.4", nil)
		all := NewCampaign{Product: f.product, Firmware: target.ID, Targets: Targets{All: true}}
		if _, err := f.CreateCampaign(t.Context(), all); err == nil || !strings.Contains(err.Error(), "thermo-0 (1.0, radio unknown)") {
			t.Errorf("a device that has not said what its radio runs: %v", err)
		}
		f.say(d, 1, reportRadio)
		if plan, err := f.PlanCampaign(t.Context(), all); err != nil || plan.Targets != 1 || plan.Stones["radio 1.4"] != 1 {
			t.Errorf("plan %+v, %v", plan, err)
		}
		c, err := f.CreateCampaign(t.Context(), all)
		if err != nil {
			t.Fatal(err)
		}
		f.turns(2)
		offers := func(module, version string) {
			t.Helper()
			out := f.wire.take()
			if len(out) != 1 {
				t.Fatalf("offers %v, want one of %s %s", out, module, version)
			}
			if o := parseOffer(t, out[0].payload); o.Payload.Module != module || o.Payload.Version != version {
				t.Fatalf("offered %+v, want %s %s", o.Payload, module, version)
			}
		}
		offers("radio", "1.4")
		if err := f.DeleteFirmware(t.Context(), f.product, stone.ID); !errors.Is(err, ErrInUse) {
			t.Errorf("the stone was deleted: %v", err)
		}
		if list, err := f.Versions(t.Context(), d.ID); err != nil || len(list) != 2 || list[0].Update == nil || list[1].Update == nil || list[1].Update.Version != "1.4" {
			t.Errorf("versions %+v, %v", list, err)
		}
		f.say(d, 1, reportOld) // the lead module says nothing new
		f.say(d, 1, `{"Method":"report_progress","Payload":{"Module":"radio","State":"downloading","Percent":40}}`)
		f.want(&c.Task, d, Downloading, "")
		f.say(d, 1, radioDone)
		f.want(&c.Task, d, Initial, "")
		f.turns(1)
		offers("default", "2.0")
		f.say(d, 1, radioDone) // once more
		f.want(&c.Task, d, Pending, "")
		f.say(d, 1, succeed)
		f.turns(2)
		f.wantStatus(c, Done, 1)
		f.counted(&c.Task)
	})
}

// TestStoneWaits: a stone of another module waits while a task for that module goes on, and is left out when that has brought the device far enough.
func TestStoneWaits(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	d := f.fleet("thermo", 1)[0]
	f.say(d, 1, `{"Method":"report_version","Payload":{"Module":"radio","Version":"1.0"}}`)
	add := func(module, version string, requires map[string]string) *Firmware {
		fw, err := f.AddFirmware(t.Context(), NewFirmware{Product: f.product, Module: module, Version: version, Requires: requires, Data: strings.NewReader(module + version)})
		if err != nil {
			t.Fatal(err)
		}
		return fw
	}
	target := add("", "2.0", map[string]string{"radio": ">=1.4"})
	add("radio", "1.4", nil)
	newer := f.task(add("radio", "1.5", map[string]string{"default": ">=1"}), d.Identity.SN)
	task := f.task(target, d.Identity.SN)
	next := func() (text string) {
		if err := f.push(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, s := range f.wire.take() {
			o := parseOffer(t, s.payload).Payload
			text += o.Module + " " + o.Version + "; "
		}
		return text
	}
	if got := next(); got != "radio 1.5; " {
		t.Fatalf("offered %s", got)
	}
	if got := next() + f.say(d, 2, requestOld); got != "" {
		t.Errorf("offered beside it: %s", got)
	}
	f.say(d, 2, `{"Method":"report_success","Payload":{"Module":"radio","Version":"1.5"}}`)
	f.want(newer, d, Succeeded, "")
	next()
	if got := parseOffer(t, f.say(d, 3, requestOld)).Payload; got.Module != "default" || got.Version != "2.0" {
		t.Errorf("offered %+v", got)
	}
	f.say(d, 3, succeed)
	f.want(task, d, Succeeded, "")
}
