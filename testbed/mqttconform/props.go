package mqttconform

import (
	"encoding/binary"
	"fmt"
)

// The properties of MQTT 5.0 by identifier.
const (
	pPayloadFormat   = 0x01
	pMessageExpiry   = 0x02
	pContentType     = 0x03
	pResponseTopic   = 0x08
	pCorrelation     = 0x09
	pSubscriptionID  = 0x0B
	pSessionExpiry   = 0x11
	pAssignedID      = 0x12
	pServerKeepAlive = 0x13
	pAuthMethod      = 0x15
	pAuthData        = 0x16
	pRequestProblem  = 0x17
	pWillDelay       = 0x18
	pRequestResponse = 0x19
	pResponseInfo    = 0x1A
	pReference       = 0x1C
	pReason          = 0x1F
	pReceiveMax      = 0x21
	pAliasMax        = 0x22
	pAlias           = 0x23
	pMaxQoS          = 0x24
	pRetainAvail     = 0x25
	pUser            = 0x26
	pMaxPacket       = 0x27
	pWildcardAvail   = 0x28
	pSubIDAvail      = 0x29
	pSharedAvail     = 0x2A
)

// kind says how a property's value is encoded.
type kind uint8

const (
	kByte kind = iota
	kTwo
	kFour
	kVar
	kText
	kPair
)

var propKinds = map[byte]kind{
	pPayloadFormat: kByte, pMessageExpiry: kFour, pContentType: kText, pResponseTopic: kText, pCorrelation: kText,
	pSubscriptionID: kVar, pSessionExpiry: kFour, pAssignedID: kText, pServerKeepAlive: kTwo, pAuthMethod: kText, pAuthData: kText,
	pRequestProblem: kByte, pWillDelay: kFour, pRequestResponse: kByte, pResponseInfo: kText, pReference: kText, pReason: kText,
	pReceiveMax: kTwo, pAliasMax: kTwo, pAlias: kTwo, pMaxQoS: kByte, pRetainAvail: kByte, pUser: kPair, pMaxPacket: kFour,
	pWildcardAvail: kByte, pSubIDAvail: kByte, pSharedAvail: kByte,
}

// num encodes a property that is a number.
func num(id byte, v int) []byte {
	b := []byte{id}
	switch propKinds[id] {
	case kByte:
		return append(b, byte(v))
	case kTwo:
		return binary.BigEndian.AppendUint16(b, uint16(v))
	case kFour:
		return binary.BigEndian.AppendUint32(b, uint32(v))
	}
	return appendVarint(b, v)
}

// str encodes a property that is a string or bytes.
func str(id byte, v string) []byte { return append([]byte{id}, text(v)...) }

// userProp encodes a user property.
func userProp(name, value string) []byte {
	return append(append([]byte{pUser}, text(name)...), text(value)...)
}

// prop is one property as it came.
type prop struct {
	id   byte
	n    int
	s, v string // s is the text, or the name of a pair; v the value of a pair
}

// props is a packet's properties, in the order in which they came.
type props []prop

func (ps props) all(id byte) (found props) {
	for _, p := range ps {
		if p.id == id {
			found = append(found, p)
		}
	}
	return found
}

func (ps props) has(id byte) bool { return len(ps.all(id)) > 0 }

// num is the value of a numeric property, or def when it is absent.
func (ps props) num(id byte, def int) int {
	if f := ps.all(id); len(f) > 0 {
		return f[0].n
	}
	return def
}

func (ps props) str(id byte) string {
	if f := ps.all(id); len(f) > 0 {
		return f[0].s
	}
	return ""
}

// cursor takes a packet's body apart; the first thing that does not fit sets err.
type cursor struct {
	b   []byte
	err error
}

func (c *cursor) take(n int) []byte {
	if n > len(c.b) {
		c.err, c.b = fmt.Errorf("%w: a field passes the packet's end", errWire), nil
		return make([]byte, n)
	}
	out := c.b[:n]
	c.b = c.b[n:]
	return out
}

func (c *cursor) byte() byte   { return c.take(1)[0] }
func (c *cursor) two() uint16  { return binary.BigEndian.Uint16(c.take(2)) }
func (c *cursor) text() string { return string(c.take(int(c.two()))) }

func (c *cursor) varint() int {
	v, n := binary.Uvarint(c.b)
	if n <= 0 || n > 4 || n > 1 && c.b[n-1] == 0 {
		c.err, c.b = fmt.Errorf("%w: a variable length integer of %d bytes", errWire, n), nil
		return 0
	}
	c.take(n)
	return int(v)
}

// props reads a property list with its length.
func (c *cursor) props() (ps props) {
	in := cursor{b: c.take(c.varint()), err: c.err}
	for len(in.b) > 0 && in.err == nil {
		p := prop{id: in.byte()}
		k, known := propKinds[p.id]
		switch {
		case !known:
			in.err = fmt.Errorf("%w: property %#x", errWire, p.id)
		case k == kByte:
			p.n = int(in.byte())
		case k == kTwo:
			p.n = int(in.two())
		case k == kFour:
			p.n = int(binary.BigEndian.Uint32(in.take(4)))
		case k == kVar:
			p.n = in.varint()
		case k == kText:
			p.s = in.text()
		case k == kPair:
			p.s, p.v = in.text(), in.text()
		}
		if p.id != pUser && p.id != pSubscriptionID && ps.has(p.id) {
			in.err = fmt.Errorf("%w: property %#x twice", errWire, p.id)
		}
		ps = append(ps, p)
	}
	if c.err == nil {
		c.err = in.err
	}
	return ps
}
