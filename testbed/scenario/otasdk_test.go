package scenario

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/device"
	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/device-sdk/update"
	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/imagetest"
	"github.com/hawser-iot/hawser/firmware/manifest"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// maker is somebody who makes devices: keys, releases and a product at a hub, with hawserctl.
type maker struct {
	t       *testing.T
	hub     *harness.Hub
	dir     string
	bin     string
	product string
}

func newMaker(t *testing.T, hub *harness.Hub, product string) *maker {
	t.Helper()
	m := &maker{t: t, hub: hub, dir: t.TempDir(), bin: harness.Binary(t, "hawserctl"), product: product}
	m.do("firmware", "director", "--out", "hub.pub")
	for _, k := range []string{"root", "release-1", "release-2"} {
		m.do("firmware", "keygen", k+".pem", "--no-passphrase")
	}
	m.do("firmware", "root", "init", "root.1", "--not-after", "never", "--root-key", "root.pem.pub", "--director-key", "hub.pub", "--key", "root.pem",
		"--release-key", "release-1.pem.pub", "--release-key", "release-2.pem.pub", "--release-threshold", "2")
	m.do("firmware", "trust", "set", product, "root.1")
	return m
}

// do runs a command of hawserctl and returns what it prints.
func (m *maker) do(args ...string) []byte {
	m.t.Helper()
	cmd := exec.Command(m.bin, args...)
	cmd.Dir = m.dir
	cmd.Env = append(os.Environ(), "HAWSER_HUB=http://"+m.hub.HTTP, "HAWSER_API_KEY="+m.hub.Key, "HAWSERCTL_CONFIG="+m.path("config.yaml"))
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		m.t.Fatalf("hawserctl %q: %v\n%s%s", args, err, out, errs.String())
	}
	return out
}

func (m *maker) path(name string) string { return filepath.Join(m.dir, name) }

// release makes, signs and pushes a release, and returns its id.
func (m *maker) release(version, sequence string, image []byte) (id string) {
	m.t.Helper()
	file := version + ".img"
	if err := os.WriteFile(m.path(file), image, 0o600); err != nil {
		m.t.Fatal(err)
	}
	m.do("firmware", "build", file, "--class", "example.com/thermo-2", "--version", version, "--sequence", sequence, "--key", "release-1.pem")
	m.do("firmware", "sign", file+".suit", "--key", "release-2.pem")
	var r struct{ ReleaseID, State string }
	m.parse(m.do("firmware", "push", m.product, file+".suit", "--image", "default="+file, "-o", "json"), &r)
	if r.State != "ready" {
		m.t.Fatalf("release %s is %s", version, r.State)
	}
	return r.ReleaseID
}

func (m *maker) parse(b []byte, v any) {
	m.t.Helper()
	if err := json.Unmarshal(b, v); err != nil {
		m.t.Fatalf("%v: %s", err, b)
	}
}

// hasDelta waits until the hub has made a delta to a release.
func (m *maker) hasDelta(id string) {
	m.t.Helper()
	harness.Eventually(m.t, time.Minute, "a delta is ready", func() bool {
		var r struct {
			Files []struct{ Kind, State string }
		}
		m.parse(m.do("firmware", "release", m.product, id, "-o", "json"), &r)
		return slices.ContainsFunc(r.Files, func(f struct{ Kind, State string }) bool { return f.Kind == "delta" && f.State == "ready" })
	})
}

// bring updates the device and waits until the hub says how that went.
func (m *maker) bring(id, sn string) (state, class string) {
	m.t.Helper()
	return m.ended(m.start(id, sn))
}

// start begins a task for one device.
func (m *maker) start(id, sn string) (task string) {
	m.t.Helper()
	var t struct{ TaskID string }
	m.parse(m.do("ota", "start", m.product, id, "--device", sn, "-o", "json"), &t)
	return t.TaskID
}

// ended waits until a task is done with its one device.
func (m *maker) ended(task string) (state, class string) {
	m.t.Helper()
	var d struct {
		Items []struct{ State, Class string }
	}
	harness.Eventually(m.t, 60*time.Second, "the update ends", func() bool {
		if err := m.hub.Call("GET", "/v1/products/"+m.product+"/ota-tasks/"+task+"/devices", nil, &d); err != nil {
			m.t.Fatal(err)
		}
		return len(d.Items) == 1 && slices.Contains([]string{"succeeded", "failed", "rolled_back", "cancelled"}, d.Items[0].State)
	})
	return d.Items[0].State, d.Items[0].Class
}

// thermo is a device with the SDK and two slots in a folder.
type thermo struct {
	t    *testing.T
	dir  string
	cfg  device.Config
	root []byte
	// asked is told when the owner is asked, agreed is what he says.
	asked  chan struct{}
	agreed atomic.Bool
	// trial is how long an image may take to prove itself; 0 is two minutes.
	trial atomic.Int64
	// between stands between the device and the hub; nil is nobody.
	between func(update.Link) update.Link
}

// newThermo is a device of the maker's product, with an image in its first slot.
func (m *maker) newThermo(image []byte) *thermo {
	m.t.Helper()
	root, err := os.ReadFile(m.path("root.1"))
	if err != nil {
		m.t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(m.hub.Data, "tls", "ca.pem"))
	if err != nil {
		m.t.Fatal(err)
	}
	creds := m.hub.Devices(m.product, 1)[0]
	d := &thermo{t: m.t, dir: m.t.TempDir(), root: root, asked: make(chan struct{}, 1), cfg: device.Config{
		Server: "tls://" + m.hub.MQTTS, TLS: link.TLS{CA: ca}, Product: m.product, SN: creds.DeviceSN, Secret: credential.Secret(creds.DeviceSecret), SignedFirmware: true,
		Persistent: true, CBOR: true, ReconnectMin: 20 * time.Millisecond,
	}}
	if err := os.MkdirAll(filepath.Join(d.dir, "slots", "A"), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.dir, "slots", "A", "default"), image, 0o600); err != nil {
		m.t.Fatal(err)
	}
	return d
}

// begin has the device live until the test ends.
func (d *thermo) begin() {
	ctx, stop := context.WithCancel(d.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { d.live(ctx) })
	d.t.Cleanup(func() { stop(); wg.Wait() })
}

// live starts the device again and again until ctx ends.
func (d *thermo) live(ctx context.Context) {
	for ctx.Err() == nil {
		if err := d.run(ctx); err != nil {
			d.t.Error(err)
			return
		}
	}
}

func (d *thermo) run(ctx context.Context) error {
	ctx, restart := context.WithCancel(ctx)
	defer restart()
	slots, err := update.OpenFolder(d.dir, restart)
	if err != nil {
		return err
	}
	if _, err := slots.Start(); err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	dev, err := device.New(d.cfg, log)
	if err != nil {
		return err
	}
	tls, err := d.cfg.TLS.Config()
	if err != nil {
		return err
	}
	var hub update.Link = dev.Firmware()
	if d.between != nil {
		hub = d.between(hub)
	}
	vendor := manifest.VendorID("example.com")
	up, err := update.New(update.Config{
		Device: dev.Identity().ClientID(), Secret: d.cfg.Secret, Root: d.root, Link: hub, Store: slots, Storage: slots, Installer: slots,
		Modules:      map[string]update.Module{"default": {Vendor: vendor, Class: manifest.ClassID(vendor, "thermo-2"), Version: "1.0"}},
		TrialTimeout: cmp.Or(time.Duration(d.trial.Load()), 2*time.Minute), Poll: 50 * time.Millisecond, CBOR: d.cfg.CBOR, Download: update.Download{TLS: tls},
		Consent: d.consent,
		Healthy: func(context.Context) error {
			b, err := os.ReadFile(slots.Path("default"))
			if err == nil && bytes.HasPrefix(b, []byte("unwell")) {
				err = errors.New("it says so")
			}
			return err
		},
	}, log)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	wg.Go(func() { err = up.Run(ctx); restart() })
	if err := dev.Run(ctx); err != nil {
		d.t.Error(err)
	}
	restart()
	wg.Wait()
	return err
}

func (d *thermo) consent(context.Context, update.Release) error {
	select {
	case d.asked <- struct{}{}:
	default:
	}
	if !d.agreed.Load() {
		return failure.New(failure.Consent, "nobody has agreed")
	}
	return nil
}

// TestSignedUpdateSDK: a device with the SDK takes a release from a real hub that has never had its keys, a second one by a delta, and goes back from
// a third that is not well. The hub is killed while the owner is asked about the first.
func TestSignedUpdateSDK(t *testing.T) {
	hub := harness.StartHub(t, harness.HubOptions{Args: []string{"--durability", "process"}})
	product := hub.Product(map[string]any{"name": "thermo"})
	m := newMaker(t, hub, product)
	one := imagetest.Stream("thermo", 700_000)
	two := slices.Concat(one[:100_000], []byte("an insertion"), one[100_000:600_000], imagetest.Stream("more", 20_000))
	three := slices.Concat(two[:300_000], []byte("a patch"), two[300_000:])
	four := slices.Concat([]byte("unwell"), three)

	d := m.newThermo(one)
	d.begin()

	first := m.release("2.0", "1", two)
	task := m.start(first, d.cfg.SN)
	select {
	case <-d.asked:
	case <-time.After(time.Minute):
		t.Fatal("the owner was not asked")
	}
	hub.Kill()
	hub.Start()
	d.agreed.Store(true)
	if state, class := m.ended(task); state != "succeeded" {
		t.Fatalf("the first update: %s %s", state, class)
	}
	d.holds("B", two)

	id := m.release("3.0", "2", three)
	m.hasDelta(id)
	before := served(t, hub)
	if state, class := m.bring(id, d.cfg.SN); state != "succeeded" {
		t.Fatalf("the second update: %s %s", state, class)
	}
	d.holds("A", three)
	if n := served(t, hub) - before; n < 500 || n > 20_000 {
		t.Errorf("%v bytes were served for an update by a delta", n)
	}

	d.trial.Store(int64(time.Second)) // it will not become well
	if state, class := m.bring(m.release("4.0", "3", four), d.cfg.SN); state != "rolled_back" {
		t.Errorf("the third update: %s %s", state, class)
	}
	var versions struct {
		Items []struct{ Module, Version string }
	}
	if err := hub.Call("GET", "/v1/products/"+product+"/devices/"+d.cfg.SN+"/versions", nil, &versions); err != nil {
		t.Fatal(err)
	}
	if len(versions.Items) != 1 || versions.Items[0].Version != "3.0" {
		t.Errorf("versions %+v", versions)
	}
}

func (d *thermo) holds(slot string, want []byte) {
	d.t.Helper()
	got, err := os.ReadFile(filepath.Join(d.dir, "slots", slot, "default"))
	if err != nil || !bytes.Equal(got, want) {
		d.t.Errorf("slot %s holds another image (%d bytes, %v)", slot, len(got), err)
	}
}

// served is how many bytes devices have downloaded of a hub.
func served(t *testing.T, hub *harness.Hub) (n float64) {
	t.Helper()
	for line := range strings.Lines(get(t, "http://"+hub.HTTP+"/metrics")) {
		if text, ok := strings.CutPrefix(line, "hawser_ingress_served_bytes_total "); ok {
			var err error
			if n, err = strconv.ParseFloat(strings.TrimSpace(text), 64); err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("/metrics does not tell how many bytes were served")
	return 0
}
