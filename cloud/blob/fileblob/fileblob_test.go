package fileblob_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hawser-iot/hawser/cloud/blob"
	"github.com/hawser-iot/hawser/cloud/blob/blobtest"
	"github.com/hawser-iot/hawser/cloud/blob/fileblob"
)

func open(t *testing.T, dir string) *fileblob.Store {
	t.Helper()
	s, err := fileblob.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store { return open(t, filepath.Join(t.TempDir(), "blobs")) })
}

// TestLeftovers opens a folder in which a process died while it wrote.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if _, err := s.Put(t.Context(), "kept", strings.NewReader("x"), 1); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(dir, ".tmp", "put-1")
	if err := os.WriteFile(half, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	if _, err := os.Stat(half); !os.IsNotExist(err) {
		t.Errorf("the leftover is there: %v", err)
	}
	if _, err := s.Stat(t.Context(), "kept"); err != nil {
		t.Error(err)
	}
}

// TestFullDisk puts more than fits: an error that says so, no leftover, and space again for what fits.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatalf("mount a tmpfs (needs root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	s := open(t, dir)
	_, err := s.Put(t.Context(), "big", strings.NewReader(strings.Repeat("x", 2<<20)), -1)
	if !errors.Is(err, blob.ErrUnavailable) || !strings.Contains(err.Error(), "free space") {
		t.Errorf("got %v, want ErrUnavailable and what to do", err)
	}
	if _, err := s.Put(t.Context(), "small", strings.NewReader(strings.Repeat("x", 900<<10)), -1); err != nil {
		t.Errorf("after a failure: %v", err)
	}
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), "more", strings.NewReader("x"), 1); !errors.Is(err, blob.ErrUnavailable) {
		t.Errorf("read-only: got %v, want ErrUnavailable", err)
	}
}
