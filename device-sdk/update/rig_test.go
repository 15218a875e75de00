package update_test

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/device"
	"github.com/hawser-iot/hawser/device-sdk/devicetest"
	"github.com/hawser-iot/hawser/device-sdk/update"
	"github.com/hawser-iot/hawser/firmware/imagetest"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
)

const slotSize = 256 << 10

// oldImage and newImage share most of their content.
var (
	oldImage = imagetest.Stream("update test", 120_000)
	newImage = slices.Concat(oldImage[:50_000], []byte("an insertion"), oldImage[50_000:110_000], imagetest.Stream("more", 8_000))
)

// rig is a hub, and a device with a board.
type rig struct {
	t         *testing.T
	hub       *devicetest.Hub
	authority *devicetest.Authority
	id        ident.Device
	secret    credential.Secret
	board     *devicetest.Board
	log       *slog.Logger
	// change changes the configuration before each start, dial that of the connection.
	change func(c *update.Config)
	dial   func(c *device.Config)
	// started is told of each Updater before it runs.
	started func(u *update.Updater)
}

func newRig(t *testing.T) *rig { return newRigWith(t, devicetest.New(t), newAuthority(t), oldBoard(t)) }

func newRigWith(t *testing.T, hub *devicetest.Hub, a *devicetest.Authority, b *devicetest.Board) *rig {
	r := &rig{t: t, hub: hub, authority: a, board: b, secret: credential.NewSecret(), log: slog.New(slog.DiscardHandler)}
	if os.Getenv("HAWSER_TEST_VERBOSE") != "" {
		r.log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	r.id = r.hub.AddDevice(devicetest.Device{Secret: r.secret})
	return r
}

// shared is the authority of all tests, and newImage signed by it, with a delta from oldImage: making one takes a while.
var shared = sync.OnceValues(func() (struct {
	authority *devicetest.Authority
	release   *devicetest.Release
}, error) {
	var s struct {
		authority *devicetest.Authority
		release   *devicetest.Release
	}
	var err error
	if s.authority, err = devicetest.NewAuthority(); err == nil {
		s.release, err = s.authority.Build(devicetest.Firmware{
			Images: map[string][]byte{"default": newImage}, Old: map[string][]byte{"default": oldImage}})
	}
	return s, err
})

func newAuthority(t *testing.T) *devicetest.Authority {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	own := *s.authority
	return &own
}

func oldBoard(t *testing.T) *devicetest.Board {
	t.Helper()
	b, err := devicetest.NewBoard(slotSize, map[string][]byte{"default": oldImage})
	if err != nil {
		t.Fatal(err)
	}
	b.Bootable(newImage)
	return b
}

// release is newImage, signed, with a delta from oldImage; the caller may change its files.
func (r *rig) release() *devicetest.Release {
	r.t.Helper()
	s, err := shared()
	if err != nil {
		r.t.Fatal(err)
	}
	own := *s.release
	own.Files = maps.Clone(own.Files)
	return &own
}

func (r *rig) build(f devicetest.Firmware) *devicetest.Release {
	r.t.Helper()
	if f.Images == nil {
		f.Images, f.Old = map[string][]byte{"default": newImage}, map[string][]byte{"default": oldImage}
	}
	rel, err := r.authority.Build(f)
	if err != nil {
		r.t.Fatal(err)
	}
	return rel
}

func (r *rig) offer(o devicetest.Offer) string {
	r.t.Helper()
	if o.Authority == nil {
		o.Authority = r.authority
	}
	if o.Release == nil {
		o.Release = r.release()
	}
	number, err := r.hub.OfferFirmware(r.id, o)
	if err != nil {
		r.t.Fatal(err)
	}
	return number
}

func (r *rig) config(link update.Link) update.Config {
	c := update.Config{
		Device: r.id.ClientID(), Secret: r.secret, Root: r.authority.Document(),
		Modules: map[string]update.Module{"default": {Vendor: devicetest.TestVendor, Class: devicetest.TestClass, Version: "1.0"}},
		Link:    link, Store: r.board.Store(), Storage: r.board, Installer: r.board,
		Download:     update.Download{Stall: 2 * time.Second, PauseMin: time.Millisecond, PauseMax: 5 * time.Millisecond, Rounds: 3},
		TrialTimeout: time.Minute, Poll: 20 * time.Millisecond, AnswerTimeout: 3 * time.Second,
	}
	if r.change != nil {
		r.change(&c)
	}
	return c
}

// deadLink is a connection of a device that may have no power.
type deadLink struct {
	device.Firmware
	board *devicetest.Board
}

func (l deadLink) Send(ctx context.Context, payload []byte) error {
	if l.board.Power().Off() {
		<-ctx.Done()
		return ctx.Err()
	}
	return l.Firmware.Send(ctx, payload)
}

// run runs the device from a start to the next: until it wants to restart, its power is cut, or ctx ends.
func (r *rig) run(ctx context.Context) {
	r.t.Helper()
	cfg := device.Config{Server: r.hub.URL(), Product: r.id.Product, SN: r.id.SN, Secret: r.secret, SignedFirmware: true,
		Persistent: true, ReconnectMin: 5 * time.Millisecond, ReconnectMax: 50 * time.Millisecond}
	if r.dial != nil {
		r.dial(&cfg)
	}
	dev, err := device.New(cfg, r.log)
	if err != nil {
		r.t.Fatal(err)
	}
	up, err := update.New(r.config(deadLink{dev.Firmware(), r.board}), r.log)
	if err != nil {
		if !r.board.Power().Off() {
			r.t.Fatal(err)
		}
		return
	}
	if r.started != nil {
		r.started(up)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := dev.Run(ctx); err != nil {
			r.t.Error(err)
		}
	})
	wg.Go(func() {
		if err := up.Run(ctx); err != nil && !r.board.Power().Off() {
			r.t.Error(err)
		}
	})
	select {
	case <-r.board.Restarted():
	case <-r.board.Power().Gone():
	case <-ctx.Done():
	}
	stop()
	wg.Wait()
}

// live runs the device, start after start, until ctx ends. It returns how often it was started.
func (r *rig) live(ctx context.Context) (starts int) {
	for ctx.Err() == nil {
		starts++
		r.run(ctx)
		if ctx.Err() != nil {
			break
		}
		if err := r.board.PowerOn(0); err != nil {
			r.t.Error(err)
			break
		}
	}
	return starts
}

// until runs the device until the deployment is as wanted.
func (r *rig) until(number string, want func(u devicetest.Update) bool) devicetest.Update {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	alive, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { r.live(alive) })
	u, err := r.hub.WaitUpdate(ctx, number, want)
	if err == nil {
		r.idle(ctx)
	}
	stop()
	wg.Wait()
	if err != nil {
		r.t.Fatalf("%v: states %q, last %+v", err, u.States, u.Last)
	}
	return u
}

// alive runs the device until the test ends, or stop is called.
func (r *rig) alive() (stop func()) {
	ctx, cancel := context.WithCancel(r.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { r.live(ctx) })
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	r.t.Cleanup(stop)
	return stop
}

// await waits until a deployment is as wanted, for a device that is alive.
func (r *rig) await(number string, want func(u devicetest.Update) bool) devicetest.Update {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	u, err := r.hub.WaitUpdate(ctx, number, want)
	if err != nil {
		r.t.Fatalf("%v: states %q, last %+v", err, u.States, u.Last)
	}
	return u
}

// idle waits until the device has noted the end: it has no plan any more.
func (r *rig) idle(ctx context.Context) {
	for ctx.Err() == nil {
		if b, err := r.board.Store().Load("update"); err == nil && len(b) == 0 {
			return
		}
		time.Sleep(2 * time.Millisecond) // a poll with ctx as its deadline
	}
}

func in(state string) func(devicetest.Update) bool {
	return func(u devicetest.Update) bool { return u.State() == state }
}

func attested(u devicetest.Update) bool { return u.Attested != nil }

// runs tells which image the device runs.
func (r *rig) runs(want []byte) {
	r.t.Helper()
	if got := r.board.Slot(r.board.Running(), "default"); !bytes.HasPrefix(got, want) {
		r.t.Errorf("slot %s holds another image", r.board.Running())
	}
}

func newServer(t *testing.T, h http.Handler) (url string) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}
