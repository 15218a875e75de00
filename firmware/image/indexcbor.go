package image

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/hawser-iot/hawser/firmware/canon"
)

// Versions of the index and of the way to cut.
const (
	indexVersion = 1
	algFastCDC1  = 1
)

// MaxIndex is how long an index may be: that of an image of MaxSize cut into the smallest chunks.
const MaxIndex = 64 + MaxChunks*40

// indexCBOR is an index as it is written: {1: version, 2: alg, 3: [min, avg, max], 4: size, 5: [+ [len, sha256]]}.
type indexCBOR struct {
	Version int         `cbor:"1,keyasint"`
	Alg     int         `cbor:"2,keyasint"`
	Sizes   [3]int      `cbor:"3,keyasint"`
	Size    int64       `cbor:"4,keyasint"`
	Chunks  []entryCBOR `cbor:"5,keyasint"`
}

type entryCBOR struct {
	_   struct{} `cbor:",toarray"`
	Len int
	Sum Digest
}

// Marshal returns the index as bytes. There is one spelling: the same index is always the same bytes.
func (x *Index) Marshal() ([]byte, error) {
	w := indexCBOR{indexVersion, algFastCDC1, [3]int{MinChunk, AvgChunk, MaxChunk}, x.Size, make([]entryCBOR, len(x.Chunks))}
	for i, c := range x.Chunks {
		w.Chunks[i] = entryCBOR{Len: c.Len, Sum: c.Sum}
	}
	return canon.Marshal(w)
}

// Digest is the SHA-256 of the index's bytes, which is what manifests name.
func (x *Index) Digest() (Digest, error) {
	if x.digest != nil {
		return *x.digest, nil
	}
	b, err := x.Marshal()
	if err != nil {
		return Digest{}, err
	}
	return sha256.Sum256(b), nil
}

// ParseVerified reads an index whose digest is known from a signed manifest; other bytes are ErrDigest before they are parsed.
func ParseVerified(b []byte, want Digest) (*Index, error) {
	if sha256.Sum256(b) != want {
		return nil, fmt.Errorf("%w: this is not the index that the manifest names", ErrDigest)
	}
	return ParseIndex(b)
}

// ParseIndex reads an index. It takes no more memory than a small multiple of what b has, and refuses what Marshal would not write.
func ParseIndex(b []byte) (*Index, error) {
	if len(b) > MaxIndex {
		return nil, fmt.Errorf("%w: an index has at most %d bytes", ErrLimit, MaxIndex)
	}
	if err := checkVersion(b); err != nil {
		return nil, err
	}
	var w indexCBOR
	if err := canon.UnmarshalList(b, MaxIndex, MaxChunks, &w); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	x, err := w.index()
	if err != nil {
		return nil, err
	}
	sum := Digest(sha256.Sum256(b))
	x.digest = &sum
	return x, nil
}

// IsIndex tells whether b begins as an index does, of whatever version.
func IsIndex(b []byte) bool { return !errors.Is(checkVersion(b), ErrFormat) }

// checkVersion looks at the start of an index, where deterministic CBOR has the version and the algorithm: later versions may have what
// this one can't parse.
func checkVersion(b []byte) error {
	if len(b) < 5 || b[0]>>5 != 5 || b[1] != 1 || b[2] > 23 || b[3] != 2 || b[4] > 23 {
		return fmt.Errorf("%w: this is no chunk index", ErrFormat)
	}
	if b[2] != indexVersion || b[4] != algFastCDC1 {
		return fmt.Errorf("%w: index version %d with algorithm %d", ErrVersion, b[2], b[4])
	}
	return nil
}

func (w *indexCBOR) index() (*Index, error) {
	if w.Sizes != [3]int{MinChunk, AvgChunk, MaxChunk} {
		return nil, fmt.Errorf("%w: chunks of %v bytes are not those of FastCDC-1", ErrFormat, w.Sizes)
	}
	if len(w.Chunks) == 0 {
		return nil, fmt.Errorf("%w: the image is empty", ErrFormat)
	}
	x := &Index{Chunks: make([]Chunk, 0, len(w.Chunks))}
	for i, c := range w.Chunks {
		if c.Len < 1 || c.Len > MaxChunk || c.Len < MinChunk && i < len(w.Chunks)-1 {
			return nil, &ChunkError{i, fmt.Errorf("%w: %d bytes", ErrLimit, c.Len)}
		}
		if err := x.add(c.Len, c.Sum); err != nil {
			return nil, err
		}
	}
	if x.Size != w.Size {
		return nil, fmt.Errorf("%w: the chunks have %d bytes, the image %d", ErrFormat, x.Size, w.Size)
	}
	return x, nil
}
