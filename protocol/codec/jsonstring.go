package codec

import "unicode/utf8"

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
