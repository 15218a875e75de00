package packet

// Filters are the checked filters of a SUBSCRIBE or UNSUBSCRIBE, read one after the other.
type Filters struct {
	rest []byte
	qos  bool // each filter is followed by its QoS
}

// Filter is a topic filter with the QoS asked for; in a SUBSCRIBE of 5.0 all Options are in QoS.
type Filter struct {
	Filter string
	QoS    byte
}

// Next returns the next filter, which points into the packet; ok is false after the last. In a SUBSCRIBE of 5.0 qos holds all Options,
// in an UNSUBSCRIBE it is 0.
func (f *Filters) Next() (filter []byte, qos byte, ok bool) {
	filter, f.rest, ok = field(f.rest)
	if ok && f.qos {
		qos, f.rest = f.rest[0], f.rest[1:]
	}
	return filter, qos, ok
}

// DecodeSubscribe decodes the bytes behind the fixed header of a SUBSCRIBE (section 3.8).
func DecodeSubscribe(body []byte) (id uint16, f Filters, err error) { return decodeFilters(body, true) }

// DecodeUnsubscribe decodes the bytes behind the fixed header of an UNSUBSCRIBE (section 3.10).
func DecodeUnsubscribe(body []byte) (id uint16, f Filters, err error) {
	return decodeFilters(body, false)
}

func decodeFilters(body []byte, qos bool) (id uint16, f Filters, err error) {
	id, rest, err := packetID(body)
	if err != nil {
		return 0, f, err
	}
	f = Filters{rest: rest, qos: qos}
	if err := f.check(checkQoS); err != nil {
		return 0, Filters{}, err
	}
	return id, f, nil
}

func checkQoS(_ []byte, qos byte) error {
	if qos > 2 {
		return BadQoS
	}
	return nil
}

// check goes through all filters; options judges one with what follows it.
func (f Filters) check(options func(filter []byte, o byte) error) error {
	if len(f.rest) == 0 {
		return NoFilters
	}
	for len(f.rest) > 0 {
		filter, after, ok := field(f.rest)
		switch {
		case !ok || f.qos && len(after) == 0:
			return BadSize
		case !ValidFilter(filter):
			return BadFilter
		}
		o := byte(0)
		if f.qos {
			o, after = after[0], after[1:]
		}
		if err := options(filter, o); err != nil {
			return err
		}
		f.rest = after
	}
	return nil
}

// AppendSubscribe appends a SUBSCRIBE.
func AppendSubscribe(dst []byte, id uint16, filters []Filter) []byte {
	size := 2
	for _, f := range filters {
		size += 3 + len(f.Filter)
	}
	dst = appendID(appendHeader(dst, SUBSCRIBE, 2, size), id)
	for _, f := range filters {
		dst = append(appendField(dst, f.Filter), f.QoS)
	}
	return dst
}

// AppendUnsubscribe appends an UNSUBSCRIBE.
func AppendUnsubscribe(dst []byte, id uint16, filters []string) []byte {
	size := 2
	for _, f := range filters {
		size += 2 + len(f)
	}
	dst = appendID(appendHeader(dst, UNSUBSCRIBE, 2, size), id)
	for _, f := range filters {
		dst = appendField(dst, f)
	}
	return dst
}

// DecodeSuback decodes the bytes behind the fixed header of a SUBACK (section 3.9); codes point into body.
func DecodeSuback(body []byte) (id uint16, codes []byte, err error) {
	id, codes, err = packetID(body)
	if err != nil {
		return 0, nil, err
	}
	if len(codes) == 0 {
		return 0, nil, BadSize
	}
	for _, c := range codes {
		if c > 2 && c != SubackFailure {
			return 0, nil, BadReturnCode
		}
	}
	return id, codes, nil
}

// AppendSuback appends a SUBACK.
func AppendSuback(dst []byte, id uint16, codes []byte) []byte {
	return append(appendID(appendHeader(dst, SUBACK, 0, 2+len(codes)), id), codes...)
}
