package signing

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/hawser-iot/hawser/firmware/canon"
	"github.com/hawser-iot/hawser/firmware/failure"
)

// Document is a root document on its way to enough signatures. What it says is not to be believed; TrustRoot and Next
// make a Root of one that is complete.
type Document struct {
	Payload    []byte
	Signatures [][]byte
}

// maxRootSignatures are those of a whole role of N and of N+1.
const maxRootSignatures = 2 * MaxKeys

// rootMagic begins a root document's file; the number behind it is the version of docs/formats/root.md.
const (
	rootMagic  = "hawser-root"
	rootFormat = 1
)

type wireDocument struct {
	_          struct{} `cbor:",toarray"`
	Magic      string
	Format     int
	Payload    []byte
	Signatures [][]byte
}

// ErrNoRoot is returned for bytes that do not begin as a root document does.
var ErrNoRoot = errors.New("not a root document")

// head is an array of four, the magic, and the format's number.
var head = append(append([]byte{0x84, 0x60 | byte(len(rootMagic))}, rootMagic...), rootFormat)

// IsRoot tells whether b begins as a root document does.
func IsRoot(b []byte) bool { return bytes.HasPrefix(b, head[:len(head)-1]) }

// Draft is the document of a root, without signatures.
func (r *Root) Draft() (*Document, error) {
	p, err := r.payload()
	return &Document{Payload: p}, err
}

// Encode returns the document's bytes.
func (d *Document) Encode() ([]byte, error) {
	signatures := d.Signatures
	if signatures == nil {
		signatures = [][]byte{}
	}
	return canon.Marshal(wireDocument{Magic: rootMagic, Format: rootFormat, Payload: d.Payload, Signatures: signatures})
}

// ParseDocument reads a root document without a look at its signatures.
func ParseDocument(b []byte) (*Document, error) {
	switch {
	case !IsRoot(b):
		return nil, refuse("root", ErrNoRoot)
	case !bytes.HasPrefix(b, head):
		return nil, invalid("root", "format %#x, want %d; a newer release of this program may read it", b[min(len(head), len(b))-1], rootFormat)
	}
	var w wireDocument
	if err := canon.Unmarshal(b, MaxRoot, &w); err != nil {
		return nil, refuse("root", err)
	}
	if len(w.Signatures) > maxRootSignatures {
		return nil, invalid("root", "%d signatures, at most %d", len(w.Signatures), maxRootSignatures)
	}
	return &Document{w.Payload, w.Signatures}, nil
}

// Unverified is what the document says, whoever has signed it.
func (d *Document) Unverified() (*Root, error) {
	r, err := readRoot(d.Payload)
	if err != nil {
		return nil, err
	}
	r.signed = *d
	return r, nil
}

// Approval tells who of the document's own root keys, or of another root's, has signed it.
func (d *Document) Approval(by *Root) (Approval, error) {
	return by.approve(RoleRoot, d.Payload, forRoot, d.Signatures)
}

// Sign adds a signature. A key that has signed already does not sign again.
func (d *Document) Sign(k PrivateKey) error {
	s, err := d.SignatureBy(k)
	if err != nil {
		return err
	}
	return d.Attach(s)
}

// SignatureBy is a signature over the document, to be attached elsewhere.
func (d *Document) SignatureBy(k PrivateKey) ([]byte, error) {
	return sign(k, d.Payload, forRoot, false)
}

// Attach adds a signature that was made elsewhere, unless it is there. It is not verified.
func (d *Document) Attach(s []byte) (err error) {
	d.Signatures, err = attach(d.Signatures, s, maxRootSignatures)
	return err
}

// attach adds a signature to others, in place of one by the same key.
func attach(signatures [][]byte, s []byte, most int) ([][]byte, error) {
	added, err := parseSignature(s)
	if err != nil {
		return signatures, refuse("signature", err)
	}
	for i, old := range signatures {
		if o, err := parseSignature(old); err == nil && o.id == added.id {
			signatures[i] = s
			return signatures, nil
		}
	}
	if len(signatures) >= most {
		return signatures, invalid("signature", "there are %d already, the most that there may be", most)
	}
	return append(signatures, s), nil
}

// TrustRoot reads the root document that trust begins with: the one a device was shipped with, or that somebody has
// compared by its keys' ids. It must be signed by its own root keys, which shows that it is whole, not whose it is.
func TrustRoot(b []byte) (*Root, error) {
	d, err := ParseDocument(b)
	if err != nil {
		return nil, err
	}
	r, err := d.Unverified()
	if err != nil {
		return nil, err
	}
	if _, err := d.Approval(r); err != nil {
		return nil, err
	}
	return r, nil
}

// Next verifies the root document that follows: its version is one higher, and the thresholds of both roots' root keys
// have signed it. The same document once more is no error and returns r. An older one is of the class ROLLBACK, one
// that skips a version of the class DEP: the one between is to be fetched first.
func (r *Root) Next(b []byte) (*Root, error) {
	d, err := ParseDocument(b)
	if err != nil {
		return nil, err
	}
	next, err := d.Unverified()
	if err != nil {
		return nil, err
	}
	// By its own keys first: a document that was damaged on its way says nothing about versions.
	if _, err := d.Approval(next); err != nil {
		return nil, fmt.Errorf("by version %d: %w", next.Version, err)
	}
	switch {
	case bytes.Equal(d.Payload, r.signed.Payload):
		return r, nil
	case next.Version <= r.Version:
		return nil, failure.New(failure.Rollback, "root: version %d does not follow version %d", next.Version, r.Version)
	case next.Version != r.Version+1:
		return nil, failure.New(failure.Dependency, "root: version %d does not follow version %d; version %d comes first", next.Version, r.Version, r.Version+1)
	}
	if _, err := d.Approval(r); err != nil {
		return nil, fmt.Errorf("by version %d: %w", r.Version, err)
	}
	return next, nil
}

// Encode returns the document that the root was read from.
func (r *Root) Encode() ([]byte, error) { return r.signed.Encode() }
