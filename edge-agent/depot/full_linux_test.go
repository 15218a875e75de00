package depot

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/hawser-iot/hawser/firmware/failure"
)

// TestImageThatHasNoRoom: an image for which the disk has no room leaves the disk to others while it waits.
func TestImageThatHasNoRoom(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); errors.Is(err, syscall.EPERM) {
		t.Skip("a small file system is mounted by root only")
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(dir, 0)) })
	r := newRoom(filepath.Join(dir, "images"), 8<<20, 2, slog.New(slog.DiscardHandler))
	r.enrol("a", "A", false)
	if _, err := r.target("a", "B", "default", 2<<20); failure.Of(err) != failure.Space || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("%v, want no space", err)
	}
	must(t, os.WriteFile(filepath.Join(dir, "buffer"), make([]byte, 512<<10), 0o600))
}
