package codec

import (
	"math"
	"strconv"
	"unicode/utf8"
)

// Reasons of JSON syntax errors.
const (
	reasonEmpty   = "empty payload"
	reasonEnd     = "unexpected end"
	reasonTail    = "bytes after the document"
	reasonValue   = "expected a value"
	reasonKey     = "expected a key in quotes"
	reasonColon   = "expected a colon"
	reasonComma   = "expected a comma or the closing bracket"
	reasonControl = "control character in a string"
	reasonEscape  = "bad escape"
	reasonUTF8    = "bad UTF-8"
	reasonNumber  = "bad number"
	reasonRange   = "number out of range"
)

func (d *Doc) syntax(offset int, reason string) error {
	return &SyntaxError{Format: d.format, Offset: offset, Reason: reason}
}

func (d *Doc) decodeJSON() error {
	if d.end == 0 {
		return d.syntax(0, reasonEmpty)
	}
	d.space()
	if err := d.jsonValue(label{}, 0); err != nil {
		return err
	}
	d.space()
	if d.pos != d.end {
		return d.syntax(d.pos, reasonTail)
	}
	return nil
}

// space skips blanks. peek after it returns 0 at the end: no token starts with 0.
func (d *Doc) space() {
	for d.pos < d.end {
		switch d.text[d.pos] {
		case ' ', '\n', '\t', '\r':
			d.pos++
		default:
			return
		}
	}
}

func (d *Doc) peek() byte {
	if d.pos < d.end {
		return d.text[d.pos]
	}
	return 0
}

// jsonValue reads the value at pos.
func (d *Doc) jsonValue(l label, depth int) error {
	switch c := d.peek(); c {
	case '{':
		return d.jsonObject(l, depth+1)
	case '[':
		return d.jsonArray(l, depth+1)
	case '"':
		str, plain, err := d.jsonString()
		if err != nil {
			return err
		}
		n, err := d.add(l, String)
		if err != nil {
			return err
		}
		n.str = str
		if plain {
			n.flags |= flagPlain
		}
		return nil
	case 't':
		return d.literal(l, "true", Bool, 1)
	case 'f':
		return d.literal(l, "false", Bool, 0)
	case 'n':
		return d.literal(l, "null", Null, 0)
	default:
		if c != '-' && (c < '0' || c > '9') {
			return d.unexpected(reasonValue)
		}
		n, err := d.add(l, Int)
		if err != nil {
			return err
		}
		return d.jsonNumber(n)
	}
}

func (d *Doc) unexpected(reason string) error {
	if d.pos >= d.end {
		return d.syntax(d.pos, reasonEnd)
	}
	return d.syntax(d.pos, reason)
}

func (d *Doc) literal(l label, word string, kind Kind, num uint64) error {
	if d.end-d.pos < len(word) || string(d.text[d.pos:d.pos+len(word)]) != word {
		return d.syntax(d.pos, reasonValue)
	}
	d.pos += len(word)
	n, err := d.add(l, kind)
	if err != nil {
		return err
	}
	n.num = num
	return nil
}

func (d *Doc) jsonObject(l label, depth int) error {
	at, err := d.open(l, Object, depth)
	if err != nil {
		return err
	}
	d.pos++
	count := 0
	for first := true; ; first = false {
		d.space()
		c := d.peek()
		if c == '}' && first {
			break
		}
		if c != '"' {
			return d.unexpected(reasonKey)
		}
		if err := d.jsonMember(depth); err != nil {
			return err
		}
		count++
		d.space()
		if c = d.peek(); c == '}' {
			break
		}
		if c != ',' {
			return d.unexpected(reasonComma)
		}
		d.pos++
	}
	d.pos++
	d.close(at, count)
	return nil
}

func (d *Doc) jsonMember(depth int) error {
	key, plain, err := d.jsonString()
	if err != nil {
		return err
	}
	l := label{key: key}
	if plain {
		l.flags = flagPlainKey
	}
	d.space()
	if d.peek() != ':' {
		return d.unexpected(reasonColon)
	}
	d.pos++
	d.space()
	return d.jsonValue(l, depth)
}

func (d *Doc) jsonArray(l label, depth int) error {
	at, err := d.open(l, Array, depth)
	if err != nil {
		return err
	}
	d.pos++
	d.space()
	count := 0
	if d.peek() == ']' {
		d.pos++
		d.close(at, 0)
		return nil
	}
	for {
		if err := d.jsonValue(label{}, depth); err != nil {
			return err
		}
		count++
		d.space()
		c := d.peek()
		if c != ',' && c != ']' {
			return d.unexpected(reasonComma)
		}
		d.pos++
		if c == ']' {
			d.close(at, count)
			return nil
		}
		d.space()
	}
}

// jsonString reads the string whose opening quote is at pos. plain tells that the content stands in the payload as it is.
func (d *Doc) jsonString() (s span, plain bool, err error) {
	start := d.pos + 1
	b := d.text[:d.end]
	i := start
	for i < len(b) && plainASCII[b[i]] {
		i++
	}
	for i < len(b) {
		switch c := b[i]; {
		case c == '"':
			d.pos = i + 1
			return span{int32(start), int32(i - start)}, true, nil
		case c == '\\':
			s, err = d.escaped(start, i)
			return s, false, err
		case c < ' ':
			return span{}, false, d.syntax(i, reasonControl)
		case c < utf8.RuneSelf:
			i++
		default:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n < 2 {
				return span{}, false, d.syntax(i, reasonUTF8)
			}
			i += n
		}
	}
	return span{}, false, d.syntax(d.end, reasonEnd)
}

// plainASCII holds for the characters that stand for themselves in a JSON string.
var plainASCII = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// escaped goes on with a string that starts at start and has its first backslash at i; the content is built behind the
// payload.
func (d *Doc) escaped(start, i int) (span, error) {
	off := len(d.text)
	d.text = append(d.text, d.text[start:i]...)
	for i < d.end {
		switch c := d.text[i]; {
		case c == '"':
			d.pos = i + 1
			return span{int32(off), int32(len(d.text) - off)}, nil
		case c == '\\':
			r, n := unescape(d.text[i:d.end])
			if n == 0 {
				return span{}, d.syntax(i, reasonEscape)
			}
			d.text = utf8.AppendRune(d.text, r)
			i += n
		case c < ' ':
			return span{}, d.syntax(i, reasonControl)
		case c < utf8.RuneSelf:
			d.text = append(d.text, c)
			i++
		default:
			r, n := utf8.DecodeRune(d.text[i:d.end])
			if r == utf8.RuneError && n < 2 {
				return span{}, d.syntax(i, reasonUTF8)
			}
			d.text = append(d.text, d.text[i:i+n]...)
			i += n
		}
	}
	return span{}, d.syntax(d.end, reasonEnd)
}

// unescape reads the escape at the start of b and returns its length, 0 when it is none that JSON knows. A surrogate must
// have its other half: alone it is no character, and UTF-8 could not hold it.
func unescape(b []byte) (rune, int) {
	if len(b) < 2 {
		return 0, 0
	}
	switch c := b[1]; c {
	case '"', '\\', '/':
		return rune(c), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		return unescapeUnicode(b)
	}
	return 0, 0
}

func unescapeUnicode(b []byte) (rune, int) {
	hi, ok := hex4(b[2:])
	if !ok {
		return 0, 0
	}
	if hi < 0xD800 || hi > 0xDFFF {
		return hi, 6
	}
	if hi > 0xDBFF || len(b) < 8 || b[6] != '\\' || b[7] != 'u' {
		return 0, 0
	}
	lo, ok := hex4(b[8:])
	if !ok || lo < 0xDC00 || lo > 0xDFFF {
		return 0, 0
	}
	return (hi-0xD800)<<10 + (lo - 0xDC00) + 0x10000, 12
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

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
