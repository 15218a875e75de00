package codec

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"
	"unicode/utf8"
)

// AppendJSON appends v as compact JSON: members in document order, each key once, no HTML escapes, no exponents, Bytes as
// base64 (RFC 4648 section 4, padded). Integers are exact whatever their size; a Float has a decimal point, so that it is
// read back as one; without exponents an extreme one takes up to 330 bytes. Missing is written as null.
func (v Value) AppendJSON(dst []byte) []byte {
	switch v.Kind() {
	case Bool:
		return strconv.AppendBool(dst, v.node().num != 0)
	case Int:
		return strconv.AppendInt(dst, int64(v.node().num), 10)
	case Float:
		return v.appendFloat(dst)
	case String:
		return appendText(dst, v.doc.string(v.node().str), v.node().flags&flagPlain != 0)
	case Bytes:
		dst = append(dst, '"')
		b, _ := v.Bytes()
		dst = base64.StdEncoding.AppendEncode(dst, b)
		return append(dst, '"')
	case Array:
		return v.appendArray(dst)
	case Object:
		return v.appendObject(dst)
	}
	return append(dst, "null"...)
}

func (v Value) appendArray(dst []byte) []byte {
	dst = append(dst, '[')
	end := v.node().next
	for e := v.at + 1; e < end; e = v.doc.nodes[e].next {
		if e > v.at+1 {
			dst = append(dst, ',')
		}
		dst = Value{v.doc, e}.AppendJSON(dst)
	}
	return append(dst, ']')
}

func (v Value) appendObject(dst []byte) []byte {
	dst = append(dst, '{')
	first := true
	end := v.node().next
	for m := v.at + 1; m < end; m = v.doc.nodes[m].next {
		n := &v.doc.nodes[m]
		if n.flags&flagDead != 0 {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendText(dst, v.doc.string(n.key), n.flags&flagPlainKey != 0)
		dst = append(dst, ':')
		dst = Value{v.doc, m}.AppendJSON(dst)
	}
	return append(dst, '}')
}

func (v Value) appendFloat(dst []byte) []byte {
	n := v.node()
	if n.flags&flagUint != 0 {
		return strconv.AppendUint(dst, n.num, 10)
	}
	literal := v.doc.string(n.str)
	for i := range len(literal) {
		if literal[i] == 'e' || literal[i] == 'E' {
			return AppendFloat(dst, n.float())
		}
	}
	if literal != "" {
		return append(dst, literal...)
	}
	if n.flags&flagSingle != 0 {
		return appendFloat(dst, n.float(), 32)
	}
	return AppendFloat(dst, n.float())
}

// AppendFloat appends f as a JSON number: the shortest decimal that reads back as f, without exponent and with a decimal
// point (1e3 is 1000.0). NaN and infinities, which JSON has no word for, become null.
func AppendFloat(dst []byte, f float64) []byte { return appendFloat(dst, f, 64) }

func appendFloat(dst []byte, f float64, bits int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, 'f', -1, bits)
	for _, c := range dst[start:] {
		if c == '.' {
			return dst
		}
	}
	return append(dst, ".0"...)
}

func appendText(dst []byte, s string, plain bool) []byte {
	if !plain {
		return AppendString(dst, s)
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// AppendString appends s as a JSON string, escaping only what JSON demands: quotes, backslashes and control characters.
// Bytes that are not UTF-8 become U+FFFD.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	done := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plainASCII[c] {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n < 2 {
				dst = append(dst, s[done:i]...)
				dst = append(dst, "\uFFFD"...)
				done = i + 1
			}
			i += n
			continue
		}
		dst = append(dst, s[done:i]...)
		dst = appendEscape(dst, c)
		i++
		done = i
	}
	dst = append(dst, s[done:]...)
	return append(dst, '"')
}

func appendEscape(dst []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

// AppendCBOR appends v as CBOR: definite lengths, the shortest integer heads, floats in 32 bits where that is exact and
// 64 bits otherwise, members in document order. Missing is written as null.
func (v Value) AppendCBOR(dst []byte) []byte {
	switch v.Kind() {
	case Bool:
		return append(dst, majorSimple<<5|20|byte(v.node().num))
	case Int:
		i := int64(v.node().num)
		if i < 0 {
			return appendHead(dst, majorNegative, uint64(^i))
		}
		return appendHead(dst, majorUint, uint64(i))
	case Float:
		return v.appendFloatCBOR(dst)
	case String:
		s := v.doc.string(v.node().str)
		return append(appendHead(dst, majorText, uint64(len(s))), s...)
	case Bytes:
		s := v.doc.string(v.node().str)
		return append(appendHead(dst, majorBytes, uint64(len(s))), s...)
	case Array:
		dst = appendHead(dst, majorArray, uint64(v.Len()))
		v.Elems(func(_ int, e Value) bool { dst = e.AppendCBOR(dst); return true })
		return dst
	case Object:
		dst = appendHead(dst, majorMap, uint64(v.Len()))
		v.Each(func(key string, e Value) bool {
			dst = append(appendHead(dst, majorText, uint64(len(key))), key...)
			dst = e.AppendCBOR(dst)
			return true
		})
		return dst
	}
	return append(dst, majorSimple<<5|22)
}

func (v Value) appendFloatCBOR(dst []byte) []byte {
	n := v.node()
	if n.flags&flagUint != 0 {
		return appendHead(dst, majorUint, n.num)
	}
	f := n.float()
	if single := float32(f); float64(single) == f {
		return binary.BigEndian.AppendUint32(append(dst, majorSimple<<5|26), math.Float32bits(single))
	}
	return binary.BigEndian.AppendUint64(append(dst, majorSimple<<5|27), math.Float64bits(f))
}

func appendHead(dst []byte, major byte, arg uint64) []byte {
	m := major << 5
	switch {
	case arg < 24:
		return append(dst, m|byte(arg))
	case arg <= math.MaxUint8:
		return append(dst, m|24, byte(arg))
	case arg <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, m|25), uint16(arg))
	case arg <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, m|26), uint32(arg))
	}
	return binary.BigEndian.AppendUint64(append(dst, m|27), arg)
}
