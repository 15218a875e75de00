package packet

// Header is the fixed header of a packet (section 2.2).
type Header struct {
	Type      Type
	Flags     byte // the lower four bits of the first byte, already checked
	Remaining int  // bytes that follow the header
}

// ParseHeader reads a fixed header at the start of b and returns its length in bytes. A length of 0 without an
// error means that b ends before the header does. Wrong types and flags are found from the first byte on, so
// that a peer that speaks something else is known at once. Two rules depend on the version; Check knows them.
func ParseHeader(b []byte) (h Header, n int, err error) {
	if len(b) == 0 {
		return h, 0, nil
	}
	h.Type, h.Flags = Type(b[0]>>4), b[0]&0x0f
	if err := checkFlags(h.Type, h.Flags); err != nil {
		return h, 0, err
	}
	h.Remaining, n, err = length(b[1:])
	if n == 0 || err != nil {
		return h, 0, err
	}
	return h, 1 + n, nil
}

// Check holds a header of n bytes against the version of its connection: AUTH is of 5.0, which also wants the remaining length in
// its shortest form.
func (h Header) Check(n int, version byte) error {
	switch {
	case version < V5 && h.Type == AUTH:
		return BadType
	case version >= V5 && n != headerSize(h.Remaining):
		return BadLength
	}
	return nil
}

// length reads the variable-length integer of section 2.2.3; n is 0 when b is too short.
func length(b []byte) (v, n int, err error) {
	for i := range 4 {
		if i == len(b) {
			return 0, 0, nil
		}
		v |= int(b[i]&0x7f) << (7 * i)
		if b[i]&0x80 == 0 {
			return v, i + 1, nil
		}
	}
	return 0, 0, BadLength
}

func checkFlags(t Type, flags byte) error {
	want := byte(0)
	switch t {
	case 0:
		return BadType
	case PUBLISH:
		qos := flags >> 1 & 3
		if qos == 3 || qos == 0 && flags&8 != 0 {
			return BadQoS
		}
		return nil
	case PUBREL, SUBSCRIBE, UNSUBSCRIBE:
		want = 2
	}
	if flags != want {
		return BadFlags
	}
	return nil
}

// appendHeader appends a fixed header; remaining must be at most MaxRemaining.
func appendHeader(dst []byte, t Type, flags byte, remaining int) []byte {
	return appendLength(append(dst, byte(t)<<4|flags), remaining)
}

// appendLength appends a variable-length integer.
func appendLength(dst []byte, v int) []byte {
	for v > 0x7f {
		dst = append(dst, byte(v)|0x80)
		v >>= 7
	}
	return append(dst, byte(v))
}

// headerSize is the length in bytes of a fixed header.
func headerSize(remaining int) int { return 1 + lengthSize(remaining) }

// lengthSize is the length in bytes of a variable-length integer.
func lengthSize(v int) int {
	switch {
	case v < 1<<7:
		return 1
	case v < 1<<14:
		return 2
	case v < 1<<21:
		return 3
	}
	return 4
}
