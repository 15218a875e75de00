package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"slices"
	"testing"

	"github.com/hawser-iot/hawser/firmware/imagetest"
)

func marshal(t *testing.T, x *Index) []byte {
	t.Helper()
	b, err := x.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestIndexRoundTrip(t *testing.T) {
	x := build(t, imagetest.Stream("index", 1<<20)).Index
	b := marshal(t, x)
	got, err := ParseIndex(b)
	if err != nil {
		t.Fatal(err)
	}
	if got.Size != x.Size || !slices.Equal(got.Chunks, x.Chunks) {
		t.Errorf("got %+v, want %+v", got, x)
	}
	digest, err := x.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseVerified(b, digest); err != nil {
		t.Errorf("the digest that a manifest names: %v", err)
	}
	if _, err := ParseVerified(b, Digest{}); !errors.Is(err, ErrDigest) {
		t.Errorf("another digest: %v, want ErrDigest", err)
	}
}

// TestIndexRefuses flips, cuts and lengthens an index: each is refused, or is another index in its one spelling.
func TestIndexRefuses(t *testing.T) {
	good := marshal(t, build(t, imagetest.Stream("index", 200_000)).Index)
	for i := range good {
		for _, bad := range [][]byte{flipped(good, i), good[:i]} {
			x, err := ParseIndex(bad)
			if err == nil && !bytes.Equal(marshal(t, x), bad) {
				t.Errorf("byte %d: taken, and written otherwise", i)
			}
			if err != nil && !errors.Is(err, ErrFormat) && !errors.Is(err, ErrLimit) && !errors.Is(err, ErrVersion) {
				t.Errorf("byte %d: %v is of no class", i, err)
			}
		}
	}
	if _, err := ParseIndex(append(slices.Clone(good), 0)); !errors.Is(err, ErrFormat) {
		t.Errorf("a byte more: %v", err)
	}
}

// TestIndexOfABillionEntries holds that the length that an index tells takes no memory.
func TestIndexOfABillionEntries(t *testing.T) {
	good := marshal(t, build(t, imagetest.Stream("index", 1000)).Index)
	at := bytes.IndexByte(good, 0x81) // the array of its one chunk
	huge := append(slices.Clone(good[:at]), 0x9a)
	huge = binary.BigEndian.AppendUint32(huge, 1_000_000_000)
	huge = append(huge, good[at+1:]...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := ParseIndex(huge)
	runtime.ReadMemStats(&after)
	if !errors.Is(err, ErrFormat) {
		t.Errorf("ParseIndex: %v, want ErrFormat", err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
		t.Errorf("it took %d bytes of memory", took)
	}
	if _, err := ParseIndex(make([]byte, MaxIndex+1)); !errors.Is(err, ErrLimit) {
		t.Errorf("a long index: %v, want ErrLimit", err)
	}
}

func FuzzParseIndex(f *testing.F) {
	built, err := Build(f.Context(), bytes.NewReader(imagetest.Stream("fuzz", 100_000)), nil)
	if err != nil {
		f.Fatal(err)
	}
	b, err := built.Index.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := ParseIndex(b)
		if err != nil {
			return
		}
		if !bytes.Equal(marshal(t, x), b) {
			t.Error("taken, and written otherwise")
		}
	})
}
