package codec

import (
	"math"
	"sync"
	"unsafe"
)

// Doc is a decoded document. It is read-only and safe for concurrent reading; Release gives its memory back.
type Doc struct {
	format Format
	text   []byte  // the payload, then strings that had to be unescaped or joined
	nodes  []node  // the values in document order: a container is followed by its content
	index  []int32 // hash tables of the larger objects, see close

	// While decoding only.
	pos int // next byte of the payload, which is text[:end]
	end int
	lim Limits
}

// node is a value. Positions instead of pointers keep it small and out of the garbage collector's sight.
type node struct {
	key   span
	str   span   // String, Bytes: content; numbers from JSON: the literal
	num   uint64 // Int: the value; Float: its bits; Bool: 0 or 1; Object: position of its hash table
	next  int32  // the node after this one and all its content
	count int32  // members or elements, duplicates not counted
	table int32  // size of an Object's hash table, 0 for none
	kind  Kind
	flags uint8
}

// span is a piece of Doc.text.
type span struct{ off, len int32 }

// Flags of a node.
const (
	flagPlainKey = 1 << iota // the key needs no escapes in JSON
	flagPlain                // the string needs none
	flagDead                 // a later member has the same key
	flagUint                 // Float: num is a uint64 above the int64 range
	flagSingle               // Float: came as a 16 or 32 bit float
)

// Documents larger than this are not kept in the pool, lest one big message pins memory for ever.
const (
	keepText  = 64 << 10
	keepNodes = 4 << 10
)

var pool = sync.Pool{New: func() any { return new(Doc) }}

// Decode reads one document of either format, told apart by Detect. It copies what it needs of b. The error is
// ErrTooLarge, ErrTooDeep, ErrTooMany or a *SyntaxError. The Doc should be released after use.
func Decode(b []byte, lim Limits) (*Doc, error) { return DecodeAs(Detect(b), b, lim) }

// DecodeAs is Decode for a payload whose format is known, and so for CBOR that is no map.
func DecodeAs(f Format, b []byte, lim Limits) (*Doc, error) {
	lim = lim.orDefault()
	if len(b) > lim.Size {
		return nil, ErrTooLarge
	}
	d := pool.Get().(*Doc)
	d.format, d.lim, d.pos, d.end = f, lim, 0, len(b)
	d.text, d.nodes, d.index = append(d.text[:0], b...), d.nodes[:0], d.index[:0]
	var err error
	if d.format == CBOR {
		err = d.decodeCBOR()
	} else {
		err = d.decodeJSON()
	}
	if err != nil {
		d.Release()
		return nil, err
	}
	return d, nil
}

// Root returns the whole document's value.
func (d *Doc) Root() Value {
	if d == nil {
		return Value{}
	}
	return Value{d, 0}
}

// Format tells what the document was decoded from.
func (d *Doc) Format() Format { return d.format }

// Release gives the document's memory back for the next Decode. No Value of it, nor a string or byte slice that came
// from one, may be used afterwards; strings.Clone what must stay. It is called at most once. Not calling it at all is
// safe and merely costs garbage. Release of nil does nothing.
func (d *Doc) Release() {
	if d == nil || cap(d.text) > keepText || cap(d.nodes) > keepNodes {
		return
	}
	pool.Put(d)
}

// label is what a container says about a value in it: the key, and flagPlainKey or 0. It is zero in an array.
type label struct {
	key   span
	flags uint8
}

// add appends a value, or returns an error when the limit is reached. The node moves with the next add.
func (d *Doc) add(l label, kind Kind) (*node, error) {
	i := len(d.nodes)
	if i >= d.lim.Count {
		return nil, ErrTooMany
	}
	d.nodes = append(d.nodes, node{key: l.key, flags: l.flags, kind: kind, next: int32(i) + 1})
	return &d.nodes[i], nil
}

// open adds a container that is the depth-th around its content, and returns its position.
func (d *Doc) open(l label, kind Kind, depth int) (int32, error) {
	if depth > d.lim.Depth {
		return 0, ErrTooDeep
	}
	_, err := d.add(l, kind)
	return int32(len(d.nodes) - 1), err
}

// close ends the container at i. Of members with the same key the last one stays; objects of more than a few members
// get a hash table, so that neither this nor Get takes time square in the number of members.
func (d *Doc) close(i int32, count int) {
	n := &d.nodes[i]
	n.next, n.count = int32(len(d.nodes)), int32(count)
	if n.kind != Object || count < 2 {
		return
	}
	if count > smallObject {
		d.hash(i)
		return
	}
	for m := d.nodes[i+1].next; m < n.next; m = d.nodes[m].next {
		for e := i + 1; e < m; e = d.nodes[e].next {
			if d.nodes[e].flags&flagDead == 0 && d.key(e) == d.key(m) {
				d.nodes[e].flags |= flagDead
				n.count--
			}
		}
	}
}

func (d *Doc) key(i int32) string { return d.string(d.nodes[i].key) }

func (d *Doc) string(s span) string {
	if s.len == 0 {
		return ""
	}
	return unsafe.String(&d.text[s.off], int(s.len))
}

func (n *node) float() float64 {
	if n.flags&flagUint != 0 {
		return float64(n.num)
	}
	return math.Float64frombits(n.num)
}
