package delta

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/hawser-iot/hawser/firmware/frame"
	"github.com/hawser-iot/hawser/firmware/image"
	"github.com/hawser-iot/hawser/firmware/imagetest"
)

// small is an update whose pack is small enough to try every byte of.
func small(t testing.TB) *update {
	t.Helper()
	old := imagetest.Stream("small", 300_000)
	new := slices.Clone(old)
	for i := 60_000; i < 200_000; i += 7000 {
		new[i]++
	}
	copy(new[250_000:], make([]byte, 50_000))
	return newUpdate(t, old, append(new, "the end"...))
}

// applyHostile applies a pack that may be anything, with a full pack to fetch from: the image comes out, and nothing else is ever written.
func (u *update) applyHostile(t *testing.T, delta []byte) (Report, bool) {
	t.Helper()
	pack, err := Open(context.Background(), source(delta), u.index)
	if err != nil {
		for _, class := range []error{ErrFormat, ErrVersion, ErrLimit, ErrDigest} {
			if errors.Is(err, class) {
				return Report{}, false
			}
		}
		t.Errorf("%v is of no class", err)
		return Report{}, false
	}
	disk := imagetest.NewDisk(int64(len(u.new)))
	cfg := u.config(t, disk)
	cfg.Pack = pack
	r, err := Apply(context.Background(), cfg)
	if err != nil {
		t.Fatalf("Apply: %v", err)
	}
	if !bytes.Equal(disk.Bytes(), u.new) {
		t.Error("the disk does not hold the image")
	}
	return r, true
}

// TestEachByteOfAPack flips each byte of a pack and cuts it off there.
func TestEachByteOfAPack(t *testing.T) {
	u := small(t)
	for i := range u.delta {
		bad := slices.Clone(u.delta)
		bad[i] ^= 0x55
		if r, ok := u.applyHostile(t, bad); ok && r.Fetched > len(u.index.Chunks) {
			t.Errorf("byte %d: %+v", i, r)
		}
		u.applyHostile(t, u.delta[:i])
	}
}

// TestPoisonedPatchesCostAChunkEach replaces the payloads by noise: each chunk is fetched once, and no other.
func TestPoisonedPatchesCostAChunkEach(t *testing.T) {
	u := typical(t)
	pack, err := Open(t.Context(), source(u.delta), u.index)
	if err != nil {
		t.Fatal(err)
	}
	bad := slices.Clone(u.delta)
	copy(bad[pack.payloads():], imagetest.Stream("noise", len(bad)))
	r, ok := u.applyHostile(t, bad)
	want := u.stats.Kinds[Patch].Chunks + u.stats.Kinds[Full].Chunks
	if !ok || r.Fetched != want || r.Made[Copy] != u.stats.Kinds[Copy].Chunks {
		t.Errorf("%+v, want %d fetched", r, want)
	}
	// One wrong byte in one patch costs one chunk.
	bad = slices.Clone(u.delta)
	bad[pack.payloads()+20] ^= 1
	if r, ok := u.applyHostile(t, bad); !ok || r.Fetched != 1 {
		t.Errorf("one byte: %+v, want 1 fetched", r)
	}
}

func TestWrongBase(t *testing.T) {
	u := typical(t)
	for name, base := range map[string][]byte{"another": imagetest.Stream("another", len(u.old)), "shorter": u.old[:100_000], "empty": nil} {
		disk := imagetest.NewDisk(int64(len(u.new)))
		cfg := u.config(t, disk)
		cfg.Base = bytes.NewReader(base)
		var bad []int
		cfg.Bad = func(no int, _ error) { bad = append(bad, no) }
		r, err := Apply(t.Context(), cfg)
		if err != nil || !bytes.Equal(disk.Bytes(), u.new) {
			t.Fatalf("%s: %v", name, err)
		}
		if r.Fetched == 0 || r.Fetched != len(bad) || r.Made[Zeros] != u.stats.Kinds[Zeros].Chunks {
			t.Errorf("%s: %+v, %d told", name, r, len(bad))
		}
	}
	disk := imagetest.NewDisk(int64(len(u.new)))
	cfg := u.config(t, disk)
	cfg.Base, cfg.Fetch = nil, nil
	var chunk *image.ChunkError
	if _, err := Apply(t.Context(), cfg); !errors.As(err, &chunk) || chunk.No != 0 || !errors.Is(err, ErrNoFetcher) {
		t.Errorf("without a full pack: %v", err)
	}
}

// table is a pack whose table is the given bytes, for an old image of base bytes.
func (u *update) table(t *testing.T, base int64, table, payload []byte) []byte {
	t.Helper()
	enc, err := frame.NewEncoder()
	if err != nil {
		t.Fatal(err)
	}
	packed := enc.Append(nil, table)
	digest, err := u.index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	h := Header{BaseSize: base, Index: digest, table: len(packed)}
	return append(append(h.append(nil), packed...), payload...)
}

func TestTablesThatAreRefused(t *testing.T) {
	u := newUpdate(t, imagetest.Stream("a", 100_000), imagetest.Stream("b", 150_000))
	n := byte(len(u.index.Chunks))
	far := binary.AppendVarint([]byte{0, n}, 1<<62)
	for _, tt := range []struct {
		name  string
		base  int64
		table []byte
		want  error
	}{
		{"empty", 1 << 20, nil, ErrFormat},
		{"unknown kind", 1 << 20, []byte{4, n, 0}, ErrFormat},
		{"too few chunks", 1 << 20, []byte{0, n - 1, 0}, ErrFormat},
		{"too many chunks", 1 << 20, []byte{0, n + 1, 0}, ErrLimit},
		{"more behind the last", 1 << 20, []byte{0, n, 0, 3, 1}, ErrFormat},
		{"a copy of nothing", 1 << 20, []byte{0, 0, 0}, ErrFormat},
		{"a copy cut off", 1 << 20, []byte{0, n}, ErrFormat},
		{"a copy behind the old image", 100_000, []byte{0, n, 0}, ErrLimit},
		{"a copy before the old image", 1 << 20, []byte{0, n, 1}, ErrLimit},
		{"a copy at 2^62", 1 << 20, far, ErrLimit},
		{"a copy in two", 1 << 20, []byte{0, 1, 0, 0, n - 1, 0}, ErrFormat},
		{"zeros in two", 1 << 20, []byte{3, 1, 3, n - 1}, ErrFormat},
		{"a window of nothing", 1 << 20, []byte{1, 0, 0, 5}, ErrFormat},
		{"a window that is too large", 1 << 20, []byte{1, 0, 0x81, 0x80, 0x10, 5}, ErrLimit},
		{"a window behind the old image", 1000, []byte{1, 0, 0xff, 0x0f, 5}, ErrLimit},
		{"a patch of no bytes", 1 << 20, []byte{1, 0, 5, 0}, ErrFormat},
		{"a full chunk that is too long", 1 << 20, []byte{2, 0xff, 0xff, 0xff, 0x0f}, ErrLimit},
		{"payloads that are not there", 1 << 20, []byte{2, 5, 3, n - 1}, ErrFormat},
		{"an old image of nothing", 0, []byte{3, n}, ErrLimit},
		{"an old image of 2^63", -1 << 63, []byte{3, n}, ErrLimit},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Open(t.Context(), source(u.table(t, tt.base, tt.table, nil)), u.index); !errors.Is(err, tt.want) {
				t.Errorf("Open: %v, want %v", err, tt.want)
			}
		})
	}
	if _, err := Open(t.Context(), source(u.table(t, 1<<20, []byte{3, n}, nil)), u.index); err != nil {
		t.Errorf("the one that the others were made of: %v", err)
	}
	if _, err := Open(t.Context(), source(u.table(t, 1<<20, make([]byte, 900_000), nil)), u.index); !errors.Is(err, ErrLimit) {
		t.Errorf("a table of 900,000 bytes: %v, want ErrLimit", err)
	}
}

// TestBombs holds that frames which unpack to much more than they should cost no memory, as a full chunk, as a patch and as the table.
func TestBombs(t *testing.T) {
	u := small(t)
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	bomb := enc.EncodeAll(make([]byte, 64<<20), nil)
	n := byte(len(u.index.Chunks))
	packs := map[string][]byte{
		"full":  u.table(t, 300_000, append(binary.AppendUvarint([]byte{2}, uint64(len(bomb))), 3, n-1), bomb),
		"patch": u.table(t, 300_000, append(binary.AppendUvarint([]byte{1, 0, 100}, uint64(len(bomb))), 3, n-1), bomb),
	}
	h := Header{BaseSize: 300_000, table: len(bomb)}
	if h.Index, err = u.index.Digest(); err != nil {
		t.Fatal(err)
	}
	packs["table"] = append(h.append(nil), bomb...)
	for name, pack := range packs {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r, ok := u.applyHostile(t, pack)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 8<<20 {
			t.Errorf("%s: it took %d bytes of memory", name, took)
		}
		if name != "table" && (!ok || r.Fetched < 1) {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func FuzzApply(f *testing.F) {
	u := small(f)
	f.Add(u.delta)
	f.Fuzz(func(t *testing.T, delta []byte) { u.applyHostile(t, delta) })
}

// FuzzTable fuzzes what is inside the frame of the table, with a payload behind.
func FuzzTable(f *testing.F) {
	u := small(f)
	pack, err := Open(f.Context(), source(u.delta), u.index)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(appendOps(nil, pack.ops, u.index))
	f.Fuzz(func(t *testing.T, table []byte) {
		ops, err := parseOps(table, u.index, 300_000)
		if err == nil && !bytes.Equal(appendOps(nil, ops, u.index), table) {
			t.Error("taken, and written otherwise")
		}
	})
}
