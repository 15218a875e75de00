package update_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/hawser-iot/hawser/device-sdk/update"
	"github.com/hawser-iot/hawser/firmware/failure"
)

// TestFolderThatHasNoRoom: an image for which the disk has no room leaves the disk to others while it waits.
func TestFolderThatHasNoRoom(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); errors.Is(err, syscall.EPERM) {
		t.Skip("a small file system is mounted by root only")
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	f, err := update.OpenFolder(filepath.Join(dir, "firmware"), func() {})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Target("default", 2<<20); failure.Of(err) != failure.Space || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("%v, want no space", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "log"), make([]byte, 512<<10), 0o600); err != nil {
		t.Error(err)
	}
}

// TestFolderKeepsTheOtherSlot until it is armed: looking for room takes nothing off.
func TestFolderKeepsTheOtherSlot(t *testing.T) {
	dir := t.TempDir()
	f, err := update.OpenFolder(dir, func() {})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Start(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "slots", "B", "default")
	if err := os.WriteFile(path, oldImage, 0o600); err != nil {
		t.Fatal(err)
	}
	target, err := f.Target("default", 1000)
	if err != nil {
		t.Fatal(err)
	}
	if err := target.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, oldImage) {
		t.Errorf("%d bytes are left of %d, %v", len(got), len(oldImage), err)
	}
	r := update.Release{Images: []update.Image{{Module: "default", Version: "2.0"}}}
	r.Images[0].Size = 1000
	if err := f.Arm(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, oldImage[:1000]) {
		t.Errorf("armed with %d bytes, want 1000, %v", len(got), err)
	}
}
