package ota_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/hawser-iot/hawser/device-sdk/devicetest"
	"github.com/hawser-iot/hawser/edge-agent/ota"
	"github.com/hawser-iot/hawser/firmware/failure"
)

// TestSlotIsWholeWhileAnUpdateWaits: looking for room changes nothing of an image that may still be started, or gone back to.
func TestSlotIsWholeWhileAnUpdateWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "B", "agent")
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(t, os.WriteFile(path, app, 0o600))
	for _, size := range []int64{1000, int64(len(app)), int64(len(app)) + 1000} {
		m, err := ota.OpenMedium(path, size)
		must(t, err)
		must(t, m.Close())
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, app) {
			t.Errorf("room for %d bytes: the image has %d bytes, want %d, %v", size, len(got), len(app), err)
		}
	}
}

// TestShorterImageInAFile: a program file that was longer ends where the new image does.
func TestShorterImageInAFile(t *testing.T) {
	b := newBoard(t)
	dir := t.TempDir()
	for _, s := range []string{"A", "B"} {
		must(t, os.MkdirAll(filepath.Join(dir, s), 0o700))
		must(t, os.WriteFile(filepath.Join(dir, s, "system"), oldSystem, 0o600))
	}
	short := oldSystem[:60_000]
	b.whole = [][2][]byte{{nil, nil}} // what starts is looked at below
	b.change = func(c *ota.Config) {
		c.Open, c.Modules = nil, c.Modules[1:]
		c.Modules[0].Paths = map[string]string{"A": filepath.Join(dir, "A", "system"), "B": filepath.Join(dir, "B", "system")}
	}
	r, err := b.authority.Build(devicetest.Firmware{Images: map[string][]byte{"system": short}})
	must(t, err)
	b.live(b.bring(r), 0, attested)
	if got, err := os.ReadFile(filepath.Join(dir, "B", "system")); err != nil || !bytes.Equal(got, short) {
		t.Errorf("slot B has %d bytes, want %d, %v", len(got), len(short), err)
	}
}

// TestDeviceThatIsNotThere: no file is made in the place of a partition.
func TestDeviceThatIsNotThere(t *testing.T) {
	for _, path := range []string{"/dev/hawser-test/rootfs_b", "/dev/../dev/hawser-test-rootfs_b"} {
		t.Cleanup(func() { _ = os.RemoveAll("/dev/hawser-test"); _ = os.Remove("/dev/hawser-test-rootfs_b") })
		m, err := ota.OpenMedium(path, 1000)
		if err == nil {
			_ = m.Close()
		}
		if failure.Of(err) != failure.FlashIO || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
