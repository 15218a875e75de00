package packet

// Connect is a CONNECT packet (section 3.1). Its slices point into the bytes it was decoded from.
type Connect struct {
	Level      byte // V31, V311 or V5 after a decode without error
	Clean      bool
	KeepAlive  uint16 // seconds; 0 = none
	ClientID   []byte
	Properties Properties // of 5.0

	HasWill        bool
	WillQoS        byte
	WillRetain     bool
	WillTopic      []byte
	WillPayload    []byte
	WillProperties Properties // of 5.0

	HasUserName bool
	UserName    []byte
	HasPassword bool // before 5.0 only with HasUserName
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
	if !connectFlags(flags, c.Level) {
		return BadConnectFlags
	}
	c.Clean = flags&flagClean != 0
	c.KeepAlive = uint16(rest[1])<<8 | uint16(rest[2])
	rest = rest[3:]
	if c.Level == V5 {
		if c.Properties, rest, err = properties(rest, in(CONNECT)); err != nil {
			return err
		}
	}
	return c.payload(rest, flags)
}

// protocol reads the protocol's name and level.
func (c *Connect) protocol(body []byte) (rest []byte, err error) {
	name, rest, ok := field(body)
	if !ok || len(rest) < 1 {
		return nil, BadSize
	}
	c.Level = rest[0]
	known := false
	switch string(name) {
	case "MQTT":
		known = c.Level == V311 || c.Level == V5
	case "MQIsdp":
		known = c.Level == V31
	default:
		return nil, BadProtocolName
	}
	if !known {
		return nil, BadProtocolLevel
	}
	return rest[1:], nil
}

func connectFlags(f, level byte) bool {
	will, qos := f&flagWill != 0, f&flagWillQoS
	return f&1 == 0 && // reserved
		qos != flagWillQoS &&
		(will || qos == 0 && f&flagWillRetain == 0) &&
		(level == V5 || f&flagPassword == 0 || f&flagUserName != 0)
}

// payload reads the fields that the flags announce, in the order of section 3.1.3.
func (c *Connect) payload(b []byte, flags byte) (err error) {
	if c.ClientID, b, err = text(b); err != nil {
		return err
	}
	ok := true
	if c.HasWill = flags&flagWill != 0; c.HasWill {
		c.WillQoS, c.WillRetain = flags&flagWillQoS>>3, flags&flagWillRetain != 0
		if b, err = c.will(b); err != nil {
			return err
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

// will reads the fields of the will.
func (c *Connect) will(b []byte) (rest []byte, err error) {
	if c.Level == V5 {
		if c.WillProperties, b, err = properties(b, inWill); err != nil {
			return nil, err
		}
	}
	ok := true
	if c.WillTopic, b, ok = field(b); !ok {
		return nil, BadSize
	}
	if !ValidTopic(c.WillTopic) {
		return nil, BadTopic
	}
	if c.WillPayload, b, ok = field(b); !ok {
		return nil, BadSize
	}
	return b, nil
}

// AppendConnect appends c; its fields must be at most MaxString bytes each.
func AppendConnect(dst []byte, c *Connect) []byte {
	name := "MQTT"
	if c.Level == V31 {
		name = "MQIsdp"
	}
	flags, size := c.layout()
	dst = appendField(appendHeader(dst, CONNECT, 0, 2+len(name)+size), name)
	dst = appendID(append(dst, c.Level, flags), c.KeepAlive)
	if c.Level == V5 {
		dst = appendProperties(dst, c.Properties)
	}
	dst = appendField(dst, c.ClientID)
	if c.HasWill {
		if c.Level == V5 {
			dst = appendProperties(dst, c.WillProperties)
		}
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

// layout returns the connect flags and the length of all that follows the protocol's name.
func (c *Connect) layout() (flags byte, size int) {
	size = 4 + 2 + len(c.ClientID)
	if c.Level == V5 {
		size += propertiesSize(c.Properties)
	}
	if c.Clean {
		flags |= flagClean
	}
	if c.HasWill {
		flags |= flagWill | c.WillQoS<<3
		if c.WillRetain {
			flags |= flagWillRetain
		}
		size += 4 + len(c.WillTopic) + len(c.WillPayload)
		if c.Level == V5 {
			size += propertiesSize(c.WillProperties)
		}
	}
	if c.HasUserName {
		flags |= flagUserName
		size += 2 + len(c.UserName)
	}
	if c.HasPassword {
		flags |= flagPassword
		size += 2 + len(c.Password)
	}
	return flags, size
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
