package ota_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/devicetest"
	"github.com/hawser-iot/hawser/device-sdk/update"
	"github.com/hawser-iot/hawser/edge-agent/ota"
	"github.com/hawser-iot/hawser/edge-agent/slot"
)

func TestUpdate(t *testing.T) {
	b := newBoard(t)
	u, _ := b.live(b.offer(), 0, attested)
	if u.Attested.Slot != "B" || !slices.Equal(b.starts, []string{"A", "B"}) {
		t.Errorf("attested %+v after the starts %q", u.Attested, b.starts)
	}
	want := []string{"accepted", "downloading", "staged", "armed", "rebooting", "trial", "confirmed"}
	if !slices.Equal(u.States, want) {
		t.Errorf("states %q, want %q", u.States, want)
	}
	s, err := b.control().Get(t.Context())
	must(t, err)
	if !slices.Equal(s.Order, []string{"B", "A"}) || s.Left["B"] != 3 {
		t.Errorf("the boot loader has %+v", s)
	}
	// What is told in JSON, over the socket, can be read again.
	status, err := ota.ReadStatus(b.config(nil, nil).Store)
	must(t, err)
	text, err := json.Marshal(status)
	must(t, err)
	var again ota.Status
	must(t, json.Unmarshal(text, &again))
	if len(again.Installed) != 1 || !reflect.DeepEqual(again, status) {
		t.Errorf("%+v is read as %+v", status, again)
	}
}

// TestBuildThatCrashes arms a release that never comes up: the boot loader tries it as often as it may, and the device reports what became of it.
func TestBuildThatCrashes(t *testing.T) {
	b := newBoard(t)
	b.crashes = newSystem
	u, _ := b.live(b.offer(), 0, func(u devicetest.Update) bool { return u.State() == "rolled_back" })
	if u.Last.Class != "BOOT_FAILED" || !slices.Equal(b.starts, []string{"A", "B", "B", "B", "A"}) {
		t.Errorf("%+v after the starts %q", u.Last, b.starts)
	}
}

// TestBuildThatIsNotWell comes up, and a check of the owner's is not content.
func TestBuildThatIsNotWell(t *testing.T) {
	b := newBoard(t)
	b.change = func(c *ota.Config) {
		c.Trial = 300 * time.Millisecond
		c.Checks.Health = [][]string{{"true"}, {"sh", "-c", "echo no pump >&2; exit 1"}}
	}
	u, _ := b.live(b.offer(), 0, func(u devicetest.Update) bool { return u.State() == "rolled_back" })
	if u.Last.Class != "HEALTH_FAILED" || !slices.Equal(b.starts, []string{"A", "B", "A"}) {
		t.Errorf("%+v after the starts %q", u.Last, b.starts)
	}
	s, err := b.control().Get(t.Context())
	must(t, err)
	if !slices.Equal(s.Order, []string{"A"}) {
		t.Errorf("the order is %q", s.Order)
	}
}

// TestPowerCutAtEveryWrite cuts the power at writes and syncs of the slots, the records and the environment, of each third (of each one with
// HAWSER_TEST_LONG): whatever the boot loader starts afterwards is whole, and the update completes.
func TestPowerCutAtEveryWrite(t *testing.T) {
	a, err := shared()
	must(t, err)
	hub := devicetest.New(t)
	b := newBoardAt(t, hub, a)
	_, ops := b.live(b.offer(), 0, attested)
	t.Logf("%d writes and syncs", ops)
	if ops < 60 {
		t.Fatal("too few to have cut all")
	}
	step := 3
	if os.Getenv("HAWSER_TEST_LONG") != "" {
		step = 1
	}
	for cut := 1 + int(time.Now().UnixNano()%int64(step)); cut <= ops; cut += step {
		b := newBoardAt(t, hub, a)
		u, _ := b.live(b.offer(), cut, attested)
		if u.Attested.Slot != "B" {
			t.Fatalf("cut at %d: slot %s; starts %q", cut, u.Attested.Slot, b.starts)
		}
	}
}

// TestTwoModules installs two images together or none: also when the power is cut on the way, or one of them is not what was signed.
func TestTwoModules(t *testing.T) {
	a, err := shared()
	must(t, err)
	hub := devicetest.New(t)
	b := newBoardAt(t, hub, a)
	_, ops := b.live(b.offerBoth(nil), 0, attested)
	step := 7
	if os.Getenv("HAWSER_TEST_LONG") != "" {
		step = 1
	}
	for cut := 1; cut <= ops; cut += step {
		b := newBoardAt(t, hub, a)
		b.live(b.offerBoth(nil), cut, attested)
		if !bytes.HasPrefix(b.disk("B/app").Bytes(), newApp) || !bytes.HasPrefix(b.disk("B/system").Bytes(), newSystem) {
			t.Fatalf("cut at %d: slot B is not the release", cut)
		}
	}
	b = newBoardAt(t, hub, a)
	u, _ := b.live(b.offerBoth(func(r *devicetest.Release) { r.Files["pack/system"] = r.Files["pack/app"] }), 0,
		func(u devicetest.Update) bool { return u.State() == "failed" })
	if u.Last.Class != "HASH" || slices.Contains(b.starts, "B") {
		t.Errorf("%+v, starts %q", u.Last, b.starts)
	}
	b = newBoardAt(t, hub, a)
	b.crashes = newSystem
	b.live(b.offerBoth(nil), 0, func(u devicetest.Update) bool { return u.State() == "rolled_back" })
	if b.running != "A" {
		t.Errorf("slot %s runs", b.running)
	}
}

// TestConsent holds an update until the owner agrees, through a restart and without a word to the hub; and ends one that they refuse.
func TestConsent(t *testing.T) {
	for _, byHub := range []bool{false, true} {
		for _, agreed := range []bool{true, false} {
			consents(t, byHub, agreed)
		}
	}
}

// consents has the configuration ask for consent, or the hub.
func consents(t *testing.T, byHub, agreed bool) {
	t.Helper()
	b := newBoard(t)
	b.change = func(c *ota.Config) { c.Consent = !byHub }
	b.asks = byHub
	number := b.offer()
	_, _ = b.live(number, 0, func(u devicetest.Update) bool { return u.State() == "waiting" && u.Last.Class == "CONSENT" })
	store := b.config(nil, nil).Store
	s, err := ota.ReadStatus(store)
	must(t, err)
	if s.Update == nil || !s.Update.Waits() || s.Update.Version != "2.0" {
		t.Fatalf("status %+v", s.Update)
	}
	must(t, ota.Consent(store, agreed))
	want := attested
	if !agreed {
		want = func(u devicetest.Update) bool { return u.State() == "failed" && u.Last.Class == "CANCELLED" }
	}
	b.live(number, 0, want)
	if err := ota.Consent(store, true); !errors.Is(err, ota.ErrNothingToAgreeTo) {
		t.Errorf("consent to nothing: %v", err)
	}
}

// TestRollback goes back from a release that its own checks would never end.
func TestRollback(t *testing.T) {
	b := newBoard(t)
	b.change = func(c *ota.Config) { c.Checks.Health, c.Trial = [][]string{{"false"}}, time.Minute }
	number := b.offer()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for b.boot(); b.running == "A"; b.boot() {
		b.plug(0)
		b.run(ctx, func(o *ota.OTA) {
			if err := o.Rollback(ctx); !errors.Is(err, update.ErrUnderWay) && !errors.Is(err, update.ErrNoWayBack) {
				t.Errorf("rollback without a trial: %v", err)
			}
		})
	}
	b.plug(0)
	b.run(ctx, func(o *ota.OTA) {
		if _, err := b.hub.WaitUpdate(ctx, number, func(u devicetest.Update) bool { return u.State() == "trial" }); err != nil {
			t.Error(err)
		}
		s, err := o.Status(ctx)
		if err != nil || s.Boot.Slot != "B" || s.Boot.Confirmed {
			t.Errorf("status %+v, %v", s.Boot, err)
		}
		if err := o.Rollback(ctx); err != nil {
			t.Error(err)
		}
	})
	b.live(number, 0, func(u devicetest.Update) bool { return u.State() == "rolled_back" })
	if b.running != "A" {
		t.Errorf("slot %s runs", b.running)
	}
	list, err := ota.History(b.config(nil, nil).Store)
	must(t, err)
	var phases []string
	for _, e := range list {
		phases = append(phases, e.Phase)
	}
	if want := []string{"offered", "asking", "accepted", "staging", "staged", "arming", "restarting", "trial", "settled"}; !slices.Equal(phases[:min(len(phases), len(want))], want) {
		t.Errorf("history %q, want %q first", phases, want)
	}
}

// TestWaitsForPower begins when a command says that there is enough.
func TestWaitsForPower(t *testing.T) {
	b := newBoard(t)
	full := filepath.Join(t.TempDir(), "full")
	b.change = func(c *ota.Config) { c.Checks.Power = []string{"test", "-e", full} }
	number := b.offer()
	b.live(number, 0, func(u devicetest.Update) bool { return u.State() == "waiting" && u.Last.Class == "POWER" })
	must(t, os.WriteFile(full, nil, 0o600))
	b.live(number, 0, attested)
}

// TestWatchdog is fed while the agent runs, and what is on trial is not well without.
func TestWatchdog(t *testing.T) {
	b := newBoard(t)
	dog := filepath.Join(t.TempDir(), "watchdog")
	b.change = func(c *ota.Config) { c.Trial, c.Watchdog.Device = 300*time.Millisecond, dog }
	b.live(b.offer(), 0, func(u devicetest.Update) bool { return u.State() == "rolled_back" })

	b = newBoard(t)
	b.change = func(c *ota.Config) { c.Watchdog = ota.Watchdog{Device: dog, Every: 10 * time.Millisecond} }
	must(t, os.WriteFile(dog, nil, 0o600))
	b.live(b.offer(), 0, attested)
	got, err := os.ReadFile(dog)
	must(t, err)
	if len(got) == 0 {
		t.Error("it was never fed")
	}
}

// TestFiles updates files whose slot is used as soon as its link is: what uses them is restarted, and then the agent.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "A"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "A", "system"), oldSystem, 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "A", "app"), app, 0o700))
	b := newBoard(t)
	restarts := 0
	b.change = func(c *ota.Config) {
		l, err := slot.NewLinks(slot.LinksConfig{Dir: dir, Slots: c.Boot.Slots})
		must(t, err)
		end := c.Boot.Restart
		c.Boot.Control, c.Boot.Used, c.Open = l, true, nil
		c.Boot.Restart = func(ctx context.Context) error { restarts++; return end(ctx) }
		for i, m := range c.Modules {
			c.Modules[i].Paths = map[string]string{"A": filepath.Join(dir, "A", m.Name), "B": filepath.Join(dir, "B", m.Name)}
		}
	}
	u, _ := b.live(b.offer(), 0, attested)
	for name, want := range map[string][]byte{"system": newSystem, "app": app} {
		if got, err := os.ReadFile(filepath.Join(dir, "current", name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what it should be: %v", name, err)
		}
	}
	if u.Attested.Slot != "B" || restarts != 1 {
		t.Errorf("slot %s, %d restarts", u.Attested.Slot, restarts)
	}
}

// TestUnavailable: without an environment there are no updates, and an error that tells so.
func TestUnavailable(t *testing.T) {
	b := newBoard(t)
	b.running = "A"
	b.write("env", make([]byte, 2*copies.Size))
	_, err := ota.New(b.config(deadLink{}, nil), slog.New(slog.DiscardHandler))
	if !errors.Is(err, ota.ErrUnavailable) || !errors.Is(err, slot.ErrNoEnvironment) {
		t.Errorf("error %v", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	b := newBoard(t)
	for name, change := range map[string]func(c *ota.Config){
		"three slots": func(c *ota.Config) { c.Boot.Slots = slot.Names{"A", "B", "C"} },
		"no control":  func(c *ota.Config) { c.Boot.Control = nil },
		"tries":       func(c *ota.Config) { c.Boot.Tries = 10 },
		"no modules":  func(c *ota.Config) { c.Modules = nil },
		"no path":     func(c *ota.Config) { delete(c.Modules[0].Paths, "B") },
		"same path":   func(c *ota.Config) { c.Modules[0].Paths["B"] = "A/app" },
		"more paths":  func(c *ota.Config) { c.Modules[0].Paths["C"] = "C/app" },
	} {
		c := b.config(deadLink{}, nil)
		change(&c)
		if _, err := ota.New(c, slog.New(slog.DiscardHandler)); err == nil || errors.Is(err, ota.ErrUnavailable) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
