package packet

// The functions of this file are the MQTT 5.0 forms of packets that differ from those of 3.1.1. A PUBACK, PUBREC, PUBREL, PUBCOMP
// with Success and without properties is written as in 3.1.1, and so are PINGREQ, PINGRESP and a normal DISCONNECT.

// DecodeConnack5 decodes the bytes behind the fixed header of a CONNACK (5.0, section 3.2).
func DecodeConnack5(body []byte) (present bool, code Code, p Properties, err error) {
	if len(body) < 3 {
		return false, 0, nil, BadSize
	}
	present, code = body[0] == 1, Code(body[1])
	if body[0] > 1 || !code.Allowed(CONNACK) || present && code != Success {
		return false, 0, nil, BadConnackFlags
	}
	p, err = onlyProperties(body[2:], in(CONNACK))
	return present, code, p, err
}

// AppendConnack5 appends a CONNACK; present is only sent with Success.
func AppendConnack5(dst []byte, present bool, code Code, p Properties) []byte {
	var flags byte
	if present && code == Success {
		flags = 1
	}
	dst = append(appendHeader(dst, CONNACK, 0, 2+propertiesSize(p)), flags, byte(code))
	return appendProperties(dst, p)
}

// onlyProperties takes properties that end the packet.
func onlyProperties(b []byte, where place) (Properties, error) {
	p, rest, err := properties(b, where)
	if err == nil && len(rest) != 0 {
		err = BadSize
	}
	return p, err
}

// DecodeAck5 decodes the bytes behind the fixed header of a PUBACK, PUBREC, PUBREL or PUBCOMP (5.0, section 3.4).
func DecodeAck5(t Type, body []byte) (id uint16, code Code, p Properties, err error) {
	id, rest, err := packetID(body)
	if err != nil || len(rest) == 0 {
		return id, Success, nil, err
	}
	code = Code(rest[0])
	if !code.Allowed(t) {
		return 0, 0, nil, BadReasonCode
	}
	if len(rest) > 1 {
		p, err = onlyProperties(rest[1:], in(t))
	}
	return id, code, p, err
}

// AppendAck5 appends a PUBACK, PUBREC, PUBREL or PUBCOMP in its shortest form.
func AppendAck5(dst []byte, t Type, id uint16, code Code, p Properties) []byte {
	if len(p) == 0 && code == Success {
		return AppendID(dst, t, id)
	}
	flags := byte(0)
	if t == PUBREL {
		flags = 2
	}
	size := 3
	if len(p) > 0 {
		size += propertiesSize(p)
	}
	dst = append(appendID(appendHeader(dst, t, flags, size), id), byte(code))
	if len(p) > 0 {
		dst = appendProperties(dst, p)
	}
	return dst
}

// DecodeReason5 decodes the bytes behind the fixed header of a DISCONNECT or AUTH (5.0, sections 3.14 and 3.15).
func DecodeReason5(t Type, body []byte) (code Code, p Properties, err error) {
	if len(body) == 0 {
		return Success, nil, nil
	}
	code = Code(body[0])
	if !code.Allowed(t) {
		return 0, nil, BadReasonCode
	}
	if len(body) > 1 {
		p, err = onlyProperties(body[1:], in(t))
	}
	return code, p, err
}

// AppendReason5 appends a DISCONNECT or AUTH in its shortest form.
func AppendReason5(dst []byte, t Type, code Code, p Properties) []byte {
	switch {
	case len(p) == 0 && code == Success:
		return AppendEmpty(dst, t)
	case len(p) == 0:
		return append(appendHeader(dst, t, 0, 1), byte(code))
	}
	return appendProperties(append(appendHeader(dst, t, 0, 1+propertiesSize(p)), byte(code)), p)
}

// DecodeSuback5 decodes the bytes behind the fixed header of a SUBACK or UNSUBACK (5.0, sections 3.9 and 3.11); codes point into body.
func DecodeSuback5(t Type, body []byte) (id uint16, p Properties, codes []byte, err error) {
	id, rest, err := packetID(body)
	if err != nil {
		return 0, nil, nil, err
	}
	p, codes, err = properties(rest, in(t))
	if err == nil && len(codes) == 0 {
		err = BadSize
	}
	if err != nil {
		return 0, nil, nil, err
	}
	for _, c := range codes {
		if !Code(c).Allowed(t) {
			return 0, nil, nil, BadReturnCode
		}
	}
	return id, p, codes, nil
}

// AppendSuback5 appends a SUBACK or UNSUBACK.
func AppendSuback5(dst []byte, t Type, id uint16, p Properties, codes []byte) []byte {
	dst = appendID(appendHeader(dst, t, 0, 2+propertiesSize(p)+len(codes)), id)
	return append(appendProperties(dst, p), codes...)
}

// DecodePublish5 decodes the bytes behind the fixed header of a PUBLISH (5.0, section 3.3). Its topic is empty when an alias stands for it.
func DecodePublish5(flags byte, body []byte, p *Publish) (err error) {
	*p = Publish{QoS: flags >> 1 & 3, Dup: flags&8 != 0, Retain: flags&1 != 0}
	var ok bool
	if p.Topic, body, ok = field(body); !ok {
		return BadSize
	}
	if len(p.Topic) > 0 && !ValidTopic(p.Topic) {
		return BadTopic
	}
	if p.QoS > 0 {
		if p.ID, body, err = packetID(body); err != nil {
			return err
		}
	}
	if p.Properties, p.Payload, err = properties(body, in(PUBLISH)); err != nil {
		return err
	}
	if len(p.Topic) == 0 {
		if _, ok := p.Properties.Int(TopicAlias); !ok {
			return NoTopic
		}
	}
	return nil
}

// PublishSize5 is the length in bytes of a PUBLISH of 5.0, as PublishSize is for 3.1.1.
func PublishSize5(topic, payload int, qos byte, p Properties) (size, remaining int) {
	_, remaining = PublishSize(topic, payload, qos)
	remaining += propertiesSize(p)
	return headerSize(remaining) + remaining, remaining
}

// AppendPublish5 appends a PUBLISH; the topic must be at most MaxString bytes.
func AppendPublish5[T string | []byte](dst []byte, topic T, payload []byte, qos byte, id uint16, dup, retain bool, p Properties) []byte {
	_, remaining := PublishSize5(len(topic), len(payload), qos, p)
	dst = appendField(appendHeader(dst, PUBLISH, publishFlags(qos, dup, retain), remaining), topic)
	if qos > 0 {
		dst = appendID(dst, id)
	}
	return append(appendProperties(dst, p), payload...)
}

// Options are what a subscription of MQTT 5.0 asks for (section 3.8.3.1), as they are written.
type Options byte

// The parts of Options beside the QoS.
const (
	NoLocal           Options = 1 << 2
	RetainAsPublished Options = 1 << 3
	// RetainIfNew and RetainNever are the retain handling: without them what is retained is sent at each SUBSCRIBE.
	RetainIfNew Options = 1 << 4
	RetainNever Options = 2 << 4
)

// QoS is the QoS asked for.
func (o Options) QoS() byte { return byte(o & 3) }

// valid finds what is wrong with o.
func (o Options) valid() error {
	switch {
	case o&3 == 3:
		return BadQoS
	case o>>6 != 0:
		return BadOptions
	case o>>4 == 3:
		return BadRetainHandling
	}
	return nil
}

// DecodeSubscribe5 decodes the bytes behind the fixed header of a SUBSCRIBE (5.0, section 3.8).
func DecodeSubscribe5(body []byte) (id uint16, p Properties, f Filters, err error) {
	return decodeFilters5(body, SUBSCRIBE)
}

// DecodeUnsubscribe5 decodes the bytes behind the fixed header of an UNSUBSCRIBE (5.0, section 3.10).
func DecodeUnsubscribe5(body []byte) (id uint16, p Properties, f Filters, err error) {
	return decodeFilters5(body, UNSUBSCRIBE)
}

func decodeFilters5(body []byte, t Type) (id uint16, p Properties, f Filters, err error) {
	id, rest, err := packetID(body)
	if err != nil {
		return 0, nil, f, err
	}
	if p, rest, err = properties(rest, in(t)); err != nil {
		return 0, nil, f, err
	}
	f = Filters{rest: rest, qos: t == SUBSCRIBE}
	judge := checkOptions5
	if t == UNSUBSCRIBE {
		judge = checkShare
	}
	if err := f.check(judge); err != nil {
		return 0, nil, Filters{}, err
	}
	return id, p, f, nil
}

// checkOptions5 judges a filter's options in 5.0.
func checkOptions5(filter []byte, o byte) error {
	if err := Options(o).valid(); err != nil {
		return err
	}
	if _, _, shared, _ := Share(filter); shared && Options(o)&NoLocal != 0 {
		return NoLocalShared
	}
	return checkShare(filter, o)
}

func checkShare(filter []byte, _ byte) error {
	if _, _, _, ok := Share(filter); !ok {
		return BadShare
	}
	return nil
}

// Share splits a shared subscription, "$share/group/filter", into its parts (5.0, section 4.8.2). ok is false for one that is malformed.
func Share[T string | []byte](filter T) (group, rest T, shared, ok bool) {
	const prefix = "$share/"
	if len(filter) < len(prefix) || string(filter[:len(prefix)]) != prefix {
		return group, filter, false, true
	}
	after := filter[len(prefix):]
	for i := range len(after) {
		switch after[i] {
		case '+', '#':
			return group, rest, true, false
		case '/':
			group, rest = after[:i], after[i+1:]
			return group, rest, true, i > 0 && len(rest) > 0
		}
	}
	return group, rest, true, false
}

// AppendSubscribe5 appends a SUBSCRIBE; a filter's QoS holds all its Options.
func AppendSubscribe5(dst []byte, id uint16, p Properties, filters []Filter) []byte {
	size := 2 + propertiesSize(p)
	for _, f := range filters {
		size += 3 + len(f.Filter)
	}
	dst = appendProperties(appendID(appendHeader(dst, SUBSCRIBE, 2, size), id), p)
	for _, f := range filters {
		dst = append(appendField(dst, f.Filter), f.QoS)
	}
	return dst
}

// AppendUnsubscribe5 appends an UNSUBSCRIBE.
func AppendUnsubscribe5(dst []byte, id uint16, p Properties, filters []string) []byte {
	size := 2 + propertiesSize(p)
	for _, f := range filters {
		size += 2 + len(f)
	}
	dst = appendProperties(appendID(appendHeader(dst, UNSUBSCRIBE, 2, size), id), p)
	for _, f := range filters {
		dst = appendField(dst, f)
	}
	return dst
}
