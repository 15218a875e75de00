package ota

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/blob"
	"github.com/hawser-iot/hawser/cloud/blob/fileblob"
	"github.com/hawser-iot/hawser/cloud/ota/artifact"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/shortlink"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
	"github.com/hawser-iot/hawser/testbed/harness/leak"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

// sent is a message that went to a device.
type sent struct {
	dev     ident.Device
	payload string
	queued  bool
}

// wire is the way to devices: those that are away are an error.
type wire struct {
	mu   sync.Mutex
	away map[string]bool
	out  []sent
	// missed is called when a message finds nobody.
	missed func(dev ident.Device)
}

func (w *wire) Send(_ context.Context, dev ident.Device, _ string, payload []byte, queue bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.away[dev.SN] {
		if w.missed != nil {
			w.mu.Unlock()
			w.missed(dev)
			w.mu.Lock()
		}
		return errors.New("away")
	}
	w.out = append(w.out, sent{dev, string(payload), queue})
	return nil
}

func (w *wire) Subscribed(dev ident.Device, _ string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.away[dev.SN]
}

func (w *wire) Verifies(context.Context, ident.Device) (bool, error) { return false, nil }

func (w *wire) take() (list []sent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	list, w.out = w.out, nil
	return list
}

type fixture struct {
	*OTA
	t       *testing.T
	path    *uplink.Path
	wire    *wire
	product string
	clock   time.Time
	emitted []string // events of what devices have said
}

func newFixture(t *testing.T, db *store.DB) *fixture {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	reg, err := registry.New(t.Context(), db, log)
	if err != nil {
		t.Fatal(err)
	}
	p, err := reg.CreateProduct(t.Context(), registry.NewProduct{Name: "thermo", Kind: registry.KindDevice})
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := fileblob.Open(filepath.Join(t.TempDir(), "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, wire: &wire{away: map[string]bool{}}, product: p.SN, clock: time.Now()}
	ids := message.NewIDs(1, 0, time.Now)
	f.OTA = New(DefaultConfig(), Deps{Store: db, Registry: reg, Blobs: blobs, Artifacts: artifact.New(artifact.DefaultConfig(), artifact.Deps{Store: db, Blobs: blobs, Log: log}), Sender: f.wire, IDs: ids, Log: log,
		Links: shortlink.New(storetest.Keyring, func() string { return "https://iot.example.com" })})
	f.now = func() time.Time { return f.clock }
	f.path = uplink.New(uplink.Config{Store: db, IDs: ids, Log: log, Now: func() time.Time { return f.clock },
		Handlers: map[topic.Kind]uplink.Handler{topic.OTAUpstream: f.OTA}})
	return f
}

func (f *fixture) device(sn string) *registry.Device {
	f.t.Helper()
	d, err := f.Registry.CreateDevice(f.t.Context(), registry.NewDevice{Product: f.product, SN: sn})
	if err != nil {
		f.t.Fatal(err)
	}
	return d
}

func (f *fixture) firmwareOf(version, data string) *Firmware {
	f.t.Helper()
	fw, err := f.AddFirmware(f.t.Context(), NewFirmware{Product: f.product, Version: version, Data: strings.NewReader(data)})
	if err != nil {
		f.t.Fatal(err)
	}
	return fw
}

func (f *fixture) task(fw *Firmware, sns ...string) *Task {
	f.t.Helper()
	t, err := f.CreateTask(f.t.Context(), NewTask{Product: f.product, Firmware: fw.ID, Targets: Targets{Devices: sns}})
	if err != nil {
		f.t.Fatal(err)
	}
	return t
}

// say is a message of a device in a session; it returns what the device is answered.
func (f *fixture) say(d *registry.Device, epoch int64, payload string) string {
	f.t.Helper()
	m := &uplink.Message{Device: d.Identity, DeviceID: d.ID, Topic: topic.Topic{Kind: topic.OTAUpstream, Device: d.Identity},
		Name: topic.System(d.Identity, topic.OTAUpstream), Payload: []byte(payload), QoS: 1, At: f.clock}
	// No session row stands behind the epoch here, so the unit must not be fenced by it; ota looks at the message's.
	m.Epoch = epoch
	f.session(d, epoch)
	if err := f.path.Do(f.t.Context(), m); err != nil {
		var r *uplink.Refusal
		if !errors.As(err, &r) {
			f.t.Fatalf("%s: %v", payload, err)
		}
		return fmt.Sprint("refused ", int(r.Code))
	}
	for _, e := range m.Emitted() {
		f.emitted = append(f.emitted, string(e.Payload))
	}
	var b strings.Builder
	for _, r := range m.Replies() {
		b.Write(r.Payload)
	}
	return b.String()
}

// session makes the device's session row, online.
func (f *fixture) session(d *registry.Device, epoch int64) {
	f.t.Helper()
	err := f.Store.Update(f.t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(f.t.Context(), `INSERT INTO session (device, epoch, online) VALUES (?, ?, 1) ON CONFLICT (device) DO UPDATE SET epoch = excluded.epoch, online = 1`, d.ID, epoch)
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

// at is where a device of a task is.
func (f *fixture) at(t *Task, d *registry.Device) Deployment {
	f.t.Helper()
	list, _, err := f.Deployments(f.t.Context(), t.ID, nil, d.ID-1, 1)
	if err != nil || len(list) != 1 {
		f.t.Fatalf("deployment of %s: %v, %v", d.Identity, list, err)
	}
	return list[0]
}

func (f *fixture) want(t *Task, d *registry.Device, state State, class string) {
	f.t.Helper()
	if got := f.at(t, d); got.State != state || got.Class != class {
		f.t.Errorf("%s is %s (%s), want %s (%s)", d.Identity.SN, got.State, got.Class, state, class)
	}
}

// offer is what update_firmware holds.
type offer struct {
	Method  string
	Payload struct {
		Module, Version, URL, MD5 string
		Size                      int64
	}
}

func parseOffer(t *testing.T, payload string) offer {
	t.Helper()
	var o offer
	if err := json.Unmarshal([]byte(payload), &o); err != nil || o.Method != "update_firmware" {
		t.Fatalf("no offer: %q, %v", payload, err)
	}
	return o
}

const (
	reportOld  = `{"Method":"report_version","Payload":{"Module":"default","Version":"1.0"}}`
	requestOld = `{"Method":"request_firmware","Payload":{"Module":"default","Version":"1.0"}}`
	succeed    = `{"Method":"report_success","Payload":{"Module":"default","Version":"2.0"}}`
)

func TestUpdate(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		d := f.device("thermo-1")
		fw := f.firmwareOf("2.0", "the new one")
		if fw.Size != 11 || fw.MD5 != fmt.Sprintf("%x", md5.Sum([]byte("the new one"))) || fw.SHA256 != fmt.Sprintf("%x", sha256.Sum256([]byte("the new one"))) {
			t.Errorf("firmware %+v", fw)
		}
		if got := f.say(d, 1, reportOld); got != "" {
			t.Errorf("without a task: %s", got)
		}
		task := f.task(fw, "thermo-1")
		f.want(task, d, Initial, "")
		payload := f.say(d, 2, requestOld)
		o := parseOffer(t, payload)
		want := fmt.Sprintf(`{"Method":"update_firmware","Payload":{"Module":"default","Version":"2.0","URL":"%s","MD5":"%s","Size":11}}`, o.Payload.URL, fw.MD5)
		if payload != want {
			t.Errorf("got  %s\nwant %s", payload, want)
		}
		token := strings.TrimPrefix(o.Payload.URL, "https://iot.example.com/default-2.0.bin?f=")
		if got, err := f.Find(t.Context(), token, "", true); err != nil || got.Blob != fw.Blob() {
			t.Errorf("behind the URL: %+v, %v", got, err)
		}
		if _, err := f.Find(t.Context(), token, "", false); !errors.Is(err, ErrFirmwareNotFound) {
			t.Errorf("without TLS: %v", err)
		}
		f.want(task, d, Pending, "")
		// Whatever it says in this session, it is not offered a second time.
		for _, again := range []string{requestOld, reportOld} {
			if got := f.say(d, 2, again); got != "" {
				t.Errorf("again: %s", got)
			}
		}
		f.say(d, 2, `{"Method":"report_progress","Payload":{"Module":"default","State":"downloading","Percent":40,"Version":"2.0"}}`)
		if got := f.at(task, d); got.State != Downloading || got.Percent != 40 {
			t.Errorf("downloading: %+v", got)
		}
		f.say(d, 2, `{"Method":"report_progress","Payload":{"State":"burning"}}`)
		f.want(task, d, Burning, "")
		f.say(d, 2, `{"Method":"report_progress","Payload":{"State":"downloading","Percent":50}}`) // late
		f.want(task, d, Burning, "")
		f.say(d, 2, succeed)
		f.want(task, d, Succeeded, "")
		// The compiled-in version is said again at the next start: nothing is offered any more.
		for i, after := range []string{reportOld, requestOld, succeed, `{"Method":"report_fail","Payload":{"ErrCode":-1}}`} {
			if got := f.say(d, 3+int64(i), after); got != "" {
				t.Errorf("after the end: %s", got)
			}
		}
		f.want(task, d, Succeeded, "")
		got, err := f.Task(t.Context(), f.product, task.ID)
		if err != nil || !got.Ended() || got.Total() != 1 || got.Count[Succeeded] != 1 {
			t.Errorf("task %+v, %v", got, err)
		}
		versions, err := f.Versions(t.Context(), d.ID)
		if err != nil || len(versions) != 1 || versions[0].Module != "default" || versions[0].Version != "2.0" || versions[0].Update != nil {
			t.Errorf("versions %+v, %v", versions, err)
		}
	})
}

// TestComesBack: a device that comes back without the new version is offered it again, some times, and then no more.
func TestComesBack(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	f.cfg.MaxAttempts = 3
	d := f.device("thermo-1")
	task := f.task(f.firmwareOf("2.0", "x"), "thermo-1")
	for i := range 3 {
		f.say(d, int64(i+1), `{"Method":"report_progress","Payload":{"State":"burning"}}`)
		parseOffer(t, f.say(d, int64(i+1), requestOld))
		f.say(d, int64(i+1), `{"Method":"report_progress","Payload":{"State":"burning","Percent":"90"}}`)
		f.want(task, d, Burning, "")
	}
	if got := f.say(d, 4, requestOld); got != "" {
		t.Errorf("a fourth offer: %s", got)
	}
	f.want(task, d, Failed, "too_many_attempts")
}

// TestBootsNewVersion: a device that never says what became of it, and then runs the new version, has it.
func TestBootsNewVersion(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	d := f.device("thermo-1")
	task := f.task(f.firmwareOf("2.0", "x"), "thermo-1")
	f.say(d, 1, requestOld)
	f.say(d, 2, `{"Method":"report_version","Payload":{"Version":"2.0"}}`)
	f.want(task, d, Succeeded, "")
}

func TestEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		payload string
		state   State
		class   string
	}{
		"other version":     {`{"Method":"report_success","Payload":{"Module":"default","Version":"3.0"}}`, Failed, "wrong_version"},
		"empty version":     {`{"Method":"report_success","Payload":{"Module":"default","Version":""}}`, Failed, "wrong_version"},
		"checksum":          {`{"Method":"report_fail","Payload":{"Module":"default","ErrCode":-4}}`, Failed, "checksum"},
		"timeout as string": {`{"Method":"report_fail","Payload":{"Module":"default","ErrCode":"-3"}}`, Failed, "download_timeout"},
		"unknown code":      {`{"Method":"report_fail","Payload":{"Module":"default","ErrCode":77}}`, Failed, "unknown"},
		"no code":           {`{"Method":"report_fail","Payload":{}}`, Failed, "unknown"},
		"garbage module":    {`{"Method":"report_fail","Payload":{"Module":"@#x","Version":"?","ErrCode":-5}}`, Failed, "flash_failed"},
		"bad UTF-8":         {"{\"Method\":\"report_fail\",\"Payload\":{\"Module\":\"\xff\xfe\",\"Version\":\"\x01\x80\",\"ErrCode\":-2}}", Failed, "url_expired"},
		"no JSON":           {"{\"Method\":\"report_fail\",\"Payload\":{\"Module\":\"a\"b\", \"ErrCode\": -1", Failed, "url_unreachable"},
		"rolled back":       {`{"Method":"report_fail","Payload":{"Module":"default","ErrCode":-105}}`, RolledBack, "rolled_back"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, storetest.SQLite(t))
			d := f.device("thermo-1")
			task := f.task(f.firmwareOf("2.0", "x"), "thermo-1")
			parseOffer(t, f.say(d, 1, requestOld))
			f.say(d, 1, tt.payload)
			f.want(task, d, tt.state, tt.class)
			if got := f.say(d, 2, requestOld); got != "" {
				t.Errorf("offered after its end: %s", got)
			}
		})
	}
}

func TestRefusedReports(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	d := f.device("thermo-1")
	for _, payload := range []string{`{}`, `hello`, `[]`, `{"Method":"dance"}`, `{"Method":"report_version","Payload":{"Version":"a b"}}`,
		`{"Method":"report_version","Payload":{"Version":"1","Module":"ä"}}`, `{"Method":"report_version"}`} {
		if got := f.say(d, 1, payload); got != "refused 230" {
			t.Errorf("%s: %q", payload, got)
		}
	}
}

// TestPush: a device that is online is offered the firmware without asking, once; one that is not is offered it when it comes.
func TestPush(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		on, off := f.device("thermo-on"), f.device("thermo-off")
		f.session(on, 7)
		task := f.task(f.firmwareOf("2.0", "x"), "thermo-on", "thermo-off")
		if err := f.push(t.Context()); err != nil {
			t.Fatal(err)
		}
		out := f.wire.take()
		if len(out) != 1 || out[0].dev != on.Identity || out[0].queued {
			t.Fatalf("sent %+v", out)
		}
		parseOffer(t, out[0].payload)
		f.want(task, on, Pending, "")
		f.want(task, off, Initial, "")
		if got := f.say(on, 7, requestOld); got != "" {
			t.Errorf("in the session of the offer: %s", got)
		}
		if err := f.push(t.Context()); err != nil || len(f.wire.take()) != 0 {
			t.Errorf("pushed again: %v", err)
		}
		// Connected, and not listening yet: the offer is taken back, and comes later.
		f.wire.away["thermo-off"] = true
		f.session(off, 1)
		if err := f.push(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.want(task, off, Initial, "")
		if got := f.say(off, 1, reportOld); got != "" {
			t.Errorf("not listening: %s", got)
		}
		f.wire.away["thermo-off"] = false
		if err := f.push(t.Context()); err != nil || len(f.wire.take()) != 0 {
			t.Errorf("at once: %v", err)
		}
		f.clock = f.clock.Add(pushAgain)
		if err := f.push(t.Context()); err != nil || len(f.wire.take()) != 1 {
			t.Errorf("later: %v", err)
		}
		f.want(task, off, Pending, "")
	})
}

// TestDeadlines: no state lasts for ever.
func TestDeadlines(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	fw := f.firmwareOf("2.0", "x")
	states := map[State]*registry.Device{}
	for _, state := range []State{Initial, Pending, Downloading, Burning} {
		states[state] = f.device("thermo-" + state.Stock())
	}
	task := f.task(fw, "thermo-initial", "thermo-pending", "thermo-downloading", "thermo-burning")
	for _, s := range []State{Pending, Downloading, Burning} {
		parseOffer(t, f.say(states[s], 1, requestOld))
	}
	f.clock = f.clock.Add(50 * time.Minute) // a report puts the deadline off
	f.say(states[Downloading], 1, `{"Method":"report_progress","Payload":{"State":"downloading"}}`)
	f.say(states[Burning], 1, `{"Method":"report_progress","Payload":{"State":"burning"}}`)
	expire := func() {
		t.Helper()
		if err := f.expire(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	f.clock = f.clock.Add(20 * time.Minute)
	expire()
	f.want(task, states[Pending], TimedOut, "offered")
	f.want(task, states[Downloading], Downloading, "")
	f.want(task, states[Initial], Initial, "")
	f.clock = f.clock.Add(time.Hour)
	expire()
	f.want(task, states[Downloading], TimedOut, "downloading")
	f.want(task, states[Burning], TimedOut, "burning")
	f.clock = f.clock.Add(7 * 24 * time.Hour)
	expire()
	f.want(task, states[Initial], TimedOut, "queued")
	if got := f.say(states[Pending], 2, requestOld); got != "" {
		t.Errorf("offered after its deadline: %s", got)
	}
}

func TestCancel(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		at, before := f.device("thermo-at"), f.device("thermo-before")
		task := f.task(f.firmwareOf("2.0", "x"), "thermo-at", "thermo-before")
		parseOffer(t, f.say(at, 1, requestOld))
		got, err := f.CancelTask(t.Context(), f.product, task.ID)
		if err != nil || !got.Cancelled || got.Count[Cancelled] != 2 {
			t.Fatalf("%+v, %v", got, err)
		}
		out := f.wire.take()
		if len(out) != 1 || out[0].dev != at.Identity || !out[0].queued ||
			out[0].payload != `{"Method":"cancel_update","Payload":{"Module":"default","Version":"2.0"}}` {
			t.Errorf("sent %+v", out)
		}
		if got := f.say(before, 1, requestOld); got != "" {
			t.Errorf("offered: %s", got)
		}
		f.say(at, 1, succeed) // too late to count, and its version is known
		f.want(task, at, Cancelled, "")
		if v, err := f.Versions(t.Context(), at.ID); err != nil || len(v) != 1 || v[0].Version != "2.0" {
			t.Errorf("versions %+v, %v", v, err)
		}
		if _, err := f.CancelTask(t.Context(), f.product, task.ID); !errors.Is(err, ErrEnded) {
			t.Errorf("cancelled twice: %v", err)
		}
	})
}

// TestSupersede: a device has one update of a module at a time, the newest.
func TestSupersede(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	d := f.device("thermo-1")
	first := f.task(f.firmwareOf("2.0", "x"), "thermo-1")
	parseOffer(t, f.say(d, 1, requestOld))
	second := f.task(f.firmwareOf("3.0", "y"), "thermo-1")
	f.want(first, d, Superseded, "")
	if out := f.wire.take(); len(out) != 1 || !strings.Contains(out[0].payload, `"cancel_update"`) || !strings.Contains(out[0].payload, `"2.0"`) {
		t.Errorf("sent %+v", out)
	}
	if o := parseOffer(t, f.say(d, 2, requestOld)); o.Payload.Version != "3.0" {
		t.Errorf("offered %+v", o)
	}
	// Another module goes its own way.
	radio, err := f.AddFirmware(t.Context(), NewFirmware{Product: f.product, Module: "radio", Version: "1.1", Data: strings.NewReader("r")})
	if err != nil {
		t.Fatal(err)
	}
	third := f.task(radio, "thermo-1")
	f.want(second, d, Pending, "")
	parseOffer(t, f.say(d, 2, `{"Method":"request_firmware","Payload":{"Module":"radio","Version":"1.0"}}`))
	f.say(d, 2, `{"Method":"report_fail","Payload":{"Module":"default","ErrCode":-1}}`)
	f.want(second, d, Failed, "url_unreachable")
	f.want(third, d, Pending, "")
}

func TestFirmwares(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		f.cfg.MaxSize, f.cfg.MaxFirmwares, f.cfg.MaxModules = 100, 2, 1
		add := func(version, module, data string) error {
			_, err := f.AddFirmware(t.Context(), NewFirmware{Product: f.product, Module: module, Version: version, Data: strings.NewReader(data)})
			return err
		}
		var invalid *ErrInvalid
		for name, tt := range map[string]struct {
			version, module, data string
			is                    error
		}{"no version": {"", "", "x", nil}, "bad version": {"1 0", "", "x", nil}, "long version": {strings.Repeat("1", 33), "", "x", nil},
			"bad module": {"1", "a/b", "x", nil}, "empty": {"1", "", "", nil}, "too large": {"1", "", strings.Repeat("x", 101), ErrTooLarge}} {
			if err := add(tt.version, tt.module, tt.data); tt.is != nil && !errors.Is(err, tt.is) || tt.is == nil && !errors.As(err, &invalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, step := range []struct {
			version, module string
			want            error
		}{{"1.0", "", nil}, {"1.0", "", ErrExists}, {"1.0", "radio", registry.ErrLimit}, {"2.0", "", nil}, {"3.0", "", registry.ErrLimit}} {
			if err := add(step.version, step.module, strings.Repeat("x", 100)); !errors.Is(err, step.want) {
				t.Errorf("%s %s: got %v, want %v", step.module, step.version, err, step.want)
			}
		}
		list, err := f.Firmwares(t.Context(), f.product, "")
		if err != nil || len(list) != 2 || list[0].Version != "2.0" {
			t.Fatalf("%+v, %v", list, err)
		}
		f.device("thermo-1")
		task := f.task(list[0], "thermo-1")
		if err := f.DeleteFirmware(t.Context(), f.product, list[0].ID); !errors.Is(err, ErrInUse) {
			t.Errorf("in use: %v", err)
		}
		if _, err := f.CancelTask(t.Context(), f.product, task.ID); err != nil {
			t.Fatal(err)
		}
		if err := f.DeleteFirmware(t.Context(), f.product, list[0].ID); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Blobs.Stat(t.Context(), list[0].Blob()); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("blob: %v", err)
		}
		if _, err := f.Firmware(t.Context(), f.product, list[0].ID); !errors.Is(err, ErrFirmwareNotFound) {
			t.Errorf("after delete: %v", err)
		}
		if _, err := f.Trim(t.Context(), time.Now()); err != nil {
			t.Error(err)
		}
	})
}

func TestTargets(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	fw := f.firmwareOf("2.0", "x")
	for i := range 5 {
		f.device(fmt.Sprintf("thermo-%d", i))
	}
	if _, err := f.Registry.CreateGroup(t.Context(), registry.NewGroup{Project: registry.DefaultProject, Name: "east"}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Registry.AddMembers(t.Context(), registry.DefaultProject, "east", []ident.Device{{Product: f.product, SN: "thermo-1"}, {Product: f.product, SN: "thermo-2"}}); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		targets Targets
		want    int64
	}{
		"all": {Targets{All: true}, 5}, "group": {Targets{Group: "east"}, 2}, "filter": {Targets{Filter: "sn:thermo-3"}, 1},
		"named twice": {Targets{Devices: []string{"thermo-0", "thermo-0"}}, 1},
		"none":        {Targets{}, 0}, "two": {Targets{All: true, Group: "east"}, 0}, "nobody": {Targets{Devices: []string{"nobody"}}, 0},
		"no group": {Targets{Group: "west"}, 0}, "empty": {Targets{Filter: "sn:none"}, 0}, "bad filter": {Targets{Filter: "("}, 0},
	} {
		task, err := f.CreateTask(t.Context(), NewTask{Product: f.product, Firmware: fw.ID, Targets: tt.targets})
		if (err == nil) != (tt.want > 0) || err == nil && task.Total() != tt.want {
			t.Errorf("%s: %+v, %v", name, task, err)
		}
	}
	f.cfg.MaxDevices = 4
	if _, err := f.CreateTask(t.Context(), NewTask{Product: f.product, Firmware: fw.ID, Targets: Targets{All: true}}); !errors.Is(err, registry.ErrLimit) {
		t.Errorf("too many: %v", err)
	}
}

// TestPlain: firmware goes over plain HTTP only when the operator allows it.
func TestPlain(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	f.Links = shortlink.New(storetest.Keyring, func() string { return "http://iot.example.com" })
	f.device("thermo-1")
	fw := f.firmwareOf("2.0", "x")
	n := NewTask{Product: f.product, Firmware: fw.ID, Targets: Targets{All: true}}
	if _, err := f.CreateTask(t.Context(), n); !errors.Is(err, ErrPlain) {
		t.Errorf("got %v", err)
	}
	f.cfg.AllowPlain = true
	if _, err := f.CreateTask(t.Context(), n); err != nil {
		t.Error(err)
	}
	token := f.Links.Token(shortlink.Link{Kind: shortlink.Firmware, ID: fw.ID, Until: time.Now().Add(time.Hour)})
	if _, err := f.Find(t.Context(), token, "", false); err != nil {
		t.Error(err)
	}
}

func FuzzReport(f *testing.F) {
	for _, s := range []string{reportOld, requestOld, succeed, "{\"Method\":\"report_fail\",\"ErrCode\":-\xff", `{"Payload":{"Percent":1e300}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := &uplink.Message{Payload: b}
		r := parseReport(m)
		if r.method == "" && (r.code != 0 || r.version != "") && !json.Valid(b) {
			t.Errorf("%q: %+v", b, r)
		}
	})
}
