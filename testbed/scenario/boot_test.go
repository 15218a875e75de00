package scenario

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/ota/artifact/artifacttest"
	"github.com/hawser-iot/hawser/testbed/boot"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// Addresses of the hub in the machine's network.
const (
	machineMQTTS = "10.0.2.100:8883"
	machineHTTPS = "10.0.2.100:8443"
)

// TestBootUpdate: a hub brings a release to a machine with a U-Boot and two slots, over TLS, and then a build that panics.
func TestBootUpdate(t *testing.T) {
	beside(t)
	hub := harness.StartHub(t, harness.HubOptions{Args: []string{"--device-base-url", "https://" + machineHTTPS}})
	f := newFactory(t, hub)
	f.product = hub.Product(map[string]any{"name": "gateway", "kind": "gateway"})
	document, err := f.trust().Encode()
	if err != nil {
		t.Fatal(err)
	}
	kernel, mods, err := boot.Kernel()
	if err != nil {
		t.Fatal(err)
	}
	init, agent := arm64(t, "../boot/guest"), arm64(t, "../../cmd/agent")
	image := func(mode, version string) []byte {
		b, err := boot.Image(mods, boot.File{Name: "init", Mode: 0o755, Data: init}, boot.File{Name: "agent", Mode: 0o755, Data: agent},
			boot.File{Name: "mode", Mode: 0o644, Data: []byte(mode)}, boot.File{Name: "version", Mode: 0o644, Data: []byte(version)})
		if err != nil {
			t.Fatal(err)
		}
		return append(b, make([]byte, boot.SlotSize-len(b))...)
	}
	disk := filepath.Join(t.TempDir(), "disk")
	if err := boot.WriteDisk(disk, boot.Contents{Kernel: kernel, A: image("agent", "1.0"), Data: map[string][]byte{
		"root.1": document, "agent.yaml": machineConfig(t, f, hub),
	}}); err != nil {
		t.Fatal(err)
	}
	m, err := boot.Start(disk, map[string]string{machineMQTTS: boot.Forward(hub.MQTTS), machineHTTPS: boot.Forward(hub.HTTPS)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		m.PowerOff()
		if t.Failed() {
			t.Log(strings.Join(m.Console(), "\n"))
		}
	})
	began := time.Now()
	for sequence, r := range []struct{ mode, state, class, starts string }{
		{"agent", "succeeded", "", "A B"}, {"panic", "rolled_back", "BOOT_FAILED", "A B A A B"},
	} {
		rel := f.push(uint64(sequence+1), artifacttest.Image{Module: "default", Version: fmt.Sprintf("%d.0", sequence+2), Data: image(r.mode, "next"), Chunks: true})
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
		d := f.becameWithin(ctx, f.start(rel.ReleaseID), r.state)
		cancel()
		if got := strings.Join(m.Boots(), " "); got != r.starts || d.Class != r.class {
			t.Errorf("a build that does %s: starts %q, want %q; %+v", r.mode, got, r.starts, d)
		}
		t.Logf("%s after %v", r.state, time.Since(began).Round(time.Second))
	}
}

// arm64 builds a program for the machine.
func arm64(t *testing.T, pkg string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "program")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, pkg)
	cmd.Env = slices.Concat(os.Environ(), []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm64"})
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, b)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// machineConfig is the agent's configuration in the machine.
func machineConfig(t *testing.T, f *factory, hub *harness.Hub) []byte {
	t.Helper()
	cred := hub.Devices(f.product, 1)[0]
	return fmt.Appendf(nil, `hub: tls://%s
tls: {pins: [%s]}
product: %s
device: %s
secret: %s
data: /data/agent
firmware:
  root: /data/root.1
  trial: 2m
  boot: {kind: uboot, path: /dev/vda, offsets: [%#x, %#x], size: 8KiB, tries: 2, restart: [/init, reboot]}
  modules: [{name: default, class: %s/%s, version: "1.0", paths: {A: /dev/vda2, B: /dev/vda3}}]
  watchdog: {device: /dev/watchdog, every: 5s}
`, machineMQTTS, pinOf(t, hub), cred.ProductSN, cred.DeviceSN, cred.DeviceSecret, boot.Copies.Offsets[0], boot.Copies.Offsets[1],
		artifacttest.Vendor, artifacttest.Class)
}
