package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/hawser-iot/hawser/firmware/imagetest"
)

func build(t *testing.T, b []byte) *Built {
	t.Helper()
	built, err := Build(context.Background(), bytes.NewReader(b), nil)
	if err != nil {
		t.Fatal(err)
	}
	return built
}

// TestGearIsFrozen holds the table to what docs/formats/image.md says: with another one every image would have another index.
func TestGearIsFrozen(t *testing.T) {
	h := sha256.New()
	for _, v := range gear() {
		_ = binary.Write(h, binary.BigEndian, v)
	}
	const want = "c587d92519bd914aedcb44985a461e00203f81ad44be2996a4b65efcfb605b51"
	if got := Digest(h.Sum(nil)).String(); got != want {
		t.Errorf("the table's digest is %s, want %s", got, want)
	}
	if got, want := gear()[0], uint64(0xc58359030836f497); got != want {
		t.Errorf("gear[0] = %#x, want %#x", got, want)
	}
}

func TestCutsAreFrozen(t *testing.T) {
	b := imagetest.Stream("cuts", 1<<20)
	want := []int{68779, 52931, 121022, 93349, 72463, 67805, 90216, 78924, 20155, 116357, 132530, 72626, 61419}
	var got []int
	for len(b) > 0 {
		n := cut(b)
		got = append(got, n)
		b = b[n:]
	}
	if len(got) != len(want) {
		t.Fatalf("cut into %v, want %v", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("cut into %v, want %v", got, want)
		}
	}
}

func TestChunksCoverTheImage(t *testing.T) {
	for _, n := range []int{1, MinChunk, MinChunk + 1, 100_000, 3 << 20} {
		for name, b := range map[string][]byte{"random": imagetest.Stream("cover", n), "zeros": make([]byte, n)} {
			var got []byte
			sum := 0
			built, err := Build(context.Background(), iotest.HalfReader(bytes.NewReader(b)), func(c Chunk, b []byte) error {
				if c.Len > MaxChunk || c.Len != len(b) || c.Off != int64(len(got)) {
					t.Fatalf("%s %d: chunk %+v of %d bytes", name, n, c, len(b))
				}
				got = append(got, b...)
				sum++
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, b) || built.Image != sha256.Sum256(b) || built.Index.Size != int64(n) {
				t.Errorf("%s %d: the chunks are not the image", name, n)
			}
			for i, c := range built.Index.Chunks[:sum-1] {
				if c.Len < MinChunk {
					t.Errorf("%s %d: chunk %d has %d bytes", name, n, i, c.Len)
				}
			}
		}
	}
}

// TestCutsFollowTheContent holds that an insertion changes the chunks around it and none far behind it.
func TestCutsFollowTheContent(t *testing.T) {
	b := imagetest.Stream("follow", 8<<20)
	known := map[Digest]bool{}
	for _, c := range build(t, b).Index.Chunks {
		known[c.Sum] = true
	}
	x := build(t, append(append(append([]byte{}, b[:4<<20]...), "an insertion"...), b[4<<20:]...)).Index
	fresh := 0
	for _, c := range x.Chunks {
		if !known[c.Sum] {
			fresh++
		}
	}
	if fresh < 1 || fresh > 3 {
		t.Errorf("%d of %d chunks are new after an insertion", fresh, len(x.Chunks))
	}
	if avg := int(x.Size) / len(x.Chunks); avg < AvgChunk/2 || avg > AvgChunk*2 {
		t.Errorf("chunks have %d bytes on average", avg)
	}
}

func TestBuildErrors(t *testing.T) {
	broken := errors.New("broken")
	if _, err := Build(context.Background(), iotest.ErrReader(broken), nil); !errors.Is(err, broken) {
		t.Errorf("a reader's error: %v", err)
	}
	if _, err := Build(context.Background(), bytes.NewReader(nil), nil); !errors.Is(err, ErrFormat) {
		t.Errorf("an empty image: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Build(ctx, bytes.NewReader(make([]byte, 100)), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	x := &Index{Size: MaxSize - 10}
	if err := x.add(11, Digest{}); !errors.Is(err, ErrLimit) {
		t.Errorf("an image that is too large: %v", err)
	}
	if _, err := NewCutter(io.LimitReader(nil, 0)).Next(); !errors.Is(err, io.EOF) {
		t.Errorf("the end: %v", err)
	}
}

func TestVerified(t *testing.T) {
	b := imagetest.Stream("verified", 1<<20)
	x := build(t, b).Index
	for _, tt := range []struct {
		name string
		have []byte
		want int
	}{
		{"all", b, len(x.Chunks)},
		{"longer", append(append([]byte{}, b...), 1), len(x.Chunks)},
		{"nothing", nil, 0},
		{"cut off", b[:x.Chunks[2].Off+5], 2},
		{"one byte differs", flipped(b, int(x.Chunks[3].Off)+100), 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := x.Verified(context.Background(), bytes.NewReader(tt.have))
			if err != nil || got != tt.want {
				t.Errorf("Verified = %d, %v, want %d", got, err, tt.want)
			}
		})
	}
	for no, c := range x.Chunks {
		if x.At(c.Off) != no || x.At(c.Off+int64(c.Len)-1) != no {
			t.Errorf("At finds %d and %d for chunk %d", x.At(c.Off), x.At(c.Off+int64(c.Len)-1), no)
		}
	}
}

func flipped(b []byte, at int) []byte {
	c := append([]byte{}, b...)
	c[at] ^= 0x40
	return c
}
