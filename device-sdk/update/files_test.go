package update_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/hawser-iot/hawser/device-sdk/update"
	"github.com/hawser-iot/hawser/firmware/imagetest"
)

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	open := func() *update.Files {
		t.Helper()
		s, err := update.OpenFiles(filepath.Join(dir, "store"))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if b, err := open().Load("trust"); b != nil || err != nil {
		t.Errorf("nothing saved: %q, %v", b, err)
	}
	for _, text := range []string{"one", "two, which is longer", "3", ""} {
		if err := open().Save("trust", []byte(text)); err != nil {
			t.Fatal(err)
		}
		if b, err := open().Load("trust"); err != nil || string(b) != text {
			t.Errorf("%q, %v, want %q", b, err, text)
		}
	}
	if err := open().Save("trust", make([]byte, 1<<20)); err == nil {
		t.Error("a record of 1 MiB was saved")
	}
	if b, err := open().Load("other"); b != nil || err != nil {
		t.Errorf("another record: %q, %v", b, err)
	}
}

// TestFilesPowerCut cuts the power at each operation of a save: the old record or the new one is there.
func TestFilesPowerCut(t *testing.T) {
	for cut := 1; cut <= 4; cut++ {
		disks := map[string]*imagetest.Disk{}
		s := update.NewFiles(func(name string) (update.RecordFile, error) {
			if disks[name] == nil {
				disks[name] = imagetest.NewDisk(8 << 10)
			}
			return closer{disks[name]}, nil
		})
		one, two := imagetest.Stream("one", 3000), imagetest.Stream("two", 2900)
		if err := s.Save("r", one); err != nil {
			t.Fatal(err)
		}
		p := imagetest.NewPower(cut)
		for _, d := range disks {
			d.Plug(p)
		}
		saved := s.Save("r", two) == nil
		for _, d := range disks {
			d.Plug(imagetest.NewPower(0))
		}
		b, err := s.Load("r")
		if err != nil || !bytes.Equal(b, two) && (saved || !bytes.Equal(b, one)) {
			t.Errorf("cut at %d, saved %v: %d bytes, %v", cut, saved, len(b), err)
		}
	}
}

// TestFilesDamaged flips each byte of both files: what is read is what was saved before, or an error, never something else.
func TestFilesDamaged(t *testing.T) {
	dir := t.TempDir()
	s, err := update.OpenFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "two"} {
		if err := s.Save("r", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	names := []string{filepath.Join(dir, "r.0"), filepath.Join(dir, "r.1")}
	for _, name := range names {
		whole, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := range whole {
			b := bytes.Clone(whole)
			b[i] ^= 1
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := s.Load("r"); err != nil || string(got) != "one" && string(got) != "two" {
				t.Errorf("byte %d: %q, %v", i, got, err)
			}
		}
		if err := os.WriteFile(name, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range names {
		if err := os.Truncate(name, 20); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Load("r"); !errors.Is(err, update.ErrDamaged) {
		t.Errorf("both cut: %v", err)
	}
}

type closer struct{ *imagetest.Disk }

func (closer) Close() error { return nil }

var _ io.Closer = closer{}
