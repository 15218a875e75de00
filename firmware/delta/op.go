package delta

import (
	"encoding/binary"
	"fmt"

	"github.com/hawser-iot/hawser/firmware/frame"
	"github.com/hawser-iot/hawser/firmware/image"
)

// Kind is how a chunk is made.
type Kind byte

// The kinds, as they are written.
const (
	Copy  Kind = iota // it lies in the old image
	Patch             // of a window of the old image and a patch
	Full              // it is in the pack
	Zeros             // it is nothing but zeros
)

func (k Kind) String() string {
	switch k {
	case Copy:
		return "copy"
	case Patch:
		return "patch"
	case Full:
		return "full"
	case Zeros:
		return "zeros"
	}
	return fmt.Sprintf("kind %d", byte(k))
}

// op makes one chunk, or for Copy and Zeros a run of them.
type op struct {
	kind    Kind
	chunks  int   // how many
	source  int64 // Copy and Patch: where in the old image
	window  int   // Patch: how much of it
	packed  int   // Patch and Full: bytes in the pack
	payload int64 // and where they are, from the first payload on
}

// appendOps writes ops as a table. Places in the old image are told as how much further from the place in the new image they are
// than those of the last Copy, which is 0 where nothing has moved.
func appendOps(dst []byte, ops []op, x *image.Index) []byte {
	var drift int64
	no := 0
	for _, o := range ops {
		dst = append(dst, byte(o.kind))
		d := o.source - x.Chunks[no].Off
		switch o.kind {
		case Copy:
			dst = binary.AppendUvarint(dst, uint64(o.chunks))
			dst = binary.AppendVarint(dst, d-drift)
			drift = d
		case Patch:
			dst = binary.AppendVarint(dst, d-drift)
			dst = binary.AppendUvarint(dst, uint64(o.window))
			dst = binary.AppendUvarint(dst, uint64(o.packed))
		case Full:
			dst = binary.AppendUvarint(dst, uint64(o.packed))
		case Zeros:
			dst = binary.AppendUvarint(dst, uint64(o.chunks))
		}
		no += o.chunks
	}
	return dst
}

// parseOps reads the table of a pack for the image of x, from an old image of base bytes. Every place is within the old image.
func parseOps(b []byte, x *image.Index, base int64) ([]op, error) {
	p := opParser{r: reader{b: b}, x: x, base: base}
	for len(p.r.b) > 0 {
		if p.no == len(x.Chunks) {
			return nil, fmt.Errorf("%w: the table has more chunks than the index", ErrFormat)
		}
		o, err := p.next()
		if err != nil {
			return nil, &image.ChunkError{No: p.no, Err: err}
		}
		p.ops = append(p.ops, o)
		p.no += o.chunks
		p.payload += int64(o.packed)
	}
	if p.no != len(x.Chunks) {
		return nil, fmt.Errorf("%w: the table has %d chunks, the index %d", ErrFormat, p.no, len(x.Chunks))
	}
	return p.ops, nil
}

type opParser struct {
	r              reader
	x              *image.Index
	base           int64
	drift, payload int64
	no             int
	ops            []op
}

func (p *opParser) next() (op, error) {
	o := op{kind: Kind(p.r.byte()), chunks: 1, payload: p.payload}
	left := len(p.x.Chunks) - p.no
	chunk := p.x.Chunks[p.no]
	switch o.kind {
	case Copy:
		o.chunks = p.r.length(left)
		shift := p.r.varint(image.MaxSize)
		if p.r.err == nil && shift == 0 && p.follows(Copy) {
			return o, fmt.Errorf("%w: two copies that are one", ErrFormat)
		}
		p.drift += shift
		o.source = chunk.Off + p.drift
	case Patch:
		o.source = chunk.Off + p.drift + p.r.varint(image.MaxSize)
		o.window = p.r.length(MaxWindow)
		o.packed = p.r.length(frame.Bound(maxPatch))
	case Full:
		o.packed = p.r.length(frame.Bound(chunk.Len))
	case Zeros:
		o.chunks = p.r.length(left)
		if p.follows(Zeros) {
			return o, fmt.Errorf("%w: two runs of zeros that are one", ErrFormat)
		}
	default:
		return o, fmt.Errorf("%w: unknown %v", ErrFormat, o.kind)
	}
	if p.r.err != nil {
		return o, p.r.err
	}
	return o, p.check(o)
}

func (p *opParser) follows(k Kind) bool { return len(p.ops) > 0 && p.ops[len(p.ops)-1].kind == k }

// check holds that o makes something, of what there is.
func (p *opParser) check(o op) error {
	if o.chunks == 0 || o.kind == Patch && o.window == 0 || (o.kind == Patch || o.kind == Full) && o.packed == 0 {
		return fmt.Errorf("%w: a %v of nothing", ErrFormat, o.kind)
	}
	n := int64(o.window)
	if o.kind == Copy {
		last := p.x.Chunks[p.no+o.chunks-1]
		n = last.Off + int64(last.Len) - p.x.Chunks[p.no].Off
	}
	if o.source < 0 || n > p.base || o.source > p.base-n {
		return fmt.Errorf("%w: %d bytes at %d of an old image of %d", ErrLimit, n, o.source, p.base)
	}
	return nil
}
