package mqttconform

import "fmt"

// connack is a CONNACK as it came.
type connack struct {
	present bool
	code    byte
	props   props
	size    int
}

func (c *client) connack(p packet) connack {
	in := cursor{b: p.body}
	flags := in.byte()
	a := connack{present: flags == 1, code: in.byte(), size: p.size}
	if c.level >= v5 && len(in.b) > 0 { // a server that refuses 5.0 may answer in the form of 3.1.1
		a.props = in.props()
	}
	c.whole(p, &in)
	if flags > 1 {
		c.r.failf("CONNACK with reserved flags: %x", flags)
	}
	return a
}

// whole fails the run when a packet was too short, or is longer than its fields.
func (c *client) whole(p packet, in *cursor) {
	if in.err != nil {
		c.r.failf("%s: %v", p, in.err)
	}
	if len(in.b) > 0 {
		c.r.failf("%s: %d bytes behind the last field", p, len(in.b))
	}
}

func (c *client) pub(p packet) pub {
	in := cursor{b: p.body}
	m := pub{topic: in.text(), qos: p.flags >> 1 & 3, dup: p.flags&8 != 0, retain: p.flags&1 != 0, size: p.size}
	if m.qos > 0 {
		if m.id = in.two(); m.id == 0 {
			c.r.failf("PUBLISH of QoS %d with packet id 0", m.qos)
		}
	}
	if c.level >= v5 {
		m.got = in.props()
	}
	m.payload = string(in.take(len(in.b)))
	c.whole(p, &in)
	return m
}

// ack is a PUBACK, PUBREC, PUBREL, PUBCOMP, DISCONNECT or AUTH as it came.
type ack struct {
	id    uint16
	code  byte
	props props
	size  int
}

func (c *client) ack(p packet) ack {
	in := cursor{b: p.body}
	a := ack{size: p.size}
	if p.typ != tDisconnect && p.typ != tAuth {
		a.id = in.two()
	}
	if c.level >= v5 && len(in.b) > 0 {
		a.code = in.byte()
		if len(in.b) > 0 {
			a.props = in.props()
		}
	}
	c.whole(p, &in)
	return a
}

// suback is a SUBACK or UNSUBACK as it came.
type suback struct {
	id    uint16
	props props
	codes []byte
	size  int
}

func (c *client) suback(p packet) suback {
	in := cursor{b: p.body}
	a := suback{id: in.two(), size: p.size}
	if c.level >= v5 {
		a.props = in.props()
	}
	a.codes = append([]byte(nil), in.take(len(in.b))...)
	c.whole(p, &in)
	if p.typ == tUnsuback && c.level < v5 && len(a.codes) > 0 {
		c.r.failf("UNSUBACK with a payload: % x", a.codes)
	}
	return a
}

// The reason codes that 5.0 allows in each packet of a server.
var reasons = map[byte][]byte{
	tConnack:  {0, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F},
	tPuback:   {0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99},
	tPubrec:   {0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99},
	tPubrel:   {0, 0x92},
	tPubcomp:  {0, 0x92},
	tSuback:   {0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2},
	tUnsuback: {0, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91},
	tDisconnect: {0, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98,
		0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2},
	tAuth: {0, 0x18},
}

// allowed reports whether a packet of a 5.0 server may carry the reason code.
func allowed(typ, code byte) error {
	for _, ok := range reasons[typ] {
		if ok == code {
			return nil
		}
	}
	return fmt.Errorf("%w: %s with reason code %#x", errWire, typeNames[typ], code)
}
