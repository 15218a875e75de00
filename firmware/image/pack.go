package image

import (
	"context"
	"fmt"
	"io"

	"github.com/hawser-iot/hawser/firmware/frame"
)

// maxGap is how many bytes that nobody wants are read to save a request, maxRequest how much one request asks for.
const (
	maxGap     = 32 << 10
	maxRequest = 4 << 20
)

// Pack is a full pack that is read from a Source. It is not safe for concurrent use.
type Pack struct {
	src    Source
	index  *Index
	places [][2]int64
	dec    *frame.Decoder // made when the first chunk is read: most updates need none
	packed []byte         // the frame in hand
	chunk  []byte         // and what it holds
}

// OpenPack reads the trailer of the full pack of the image that index describes.
func OpenPack(ctx context.Context, src Source, index *Index) (*Pack, error) {
	t, err := readTrailer(ctx, src, index)
	if err != nil {
		return nil, err
	}
	return &Pack{src: src, index: index, places: t.Chunks}, nil
}

// Cost is how many bytes chunk no has in the pack.
func (p *Pack) Cost(no int) int64 { return p.places[no][entryLength] }

// Chunks reads the given chunks, in the order given, and calls each with the bytes of every one, which match the index and are valid until it
// returns. Neighbours in the pack are read with one request. It ends with the first error; one about the content of a chunk is a
// *ChunkError, others are those of the Source or of each.
func (p *Pack) Chunks(ctx context.Context, numbers []int, each func(no int, b []byte) error) error {
	if p.dec == nil {
		dec, err := frame.NewDecoder()
		if err != nil {
			return err
		}
		p.dec = dec
	}
	for len(numbers) > 0 {
		n := p.together(numbers)
		if err := p.request(ctx, numbers[:n], each); err != nil {
			return err
		}
		numbers = numbers[n:]
	}
	return nil
}

// Chunk reads one chunk, which is valid until the next call.
func (p *Pack) Chunk(ctx context.Context, no int) (b []byte, err error) {
	err = p.Chunks(ctx, []int{no}, func(_ int, chunk []byte) error {
		b = chunk
		return nil
	})
	return b, err
}

// together is how many of the numbers are read with one request: those whose frames follow each other with small gaps.
func (p *Pack) together(numbers []int) int {
	first := p.places[numbers[0]]
	begin, end := first[entryOffset], first[entryOffset]+first[entryLength]
	for i, no := range numbers[1:] {
		next := p.places[no]
		gap := next[entryOffset] - end
		if gap < 0 || gap > maxGap || next[entryOffset]+next[entryLength]-begin > maxRequest {
			return i + 1
		}
		end = next[entryOffset] + next[entryLength]
	}
	return len(numbers)
}

func (p *Pack) request(ctx context.Context, numbers []int, each func(no int, b []byte) error) error {
	first, last := p.places[numbers[0]], p.places[numbers[len(numbers)-1]]
	at := first[entryOffset]
	r, err := p.src.Range(ctx, at, last[entryOffset]+last[entryLength]-at)
	if err != nil {
		return err
	}
	defer r.Close()
	for _, no := range numbers {
		if _, err := io.CopyN(io.Discard, r, p.places[no][entryOffset]-at); err != nil {
			return readError(err)
		}
		if err := p.read(r, no); err != nil {
			return err
		}
		if err := each(no, p.chunk); err != nil {
			return err
		}
		at = p.places[no][entryOffset] + p.places[no][entryLength]
	}
	return nil
}

// read reads the frame of chunk no, unpacks and checks it.
func (p *Pack) read(r io.Reader, no int) error {
	c := p.index.Chunks[no]
	p.packed = sized(p.packed, int(p.places[no][entryLength]))
	p.chunk = sized(p.chunk, c.Len)
	if _, err := io.ReadFull(r, p.packed); err != nil {
		return readError(err)
	}
	if err := p.dec.Decode(p.chunk, p.packed); err != nil {
		return &ChunkError{no, fmt.Errorf("%w: %w", ErrFormat, err)}
	}
	return p.index.Check(no, p.chunk)
}

// sized is b with n bytes, or a new slice where b has no room for them. Room is for the largest at once, so that there is one.
func sized(b []byte, n int) []byte {
	if n > cap(b) {
		b = make([]byte, max(n, MaxChunk))
	}
	return b[:n]
}
