package update_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/devicetest"
	"github.com/hawser-iot/hawser/device-sdk/update"
	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/imagetest"
	"github.com/hawser-iot/hawser/firmware/manifest"
	"github.com/hawser-iot/hawser/firmware/signing"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// nextImage comes after newImage.
var nextImage = slices.Concat(newImage[:60_000], []byte("and one more"), newImage[60_000:])

// backRig is a device that can go back, with the release 2.0 of sequence number 5 over what it was shipped with.
func backRig(t *testing.T, hub *devicetest.Hub) *rig {
	t.Helper()
	r := newRigWith(t, hub, newAuthority(t), oldBoard(t))
	r.board.Bootable(nextImage)
	r.change = func(c *update.Config) { c.WayBack = true }
	r.install("2.0", 5, newImage)
	return r
}

func (r *rig) install(version string, sequence uint64, image []byte) {
	r.t.Helper()
	r.until(r.offerOf(version, sequence, image), attested)
	r.runs(image)
}

func (r *rig) offerOf(version string, sequence uint64, image []byte) string {
	r.t.Helper()
	return r.offer(devicetest.Offer{Release: r.build(devicetest.Firmware{Version: version, Sequence: sequence, Images: map[string][]byte{"default": image}})})
}

// back asks the device to go back, and waits until it has done with that.
func (r *rig) back() error {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 60*time.Second)
	defer cancel()
	var once sync.Once
	first := make(chan *update.Updater, 1)
	r.started = func(u *update.Updater) { once.Do(func() { first <- u }) }
	stop := r.alive()
	defer stop()
	err := (<-first).Rollback(ctx)
	if err == nil {
		r.idle(ctx)
	}
	return err
}

func (r *rig) status() update.Status {
	r.t.Helper()
	s, err := update.ReadStatus(r.board.Store())
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// TestRollback leaves a confirmed release for the one before. The floors stay: the release that was left can be offered again, an older one, or another with its
// number, can not.
func TestRollback(t *testing.T) {
	r := backRig(t, devicetest.New(t))
	r.install("3.0", 6, nextImage)
	if s := r.status(); len(s.Slots) != 2 || s.Slots[0].Installed[0].Version != "3.0" || s.Slots[1].Installed[0].Version != "2.0" {
		t.Errorf("slots %+v", s.Slots)
	}
	if err := r.back(); err != nil {
		t.Fatal(err)
	}
	r.runs(newImage)
	if s := r.status(); s.Installed[0].Version != "2.0" || s.Installed[0].Sequence != 5 {
		t.Errorf("installed %+v", s.Installed)
	}
	told := func(m devicetest.Message) bool {
		v, err := message.DecodeOTA[message.OTAVersion](m.Payload)
		method, _ := message.OTAMethod(m.Payload)
		return err == nil && m.From == r.id && m.Topic.Kind == topic.OTAUpstream && method == message.OTAReportVersion && v.Version == "2.0" && v.Sequence == 5
	}
	if _, err := r.hub.WaitMessage(t.Context(), told); err != nil {
		t.Error(err)
	}
	for _, o := range []struct {
		sequence uint64
		image    []byte
	}{{4, newImage}, {5, nextImage}, {6, oldImage}} {
		if u := r.until(r.offerOf("6.6", o.sequence, o.image), in("rejected")); u.Last.Class != string(failure.Rollback) {
			t.Errorf("sequence number %d ended with class %q", o.sequence, u.Last.Class)
		}
	}
	r.install("3.0", 6, nextImage)
	if err := r.back(); err != nil { // and once more, in both directions
		t.Fatal(err)
	}
	if err := r.back(); err != nil {
		t.Fatal(err)
	}
	r.runs(nextImage)
}

// TestRollbackToFactory goes back to what has no manifest.
func TestRollbackToFactory(t *testing.T) {
	r := backRig(t, devicetest.New(t))
	if err := r.back(); err != nil {
		t.Fatal(err)
	}
	r.runs(oldImage)
	if s := r.status(); s.Installed[0].Version != "1.0" || s.Installed[0].Sequence != 0 {
		t.Errorf("installed %+v", s.Installed)
	}
	// Rules that ask for a sequence number ask for the one that runs.
	number := r.offer(devicetest.Offer{Release: r.build(devicetest.Firmware{Version: "4.0", Sequence: 9, Images: map[string][]byte{"default": nextImage}, Change: func(m *manifest.Manifest) {
		m.Components[0].From = manifest.Rule{Sequence: 5}
	}})})
	if u := r.until(number, in("rejected")); u.Last.Class != string(failure.Dependency) {
		t.Errorf("a stepping stone was left out: class %q", u.Last.Class)
	}
	r.install("2.0", 5, newImage)
}

// TestRollbackOfTwoModules goes back to the images of several releases, and leaves alone what none had.
func TestRollbackOfTwoModules(t *testing.T) {
	r := newRig(t)
	radio := imagetest.Stream("radio", 60_000)
	var err error
	if r.board, err = devicetest.NewBoard(slotSize, map[string][]byte{"default": oldImage, "radio": radio}); err != nil {
		t.Fatal(err)
	}
	for _, p := range [][]byte{newImage, nextImage, radio[:40_000]} {
		r.board.Bootable(p)
	}
	if _, err := mustTarget(t, r, "radio").WriteAt(radio, 0); err != nil { // the board does not carry over what a release leaves as it is
		t.Fatal(err)
	}
	r.change = func(c *update.Config) {
		c.WayBack = true
		c.Modules["radio"] = update.Module{Vendor: devicetest.TestVendor, Class: devicetest.TestClass, Version: "0.9"}
	}
	r.install("2.0", 5, newImage)
	both := devicetest.Firmware{Version: "3.0", Sequence: 6, Images: map[string][]byte{"default": nextImage, "radio": radio[:40_000]}}
	r.until(r.offer(devicetest.Offer{Release: r.build(both)}), attested)
	if err := r.back(); err != nil {
		t.Fatal(err)
	}
	r.runs(newImage)
	list := r.status().Installed
	if len(list) != 2 || list[0].Version != "2.0" || list[1].Version != "0.9" || list[1].Sequence != 0 {
		t.Errorf("installed %+v", list)
	}
}

func mustTarget(t *testing.T, r *rig, module string) update.Target {
	t.Helper()
	target, err := r.board.Target(module, 1)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// TestRollbackFallsBack: the old release is no longer well, and the newer one comes back.
func TestRollbackFallsBack(t *testing.T) {
	r := backRig(t, devicetest.New(t))
	r.change = func(c *update.Config) {
		c.WayBack, c.TrialTimeout = true, 50*time.Millisecond
		if r.board.Running() == "A" {
			c.Healthy = func(context.Context) error { return errors.New("the data is too new") }
		}
	}
	if err := r.back(); err != nil {
		t.Fatal(err)
	}
	r.runs(newImage)
	if s := r.status(); s.Installed[0].Version != "2.0" || len(s.Slots) != 2 {
		t.Errorf("%+v", s)
	}
	if boot, err := r.board.Boot(t.Context()); err != nil || boot.Slot != "B" || !boot.Confirmed || boot.Armed {
		t.Errorf("boot loader %+v, %v", boot, err)
	}
}

// TestRollbackAttacks: what is in the other slot does not start when the root document lets nothing so old run, when it is not what ran there, or when
// the record of it is another one.
func TestRollbackAttacks(t *testing.T) {
	hub := devicetest.New(t)
	for _, tt := range []struct {
		name string
		do   func(r *rig)
		want error
	}{
		{"rollback below the floor: a release", func(r *rig) {
			r.install("3.0", 6, nextImage)
			r.adopt(func(next *signing.Root) { next.Floors = floor(6) })
		}, update.ErrBelowFloor},
		{"rollback below the floor: what was shipped", func(r *rig) { r.adopt(func(next *signing.Root) { next.Floors = floor(1) }) }, update.ErrBelowFloor},
		{"rollback to a release by stolen keys", func(r *rig) {
			r.install("3.0", 6, nextImage)
			r.adopt(func(next *signing.Root) { next.SetRole(signing.RoleRelease, 2, publicKeys(newKeys(r.t, 3))...) })
		}, failureOf(failure.Signature)},
		{"tampered other slot", func(r *rig) {
			if _, err := mustTarget(r.t, r, "default").WriteAt([]byte("x"), 70_000); err != nil {
				r.t.Fatal(err)
			}
		}, update.ErrSlotChanged},
		{"replaced previous record: one that the device did not write", func(r *rig) {
			b := r.record()
			r.replace(append(b[:len(b)-1:len(b)-1], b[len(b)-1]^1))
		}, update.ErrSlotRecord},
		{"replaced previous record: another device's", func(r *rig) { r.replace(backRig(r.t, hub).record()) }, update.ErrSlotRecord},
		{"replaced previous record: an older one of its own, with the slot", func(r *rig) {
			old, slot := r.record(), r.board.Slot("A", "default")
			r.install("3.0", 6, nextImage)
			r.install("4.0", 7, newImage)
			r.replace(old)
			if _, err := mustTarget(r.t, r, "default").WriteAt(slot, 0); err != nil {
				r.t.Fatal(err)
			}
		}, update.ErrSlotRecord},
		{"replaced previous record: none", func(r *rig) { r.replace(nil) }, update.ErrNoWayBack},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := backRig(t, hub)
			tt.do(r)
			slot := r.board.Running()
			err := r.back()
			if !errors.Is(err, tt.want) && !errors.Is(failureOf(failure.Of(err)), tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			boot, err := r.board.Boot(t.Context())
			if err != nil || boot.Slot != slot || !boot.Confirmed || boot.Armed || r.status().Plan != nil {
				t.Errorf("boot loader %+v, %v; plan %+v", boot, err, r.status().Plan)
			}
		})
	}
}

// failureOf is a class where an error is wanted.
type failureOf failure.Class

func (f failureOf) Error() string { return string(f) }

func floor(n uint64) []signing.Floor {
	return []signing.Floor{{Class: devicetest.TestClass, Module: "default", Sequence: n}}
}

// adopt has the device adopt the next root document.
func (r *rig) adopt(change func(next *signing.Root)) {
	r.t.Helper()
	next := r.authority.Root.Successor(time.Now().Truncate(time.Second))
	change(next)
	doc := signedRoot(r.t, next, r.authority.RootKeys[:2]...)
	stop := r.alive()
	defer stop()
	if err := r.hub.WaitOnline(r.t.Context(), r.id, true); err != nil {
		r.t.Fatal(err)
	}
	if err := r.hub.SayFirmware(r.id, devicetest.Say{Method: message.OTARootUpdate, Payload: message.OTABytes{Bytes: doc}}); err != nil {
		r.t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); r.status().Root != 2; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatal("the root document was not adopted")
		}
	}
}

func (r *rig) record() []byte {
	r.t.Helper()
	b, err := r.board.Store().Load("slots")
	if err != nil || len(b) == 0 {
		r.t.Fatalf("record of %d bytes, %v", len(b), err)
	}
	return b
}

func (r *rig) replace(b []byte) {
	r.t.Helper()
	if err := r.board.Store().Save("slots", b); err != nil {
		r.t.Fatal(err)
	}
}

// TestRollbackRecordIsReplacedOnTrial: what has no true record is not confirmed.
func TestRollbackRecordIsReplacedOnTrial(t *testing.T) {
	r := backRig(t, devicetest.New(t))
	r.change = func(c *update.Config) {
		c.WayBack = true
		if r.board.Running() == "A" {
			r.replace([]byte("something else that is long enough to have a code"))
		}
	}
	if err := r.back(); err != nil {
		t.Fatal(err)
	}
	r.runs(newImage)
}

// TestRollbackWhileUpdating is refused at once, and without a record too.
func TestRollbackWhileUpdating(t *testing.T) {
	r := backRig(t, devicetest.New(t))
	r.change = func(c *update.Config) {
		c.WayBack = true
		c.Power = func(context.Context) error { return failure.New(failure.Power, "no sun") }
	}
	number := r.offerOf("3.0", 6, nextImage)
	up := make(chan *update.Updater, 1)
	r.started = func(u *update.Updater) { up <- u }
	r.alive()
	r.await(number, in("waiting"))
	if err := (<-up).Rollback(t.Context()); !errors.Is(err, update.ErrUnderWay) {
		t.Errorf("error %v", err)
	}
}

// TestRollbackPowerCutAtEveryWrite cuts the power at each fourth write and sync of the way back, at each with HAWSER_TEST_LONG: it is gone to its end, or has not begun.
func TestRollbackPowerCutAtEveryWrite(t *testing.T) {
	hub := devicetest.New(t)
	cut := func(at int) int {
		r := backRig(t, hub)
		return r.backWithCut(at)
	}
	ops := cut(0)
	if ops < 20 {
		t.Fatalf("only %d writes and syncs", ops)
	}
	step := 4
	if os.Getenv("HAWSER_TEST_LONG") != "" {
		step = 1
	}
	for at := 1 + int(time.Now().UnixNano()%int64(step)); at <= ops; at += step {
		if cut(at); t.Failed() {
			t.Fatalf("cut at %d of %d", at, ops)
		}
	}
}

// backWithCut has the owner ask for the way back at each start until the device is there.
func (r *rig) backWithCut(at int) (ops int) {
	ctx, cancel := context.WithTimeout(r.t.Context(), 60*time.Second)
	defer cancel()
	alive, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	r.started = func(u *update.Updater) {
		if r.board.Running() == "B" {
			wg.Go(func() { _ = u.Rollback(alive) }) // it is refused while it goes on
		}
	}
	wg.Go(func() { ops = r.livesWithCuts(alive, at) })
	for ctx.Err() == nil {
		s, err := update.ReadStatus(r.board.Store())
		if err == nil && s.Plan == nil && s.Installed[0].Version == "1.0" {
			break
		}
		time.Sleep(time.Millisecond) // a poll with ctx as its deadline
	}
	stop()
	wg.Wait()
	if ctx.Err() != nil {
		r.t.Errorf("cut at %d: %+v", at, r.status())
	}
	r.runs(oldImage)
	if boot, err := r.board.Boot(r.t.Context()); err != nil || !boot.Confirmed || boot.Armed {
		r.t.Errorf("boot loader %+v, %v", boot, err)
	}
	if err := r.board.PowerOn(0); err != nil || !bytes.HasPrefix(r.board.Slot("B", "default"), newImage) {
		r.t.Errorf("power on: %v, or slot B was touched", err)
	}
	return ops
}
