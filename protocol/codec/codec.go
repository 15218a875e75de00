// Package codec puts JSON (RFC 8259) and CBOR (RFC 8949) behind one face: a payload is decoded once into a Doc, whose
// Values serve the thing model, the shadow, every rule and the log, whichever of the two came in.
//
// It is strict where leniency would let two readers see two documents: bad UTF-8, bad escapes, numbers that JSON does not
// know, lone surrogates, unpaired breaks, NaN and bytes after the document are refused; of duplicate keys the last one
// wins, everywhere. Limits on size, depth and number of values are checked before memory is spent on what they forbid.
// A decoded Doc is read-only, so any number of goroutines may read it at once. Decoding and reading allocate nothing once
// the pool is warm.
//
// What it leaves to others: what the fields mean (protocol/message, protocol/thing), and how long a reply may be.
package codec

import (
	"errors"
	"fmt"
)

// Format is one of the two encodings.
type Format uint8

// The formats.
const (
	JSON Format = iota
	CBOR
)

// String returns "JSON" or "CBOR".
func (f Format) String() string {
	if f == CBOR {
		return "CBOR"
	}
	return "JSON"
}

// Detect tells the format of a payload by its first bytes: a CBOR map (0xA0..0xBF) or the self-describing tag
// (D9 D9 F7) can not start a JSON text; everything else is read as JSON.
func Detect(b []byte) Format {
	if len(b) > 0 && b[0] >= 0xA0 && b[0] <= 0xBF {
		return CBOR
	}
	if isSelfDescribed(b) {
		return CBOR
	}
	return JSON
}

func isSelfDescribed(b []byte) bool {
	return len(b) >= 3 && b[0] == 0xD9 && b[1] == 0xD9 && b[2] == 0xF7
}

// Limits bound what Decode accepts. A field that is zero or negative takes its value from DefaultLimits.
type Limits struct {
	Size  int // bytes of the payload
	Depth int // nested containers (and CBOR tags); a scalar alone has depth 0
	Count int // values, containers included, keys not
}

// maxSize is the largest Size: a position in a Doc is an int32, and unescaped strings may double the text.
const maxSize = 1 << 29

// DefaultLimits returns 256 KiB, 32 levels and 20,000 values.
func DefaultLimits() Limits { return Limits{Size: 256 << 10, Depth: 32, Count: 20_000} }

func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	if l.Size > 0 {
		d.Size = min(l.Size, maxSize)
	}
	if l.Depth > 0 {
		d.Depth = l.Depth
	}
	if l.Count > 0 {
		d.Count = min(l.Count, maxSize)
	}
	return d
}

// Errors of Decode and Unmarshal when a limit is exceeded.
var (
	ErrTooLarge = errors.New("codec: payload is larger than the limit")
	ErrTooDeep  = errors.New("codec: payload is nested deeper than the limit")
	ErrTooMany  = errors.New("codec: payload holds more values than the limit")
)

// SyntaxError says why and where a payload is not a document.
type SyntaxError struct {
	Format Format
	Offset int    // bytes from the start of the payload
	Reason string // such as "bad escape"; a constant, never part of the payload
}

// Error implements error.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("codec: bad %s at byte %d: %s", e.Format, e.Offset, e.Reason)
}
