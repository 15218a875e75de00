package image

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// The parameters of FastCDC-1. They are part of the format: with others the same image has another index.
const (
	MinChunk = 16 << 10
	AvgChunk = 64 << 10
	MaxChunk = 256 << 10

	// A cut is where the top bits of the hash are 0: more bits than log2(AvgChunk) before the average length, fewer after it,
	// so that lengths gather around the average.
	bitsBefore = 18
	bitsAfter  = 14
)

// gear is the table of FastCDC-1: entry i is the first 8 bytes, big endian, of SHA-256("hawser FastCDC-1 gear" | i).
var gear = sync.OnceValue(func() *[256]uint64 {
	var t [256]uint64
	seed := append([]byte("hawser FastCDC-1 gear"), 0)
	for i := range t {
		seed[len(seed)-1] = byte(i)
		sum := sha256.Sum256(seed)
		t[i] = binary.BigEndian.Uint64(sum[:])
	}
	return &t
})

// cut is the length of the first chunk of b, which holds the rest of the image or MaxChunk bytes of it at least.
func cut(b []byte) int {
	if len(b) <= MinChunk {
		return len(b)
	}
	b = b[:min(len(b), MaxChunk)]
	var hash uint64
	table := gear()
	before := min(len(b), AvgChunk)
	for i := MinChunk; i < before; i++ {
		if hash = hash<<1 + table[b[i]]; hash>>(64-bitsBefore) == 0 {
			return i + 1
		}
	}
	for i := before; i < len(b); i++ {
		if hash = hash<<1 + table[b[i]]; hash>>(64-bitsAfter) == 0 {
			return i + 1
		}
	}
	return len(b)
}

// Cutter cuts a stream into chunks.
type Cutter struct {
	r     io.Reader
	buf   []byte
	begin int // buf[begin:end] is read and not yet returned
	end   int
	eof   bool
}

// NewCutter returns a Cutter of r.
func NewCutter(r io.Reader) *Cutter { return &Cutter{r: r, buf: make([]byte, 4*MaxChunk)} }

// Next returns the next chunk, which is valid until the next call, or io.EOF.
func (c *Cutter) Next() ([]byte, error) {
	if !c.eof && c.end-c.begin < MaxChunk {
		if err := c.fill(); err != nil {
			return nil, err
		}
	}
	if c.begin == c.end {
		return nil, io.EOF
	}
	n := cut(c.buf[c.begin:c.end])
	chunk := c.buf[c.begin : c.begin+n]
	c.begin += n
	return chunk, nil
}

func (c *Cutter) fill() error {
	c.end = copy(c.buf, c.buf[c.begin:c.end])
	c.begin = 0
	n, err := io.ReadFull(c.r, c.buf[c.end:])
	c.end += n
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		c.eof = true
	case err != nil:
		return fmt.Errorf("read the image: %w", err)
	}
	return nil
}
