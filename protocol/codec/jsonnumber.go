package codec

import (
	"math"
	"strconv"
)

// jsonNumber reads the number at pos by the grammar of RFC 8259 section 6. Digits are gathered on the way, so that the
// usual numbers need no second look.
func (d *Doc) jsonNumber(n *node) error {
	b, start := d.text[:d.end], d.pos
	i := start
	if b[i] == '-' {
		i++
	}
	intStart := i
	i, mantissa := digits(b, i, 0)
	if i == intStart || b[intStart] == '0' && i > intStart+1 {
		return d.syntax(start, reasonNumber)
	}
	intEnd, fraction, exponent := i, 0, false
	if i < len(b) && b[i] == '.' {
		fractionStart := i + 1
		i, mantissa = digits(b, fractionStart, mantissa)
		if fraction = i - fractionStart; fraction == 0 {
			return d.syntax(start, reasonNumber)
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		exponent = true
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		exponentStart := i
		if i, _ = digits(b, i, 0); i == exponentStart {
			return d.syntax(start, reasonNumber)
		}
	}
	d.pos = i
	n.str = span{int32(start), int32(i - start)}
	negative := b[start] == '-'
	if fraction == 0 && !exponent && intEnd-intStart <= 18 {
		n.kind, n.num = Int, mantissa
		if negative {
			n.num = -mantissa
		}
		return nil
	}
	return d.jsonFloat(n, mantissa, intEnd-intStart+fraction, fraction, exponent, negative)
}

// digits skips decimal digits from i on and adds them to m, which overflows silently past 19 of them.
func digits(b []byte, i int, m uint64) (int, uint64) {
	for i < len(b) && b[i]-'0' <= 9 {
		m = m*10 + uint64(b[i]-'0')
		i++
	}
	return i, m
}

// pow10 holds the powers of ten that float64 represents exactly.
var pow10 = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17,
	1e18, 1e19, 1e20, 1e21, 1e22}

// jsonFloat sets the value of a number that is not a short integer. One exact mantissa divided by one exact power of ten
// rounds once and is therefore correct (Clinger's fast path); all else goes to strconv.
func (d *Doc) jsonFloat(n *node, mantissa uint64, digits, fraction int, exponent, negative bool) error {
	literal := d.string(n.str)
	if !exponent && digits <= 15 {
		f := float64(mantissa) / pow10[fraction]
		if negative {
			f = -f
		}
		n.kind, n.num = Float, math.Float64bits(f)
		return nil
	}
	if fraction == 0 && !exponent {
		if v, err := strconv.ParseInt(literal, 10, 64); err == nil {
			n.kind, n.num = Int, uint64(v)
			return nil
		}
		if v, err := strconv.ParseUint(literal, 10, 64); err == nil {
			n.kind, n.num, n.flags = Float, v, n.flags|flagUint
			return nil
		}
	}
	f, err := strconv.ParseFloat(literal, 64)
	if err != nil {
		return d.syntax(int(n.str.off), reasonRange)
	}
	n.kind, n.num = Float, math.Float64bits(f)
	return nil
}
