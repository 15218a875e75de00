package delta

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/hawser-iot/hawser/firmware/frame"
	"github.com/hawser-iot/hawser/firmware/image"
)

// Magic opens a delta pack; its last byte is the version.
const Magic = "HAWSERD\x01"

// headerLen is how long the header is: magic, digest and size of the old image, digest of the new one's index, length of the table.
const headerLen = len(Magic) + 32 + 8 + 32 + 4

// Header is what a delta pack says of itself. Nothing of it is to be trusted.
type Header struct {
	Base     image.Digest // the SHA-256 of the old image
	BaseSize int64
	Index    image.Digest // the digest of the new image's index
	table    int          // bytes of the packed table of ops behind the header
}

func (h *Header) append(dst []byte) []byte {
	dst = append(dst, Magic...)
	dst = append(dst, h.Base[:]...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(h.BaseSize))
	dst = append(dst, h.Index[:]...)
	return binary.BigEndian.AppendUint32(dst, uint32(h.table))
}

// ReadHeader reads the header of a delta pack.
func ReadHeader(ctx context.Context, src image.Source) (*Header, error) {
	if src.Size() < int64(headerLen) {
		return nil, fmt.Errorf("%w: %d bytes are no delta pack", ErrFormat, src.Size())
	}
	b := make([]byte, headerLen)
	if err := image.ReadRange(ctx, src, 0, b); err != nil {
		return nil, sourceError(err)
	}
	last := len(Magic) - 1
	if string(b[:last]) != Magic[:last] {
		return nil, fmt.Errorf("%w: this is no delta pack", ErrFormat)
	}
	if b[last] != Magic[last] {
		return nil, fmt.Errorf("%w: delta pack version %d", ErrVersion, b[last])
	}
	b = b[len(Magic):]
	h := &Header{Base: image.Digest(b[:32]), Index: image.Digest(b[40:72])}
	size, table := binary.BigEndian.Uint64(b[32:]), binary.BigEndian.Uint32(b[72:])
	if size < 1 || size > image.MaxSize {
		return nil, fmt.Errorf("%w: an old image of %d bytes", ErrLimit, size)
	}
	if int64(table) > src.Size()-int64(headerLen) || int64(table) > int64(frame.Bound(frame.MaxContent)) {
		return nil, fmt.Errorf("%w: a table of %d bytes", ErrLimit, table)
	}
	h.BaseSize, h.table = int64(size), int(table)
	return h, nil
}

// Pack is a delta pack whose table has been read and checked. What it says about a chunk may still be wrong. It serves one Apply at a time.
type Pack struct {
	Header
	src   image.Source
	index *image.Index
	ops   []op
	dec   *frame.Decoder
}

// Open reads the table of a delta pack that makes the image of index.
func Open(ctx context.Context, src image.Source, index *image.Index) (*Pack, error) {
	h, err := ReadHeader(ctx, src)
	if err != nil {
		return nil, err
	}
	digest, err := index.Digest()
	if err != nil {
		return nil, err
	}
	if h.Index != digest {
		return nil, fmt.Errorf("%w: the pack makes another image, with index %s", ErrDigest, h.Index)
	}
	dec, err := frame.NewDecoder()
	if err != nil {
		return nil, err
	}
	table, err := readTable(ctx, src, dec, h, len(index.Chunks))
	if err != nil {
		return nil, err
	}
	p := &Pack{Header: *h, src: src, index: index, dec: dec}
	if p.ops, err = parseOps(table, index, h.BaseSize); err != nil {
		return nil, err
	}
	last := p.ops[len(p.ops)-1]
	if end := p.payloads() + last.payload + int64(last.packed); end != src.Size() {
		return nil, fmt.Errorf("%w: the pack has %d bytes, its table says %d", ErrFormat, src.Size(), end)
	}
	return p, nil
}

// maxOp is how long an op may be in the table.
const maxOp = 1 + 3*binary.MaxVarintLen64

func readTable(ctx context.Context, src image.Source, dec *frame.Decoder, h *Header, chunks int) ([]byte, error) {
	packed := make([]byte, h.table)
	if err := image.ReadRange(ctx, src, int64(headerLen), packed); err != nil {
		return nil, sourceError(err)
	}
	n, err := frame.ContentSize(packed)
	if err != nil {
		return nil, fmt.Errorf("%w: table: %w", ErrFormat, err)
	}
	if n > chunks*maxOp {
		return nil, fmt.Errorf("%w: a table of %d bytes for %d chunks", ErrLimit, n, chunks)
	}
	table := make([]byte, n)
	if err := dec.Decode(table, packed); err != nil {
		return nil, fmt.Errorf("%w: table: %w", ErrFormat, err)
	}
	return table, nil
}

// longest is how long the longest payload is.
func (p *Pack) longest() (n int) {
	for _, o := range p.ops {
		n = max(n, o.packed)
	}
	return n
}

// payloads is where the payloads begin.
func (p *Pack) payloads() int64 { return int64(headerLen + p.table) }

// Stats is what a delta pack is made of.
type Stats struct {
	Kinds  [4]KindStats // by Kind
	Header int64        // bytes of header and table
	Total  int64        // bytes of the pack
}

// KindStats is what is of one kind: chunks, how long they are in the image, and how long in the pack.
type KindStats struct {
	Chunks        int
	Bytes, Packed int64
}

// Stats counts what the pack is made of.
func (p *Pack) Stats() Stats {
	s := Stats{Header: p.payloads(), Total: p.src.Size()}
	no := 0
	for _, o := range p.ops {
		k := &s.Kinds[o.kind]
		for _, c := range p.index.Chunks[no : no+o.chunks] {
			k.Bytes += int64(c.Len)
		}
		k.Chunks += o.chunks
		k.Packed += int64(o.packed)
		no += o.chunks
	}
	return s
}
