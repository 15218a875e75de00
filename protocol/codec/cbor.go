package codec

import (
	"encoding/binary"
	"math"
	"unicode/utf8"
)

// Major types of CBOR, RFC 8949 section 3.1.
const (
	majorUint = iota
	majorNegative
	majorBytes
	majorText
	majorArray
	majorMap
	majorTag
	majorSimple
)

// Tags, RFC 8949 section 3.4.
const (
	tagBignum         = 2
	tagNegativeBignum = 3
)

// Reasons of CBOR syntax errors, beside those shared with JSON.
const (
	reasonReserved   = "reserved length"
	reasonBreak      = "break out of place"
	reasonChunk      = "chunk of another type in a string of indefinite length"
	reasonMapKey     = "map key is not a text string"
	reasonBignum     = "bignum"
	reasonInteger    = "integer below the int64 range"
	reasonSimple     = "unknown simple value"
	reasonNotFinite  = "NaN or infinity"
	reasonIndefinite = "indefinite length for a type that has none"
)

const indefinite = math.MaxUint64 // what head returns for a length that is not told; see its ok

// head is the start of a data item.
type head struct {
	major byte
	info  byte   // the low five bits
	arg   uint64 // the argument; for a float its bits
}

func (h head) indefinite() bool { return h.info == 31 }

func (d *Doc) decodeCBOR() error {
	if isSelfDescribed(d.text[:d.end]) {
		d.pos = 3
	}
	if err := d.cborValue(label{}, 0); err != nil {
		return err
	}
	if d.pos != d.end {
		return d.syntax(d.pos, reasonTail)
	}
	return nil
}

// cborHead reads a head at pos.
func (d *Doc) cborHead() (head, error) {
	if d.pos >= d.end {
		return head{}, d.syntax(d.pos, reasonEnd)
	}
	start := d.pos
	c := d.text[start]
	h := head{major: c >> 5, info: c & 31}
	d.pos++
	switch {
	case h.info < 24:
		h.arg = uint64(h.info)
		return h, nil
	case h.info == 31:
		h.arg = indefinite
		if h.major == majorUint || h.major == majorNegative || h.major == majorTag {
			return h, d.syntax(start, reasonIndefinite)
		}
		return h, nil
	case h.info > 27:
		return h, d.syntax(start, reasonReserved)
	}
	size := 1 << (h.info - 24)
	if d.end-d.pos < size {
		return h, d.syntax(d.end, reasonEnd)
	}
	b := d.text[d.pos:]
	switch size {
	case 1:
		h.arg = uint64(b[0])
	case 2:
		h.arg = uint64(binary.BigEndian.Uint16(b))
	case 4:
		h.arg = uint64(binary.BigEndian.Uint32(b))
	case 8:
		h.arg = binary.BigEndian.Uint64(b)
	}
	d.pos += size
	return h, nil
}

// cborValue reads the data item at pos.
func (d *Doc) cborValue(l label, depth int) error {
	start := d.pos
	h, err := d.cborHead()
	for err == nil && h.major == majorTag {
		// A tag says how its content may be meant (a time, a URI, expected base64); the content speaks for itself here.
		if depth++; depth > d.lim.Depth {
			return ErrTooDeep
		}
		if h.arg == tagBignum || h.arg == tagNegativeBignum {
			return d.syntax(start, reasonBignum)
		}
		start = d.pos
		h, err = d.cborHead()
	}
	if err != nil {
		return err
	}
	switch h.major {
	case majorArray:
		return d.cborArray(l, h, depth+1)
	case majorMap:
		return d.cborMap(l, h, depth+1)
	}
	n, err := d.add(l, Int)
	if err != nil {
		return err
	}
	switch h.major {
	case majorUint:
		n.num = h.arg
		if h.arg > math.MaxInt64 {
			n.kind, n.flags = Float, n.flags|flagUint
		}
	case majorNegative:
		if h.arg > math.MaxInt64 {
			return d.syntax(start, reasonInteger)
		}
		n.num = ^h.arg // -1 - arg
	case majorBytes:
		n.kind = Bytes
		n.str, err = d.cborString(h)
	case majorText:
		n.kind = String
		n.str, err = d.cborString(h)
	case majorSimple:
		err = d.cborSimple(n, h, start)
	}
	return err
}

func (d *Doc) cborSimple(n *node, h head, start int) error {
	const falseValue, trueValue, null, undefined, half, single, double, stop = 20, 21, 22, 23, 25, 26, 27, 31
	switch h.info {
	case falseValue, trueValue:
		n.kind, n.num = Bool, uint64(h.info-falseValue)
		return nil
	case null, undefined:
		n.kind = Null
		return nil
	case stop:
		return d.syntax(start, reasonBreak)
	}
	var f float64
	switch h.info {
	case half:
		f, n.flags = halfFloat(uint16(h.arg)), n.flags|flagSingle
	case single:
		f, n.flags = float64(math.Float32frombits(uint32(h.arg))), n.flags|flagSingle
	case double:
		f = math.Float64frombits(h.arg)
	default:
		return d.syntax(start, reasonSimple)
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return d.syntax(start, reasonNotFinite)
	}
	n.kind, n.num = Float, math.Float64bits(f)
	return nil
}

// halfFloat converts a 16 bit float, RFC 8949 appendix D.
func halfFloat(h uint16) float64 {
	exponent, mantissa := int(h>>10)&31, float64(h&1023)
	var f float64
	switch exponent {
	case 0:
		f = math.Ldexp(mantissa, -24)
	case 31:
		f = math.Inf(1)
		if mantissa != 0 {
			f = math.NaN()
		}
	default:
		f = math.Ldexp(mantissa+1024, exponent-25)
	}
	if h&0x8000 != 0 {
		return -f
	}
	return f
}

// cborString reads the content of a string whose head was read. The pieces of one of indefinite length are joined behind
// the payload, which can never double the memory: each piece was in the payload.
func (d *Doc) cborString(h head) (span, error) {
	if !h.indefinite() {
		return d.cborChunk(h)
	}
	off := len(d.text)
	for {
		start := d.pos
		c, err := d.cborHead()
		if err != nil {
			return span{}, err
		}
		if c.major == majorSimple && c.indefinite() {
			return span{int32(off), int32(len(d.text) - off)}, nil
		}
		if c.major != h.major || c.indefinite() {
			return span{}, d.syntax(start, reasonChunk)
		}
		s, err := d.cborChunk(c)
		if err != nil {
			return span{}, err
		}
		d.text = append(d.text, d.text[s.off:s.off+s.len]...)
	}
}

func (d *Doc) cborChunk(h head) (span, error) {
	if h.arg > uint64(d.end-d.pos) {
		return span{}, d.syntax(d.end, reasonEnd)
	}
	s := span{int32(d.pos), int32(h.arg)}
	if h.major == majorText && !utf8.Valid(d.text[d.pos:d.pos+int(h.arg)]) {
		return span{}, d.syntax(d.pos, reasonUTF8)
	}
	d.pos += int(h.arg)
	return s, nil
}

// room checks a promised number of items against what is left: each takes at least size bytes, and each counts.
func (d *Doc) room(h head, size int) error {
	if h.indefinite() {
		return nil
	}
	if h.arg > uint64(d.end-d.pos)/uint64(size) {
		return d.syntax(d.end, reasonEnd)
	}
	if h.arg > uint64(d.lim.Count-len(d.nodes)) {
		return ErrTooMany
	}
	return nil
}

// more reports whether a container that has count items goes on; it consumes the break of one of indefinite length.
func (d *Doc) more(h head, count int) bool {
	if !h.indefinite() {
		return uint64(count) < h.arg
	}
	if d.pos < d.end && d.text[d.pos] == 0xFF {
		d.pos++
		return false
	}
	return true
}

func (d *Doc) cborArray(l label, h head, depth int) error {
	at, err := d.open(l, Array, depth)
	if err != nil {
		return err
	}
	if err := d.room(h, 1); err != nil {
		return err
	}
	count := 0
	for ; d.more(h, count); count++ {
		if err := d.cborValue(label{}, depth); err != nil {
			return err
		}
	}
	d.close(at, count)
	return nil
}

func (d *Doc) cborMap(l label, h head, depth int) error {
	at, err := d.open(l, Object, depth)
	if err != nil {
		return err
	}
	if err := d.room(h, 2); err != nil {
		return err
	}
	count := 0
	for ; d.more(h, count); count++ {
		start := d.pos
		k, err := d.cborHead()
		if err != nil {
			return err
		}
		if k.major != majorText {
			return d.syntax(start, reasonMapKey)
		}
		key, err := d.cborString(k)
		if err != nil {
			return err
		}
		if err := d.cborValue(label{key: key}, depth); err != nil {
			return err
		}
	}
	d.close(at, count)
	return nil
}
