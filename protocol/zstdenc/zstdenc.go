// Package zstdenc packs bytes as zstd frames (RFC 8878) with as little program and memory as that takes: one speed, the format's own tables for
// sequences, Huffman codes for literals that are text. A batch of messages becomes a few percent longer than by a whole zstd at its fastest, a long file up to a half; every decoder reads it.
//
// It promises that what it writes unpacks to what was put in, and that an Encoder holds about 100 KiB, a Writer 500.
package zstdenc

import (
	"encoding/binary"
	"io"
)

// Sizes of the format.
const (
	magic     = 0xFD2FB528
	maxBlock  = 128 << 10
	windowLog = 17 // of a Writer: 128 KiB
	window    = 1 << windowLog
)

// Encoder packs what is there as a whole. It is not safe for concurrent use.
type Encoder struct{ b blocks }

// Append appends a frame with content, whose length it tells, to dst.
func (e *Encoder) Append(dst, content []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, magic)
	switch n := len(content); {
	case n < 256:
		dst = append(dst, 0x20, byte(n)) // a single segment
	case n < 256+1<<16:
		dst = binary.LittleEndian.AppendUint16(append(dst, 0x60), uint16(n-256))
	default:
		dst = binary.LittleEndian.AppendUint32(append(dst, 0xA0), uint32(n))
	}
	e.b.reset()
	for from := 0; ; {
		to := min(from+maxBlock, len(content))
		dst = e.b.append(dst, content, from, to, to == len(content))
		if from = to; from == len(content) {
			return dst
		}
	}
}

// Writer packs what is written to it, as one frame. Close ends the frame and does not close what is beneath.
type Writer struct {
	to  io.Writer
	b   blocks
	buf []byte // what was packed last, up to window, and what waits
	at  int    // where the latter begins
	out []byte
	err error
}

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer) *Writer {
	z := &Writer{to: w, buf: make([]byte, 0, window+maxBlock)}
	z.out = binary.LittleEndian.AppendUint32(nil, magic)
	z.out = append(z.out, 0, (windowLog-10)<<3)
	z.b.reset()
	return z
}

// Write implements io.Writer.
func (z *Writer) Write(p []byte) (n int, err error) {
	for len(p) > 0 && z.err == nil {
		k := min(len(p), z.at+maxBlock-len(z.buf))
		z.buf = append(z.buf, p[:k]...)
		n, p = n+k, p[k:]
		if len(z.buf) == z.at+maxBlock {
			z.block(false)
		}
	}
	return n, z.err
}

// Close writes the end.
func (z *Writer) Close() error {
	if z.err == nil {
		z.block(true)
	}
	if z.err == nil {
		z.err = io.ErrClosedPipe // of what is written behind the end
		return nil
	}
	return z.err
}

func (z *Writer) block(last bool) {
	z.out = z.b.append(z.out, z.buf, z.at, len(z.buf), last)
	_, z.err = z.to.Write(z.out)
	z.out = z.out[:0]
	if z.at = len(z.buf); z.at > window {
		drop := z.at - window
		z.buf = z.buf[:copy(z.buf, z.buf[drop:])]
		z.b.slide(drop)
		z.at = window
	}
}
