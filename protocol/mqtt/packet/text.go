package packet

import (
	"bytes"
	bytewise "encoding/binary" // binary is a kind of property here
	"unicode/utf8"
)

// MaxString is the longest string or binary field of a packet in bytes (section 1.5.3).
const MaxString = 65_535

// ValidString reports whether b may be an MQTT string: UTF-8 without surrogates and without U+0000.
func ValidString(b []byte) bool {
	for _, c := range b {
		if c == 0 || c >= utf8.RuneSelf {
			return utf8.Valid(b) && bytes.IndexByte(b, 0) < 0
		}
	}
	return true
}

// ValidTopic reports whether b may be a topic name: a string of at least one byte without wildcards.
func ValidTopic(b []byte) bool {
	plain, rest := true, b
	for len(rest) >= 8 && !special(bytewise.LittleEndian.Uint64(rest)) {
		rest = rest[8:]
	}
	for _, c := range rest {
		switch {
		case c == '+' || c == '#' || c == 0:
			return false
		case c >= utf8.RuneSelf:
			plain = false
		}
	}
	return len(b) > 0 && (plain || utf8.Valid(b))
}

// special tells whether one of eight bytes is '+', '#', zero or no ASCII.
func special(w uint64) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	plus, hash := w^ones*'+', w^ones*'#'
	return (w|(w-ones)&^w|(plus-ones)&^plus|(hash-ones)&^hash)&tops != 0
}

// ValidFilter reports whether b may be a topic filter: a string of at least one byte in which '+' stands alone
// in its level and '#' alone in the last.
func ValidFilter(b []byte) bool {
	if len(b) == 0 || !ValidString(b) {
		return false
	}
	for i, c := range b {
		if c != '+' && c != '#' {
			continue
		}
		last := i == len(b)-1
		if i > 0 && b[i-1] != '/' || c == '#' && !last || c == '+' && !last && b[i+1] != '/' {
			return false
		}
	}
	return true
}

// field takes a length-prefixed field off b; ok is false when b is too short.
func field(b []byte) (f, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := 2 + int(b[0])<<8 + int(b[1])
	if len(b) < n {
		return nil, nil, false
	}
	return b[2:n:n], b[n:], true
}

// text takes a string off b.
func text(b []byte) (s, rest []byte, err error) {
	s, rest, ok := field(b)
	switch {
	case !ok:
		return nil, nil, BadSize
	case !ValidString(s):
		return nil, nil, BadString
	}
	return s, rest, nil
}

// packetID takes a packet id off b.
func packetID(b []byte) (id uint16, rest []byte, err error) {
	if len(b) < 2 {
		return 0, nil, BadSize
	}
	id = uint16(b[0])<<8 | uint16(b[1])
	if id == 0 {
		return 0, nil, ZeroID
	}
	return id, b[2:], nil
}

func appendID(dst []byte, id uint16) []byte { return append(dst, byte(id>>8), byte(id)) }

func appendField[T string | []byte](dst []byte, f T) []byte {
	return append(appendID(dst, uint16(len(f))), f...)
}
