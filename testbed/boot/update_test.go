package boot

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/devicetest"
	"github.com/hawser-iot/hawser/edge-agent/slot"
	"github.com/hawser-iot/hawser/firmware/signing"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
)

func TestMain(m *testing.M) {
	if Forwarded() {
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// Addresses of the host in the guest's network.
const (
	guestMQTT  = "10.0.2.100:1883"
	guestFiles = "10.0.2.100:8080"
)

// gateway is a machine with the agent, and its hub on the host.
type gateway struct {
	t         *testing.T
	hub       *devicetest.Hub
	authority *devicetest.Authority
	id        ident.Device
	mods      map[string]string
	init      []byte
	agent     []byte
	disk      string
}

func newGateway(t *testing.T) *gateway {
	t.Helper()
	kernel, mods, err := Kernel()
	must(t, err)
	g := &gateway{t: t, hub: devicetest.New(t), mods: mods, init: build(t, "./guest"), agent: build(t, "../../cmd/agent"), disk: filepath.Join(t.TempDir(), "disk")}
	g.authority, err = devicetest.NewAuthority()
	must(t, err)
	g.id = g.hub.AddDevice(devicetest.Device{Kind: devicetest.Gateway})
	config := fmt.Sprintf(`hub: tcp://%s
product: %s
device: %s
secret: %s
data: /data/agent
firmware:
  root: /data/root.1
  trial: 2m
  boot: {kind: uboot, path: /dev/vda, offsets: [%#x, %#x], size: 8KiB, tries: 2, restart: [/init, reboot]}
  modules:
    - {name: default, class: %s/%s, version: "1.0", paths: {A: /dev/vda2, B: /dev/vda3}}
  watchdog: {device: /dev/watchdog, every: 5s}
`, guestMQTT, g.id.Product, g.id.SN, g.hub.Secret(g.id).Reveal(), Copies.Offsets[0], Copies.Offsets[1], devicetest.TestVendor, devicetest.TestClass)
	must(t, WriteDisk(g.disk, Contents{Kernel: kernel, A: g.image("1.0", "agent"), Data: map[string][]byte{
		"agent.yaml": []byte(config), "root.1": g.authority.Document(),
	}}))
	return g
}

// image fills a slot, so that its digest is that of the partition.
func (g *gateway) image(version, mode string) []byte {
	g.t.Helper()
	b := image(g.t, g.mods, mode, g.init, File{"agent", 0o755, g.agent}, File{"version", 0o644, []byte(version)})
	return append(b, make([]byte, SlotSize-len(b))...)
}

// offer offers a release of the image for a slot, as seen from the guest.
func (g *gateway) offer(sequence uint64, img, old []byte, serve func(files http.Handler) http.Handler) string {
	g.t.Helper()
	r, err := g.authority.Build(devicetest.Firmware{
		Version: fmt.Sprintf("%d.0", sequence), Sequence: sequence, Images: map[string][]byte{"default": img}, Old: map[string][]byte{"default": old},
	})
	must(g.t, err)
	o := devicetest.Offer{Release: r, Authority: g.authority}
	o.Change = func(o *message.OTAOffer) { o.ManifestURL = guestURL(g.t, o.ManifestURL) }
	o.Assign = func(a *signing.Assignment) {
		for i, s := range a.Sources {
			a.Sources[i] = guestURL(g.t, s)
		}
	}
	if serve != nil {
		o.Serve = serve(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			r.ServeHTTP(w, req, strings.TrimPrefix(req.URL.Path, "/"))
		}))
	}
	number, err := g.hub.OfferFirmware(g.id, o)
	must(g.t, err)
	return number
}

func guestURL(t *testing.T, text string) string {
	u, err := url.Parse(text)
	if err != nil {
		t.Error(err)
		return text
	}
	u.Host = guestFiles
	return u.String()
}

func (g *gateway) start() *Machine {
	g.t.Helper()
	mqtt, err := url.Parse(g.hub.URL())
	must(g.t, err)
	files, err := url.Parse(g.hub.FirmwareSource("1"))
	must(g.t, err)
	return start(g.t, g.disk, map[string]string{guestMQTT: Forward(mqtt.Host), guestFiles: Forward(files.Host)})
}

// until waits until the hub's record of a deployment is as wanted.
func (g *gateway) until(number string, want func(devicetest.Update) bool) devicetest.Update {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), 3*startTimeout)
	defer cancel()
	u, err := g.hub.WaitUpdate(ctx, number, want)
	if err != nil {
		g.t.Fatalf("%v: states %q, last %+v", err, u.States, u.Last)
	}
	return u
}

func attested(u devicetest.Update) bool { return u.Attested != nil && u.Attested.Confirmed }

// TestUpdate brings an update to a machine with a U-Boot: a good one commits, one that panics or hangs falls back, and one whose power is cut while its slot
// is written goes on.
func TestUpdate(t *testing.T) {
	if os.Getenv("HAWSER_TEST_LONG") == "" {
		t.Skip("minutes, with HAWSER_TEST_LONG; TestBootUpdate in testbed/scenario is the short form")
	}
	g := newGateway(t)
	one, two := g.image("1.0", "agent"), g.image("2.0", "agent")
	began := time.Now()
	lap := func(what string, u devicetest.Update) {
		t.Logf("%s after %v: states %q, %d bytes served", what, time.Since(began).Round(time.Second), u.States, u.Sent)
	}

	number := g.offer(2, two, one, nil)
	m := g.start()
	u := g.until(number, attested)
	lap("a good build", u)
	if u.Attested.Slot != "B" || !slices.Equal(m.Boots(), []string{"A", "B"}) {
		t.Errorf("attested %+v, starts %q", u.Attested, m.Boots())
	}

	number = g.offer(3, g.image("3.0", "panic"), two, nil)
	u = g.until(number, func(u devicetest.Update) bool { return u.State() == "rolled_back" })
	lap("a build that panics", u)
	if u.Last.Class != "BOOT_FAILED" || !slices.Equal(m.Boots(), []string{"A", "B", "A", "A", "B"}) {
		t.Errorf("%+v, starts %q", u.Last, m.Boots())
	}

	// The download stops in the middle, and then the power is cut.
	four := g.image("4.0", "agent")
	half := make(chan struct{})
	var requests atomic.Int64
	number = g.offer(4, four, nil, func(files http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// The pack's ends, some chunks, and then no more.
			if strings.HasPrefix(r.URL.Path, "/pack/") && requests.Add(1) == 5 {
				close(half)
				<-r.Context().Done()
				return
			}
			files.ServeHTTP(w, r)
		})
	})
	select {
	case <-half:
	case <-time.After(3 * startTimeout):
		t.Fatal("nothing was downloaded")
	}
	m.PowerOff()
	if order := g.order(); bytes.Equal(g.slot(slotA), four) || order != "B" {
		t.Errorf("slot A is complete, or is started: the order is %q", order)
	}
	m = g.start()
	u = g.until(number, attested)
	lap("a power cut", u)
	if u.Attested.Slot != "A" || !slices.Equal(m.Boots(), []string{"B", "A"}) {
		t.Errorf("attested %+v, starts %q", u.Attested, m.Boots())
	}
	if !bytes.Equal(g.slot(slotA), four) {
		t.Error("slot A holds another image")
	}

	// A build that hangs is ended by the watchdog.
	number = g.offer(5, g.image("5.0", "hang"), nil, nil)
	u = g.until(number, func(u devicetest.Update) bool { return u.State() == "rolled_back" })
	lap("a build that hangs", u)
	if u.Last.Class != "BOOT_FAILED" || !slices.Equal(m.Boots(), []string{"B", "A", "B", "B", "A"}) {
		t.Errorf("%+v, starts %q", u.Last, m.Boots())
	}
}

// slot reads a slot of the disk.
func (g *gateway) slot(at int64) []byte {
	g.t.Helper()
	f, err := os.Open(g.disk)
	must(g.t, err)
	defer f.Close()
	b := make([]byte, SlotSize)
	_, err = f.ReadAt(b, at*sector)
	must(g.t, err)
	return b
}

// order is what U-Boot would start.
func (g *gateway) order() string {
	g.t.Helper()
	f, err := os.Open(g.disk)
	must(g.t, err)
	defer f.Close()
	var v slot.Variables
	var flag byte
	for _, off := range Copies.Offsets {
		b := make([]byte, Copies.Size)
		_, err := f.ReadAt(b, off)
		must(g.t, err)
		if x, n, err := slot.ParseUBoot(b, true); err == nil && (v == nil || int8(n-flag) > 0) {
			v, flag = x, n
		}
	}
	return v.Get("BOOT_ORDER")
}
