package delta

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/hawser-iot/hawser/firmware/image"
	"github.com/hawser-iot/hawser/firmware/imagetest"
)

var _ Fetcher = (*image.Pack)(nil)

// update is an old image, a new one, and what brings a device from one to the other.
type update struct {
	old, new    []byte
	index       *image.Index
	delta, full []byte
	stats       *Stats
}

func read(t testing.TB, b []byte) Image {
	t.Helper()
	built, err := image.Build(context.Background(), bytes.NewReader(b), nil)
	if err != nil {
		t.Fatal(err)
	}
	return Image{bytes.NewReader(b), *built}
}

func newUpdate(t testing.TB, old, new []byte) *update {
	t.Helper()
	u := &update{old: old, new: new}
	var full, delta bytes.Buffer
	p, err := image.WritePack(context.Background(), &full, bytes.NewReader(new))
	if err != nil {
		t.Fatal(err)
	}
	u.index = p.Index
	u.stats, err = Diff(context.Background(), &delta, read(t, old), Image{bytes.NewReader(new), p.Built}, DiffConfig{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	u.delta, u.full = delta.Bytes(), full.Bytes()
	return u
}

// shared is the update that most tests apply, made once.
var shared struct {
	sync.Once
	*update
}

// typical is an update with all that may come: copies, moved ones, patches, new content and zeros. Nobody changes it.
func typical(t testing.TB) *update {
	t.Helper()
	shared.Do(func() { shared.update = newTypical(t) })
	return shared.update
}

func newTypical(t testing.TB) *update {
	t.Helper()
	old := imagetest.Stream("old", 2<<20)
	copy(old[1<<20:], make([]byte, 300_000))
	new := slices.Clone(old)
	for i := 300_000; i < 320_000; i += 99 {
		new[i]++
	}
	new = slices.Concat(new[:900_000], []byte("an insertion"), new[900_000:1_900_000], imagetest.Stream("new", 300_000), new[1_900_000:], make([]byte, 600_000))
	return newUpdate(t, old, new)
}

func source(b []byte) image.Source { return image.FileSource(bytes.NewReader(b), int64(len(b))) }

// config is how a device applies u to disk.
func (u *update) config(t testing.TB, disk *imagetest.Disk) Config {
	t.Helper()
	pack, err := Open(context.Background(), source(u.delta), u.index)
	if err != nil {
		t.Fatal(err)
	}
	full, err := image.OpenPack(context.Background(), source(u.full), u.index)
	if err != nil {
		t.Fatal(err)
	}
	disk.Check = u.verified
	return Config{Index: u.index, Target: disk, Base: bytes.NewReader(u.old), Pack: pack, Fetch: full}
}

// verified holds that a write is of a whole chunk as the index has it.
func (u *update) verified(b []byte, off int64) error {
	if off+int64(len(b)) > int64(len(u.new)) || !bytes.Equal(b, u.new[off:off+int64(len(b))]) {
		return fmt.Errorf("%d bytes that are not of the image are written at %d", len(b), off)
	}
	return nil
}

func TestApply(t *testing.T) {
	u := typical(t)
	disk := imagetest.NewDisk(int64(len(u.new)))
	cfg := u.config(t, disk)
	cfg.Bad = func(no int, err error) { t.Errorf("bad chunk %d: %v", no, err) }
	r, err := Apply(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(disk.Bytes(), u.new) {
		t.Error("the disk does not hold the image")
	}
	for kind, n := range r.Made {
		if n == 0 || n != u.stats.Kinds[kind].Chunks {
			t.Errorf("%d chunks by %v, the pack has %d", n, Kind(kind), u.stats.Kinds[kind].Chunks)
		}
	}
	if r.Net != int64(len(u.delta)) || r.Written != int64(len(u.new)) || r.Fetched != 0 || r.Resumed != 0 {
		t.Errorf("the report is %+v", r)
	}
	// What is new are 300,000 bytes that do not compress.
	if u.stats.Total > 310_000 || u.stats.Total != int64(len(u.delta)) || u.stats.Header > 200 {
		t.Errorf("the pack has %+v", u.stats)
	}
	again, err := Apply(t.Context(), u.config(t, disk))
	if err != nil || again.Resumed != len(u.index.Chunks) || again.Written != 0 || again.Net != 0 {
		t.Errorf("once more: %+v, %v", again, err)
	}
}

func TestImagesOfManyShapes(t *testing.T) {
	long := imagetest.Stream("shape", 700_000)
	for _, tt := range []struct {
		name     string
		old, new []byte
		most     int
	}{
		{"the same", long, long, 150},
		{"nothing in common", long, imagetest.Stream("other", 700_000), 702_000},
		{"of a tiny one", []byte{1}, long, 702_000},
		{"to a tiny one", long, []byte{1}, 150},
		{"all zeros", long, make([]byte, 1_000_000), 150},
		{"of zeros", make([]byte, 1_000_000), long, 702_000},
		{"a shift by one", long, append([]byte{7}, long...), 250},
		{"a period", bytes.Repeat([]byte("period"), 100_000), bytes.Repeat([]byte("perioD"), 110_000), 2000},
		{"halves swapped", long, slices.Concat(long[350_000:], long[:350_000]), 60_000},
		{"shorter", long, long[:100_001], 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := newUpdate(t, tt.old, tt.new)
			disk := imagetest.NewDisk(int64(len(u.new)))
			cfg := u.config(t, disk)
			cfg.Fetch = nil
			if _, err := Apply(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(disk.Bytes(), u.new) {
				t.Error("the disk does not hold the image")
			}
			if len(u.delta) > tt.most {
				t.Errorf("the pack has %d bytes, want %d at most", len(u.delta), tt.most)
			}
		})
	}
}

func TestDiffEnds(t *testing.T) {
	long := read(t, imagetest.Stream("ends", 400_000))
	other := read(t, imagetest.Stream("others", 400_000))
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	_, err := Diff(ctx, &bytes.Buffer{}, long, other, DiffConfig{TempDir: t.TempDir(), Progress: func(done, total int) {
		if calls++; done != calls || total != len(other.Index.Chunks) {
			t.Errorf("progress %d of %d at call %d", done, total, calls)
		}
		cancel()
	}})
	if !errors.Is(err, context.Canceled) || calls != 1 {
		t.Errorf("Diff: %v after %d chunks", err, calls)
	}
}
