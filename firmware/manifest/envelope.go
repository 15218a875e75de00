package manifest

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/hawser-iot/hawser/firmware/canon"
)

// MaxSignatures bounds an envelope's signatures, and with it the keys of a role.
const MaxSignatures = 8

// maxSignature is what one COSE_Sign1 may take; ours are 92 bytes.
const maxSignature = 256

// tag107 is the head of CBOR tag 107, a SUIT envelope.
var tag107 = []byte{0xd8, 107}

// ErrNoEnvelope is returned for bytes that do not begin as an envelope does.
var ErrNoEnvelope = errors.New("not a SUIT envelope (CBOR tag 107)")

// ErrDigest is returned for an envelope whose digest is not that of its manifest.
var ErrDigest = errors.New("the digest is not the manifest's")

// Envelope is a manifest with the signatures over its digest. Nothing of it is to be believed before signing has verified it.
type Envelope struct {
	// Manifest is the encoded manifest.
	Manifest []byte
	// Signatures are COSE_Sign1 messages without payload, which is Payload.
	Signatures [][]byte
}

// IsEnvelope tells whether b begins as an envelope does.
func IsEnvelope(b []byte) bool { return bytes.HasPrefix(b, tag107) }

// Seal puts a manifest into an envelope without signatures.
func Seal(m *Manifest) (*Envelope, error) {
	b, err := m.Encode()
	if err != nil {
		return nil, err
	}
	return &Envelope{Manifest: b}, nil
}

// Digest is what the manifest is known by.
func (e *Envelope) Digest() Digest { return DigestOf(e.Manifest) }

// Payload is what signatures are over: the digest in the form that the envelope has it in.
func (e *Envelope) Payload() []byte {
	var w writer
	return w.digest(e.Digest()) // a digest always encodes
}

// Encode returns the envelope's bytes.
func (e *Envelope) Encode() ([]byte, error) {
	if len(e.Signatures) > MaxSignatures {
		return nil, invalid("%d signatures, at most %d", len(e.Signatures), MaxSignatures)
	}
	var w writer
	authentication := w.pack(append([][]byte{e.Payload()}, e.Signatures...))
	b := append(bytes.Clone(tag107), w.pack(wireEnvelope{Authentication: authentication, Manifest: e.Manifest})...)
	if len(b) > MaxSize {
		return nil, malformed(fmt.Errorf("%w: %d bytes, at most %d", canon.ErrTooLarge, len(b), MaxSize))
	}
	return b, w.err
}

// ParseEnvelope reads an envelope. It accepts exactly what Encode writes, and looks neither into the manifest nor at the
// signatures.
func ParseEnvelope(b []byte) (*Envelope, error) {
	if len(b) > MaxSize {
		return nil, malformed(fmt.Errorf("%w: %d bytes, at most %d", canon.ErrTooLarge, len(b), MaxSize))
	}
	if !IsEnvelope(b) {
		return nil, malformed(ErrNoEnvelope)
	}
	var w wireEnvelope
	if err := canon.Unmarshal(b[len(tag107):], MaxSize, &w); err != nil {
		return nil, malformed(fmt.Errorf("envelope: %w", err))
	}
	var parts [][]byte
	if err := canon.Unmarshal(w.Authentication, MaxSize, &parts); err != nil {
		return nil, malformed(fmt.Errorf("authentication wrapper: %w", err))
	}
	if len(parts) < 1 || len(parts) > 1+MaxSignatures {
		return nil, malformed(fmt.Errorf("%w: %d signatures, at most %d", ErrNotProfile, len(parts)-1, MaxSignatures))
	}
	e := &Envelope{Manifest: w.Manifest}
	if !bytes.Equal(parts[0], e.Payload()) {
		return nil, malformed(ErrDigest)
	}
	for _, s := range parts[1:] {
		if len(s) == 0 || len(s) > maxSignature {
			return nil, malformed(fmt.Errorf("%w: signature of %d bytes", ErrNotProfile, len(s)))
		}
		e.Signatures = append(e.Signatures, s)
	}
	return e, nil
}

// Unverified reads the manifest without a look at the signatures, for those who only want to show it.
func (e *Envelope) Unverified() (*Manifest, error) { return Parse(e.Manifest) }
