package packet

// DecodeID decodes the bytes behind the fixed header of a packet that holds nothing but a packet id: PUBACK,
// PUBREC, PUBREL, PUBCOMP, UNSUBACK.
func DecodeID(body []byte) (uint16, error) {
	if len(body) != 2 {
		return 0, BadSize
	}
	id, _, err := packetID(body)
	return id, err
}

// AppendID appends a packet of type t that holds nothing but a packet id.
func AppendID(dst []byte, t Type, id uint16) []byte {
	flags := byte(0)
	if t == PUBREL {
		flags = 2
	}
	return append(dst, byte(t)<<4|flags, 2, byte(id>>8), byte(id))
}

// DecodeEmpty checks the bytes behind the fixed header of a packet that holds nothing: PINGREQ, PINGRESP, DISCONNECT.
func DecodeEmpty(body []byte) error {
	if len(body) != 0 {
		return BadSize
	}
	return nil
}

// AppendEmpty appends a packet of type t that holds nothing.
func AppendEmpty(dst []byte, t Type) []byte { return append(dst, byte(t)<<4, 0) }
