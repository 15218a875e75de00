package image

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/hawser-iot/hawser/firmware/canon"
	"github.com/hawser-iot/hawser/firmware/frame"
)

// PackMagic opens a full pack; its last byte is the version.
const PackMagic = "HAWSERF\x01"

const (
	trailerLen  = 4 // bytes of the trailer's length, at the very end
	entryOffset = 0
	entryLength = 1
)

// trailerCBOR is {1: digest of the index, 2: [+ [offset, length]]}: where the frame of each chunk is, in the order of the chunks.
type trailerCBOR struct {
	Index  Digest     `cbor:"1,keyasint"`
	Chunks [][2]int64 `cbor:"2,keyasint"`
}

func (t *trailerCBOR) marshal() ([]byte, error) {
	b, err := canon.Marshal(t)
	if err != nil {
		return nil, err
	}
	return binary.BigEndian.AppendUint32(b, uint32(len(b))), nil
}

// readTrailer reads the trailer of a pack with the given index.
func readTrailer(ctx context.Context, src Source, x *Index) (*trailerCBOR, error) {
	size := src.Size()
	if size < int64(len(PackMagic))+trailerLen {
		return nil, fmt.Errorf("%w: %d bytes are no full pack", ErrFormat, size)
	}
	magic := make([]byte, len(PackMagic))
	if err := ReadRange(ctx, src, 0, magic); err != nil {
		return nil, err
	}
	if err := checkMagic(magic, PackMagic, "full pack"); err != nil {
		return nil, err
	}
	// What the trailer of this index takes at most is read at once, which saves a round trip for its length.
	guess := min(size-int64(len(magic)), int64(64+len(x.Chunks)*16+trailerLen))
	tail := make([]byte, guess)
	if err := ReadRange(ctx, src, size-guess, tail); err != nil {
		return nil, err
	}
	n := int64(binary.BigEndian.Uint32(tail[guess-trailerLen:]))
	if n > guess-trailerLen {
		return nil, fmt.Errorf("%w: a trailer of %d bytes, where %d chunks need %d at most", ErrLimit, n, len(x.Chunks), guess-trailerLen)
	}
	t, err := parseTrailer(tail[guess-trailerLen-n:], x)
	if err != nil {
		return nil, err
	}
	return t, t.check(x, size-n-trailerLen)
}

// checkMagic looks at the first bytes of a pack, of which the last is the version.
func checkMagic(got []byte, want, what string) error {
	last := len(want) - 1
	if string(got[:last]) != want[:last] {
		return fmt.Errorf("%w: this is no %s", ErrFormat, what)
	}
	if got[last] != want[last] {
		return fmt.Errorf("%w: %s version %d", ErrVersion, what, got[last])
	}
	return nil
}

// parseTrailer reads a trailer with its length behind it.
func parseTrailer(b []byte, x *Index) (*trailerCBOR, error) {
	var t trailerCBOR
	if err := canon.UnmarshalList(b[:len(b)-trailerLen], len(b), len(x.Chunks), &t); err != nil {
		return nil, fmt.Errorf("%w: trailer: %w", ErrFormat, err)
	}
	return &t, nil
}

// check holds that the frames fill the pack without gaps, up to end: each is where the last new one ended, or is an earlier one again.
func (t *trailerCBOR) check(x *Index, end int64) error {
	digest, err := x.Digest()
	if err != nil {
		return err
	}
	if t.Index != digest {
		return fmt.Errorf("%w: the pack is of another image, with index %s", ErrDigest, t.Index)
	}
	if len(t.Chunks) != len(x.Chunks) {
		return fmt.Errorf("%w: the pack has %d chunks, the index %d", ErrFormat, len(t.Chunks), len(x.Chunks))
	}
	at := int64(len(PackMagic))
	lengths := make(map[int64]int64, len(t.Chunks))
	for no, e := range t.Chunks {
		off, n := e[entryOffset], e[entryLength]
		if n < 1 || n > int64(frame.Bound(x.Chunks[no].Len)) {
			return &ChunkError{no, fmt.Errorf("%w: %d bytes packed", ErrLimit, n)}
		}
		switch {
		case off == at && n <= end-at:
			lengths[off] = n
			at += n
		case lengths[off] != n:
			return &ChunkError{no, fmt.Errorf("%w: nothing of %d bytes at %d", ErrFormat, n, off)}
		}
	}
	if at != end {
		return fmt.Errorf("%w: %d bytes of the pack belong to no chunk", ErrFormat, end-at)
	}
	return nil
}
