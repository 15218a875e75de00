package agentupdate

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/devicetest"
)

var phases = []string{"asking", "accepted", "staging", "staged", "arming", "restarting", "trial", "confirmed"}

// TestKilledAtEachStep kills the agent when it writes down a step, at each one: it goes on where it was.
func TestKilledAtEachStep(t *testing.T) {
	p := target(t, "linux-amd64")
	old := build(t, p, "1.0")
	new := append(slices.Clone(old), "a new version"...) // which runs as well
	a, err := devicetest.NewAuthority()
	must(t, err)
	r, err := a.Build(devicetest.Firmware{Images: map[string][]byte{"default": new}, Old: map[string][]byte{"default": old}})
	must(t, err)
	launcher := filepath.Join(t.TempDir(), "launcher")
	must(t, os.WriteFile(launcher, old, 0o700))
	for _, phase := range phases {
		t.Run(phase, func(t *testing.T) {
			s := newSite(t, p, a, old, new, r, "[true]")
			u := s.live(launcher, " to="+phase+" ", 3*time.Minute, attested, nil)
			if u.Attested.Slot != "B" {
				t.Errorf("attested %+v", u.Attested)
			}
			s.current("B", new)
			t.Logf("%d bytes were downloaded of %d", u.Sent, len(new))
		})
	}
	for _, phase := range []string{"reverting", "settled"} {
		t.Run("not well and "+phase, func(t *testing.T) {
			s := newSite(t, p, a, old, new, r, "[false]")
			u := s.live(launcher, " to="+phase+" ", 3*time.Minute, func(u devicetest.Update) bool { return u.State() == "rolled_back" }, nil)
			if u.Last.Class != "HEALTH_FAILED" {
				t.Errorf("%+v, states %q", u.Last, u.States)
			}
			s.current("A", old)
		})
	}
	t.Run("a program that crashes", func(t *testing.T) {
		broken := []byte("#!/bin/sh\nexit 1\n")
		r, err := a.Build(devicetest.Firmware{Images: map[string][]byte{"default": broken}})
		must(t, err)
		s := newSite(t, p, a, old, broken, r, "[true]")
		u := s.live(launcher, "", 3*time.Minute, func(u devicetest.Update) bool { return u.State() == "rolled_back" }, nil)
		if u.Last.Class != "BOOT_FAILED" || !slices.Contains(u.States, "rebooting") {
			t.Errorf("%+v, states %q", u.Last, u.States)
		}
		s.current("A", old)
	})
}

// TestOtherProcessors update themselves under qemu.
func TestOtherProcessors(t *testing.T) {
	names := []string{"linux-arm-7", "linux-mipsle-softfloat"}
	if os.Getenv("HAWSER_TEST_LONG") != "" {
		names = append(names, "linux-arm-5", "linux-mips-softfloat")
	}
	for _, name := range names {
		p := target(t, name)
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(p.QEMU); err != nil {
				t.Fatalf("%v: make install-test-deps installs it", err)
			}
			old := build(t, p, "1.0")
			new := append(slices.Clone(old), "a new version"...)
			a, err := devicetest.NewAuthority()
			must(t, err)
			r, err := a.Build(devicetest.Firmware{Images: map[string][]byte{"default": new}, Old: map[string][]byte{"default": old}})
			must(t, err)
			s := newSite(t, p, a, old, new, r, "[true]")
			began := time.Now()
			u := s.live("", "", 4*time.Minute, attested, nil)
			s.current("B", new)
			t.Logf("%d bytes were downloaded of %d, in %v", u.Sent, len(new), time.Since(began).Round(time.Second))
		})
	}
}
