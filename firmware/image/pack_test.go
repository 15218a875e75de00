package image

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/hawser-iot/hawser/firmware/imagetest"
)

// packed is an image with its pack: the same megabyte twice and zeros between, so that chunks come again.
func packed(t testing.TB) (b []byte, p *Packed, pack []byte) {
	t.Helper()
	part := imagetest.Stream("pack", 1<<20)
	b = slices.Concat(part, make([]byte, 600_000), part)
	var w bytes.Buffer
	p, err := WritePack(context.Background(), &w, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if int64(w.Len()) != p.Size || p.Unique >= len(p.Index.Chunks) {
		t.Fatalf("%d bytes and %d of %d chunks, want %d bytes and fewer chunks", w.Len(), p.Unique, len(p.Index.Chunks), p.Size)
	}
	return b, p, w.Bytes()
}

// counted is a Source that counts its requests and what they ask for.
type counted struct {
	Source
	requests int
	bytes    int64
}

func (c *counted) Range(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	c.requests++
	c.bytes += n
	return c.Source.Range(ctx, off, n)
}

func source(b []byte) Source { return FileSource(bytes.NewReader(b), int64(len(b))) }

func TestPackGivesTheImage(t *testing.T) {
	b, p, pack := packed(t)
	src := &counted{Source: source(pack)}
	r, err := OpenPack(context.Background(), src, p.Index)
	if err != nil {
		t.Fatal(err)
	}
	if src.requests != 2 {
		t.Errorf("opening took %d requests", src.requests)
	}
	var all []int
	for no := range p.Index.Chunks {
		all = append(all, no)
	}
	src.requests = 0
	var got []byte
	if err := r.Chunks(context.Background(), all, func(_ int, chunk []byte) error {
		got = append(got, chunk...)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, b) {
		t.Error("the pack's chunks are not the image")
	}
	// The first part, the zeros that come back to the first of them, and the first part again, which is not asked for at once.
	if src.requests > 6 {
		t.Errorf("%d chunks took %d requests", len(all), src.requests)
	}
	no := len(all) - 1
	c := p.Index.Chunks[no]
	if chunk, err := r.Chunk(context.Background(), no); err != nil || !bytes.Equal(chunk, b[c.Off:]) {
		t.Errorf("the last chunk: %v", err)
	}
}

func TestPackMergesNeighbours(t *testing.T) {
	_, p, pack := packed(t)
	src := &counted{Source: source(pack)}
	r, err := OpenPack(context.Background(), src, p.Index)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		numbers []int
		want    int
	}{{[]int{1}, 1}, {[]int{1, 2, 3}, 1}, {[]int{1, 9}, 2}, {[]int{3, 2}, 2}, {[]int{1, 2, 9, 10}, 2}} {
		src.requests, src.bytes = 0, 0
		var got []int
		if err := r.Chunks(context.Background(), tt.numbers, func(no int, _ []byte) error {
			got = append(got, no)
			return nil
		}); err != nil || !slices.Equal(got, tt.numbers) {
			t.Fatalf("%v: got %v, %v", tt.numbers, got, err)
		}
		var cost int64
		for _, no := range tt.numbers {
			cost += r.Cost(no)
		}
		if src.requests != tt.want || src.bytes != cost {
			t.Errorf("%v took %d requests of %d bytes, want %d of %d", tt.numbers, src.requests, src.bytes, tt.want, cost)
		}
	}
}

// TestPackNeverGivesAnotherByte flips each 101st byte of a pack: opening it or reading a chunk fails, or all chunks are right.
func TestPackNeverGivesAnotherByte(t *testing.T) {
	b := imagetest.Stream("flip", 100_000)
	var w bytes.Buffer
	p, err := WritePack(context.Background(), &w, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < w.Len(); i += 101 {
		readHostile(t, flipped(w.Bytes(), i), p.Index, b)
		readHostile(t, w.Bytes()[:i], p.Index, b)
	}
	for i := w.Len() - 200; i < w.Len(); i++ {
		readHostile(t, flipped(w.Bytes(), i), p.Index, b)
	}
}

// readHostile reads all chunks of a pack that may be anything and holds that each is right or an error of a class.
func readHostile(t *testing.T, pack []byte, x *Index, b []byte) {
	t.Helper()
	classed := func(err error) {
		t.Helper()
		for _, class := range []error{ErrFormat, ErrVersion, ErrLimit, ErrDigest} {
			if errors.Is(err, class) {
				return
			}
		}
		t.Errorf("%v is of no class", err)
	}
	r, err := OpenPack(context.Background(), source(pack), x)
	if err != nil {
		classed(err)
		return
	}
	for no, c := range x.Chunks {
		chunk, err := r.Chunk(context.Background(), no)
		if err != nil {
			classed(err)
		} else if !bytes.Equal(chunk, b[c.Off:c.Off+int64(c.Len)]) {
			t.Errorf("chunk %d left the package and is wrong", no)
		}
	}
}

// cutShort is a Source whose bodies end early: the connection broke.
type cutShort struct{ Source }

func (c cutShort) Range(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	return c.Source.Range(ctx, off, n/2)
}

func TestPackThatBreaksOff(t *testing.T) {
	_, p, pack := packed(t)
	if _, err := OpenPack(context.Background(), cutShort{source(pack)}, p.Index); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("OpenPack: %v", err)
	}
	r, err := OpenPack(context.Background(), source(pack), p.Index)
	if err != nil {
		t.Fatal(err)
	}
	r.src = cutShort{r.src}
	if _, err := r.Chunk(context.Background(), 0); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Chunk: %v", err)
	}
}

// endless is a Source that sends for ever.
type endless struct{ Source }

func (e endless) Range(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	r, err := e.Source.Range(ctx, off, n)
	return io.NopCloser(io.MultiReader(r, zeros{})), err
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestPackOfAnEndlessServer(t *testing.T) {
	b, p, pack := packed(t)
	r, err := OpenPack(context.Background(), endless{source(pack)}, p.Index)
	if err != nil {
		t.Fatal(err)
	}
	chunk, err := r.Chunk(context.Background(), 2)
	if c := p.Index.Chunks[2]; err != nil || !bytes.Equal(chunk, b[c.Off:c.Off+int64(c.Len)]) {
		t.Errorf("Chunk: %v", err)
	}
}

func TestPackTrailerOfFourGiB(t *testing.T) {
	_, p, pack := packed(t)
	binary.BigEndian.PutUint32(pack[len(pack)-4:], 1<<32-1)
	if _, err := OpenPack(context.Background(), source(pack), p.Index); !errors.Is(err, ErrLimit) {
		t.Errorf("OpenPack: %v, want ErrLimit", err)
	}
}

func FuzzPack(f *testing.F) {
	b := imagetest.Stream("fuzz", 40_000)
	copy(b[20_000:], make([]byte, 10_000))
	var w bytes.Buffer
	p, err := WritePack(f.Context(), &w, bytes.NewReader(b))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(w.Bytes())
	f.Fuzz(func(t *testing.T, pack []byte) { readHostile(t, pack, p.Index, b) })
}
