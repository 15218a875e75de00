package server

import (
	"errors"
	"strings"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
)

// five is what a connection of MQTT 5.0 has beside the others. It belongs to the connection's goroutine, but for the fields below mu.
type five struct {
	aliasIn []string  // topics by alias, as the client set them
	expiry  uint32    // what CONNECT got
	auth    *Exchange // the enhanced authentication of CONNECT, nil without
	renewal *Exchange // one that runs now, nil when none does
	repeats bool      // the client has repeated publishes
	excess  int       // publishes beyond the Receive Maximum that were no repeats

	// Set before CONNACK and constant.
	aliasMax  int // of the client
	maxPacket int // of the client, 0 = no bound
	quiet     bool
	lenient   int64         // until this tick the client is not held to the Receive Maximum
	parted    chan struct{} // guarded by conn.mu: closed when DISCONNECT is written, nil when nobody writes it

	aliasOut map[string]uint16 // guarded by conn.mu: what the client was told
	reasons  map[uint32]string // guarded by conn.mu: of acknowledgements that are owed, by number
}

var (
	errAlias      = errors.New("topic alias is out of range")
	errNoAlias    = errors.New("topic alias was not set")
	errClientSubs = errors.New("subscription identifier from a client")
	errNoQoS2     = errors.New("QoS 2 is switched off")
	errNoRetain   = errors.New("retained messages are switched off")
	errReceiveMax = errors.New("more publishes than the Receive Maximum")
)

// readPublish decodes a PUBLISH in the connection's version.
func (c *conn) readPublish(flags byte, body []byte, p *packet.Publish) (topic string, err error) {
	if c.version != packet.V5 {
		if err := packet.DecodePublish(flags, body, p); err != nil {
			return "", err
		}
		l := c.limits.Load()
		if p.QoS == 2 && l.noQoS2() {
			return "", endWith(CauseProtocol, errNoQoS2)
		}
		p.Retain = p.Retain && !l.noRetain()
		return view(p.Topic), nil
	}
	if err := packet.DecodePublish5(flags, body, p); err != nil {
		return "", err
	}
	l := c.limits.Load()
	switch {
	case p.QoS == 2 && l.noQoS2():
		return "", endCode(CauseProtocol, packet.QoSNotSupported, errNoQoS2)
	case p.Retain && l.noRetain():
		return "", endCode(CauseProtocol, packet.RetainNotSupported, errNoRetain)
	case len(p.Properties) == 0:
		return view(p.Topic), nil
	}
	if _, ok := p.Properties.Int(packet.SubscriptionID); ok {
		return "", endWith(CauseProtocol, errClientSubs)
	}
	if alias, ok := p.Properties.Int(packet.TopicAlias); ok {
		return c.resolve(int(alias), p.Topic)
	}
	return view(p.Topic), nil
}

// resolve finds the topic that an alias stands for, or sets it.
func (c *conn) resolve(alias int, topic []byte) (string, error) {
	f := c.five
	if alias > int(c.srv.cfg.TopicAliasMax) {
		return "", endCode(CauseProtocol, packet.AliasInvalid, errAlias)
	}
	if len(topic) == 0 {
		if alias > len(f.aliasIn) || f.aliasIn[alias-1] == "" {
			return "", endWith(CauseProtocol, errNoAlias)
		}
		return f.aliasIn[alias-1], nil
	}
	for len(f.aliasIn) < alias {
		f.aliasIn = append(f.aliasIn, "")
	}
	if f.aliasIn[alias-1] != string(topic) {
		f.aliasIn[alias-1] = string(topic)
	}
	return f.aliasIn[alias-1], nil
}

// aliasLocked returns the alias for a topic to the client, 0 for none; known tells that the client has been told.
func (c *conn) aliasLocked(topic string) (alias uint16, known bool) {
	f := c.five
	if f == nil || f.aliasMax == 0 {
		return 0, false
	}
	if alias, known = f.aliasOut[topic]; known || len(f.aliasOut) >= f.aliasMax {
		return alias, known
	}
	if f.aliasOut == nil {
		f.aliasOut = map[string]uint16{}
	}
	alias = uint16(len(f.aliasOut) + 1)
	f.aliasOut[strings.Clone(topic)] = alias
	return alias, false
}

// writePublishLocked appends a PUBLISH in the connection's version, by alias where that is shorter.
func (c *conn) writePublishLocked(topic string, payload []byte, qos byte, id uint16, dup, retain bool, p packet.Properties) {
	o := c.outLocked()
	if c.version != packet.V5 {
		o.b = packet.AppendPublish(o.b, topic, payload, qos, id, dup, retain)
		return
	}
	alias, known := c.aliasLocked(topic)
	if alias == 0 {
		o.b = packet.AppendPublish5(o.b, topic, payload, qos, id, dup, retain, p)
		return
	}
	if known {
		topic = ""
	}
	scratch := c.srv.pools.out()
	scratch.b = packet.AppendInt(append(scratch.b, p...), packet.TopicAlias, uint32(alias))
	o.b = packet.AppendPublish5(o.b, topic, payload, qos, id, dup, retain, scratch.b)
	c.srv.pools.putOut(scratch)
}

// writeEncodedLocked appends a PUBLISH that is kept encoded, without an alias.
func (c *conn) writeEncodedLocked(pkt []byte) {
	if c.version == packet.V5 && c.five.aliasMax > 0 {
		if p, ok := decodePublish(pkt, packet.V5); ok {
			c.writePublishLocked(string(p.Topic), p.Payload, p.QoS, p.ID, p.Dup, p.Retain, p.Properties)
			return
		}
	}
	o := c.outLocked()
	o.b = append(o.b, pkt...)
}

// decodePublish decodes what the engine itself encoded.
func decodePublish(pkt []byte, version byte) (p packet.Publish, ok bool) {
	h, n, err := packet.ParseHeader(pkt)
	if err != nil || n == 0 || h.Remaining != len(pkt)-n {
		return p, false
	}
	if version == packet.V5 {
		err = packet.DecodePublish5(h.Flags, pkt[n:], &p)
	} else {
		err = packet.DecodePublish(h.Flags, pkt[n:], &p)
	}
	return p, err == nil
}

// appendPublish encodes a PUBLISH without an alias in the given version.
func appendPublish[T string | []byte](dst []byte, version byte, topic T, payload []byte, qos byte, id uint16, dup, retain bool, p packet.Properties) []byte {
	if version == packet.V5 {
		return packet.AppendPublish5(dst, topic, payload, qos, id, dup, retain, p)
	}
	return packet.AppendPublish(dst, topic, payload, qos, id, dup, retain)
}

// forwarded appends what of a publisher's properties goes on to subscribers.
func forwarded(dst, p packet.Properties) packet.Properties {
	for len(p) > 0 {
		var one packet.Property
		one, p = p.Next()
		switch one.ID {
		case packet.PayloadFormat, packet.ContentType, packet.ResponseTopic, packet.CorrelationData, packet.UserProperty:
			dst = packet.AppendRaw(dst, one)
		}
	}
	return dst
}
