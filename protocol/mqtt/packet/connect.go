package packet

// Connect is a CONNECT packet (section 3.1). Its slices point into the bytes it was decoded from.
type Connect struct {
	Level     byte // V31 or V311 after a decode without error
	Clean     bool
	KeepAlive uint16 // seconds; 0 = none
	ClientID  []byte

	HasWill     bool
	WillQoS     byte
	WillRetain  bool
	WillTopic   []byte
	WillPayload []byte

	HasUserName bool
	UserName    []byte
	HasPassword bool // only with HasUserName
	Password    []byte
}

// The connect flags of section 3.1.2.3.
const (
	flagClean      = 0x02
	flagWill       = 0x04
	flagWillQoS    = 0x18
	flagWillRetain = 0x20
	flagPassword   = 0x40
	flagUserName   = 0x80
)

// DecodeConnect decodes the bytes behind the fixed header of a CONNECT. With the error BadProtocolLevel only
// c.Level is set: the server answers it instead of just closing.
func DecodeConnect(body []byte, c *Connect) error {
	*c = Connect{}
	rest, err := c.protocol(body)
	if err != nil {
		return err
	}
	if len(rest) < 3 {
		return BadSize
	}
	flags := rest[0]
	if !connectFlags(flags) {
		return BadConnectFlags
	}
	c.Clean = flags&flagClean != 0
	c.KeepAlive = uint16(rest[1])<<8 | uint16(rest[2])
	return c.payload(rest[3:], flags)
}

// protocol reads the protocol's name and level.
func (c *Connect) protocol(body []byte) (rest []byte, err error) {
	name, rest, ok := field(body)
	if !ok || len(rest) < 1 {
		return nil, BadSize
	}
	var want byte
	switch string(name) {
	case "MQTT":
		want = V311
	case "MQIsdp":
		want = V31
	default:
		return nil, BadProtocolName
	}
	c.Level = rest[0]
	if c.Level != want {
		return nil, BadProtocolLevel
	}
	return rest[1:], nil
}

func connectFlags(f byte) bool {
	will, qos := f&flagWill != 0, f&flagWillQoS
	return f&1 == 0 && // reserved
		qos != flagWillQoS &&
		(will || qos == 0 && f&flagWillRetain == 0) &&
		(f&flagPassword == 0 || f&flagUserName != 0)
}

// payload reads the fields that the flags announce, in the order of section 3.1.3.
func (c *Connect) payload(b []byte, flags byte) (err error) {
	if c.ClientID, b, err = text(b); err != nil {
		return err
	}
	ok := true
	if c.HasWill = flags&flagWill != 0; c.HasWill {
		c.WillQoS, c.WillRetain = flags&flagWillQoS>>3, flags&flagWillRetain != 0
		if c.WillTopic, b, ok = field(b); !ok {
			return BadSize
		}
		if !ValidTopic(c.WillTopic) {
			return BadTopic
		}
		if c.WillPayload, b, ok = field(b); !ok {
			return BadSize
		}
	}
	if c.HasUserName = flags&flagUserName != 0; c.HasUserName {
		if c.UserName, b, err = text(b); err != nil {
			return err
		}
	}
	if c.HasPassword = flags&flagPassword != 0; c.HasPassword {
		if c.Password, b, ok = field(b); !ok {
			return BadSize
		}
	}
	if len(b) != 0 {
		return BadSize
	}
	return nil
}

// AppendConnect appends c; its fields must be at most MaxString bytes each.
func AppendConnect(dst []byte, c *Connect) []byte {
	name := "MQTT"
	if c.Level == V31 {
		name = "MQIsdp"
	}
	size := 2 + len(name) + 4 + 2 + len(c.ClientID)
	var flags byte
	if c.Clean {
		flags |= flagClean
	}
	if c.HasWill {
		flags |= flagWill | c.WillQoS<<3
		if c.WillRetain {
			flags |= flagWillRetain
		}
		size += 4 + len(c.WillTopic) + len(c.WillPayload)
	}
	if c.HasUserName {
		flags |= flagUserName
		size += 2 + len(c.UserName)
	}
	if c.HasPassword {
		flags |= flagPassword
		size += 2 + len(c.Password)
	}
	dst = appendField(appendHeader(dst, CONNECT, 0, size), name)
	dst = appendID(append(dst, c.Level, flags), c.KeepAlive)
	dst = appendField(dst, c.ClientID)
	if c.HasWill {
		dst = appendField(appendField(dst, c.WillTopic), c.WillPayload)
	}
	if c.HasUserName {
		dst = appendField(dst, c.UserName)
	}
	if c.HasPassword {
		dst = appendField(dst, c.Password)
	}
	return dst
}

// DecodeConnack decodes the bytes behind the fixed header of a CONNACK (section 3.2).
func DecodeConnack(body []byte) (present bool, code ConnackCode, err error) {
	if len(body) != 2 {
		return false, 0, BadSize
	}
	present, code = body[0] == 1, ConnackCode(body[1])
	if body[0] > 1 || code > NotAuthorized || present && code != Accepted {
		return false, 0, BadConnackFlags
	}
	return present, code, nil
}

// AppendConnack appends a CONNACK; present is only sent with Accepted.
func AppendConnack(dst []byte, present bool, code ConnackCode) []byte {
	var flags byte
	if present && code == Accepted {
		flags = 1
	}
	return append(dst, byte(CONNACK)<<4, 2, flags, byte(code))
}

// AppendConnackV5Version appends the CONNACK by which a server without MQTT 5.0 refuses a 5.0 client in the form that it understands:
// reason code 0x84, no properties (MQTT 5.0, section 3.2.2.2).
func AppendConnackV5Version(dst []byte) []byte {
	return append(dst, byte(CONNACK)<<4, 3, 0, 0x84, 0)
}
