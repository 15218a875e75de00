package image

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sort"
)

// MaxSize is the largest image, MaxChunks how many chunks it has at most.
const (
	MaxSize   = 4 << 30
	MaxChunks = MaxSize/MinChunk + 1
)

// Digest is a SHA-256.
type Digest [sha256.Size]byte

func (d Digest) String() string { return fmt.Sprintf("%x", d[:]) }

// Chunk is a piece of an image.
type Chunk struct {
	Off int64
	Len int
	Sum Digest
}

// Index lists the chunks of an image, in order and without gaps. An Index is made by Build or ParseIndex and not changed.
type Index struct {
	Size   int64
	Chunks []Chunk
	digest *Digest // of an index that was parsed: devices are spared making its bytes again
}

// Check tells whether b is chunk no.
func (x *Index) Check(no int, b []byte) error {
	if c := x.Chunks[no]; len(b) != c.Len || sha256.Sum256(b) != c.Sum {
		return &ChunkError{no, ErrDigest}
	}
	return nil
}

// At is the number of the chunk that holds the byte at off.
func (x *Index) At(off int64) int {
	return sort.Search(len(x.Chunks), func(i int) bool { return x.Chunks[i].Off > off }) - 1
}

// add appends a chunk, and tells when the image gets too large.
func (x *Index) add(n int, sum Digest) error {
	if x.Size+int64(n) > MaxSize {
		return fmt.Errorf("%w: an image has at most %d bytes", ErrLimit, int64(MaxSize))
	}
	x.Chunks = append(x.Chunks, Chunk{x.Size, n, sum})
	x.Size += int64(n)
	return nil
}

// Built is what is known of an image that has been read whole.
type Built struct {
	Index *Index
	Image Digest // the SHA-256 of the image's bytes
}

// Build cuts the image that r reads and calls each, unless it is nil, with every chunk and its bytes, which are valid until it returns.
// It holds 1 MiB and the index in memory.
func Build(ctx context.Context, r io.Reader, each func(c Chunk, b []byte) error) (*Built, error) {
	whole := sha256.New()
	cutter := NewCutter(r)
	x := &Index{}
	for {
		b, err := cutter.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return nil, err
		}
		whole.Write(b)
		if err := x.add(len(b), sha256.Sum256(b)); err != nil {
			return nil, err
		}
		if each != nil {
			if err := each(x.Chunks[len(x.Chunks)-1], b); err != nil {
				return nil, err
			}
		}
	}
	if x.Size == 0 {
		return nil, fmt.Errorf("%w: the image is empty", ErrFormat)
	}
	return &Built{x, Digest(whole.Sum(nil))}, nil
}

// Verified is how many chunks at the start of r are those of the index: len(x.Chunks) when the image is whole. What can't be read does
// not match. It is how a restart finds where it was.
func (x *Index) Verified(ctx context.Context, r io.ReaderAt) (int, error) {
	buf := make([]byte, 32<<10) // a small piece at a time: devices count memory
	hash := sha256.New()
	for no, c := range x.Chunks {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		hash.Reset()
		n, err := io.CopyBuffer(onlyWriter{hash}, io.NewSectionReader(r, c.Off, int64(c.Len)), buf)
		if err != nil || n < int64(c.Len) || Digest(hash.Sum(buf[:0])) != c.Sum {
			return no, nil
		}
	}
	return len(x.Chunks), nil
}

// onlyWriter hides what else a writer can do, so that io.CopyBuffer uses the buffer that it is given.
type onlyWriter struct{ io.Writer }
