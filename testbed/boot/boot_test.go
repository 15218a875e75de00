package boot

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// build makes a program for the guest.
func build(t *testing.T, pkg string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "program")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm64")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, b)
	}
	b, err := os.ReadFile(out)
	must(t, err)
	return b
}

func image(t *testing.T, mods map[string]string, mode string, init []byte, more ...File) []byte {
	t.Helper()
	b, err := Image(mods, append([]File{{"init", 0o755, init}, {"mode", 0o644, []byte(mode)}}, more...)...)
	must(t, err)
	return b
}

func start(t *testing.T, disk string, forwards map[string]string) *Machine {
	t.Helper()
	m, err := Start(disk, forwards)
	must(t, err)
	t.Cleanup(func() {
		m.PowerOff()
		if t.Failed() {
			for _, l := range m.Console() {
				t.Log(l)
			}
		}
	})
	return m
}

// TestFallback arms slot B from a running slot A: B panics twice, and U-Boot goes back to A.
func TestFallback(t *testing.T) {
	if os.Getenv("HAWSER_TEST_LONG") == "" {
		t.Skip("a minute, with HAWSER_TEST_LONG; TestBootUpdate in testbed/scenario is the short form")
	}
	kernel, mods, err := Kernel()
	must(t, err)
	init := build(t, "./guest")
	disk := filepath.Join(t.TempDir(), "disk")
	must(t, WriteDisk(disk, Contents{Kernel: kernel, A: image(t, mods, "arm", init), B: image(t, mods, "panic", init)}))
	ctx, cancel := context.WithTimeout(context.Background(), 2*startTimeout)
	defer cancel()
	began := time.Now()
	m := start(t, disk, nil)
	_, err = m.Wait(ctx, 0, "GUEST done")
	must(t, err)
	t.Logf("%q in %v", m.Boots(), time.Since(began).Round(time.Second))
	if want := []string{"A", "B", "B", "A"}; !slices.Equal(m.Boots(), want) {
		t.Errorf("%q were started, want %q", m.Boots(), want)
	}
}
