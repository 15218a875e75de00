// Package canon reads and writes deterministic CBOR (RFC 8949, section 4.2.1) within limits. What is signed has one form:
// Unmarshal refuses everything that Marshal would not have written for the value that it found, so nothing can be said in
// two ways and no byte goes unread. Tags, indefinite lengths, floats, duplicate and unknown keys are refused.
//
// It promises that a bad document costs no more than its length, which callers bound. It leaves the meaning to them.
package canon

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// Raw is an item that is kept as it was written.
type Raw = cbor.RawMessage

// Bytes is a byte string that can be compared and can be a key of a map.
type Bytes = cbor.ByteString

// Limits of every document.
const (
	MaxDepth = 8
	MaxItems = 1024 // elements of an array, pairs of a map
)

// The errors of Unmarshal. ErrMalformed also stands for what is of another type than the one looked for.
var (
	ErrTooLarge         = errors.New("too large")
	ErrMalformed        = errors.New("malformed CBOR")
	ErrNotDeterministic = errors.New("not deterministic CBOR")
)

var (
	enc = must(cbor.EncOptions{
		Sort: cbor.SortCoreDeterministic, ShortestFloat: cbor.ShortestFloat16, IndefLength: cbor.IndefLengthForbidden,
		NilContainers: cbor.NilContainerAsNull, OmitEmpty: cbor.OmitEmptyGoValue, TagsMd: cbor.TagsForbidden,
	}.EncMode())
	dec = decoder(MaxItems)
)

func decoder(items int) cbor.DecMode {
	return must(cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		MaxNestedLevels: MaxDepth, MaxArrayElements: items, MaxMapPairs: MaxItems,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField, UTF8: cbor.UTF8RejectInvalid,
	}.DecMode())
}

// must is for modes, which are right or wrong at every start alike.
func must[M any](mode M, err error) M {
	if err != nil {
		panic(err)
	}
	return mode
}

// Marshal returns v as deterministic CBOR.
func Marshal(v any) ([]byte, error) { return enc.Marshal(v) }

// Unmarshal reads b, which must be one document of at most most bytes, into v.
func Unmarshal(b []byte, most int, v any) error { return unmarshal(dec, b, most, v) }

func unmarshal(mode cbor.DecMode, b []byte, most int, v any) error {
	if err := open(mode, b, most, v); err != nil {
		return err
	}
	again, err := Marshal(v)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if !bytes.Equal(again, b) {
		return ErrNotDeterministic
	}
	return nil
}

// UnmarshalList is Unmarshal for a document with arrays of up to items elements.
func UnmarshalList(b []byte, most, items int, v any) error {
	return unmarshal(decoder(max(items, MaxItems)), b, most, v)
}

// Open reads b into v as Unmarshal does, but does not hold it to the deterministic form: that is left to a caller that
// compares the whole document with what it would write.
func Open(b []byte, most int, v any) error { return open(dec, b, most, v) }

func open(mode cbor.DecMode, b []byte, most int, v any) error {
	if len(b) > most {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(b), most)
	}
	if err := mode.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}
