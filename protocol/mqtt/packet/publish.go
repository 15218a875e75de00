package packet

// Publish is a PUBLISH packet (section 3.3). Its slices point into the bytes it was decoded from.
type Publish struct {
	Topic   []byte
	Payload []byte
	ID      uint16 // 0 at QoS 0
	QoS     byte
	Dup     bool
	Retain  bool

	Properties Properties // of 5.0
}

// DecodePublish decodes the bytes behind the fixed header of a PUBLISH; flags are those of the header.
func DecodePublish(flags byte, body []byte, p *Publish) (err error) {
	*p = Publish{QoS: flags >> 1 & 3, Dup: flags&8 != 0, Retain: flags&1 != 0}
	var ok bool
	if p.Topic, p.Payload, ok = field(body); !ok {
		return BadSize
	}
	if !ValidTopic(p.Topic) {
		return BadTopic
	}
	if p.QoS > 0 {
		p.ID, p.Payload, err = packetID(p.Payload)
	}
	return err
}

// PublishSize is the length in bytes of a PUBLISH. A packet that MQTT cannot say has a remaining length over MaxRemaining.
func PublishSize(topic, payload int, qos byte) (size, remaining int) {
	remaining = 2 + topic + payload
	if qos > 0 {
		remaining += 2
	}
	return headerSize(remaining) + remaining, remaining
}

// AppendPublish appends a PUBLISH; the topic must be at most MaxString bytes.
func AppendPublish[T string | []byte](dst []byte, topic T, payload []byte, qos byte, id uint16, dup, retain bool) []byte {
	_, remaining := PublishSize(len(topic), len(payload), qos)
	dst = appendField(appendHeader(dst, PUBLISH, publishFlags(qos, dup, retain), remaining), topic)
	if qos > 0 {
		dst = appendID(dst, id)
	}
	return append(dst, payload...)
}

func publishFlags(qos byte, dup, retain bool) byte {
	flags := qos << 1
	if dup {
		flags |= 8
	}
	if retain {
		flags |= 1
	}
	return flags
}

// SetPublishID writes id and the DUP flag into an encoded PUBLISH of QoS 1 or 2, so that it can be kept encoded and sent again.
func SetPublishID(p []byte, id uint16, dup bool) {
	p[0] &^= 8
	if dup {
		p[0] |= 8
	}
	n := 2
	for p[n-1]&0x80 != 0 {
		n++
	}
	n += 2 + int(p[n])<<8 + int(p[n+1])
	p[n], p[n+1] = byte(id>>8), byte(id)
}

// SetPublishExpiry writes the seconds that are left into an encoded PUBLISH of 5.0; one without MessageExpiry stays as it is.
func SetPublishExpiry(p []byte, seconds uint32) {
	h, n, err := ParseHeader(p)
	if err != nil || n == 0 || len(p) < n+h.Remaining {
		return
	}
	var pub Publish
	if DecodePublish5(h.Flags, p[n:n+h.Remaining], &pub) != nil {
		return
	}
	for rest := pub.Properties; len(rest) > 0; {
		at := rest
		var one Property
		if one, rest = rest.Next(); one.ID == MessageExpiry {
			at[1], at[2], at[3], at[4] = byte(seconds>>24), byte(seconds>>16), byte(seconds>>8), byte(seconds)
		}
	}
}
