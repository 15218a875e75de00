package packet

// Header is the fixed header of a packet (section 2.2).
type Header struct {
	Type      Type
	Flags     byte // the lower four bits of the first byte, already checked
	Remaining int  // bytes that follow the header
}

// ParseHeader reads a fixed header at the start of b and returns its length in bytes. A length of 0 without an
// error means that b ends before the header does. Wrong types and flags are found from the first byte on, so
// that a peer that speaks something else is known at once.
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
	case 0, 15:
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
	dst = append(dst, byte(t)<<4|flags)
	for remaining > 0x7f {
		dst = append(dst, byte(remaining)|0x80)
		remaining >>= 7
	}
	return append(dst, byte(remaining))
}

// headerSize is the length in bytes of a fixed header.
func headerSize(remaining int) int {
	switch {
	case remaining < 1<<7:
		return 2
	case remaining < 1<<14:
		return 3
	case remaining < 1<<21:
		return 4
	}
	return 5
}
