package ota_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hawser-iot/hawser/device-sdk/device"
	"github.com/hawser-iot/hawser/device-sdk/devicetest"
	"github.com/hawser-iot/hawser/device-sdk/update"
	"github.com/hawser-iot/hawser/edge-agent/ota"
	"github.com/hawser-iot/hawser/edge-agent/slot"
	"github.com/hawser-iot/hawser/firmware/imagetest"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const slotSize = 192 << 10

// The images: a system with a new version, and an application that stays.
var (
	oldSystem = imagetest.Stream("system", 90_000)
	newSystem = slices.Concat(oldSystem[:40_000], []byte("an insertion"), oldSystem[40_000:])
	app       = imagetest.Stream("application", 70_000)
	newApp    = slices.Concat(app[:30_000], []byte("more"), app[30_000:])
)

var copies = slot.Copies{Offsets: []int64{0, 4096}, Size: 4096}

// device is one with a U-Boot: all that it writes to hangs on one power.
type board struct {
	t         *testing.T
	hub       *devicetest.Hub
	authority *devicetest.Authority
	id        ident.Device
	secret    credential.Secret
	asks      bool // the hub wants the owner to agree
	change    func(c *ota.Config)

	mu      sync.Mutex // of disks: the agent opens them from several goroutines
	disks   map[string]*imagetest.Disk
	power   *imagetest.Power
	running string
	starts  []string
	crashes []byte      // the system that does not come up
	whole   [][2][]byte // the systems and applications that belong together
}

// shared is made once: keys and a hub.
var shared = sync.OnceValues(devicetest.NewAuthority)

func newBoard(t *testing.T) *board {
	t.Helper()
	a, err := shared()
	must(t, err)
	return newBoardAt(t, devicetest.New(t), a)
}

func newBoardAt(t *testing.T, hub *devicetest.Hub, a *devicetest.Authority) *board {
	t.Helper()
	b := &board{t: t, hub: hub, authority: a, secret: credential.NewSecret(), disks: map[string]*imagetest.Disk{}, power: imagetest.NewPower(0)}
	b.whole = [][2][]byte{{oldSystem, app}, {newSystem, app}}
	b.id = hub.AddDevice(devicetest.Device{Secret: b.secret})
	b.write("A/system", oldSystem)
	b.write("A/app", app)
	env, err := slot.EncodeUBoot(slot.Variables{{Name: "BOOT_ORDER", Value: "A B"}, {Name: "BOOT_A_LEFT", Value: "3"}, {Name: "BOOT_B_LEFT", Value: "3"}}, copies.Size, true, 0)
	must(t, err)
	b.write("env", append(env, env...))
	return b
}

// disk is the disk of a name, made when it is asked for first.
func (b *board) disk(name string) *imagetest.Disk {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.disks[name]
	if d == nil {
		d = imagetest.NewDisk(slotSize)
		d.Plug(b.power)
		b.disks[name] = d
	}
	return d
}

func (b *board) write(name string, content []byte) {
	b.t.Helper()
	_, err := b.disk(name).WriteAt(content, 0)
	must(b.t, err)
	must(b.t, b.disk(name).Sync())
}

type medium struct{ *imagetest.Disk }

func (medium) Close() error { return nil }
func (medium) Size() int64  { return slotSize }

// control is the boot loader's environment, as the agent sees it.
func (b *board) control() slot.Control {
	u, err := slot.NewUBoot(slot.UBootConfig{
		Copies: copies, Slots: slot.Names{"A", "B"}, Booted: func() (string, error) { return b.running, nil },
		Open: func(string) (slot.Place, error) { return b.disk("env"), nil },
	})
	must(b.t, err)
	return u
}

// boot does what the boot script does, and checks that what it starts is whole.
func (b *board) boot() {
	b.t.Helper()
	for {
		b.plug(0)
		var v slot.Variables
		var no int
		var flag byte
		for i, off := range copies.Offsets {
			raw := make([]byte, copies.Size)
			_, err := b.disk("env").ReadAt(raw, off)
			must(b.t, err)
			if x, f, err := slot.ParseUBoot(raw, true); err == nil && (v == nil || int8(f-flag) > 0) {
				v, no, flag = x, i, f
			}
		}
		name := ""
		for _, s := range strings.Fields(v.Get("BOOT_ORDER")) {
			if n, err := strconv.ParseInt(v.Get("BOOT_"+s+"_LEFT"), 16, 64); err == nil && n > 0 {
				name, v = s, v.Set("BOOT_"+s+"_LEFT", strconv.FormatInt(n-1, 16))
				break
			}
		}
		if name == "" {
			b.t.Fatalf("nothing starts: %v", v)
		}
		raw, err := slot.EncodeUBoot(v, copies.Size, true, flag+1)
		must(b.t, err)
		_, err = b.disk("env").WriteAt(raw, copies.Offsets[1-no])
		must(b.t, err)
		must(b.t, b.disk("env").Sync())
		b.starts = append(b.starts, name)
		system, application := b.disk(name+"/system").Bytes(), b.disk(name+"/app").Bytes()
		if !slices.ContainsFunc(b.whole, func(w [2][]byte) bool { return bytes.HasPrefix(system, w[0]) && bytes.HasPrefix(application, w[1]) }) {
			b.t.Fatalf("slot %s was started and is not whole; starts %q", name, b.starts)
		}
		if b.running = name; b.crashes != nil && bytes.HasPrefix(system, b.crashes) {
			continue
		}
		return
	}
}

func (b *board) plug(cutAt int) {
	b.power = imagetest.NewPower(cutAt)
	for _, d := range b.disks {
		d.Plug(b.power)
	}
}

// deadLink is a connection of a device that may have no power.
type deadLink struct {
	device.Firmware
	power *imagetest.Power
}

func (l deadLink) Send(ctx context.Context, payload []byte) error {
	if l.power.Off() {
		<-ctx.Done()
		return ctx.Err()
	}
	return l.Firmware.Send(ctx, payload)
}

func (b *board) config(link update.Link, restarted chan struct{}) ota.Config {
	module := func(name string) ota.Module {
		return ota.Module{
			Name:   name,
			Module: update.Module{Vendor: devicetest.TestVendor, Class: devicetest.TestClass, Version: "1.0"},
			Paths:  map[string]string{"A": "A/" + name, "B": "B/" + name},
		}
	}
	c := ota.Config{
		Device: b.id.ClientID(), Secret: b.secret, Link: link, Root: b.authority.Document(),
		Store: update.NewFiles(func(name string) (update.RecordFile, error) { return medium{b.disk(name)}, nil }),
		Open:  func(path string, _ int64) (ota.Medium, error) { return medium{b.disk(path)}, nil },
		Boot: ota.Boot{Control: b.control(), Slots: slot.Names{"A", "B"}, Restart: func(context.Context) error {
			close(restarted)
			return nil
		}},
		Modules: []ota.Module{module("app"), module("system")},
		Trial:   time.Minute, Poll: 20 * time.Millisecond,
		Download: update.Download{Stall: 2 * time.Second, PauseMin: time.Millisecond, PauseMax: 5 * time.Millisecond, Rounds: 3},
	}
	if b.change != nil {
		b.change(&c)
	}
	return c
}

// run is the device from a start to the next.
func (b *board) run(ctx context.Context, use func(o *ota.OTA)) {
	b.t.Helper()
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("HAWSER_TEST_VERBOSE") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	dev, err := device.New(device.Config{Server: b.hub.URL(), Product: b.id.Product, SN: b.id.SN, Secret: b.secret, SignedFirmware: true,
		Persistent: true, ReconnectMin: 5 * time.Millisecond, ReconnectMax: 50 * time.Millisecond}, log)
	must(b.t, err)
	restarted := make(chan struct{})
	o, err := ota.New(b.config(deadLink{dev.Firmware(), b.power}, restarted), log)
	if err != nil {
		if !b.power.Off() {
			b.t.Error(err)
		}
		return
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := dev.Run(ctx); err != nil {
			b.t.Error(err)
		}
	})
	wg.Go(func() {
		if err := o.Run(ctx); err != nil && !b.power.Off() {
			b.t.Error(err)
		}
	})
	if use != nil {
		wg.Go(func() { use(o) })
	}
	select {
	case <-restarted:
	case <-b.power.Gone():
	case <-ctx.Done():
	}
	stop()
	wg.Wait()
}

// live runs the device, start after start, until the hub's record is as wanted and the device has forgotten the update. The power is cut at the given
// operation of all starts together; it returns how many operations there were.
func (b *board) live(deployment string, cut int, want func(devicetest.Update) bool) (u devicetest.Update, ops int) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	alive, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		left := cut
		for alive.Err() == nil {
			b.boot()
			b.plug(max(left, 0))
			power := b.power
			b.run(alive, nil)
			ops += power.Ops()
			if left -= power.Ops(); power.Off() {
				left = 0
			}
		}
	})
	u, err := b.hub.WaitUpdate(ctx, deployment, want)
	stop()
	wg.Wait()
	if err != nil {
		b.t.Fatalf("cut at %d: %v: states %q, last %+v, starts %q", cut, err, u.States, u.Last, b.starts)
	}
	return u, ops
}

// offer is the new system, with a delta.
func (b *board) offer() string {
	b.t.Helper()
	r, err := b.authority.Build(devicetest.Firmware{Images: map[string][]byte{"system": newSystem}, Old: map[string][]byte{"system": oldSystem}})
	must(b.t, err)
	return b.bring(r)
}

// offerBoth is the new system and the new application in one release: no slot may have one of them alone.
func (b *board) offerBoth(change func(r *devicetest.Release)) string {
	b.t.Helper()
	r, err := b.authority.Build(devicetest.Firmware{Images: map[string][]byte{"app": newApp, "system": newSystem}})
	must(b.t, err)
	if change != nil {
		change(r)
	}
	b.whole = [][2][]byte{{oldSystem, app}, {newSystem, newApp}}
	return b.bring(r)
}

func (b *board) bring(r *devicetest.Release) string {
	b.t.Helper()
	number, err := b.hub.OfferFirmware(b.id, devicetest.Offer{Release: r, Authority: b.authority, Module: "system", Consent: b.asks})
	must(b.t, err)
	return number
}

func attested(u devicetest.Update) bool { return u.Attested != nil && u.Attested.Confirmed }
