// Package wire is what the hub and its script workers say to each other over a worker's standard input and output: frames, and the
// few messages in them.
//
// A frame is drawn so, all numbers little endian:
//
//	0        4      5
//	+--------+------+----------------+
//	| length | type | body           |    length counts type and body, at most MaxFrame
//	+--------+------+----------------+
//
// A text or a run of bytes in a body is its length in 4 bytes and itself. The hub begins with one Hello, which the worker answers with one
// Ready; both hold Version, and another one ends the talk. After that the hub sends Script, Forget and Call, and the worker one Result
// for each Call, in their order. Decoders take exactly what the encoders write, and nothing that is longer or shorter: the hub
// does not trust a process that runs other people's code.
package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Version of the talk. 1: 2026-11-27, the first.
const Version = 1

// MaxFrame bounds a frame: the largest payload, topic and script fit.
const MaxFrame = 17 << 20

// Exit codes of a worker.
const (
	ExitEnd   = 0 // the hub has closed its side
	ExitTalk  = 3 // the hub was not understood
	ExitBound = 4 // a call crossed a bound and could not be ended otherwise; it has been answered
)

// Type says what a frame holds.
type Type byte

// The types of frames. The numbers are on the wire.
const (
	TypeHello  Type = 1 // hub → worker
	TypeReady  Type = 2 // worker → hub
	TypeScript Type = 3 // hub → worker
	TypeForget Type = 4 // hub → worker
	TypeCall   Type = 5 // hub → worker
	TypeResult Type = 6 // worker → hub
)

// ErrFrame is the kind of every error about bytes that are no frame or no message.
var ErrFrame = errors.New("wire: malformed frame")

// Reader reads frames.
type Reader struct {
	r   *bufio.Reader
	max int
	buf []byte
}

// NewReader returns a Reader that takes frames of at most limit bytes.
func NewReader(r io.Reader, limit int) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, 64<<10), max: min(limit, MaxFrame)}
}

// Next returns the next frame; the body is valid until the next call. The error is io.EOF only between frames.
func (r *Reader) Next() (Type, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r.r, head[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return 0, nil, fmt.Errorf("%w: cut off in its head", ErrFrame)
		}
		return 0, nil, err
	}
	n := int(binary.LittleEndian.Uint32(head[:]))
	if n < 1 || n > r.max {
		return 0, nil, fmt.Errorf("%w: of %d bytes", ErrFrame, n)
	}
	n--
	if cap(r.buf) < n || cap(r.buf) > 1<<20 && n < 1<<16 { // a rare large one is not held for ever
		r.buf = make([]byte, n)
	}
	r.buf = r.buf[:n]
	if _, err := io.ReadFull(r.r, r.buf); err != nil {
		return 0, nil, fmt.Errorf("%w: cut off", ErrFrame)
	}
	return Type(head[4]), r.buf, nil
}

// Buffered tells whether some of the next frame has been read ahead.
func (r *Reader) Buffered() bool { return r.r.Buffered() > 0 }

// begin opens a frame, end closes the one that was opened at from.
func begin(b []byte, t Type) ([]byte, int) { return append(b, 0, 0, 0, 0, byte(t)), len(b) }

func end(b []byte, from int) []byte {
	binary.LittleEndian.PutUint32(b[from:], uint32(len(b)-from-4))
	return b
}

func appendText[T ~string | ~[]byte](b []byte, s T) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(s)))
	return append(b, s...)
}

// fields takes a body apart; the first mistake stays.
type fields struct {
	b   []byte
	bad bool
}

func (f *fields) take(n int) []byte {
	if f.bad || n < 0 || n > len(f.b) {
		f.bad = true
		return nil
	}
	v := f.b[:n:n]
	f.b = f.b[n:]
	return v
}

func (f *fields) u8() byte {
	if v := f.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (f *fields) u32() uint32 {
	if v := f.take(4); v != nil {
		return binary.LittleEndian.Uint32(v)
	}
	return 0
}

func (f *fields) u64() uint64 {
	if v := f.take(8); v != nil {
		return binary.LittleEndian.Uint64(v)
	}
	return 0
}

func (f *fields) text() []byte { return f.take(int(f.u32())) }

func (f *fields) flag() bool {
	v := f.u8()
	f.bad = f.bad || v > 1
	return v == 1
}

// end tells whether the body was right and is used up.
func (f *fields) end(what string) error {
	if f.bad || len(f.b) > 0 {
		return fmt.Errorf("%w: %s", ErrFrame, what)
	}
	return nil
}
