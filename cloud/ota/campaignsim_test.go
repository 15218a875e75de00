package ota

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hawser-iot/hawser/cloud/blob/fileblob"
	"github.com/hawser-iot/hawser/cloud/ota/artifact"
	"github.com/hawser-iot/hawser/cloud/ota/rollout"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/shortlink"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// manner is how a simulated device behaves.
type manner uint8

const (
	good     manner = iota
	fails           // its checksum is never right
	silent          // takes the offer and is never heard of again
	repeats         // says everything twice, and the old things once more at the end
	flapping        // loses its session in the middle, asks anew, and begins anew
	manners
)

// simDevice is a stock device. Only its turn and Send touch it, never at once.
type simDevice struct {
	*registry.Device
	manner  manner
	epoch   int64
	version string
	offer   string // the version that it was offered last
	at      int    // how far it is: 0 has nothing to do
	flapped bool
	flashed int // how often it has written 2.0
}

// world is a hub's OTA, its devices, and a clock.
type world struct {
	t       testing.TB
	cfg     store.Config
	blobs   string
	db      *store.DB
	ota     *OTA
	path    *uplink.Path
	product string
	mu      sync.Mutex // guards clock and sends
	clock   time.Time
	sends   int
	dies    int // the Send at which the hub dies, 0 is never
	die     context.CancelFunc
	list    []*simDevice
	byName  map[string]*simDevice
}

func newWorld(t testing.TB, cfg store.Config, n int, kind func(i int) manner) *world {
	t.Helper()
	cfg.Keyring = storetest.Keyring
	w := &world{t: t, cfg: cfg, blobs: t.TempDir(), clock: time.Now(), byName: map[string]*simDevice{}}
	w.start()
	p, err := w.ota.Registry.CreateProduct(t.Context(), registry.NewProduct{Name: "thermo", Kind: registry.KindDevice})
	if err != nil {
		t.Fatal(err)
	}
	w.product = p.SN
	for len(w.list) < n {
		var sns []string
		for i := len(w.list); i < min(len(w.list)+1000, n); i++ {
			sns = append(sns, fmt.Sprintf("thermo-%06d", i))
		}
		made, err := w.ota.Registry.CreateDevices(t.Context(), p.SN, len(sns), sns)
		if err != nil {
			t.Fatal(err)
		}
		err = w.db.Update(t.Context(), func(tx *store.Tx) error {
			for _, d := range made {
				if _, err := tx.Exec(t.Context(), `INSERT INTO session (device, epoch, online) VALUES (?, 1, 1)`, d.ID); err != nil {
					return err
				}
				if _, err := tx.Exec(t.Context(), `INSERT INTO module_version (device, module, version, reported_at) VALUES (?, 'default', '1.0', 1)`, d.ID); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range made {
			s := &simDevice{Device: d, manner: kind(len(w.list)), epoch: 1, version: "1.0"}
			w.list = append(w.list, s)
			w.byName[d.Identity.SN] = s
		}
	}
	return w
}

// start opens the hub's store and makes its OTA, as a process does that begins.
func (w *world) start() {
	w.t.Helper()
	log := slog.New(slog.DiscardHandler)
	db, err := store.Open(context.Background(), w.cfg, log, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	reg, err := registry.New(context.Background(), db, log)
	if err != nil {
		w.t.Fatal(err)
	}
	blobs, err := fileblob.Open(filepath.Join(w.blobs, "blobs"))
	if err != nil {
		w.t.Fatal(err)
	}
	ids := message.NewIDs(1, 0, time.Now)
	w.db = db
	w.ota = New(DefaultConfig(), Deps{Store: db, Registry: reg, Blobs: blobs, Sender: w, IDs: ids, Log: log,
		Artifacts: artifact.New(artifact.DefaultConfig(), artifact.Deps{Store: db, Blobs: blobs, Log: log}),
		Links:     shortlink.New(storetest.Keyring, func() string { return "https://iot.example.com" })})
	w.ota.now = w.now
	w.path = uplink.New(uplink.Config{Store: db, IDs: ids, Log: log, Now: w.now, Handlers: map[topic.Kind]uplink.Handler{topic.OTAUpstream: w.ota}})
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock
}

// restart ends the hub and begins another on the same store. All devices lose their sessions and come back.
func (w *world) restart() {
	w.t.Helper()
	if err := w.db.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.start()
	for _, d := range w.list {
		if err := w.reconnect(d); err != nil {
			w.t.Fatal(err)
		}
	}
}

// Send implements Sender.
func (w *world) Send(ctx context.Context, dev ident.Device, _ string, payload []byte, _ bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sends++; w.sends == w.dies {
		w.die()
	}
	if ctx.Err() != nil {
		return ctx.Err() // the hub died before it was out
	}
	w.byName[dev.SN].take(payload)
	return nil
}

// Subscribed implements Sender.
func (w *world) Subscribed(ident.Device, string) bool { return true }

// Verifies implements Sender.
func (w *world) Verifies(context.Context, ident.Device) (bool, error) { return false, nil }

// take is a message of the hub.
func (d *simDevice) take(payload []byte) {
	var m struct {
		Method  string
		Payload struct{ Version string }
	}
	if json.Unmarshal(payload, &m) != nil {
		return
	}
	switch m.Method {
	case "update_firmware":
		d.offer, d.at = m.Payload.Version, 1
	case "cancel_update":
		d.at = 0
	}
}

// says sends a message and takes the answer.
func (w *world) says(d *simDevice, payload string) error {
	m := &uplink.Message{Device: d.Identity, DeviceID: d.ID, Topic: topic.Topic{Kind: topic.OTAUpstream, Device: d.Identity},
		Name: topic.System(d.Identity, topic.OTAUpstream), Payload: []byte(payload), QoS: 1, At: w.now(), Epoch: d.epoch}
	err := w.path.Do(w.t.Context(), m)
	if err != nil && !errors.As(err, new(*uplink.Refusal)) {
		return err
	}
	for _, r := range m.Replies() {
		d.take(r.Payload)
	}
	return nil
}

var setEpoch = store.NewStmt(`UPDATE session SET epoch = ? WHERE device = ?`)

// reconnect is a new session, in which the device says what it runs and asks.
func (w *world) reconnect(d *simDevice) error {
	d.epoch++
	d.at = 0
	err := w.db.Do(w.t.Context(), &store.Unit{Device: d.ID, Ops: []store.Op{setEpoch.Op(d.epoch, d.ID)}})
	if err != nil || d.manner == silent {
		return err
	}
	return w.says(d, `{"Method":"request_firmware","Payload":{"Module":"default","Version":"`+d.version+`"}}`)
}

// turn lets a device do one thing.
func (w *world) turn(d *simDevice) error {
	if d.at == 0 || d.manner == silent {
		return nil
	}
	say := func(payload string) error {
		err := w.says(d, payload)
		if err == nil && d.manner == repeats {
			err = w.says(d, payload)
		}
		return err
	}
	d.at++
	switch d.at {
	case 2:
		return say(`{"Method":"report_progress","Payload":{"State":"downloading","Percent":50}}`)
	case 3:
		if d.manner == flapping && !d.flapped {
			d.flapped = true
			return w.reconnect(d)
		}
		if d.manner == fails {
			d.at = 0
			return say(`{"Method":"report_fail","Payload":{"Module":"default","ErrCode":-4}}`)
		}
		return say(`{"Method":"report_progress","Payload":{"State":"burning","Percent":10}}`)
	case 4:
		d.flashed++
		d.version = d.offer
		return say(`{"Method":"report_success","Payload":{"Module":"default","Version":"` + d.version + `"}}`)
	}
	d.at = 0
	if d.manner == repeats {
		return errors.Join(w.says(d, `{"Method":"report_progress","Payload":{"State":"downloading","Percent":50}}`), w.reconnect(d))
	}
	return w.reconnect(d)
}

// turns lets all devices do one thing, many at a time.
func (w *world) turns() error {
	g := errgroup.Group{}
	g.SetLimit(256)
	for _, d := range w.list {
		if d.at > 0 {
			g.Go(func() error { return w.turn(d) })
		}
	}
	return g.Wait()
}

// second is one of the hub's, and one of the devices'.
func (w *world) second(ctx context.Context) error {
	w.mu.Lock()
	w.clock = w.clock.Add(time.Second)
	w.mu.Unlock()
	return errors.Join(w.ota.tick(ctx), w.ota.expire(ctx), w.turns())
}

func (w *world) campaign(spec Spec) *Campaign {
	w.t.Helper()
	fw, err := w.ota.AddFirmware(w.t.Context(), NewFirmware{Product: w.product, Version: "2.0", Data: strings.NewReader("new")})
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := w.ota.CreateCampaign(w.t.Context(), NewCampaign{Product: w.product, Firmware: fw.ID, Timeout: time.Minute, Targets: Targets{All: true}, Spec: spec})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// verify holds the end of a campaign to what each device is like. No device has written the firmware twice.
func (w *world) verify(c *Campaign) {
	w.t.Helper()
	c, err := w.ota.Campaign(w.t.Context(), c.Product, c.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	p, err := w.ota.Progress(w.t.Context(), c.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	want := map[State]int64{}
	for _, d := range w.list {
		switch d.manner {
		case fails:
			want[Failed]++
		case silent:
			want[TimedOut]++
		default:
			want[Succeeded]++
			if d.flashed != 1 {
				w.t.Errorf("%s has written the firmware %d times", d.Identity.SN, d.flashed)
			}
		}
	}
	if got := p.States(); c.Status != Done || fmt.Sprint(got) != fmt.Sprint(want) || c.Released != int64(len(w.list)) {
		w.t.Errorf("%s, %d let go: got %v, want %v", c.Status, c.Released, got, want)
	}
	var wrong int64
	err = w.db.QueryRow(w.t.Context(), `SELECT COUNT(*) FROM (SELECT state, COUNT(*) AS n FROM ota_deployment WHERE task = ? GROUP BY state) AS r
		WHERE n <> (SELECT SUM(n) FROM ota_count WHERE task = ? AND state = r.state)`, c.ID, c.ID).Scan(&wrong)
	if err != nil || wrong != 0 {
		w.t.Errorf("%d counters are wrong, %v", wrong, err)
	}
}

// through runs a campaign to its end.
func (w *world) through(c *Campaign, most int) (seconds int) {
	w.t.Helper()
	for seconds = range most {
		if err := w.second(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		now, err := w.ota.Campaign(w.t.Context(), c.Product, c.ID)
		if err != nil {
			w.t.Fatal(err)
		}
		if now.Status == Done {
			return seconds
		}
	}
	return most
}

// usual is a fleet in which some devices fail, are silent, repeat themselves or flap.
func usual(i int) manner {
	switch {
	case i%20 == 3:
		return fails
	case i%25 == 4:
		return silent
	case i%10 == 5:
		return repeats
	case i%10 == 6:
		return flapping
	}
	return good
}

// TestFleet brings a campaign to 2,000 devices of all manners, to 100,000 with HAWSER_TEST_LONG; a fifth of that on PostgreSQL.
func TestFleet(t *testing.T) {
	n := 2000
	if os.Getenv("HAWSER_TEST_LONG") != "" {
		n = 100_000
	}
	t.Run("sqlite", func(t *testing.T) { fleet(t, store.Config{Dir: t.TempDir()}, n) })
	t.Run("postgres", func(t *testing.T) { fleet(t, store.Config{DSN: storetest.PostgresDSN(t)}, n/5) })
}

func fleet(t *testing.T, cfg store.Config, n int) {
	w := newWorld(t, cfg, n, usual)
	defer func() { _ = w.db.Close() }()
	c := w.campaign(Spec{Waves: []rollout.Wave{{Count: 10}, {Percent: 10, Settled: 80}, {Percent: 100}}})
	var before syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	start := time.Now()
	seconds := w.through(c, 2000)
	var after syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	took := time.Since(start)
	cpu := time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
	t.Logf("%d devices in %s (%d simulated seconds): %.0f devices/s, CPU %s (%s a device), heap %d MiB, peak RSS %d MiB", n, took.Round(time.Millisecond), seconds,
		float64(n)/took.Seconds(), cpu.Round(time.Millisecond), (cpu / time.Duration(n)).Round(time.Microsecond), mem.HeapInuse>>20, after.Maxrss>>10)
	w.verify(c)
}

// TestKilled ends the hub at each of its steps, and in the middle of offers, and goes on with another on the same store: the campaign comes to
// the same end, and no device is updated twice.
func TestKilled(t *testing.T) {
	spec := Spec{Waves: []rollout.Wave{{Count: 2}, {Percent: 100}}}
	kind := func(i int) manner { return []manner{good, good, repeats, flapping, fails, silent}[i%6] }
	steps := 12
	t.Run("between", func(t *testing.T) {
		for at := range steps {
			w := newWorld(t, store.Config{Dir: t.TempDir()}, 6, kind)
			c := w.campaign(spec)
			for range at {
				if err := w.second(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			w.restart()
			w.through(c, 400)
			w.verify(c)
			_ = w.db.Close()
		}
	})
	t.Run("offering", func(t *testing.T) {
		for at := 1; at <= 6; at++ {
			w := newWorld(t, store.Config{Dir: t.TempDir()}, 6, kind)
			c := w.campaign(spec)
			ctx, die := context.WithCancel(t.Context())
			w.dies, w.die = at, die
			for range 400 {
				if err := w.second(ctx); err != nil && ctx.Err() == nil {
					t.Fatal(err)
				}
				if ctx.Err() != nil {
					break
				}
			}
			die()
			w.restart()
			w.through(c, 400)
			w.verify(c)
			_ = w.db.Close()
		}
	})
}
