package mqttconform

import (
	"encoding/binary"
	"slices"
)

// The two versions by the protocol level of CONNECT.
const (
	v311 byte = 4
	v5   byte = 5
)

// frame puts a fixed header before body; first is the header's first byte, well-formed or not.
func frame(first byte, body ...[]byte) []byte {
	all := slices.Concat(body...)
	return append(appendVarint([]byte{first}, len(all)), all...)
}

func appendVarint(b []byte, n int) []byte { return binary.AppendUvarint(b, uint64(n)) }

// text is a length-prefixed string, of any bytes.
func text(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

func id16(id uint16) []byte { return binary.BigEndian.AppendUint16(nil, id) }

// propsOf is a property list with its length, or nothing before 5.0.
func propsOf(level byte, props []byte) []byte {
	if level < v5 {
		return nil
	}
	return append(appendVarint(nil, len(props)), props...)
}

// will is the will of a CONNECT.
type will struct {
	topic, payload string
	qos            byte
	retain         bool
	props          []byte // 5.0
}

// con is a CONNECT.
type con struct {
	id             string
	clean          bool
	keepAlive      uint16
	will           *will
	user, password *string
	props          []byte // 5.0
}

func (c con) flags() (f byte) {
	if c.clean {
		f |= 0x02
	}
	if c.will != nil {
		f |= 0x04 | c.will.qos<<3
		if c.will.retain {
			f |= 0x20
		}
	}
	if c.password != nil {
		f |= 0x40
	}
	if c.user != nil {
		f |= 0x80
	}
	return f
}

func (c con) bytes(level byte) []byte {
	fields := [][]byte{text(c.id)}
	if w := c.will; w != nil {
		fields = append(fields, propsOf(level, w.props), text(w.topic), text(w.payload))
	}
	if c.user != nil {
		fields = append(fields, text(*c.user))
	}
	if c.password != nil {
		fields = append(fields, text(*c.password))
	}
	return rawConnect("MQTT", level, c.flags(), c.keepAlive, propsOf(level, c.props), fields...)
}

// rawConnect is a CONNECT of whatever it is given.
func rawConnect(name string, level, flags byte, keepAlive uint16, props []byte, fields ...[]byte) []byte {
	return frame(0x10, text(name), []byte{level, flags}, id16(keepAlive), props, slices.Concat(fields...))
}

// pub is a PUBLISH, to send or as it came.
type pub struct {
	topic, payload string
	qos            byte
	id             uint16
	dup, retain    bool
	props          []byte // 5.0, as sent
	got            props  // 5.0, as received
	size           int    // as received
}

func (p pub) bytes(level byte) []byte {
	first := byte(0x30) | p.qos<<1
	if p.dup {
		first |= 8
	}
	if p.retain {
		first |= 1
	}
	var id []byte
	if p.qos > 0 {
		id = id16(p.id)
	}
	return frame(first, text(p.topic), id, propsOf(level, p.props), []byte(p.payload))
}

// sub is a topic filter with its options: before 5.0 the QoS only.
type sub struct {
	filter  string
	options byte
}

// The bits of a 5.0 subscription's options above the QoS.
const (
	noLocal         = 0x04
	retainAsPub     = 0x08
	retainIfNew     = 0x10
	retainNever     = 0x20
	reservedOptions = 0xC0
)

func subscribePacket(level byte, id uint16, props []byte, subs ...sub) []byte {
	body := append(id16(id), propsOf(level, props)...)
	for _, s := range subs {
		body = append(append(body, text(s.filter)...), s.options)
	}
	return frame(0x82, body)
}

func unsubscribePacket(level byte, id uint16, filters ...string) []byte {
	body := append(id16(id), propsOf(level, nil)...)
	for _, f := range filters {
		body = append(body, text(f)...)
	}
	return frame(0xA2, body)
}

// ackPacket is a PUBACK, PUBREC, PUBREL or PUBCOMP without a reason.
func ackPacket(typ byte, id uint16) []byte {
	first := typ << 4
	if typ == tPubrel {
		first |= 2
	}
	return frame(first, id16(id))
}

// reasonPacket is the 5.0 form with a reason code.
func reasonPacket(typ byte, id uint16, code byte) []byte {
	return frame(typ<<4, id16(id), []byte{code})
}

var (
	pingreq    = frame(tPingreq << 4)
	disconnect = frame(tDisconnect << 4)
)
