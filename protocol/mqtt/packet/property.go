package packet

import "unicode/utf8"

// PropertyID names a property of MQTT 5.0 (section 2.2.2.2).
type PropertyID byte

// The properties of MQTT 5.0.
const (
	PayloadFormat         PropertyID = 0x01 // byte
	MessageExpiry         PropertyID = 0x02 // four bytes, seconds
	ContentType           PropertyID = 0x03 // string
	ResponseTopic         PropertyID = 0x08 // string
	CorrelationData       PropertyID = 0x09 // binary
	SubscriptionID        PropertyID = 0x0b // variable byte integer
	SessionExpiry         PropertyID = 0x11 // four bytes, seconds
	AssignedClientID      PropertyID = 0x12 // string
	ServerKeepAlive       PropertyID = 0x13 // two bytes, seconds
	AuthMethod            PropertyID = 0x15 // string
	AuthData              PropertyID = 0x16 // binary
	RequestProblemInfo    PropertyID = 0x17 // byte
	WillDelay             PropertyID = 0x18 // four bytes, seconds
	RequestResponseInfo   PropertyID = 0x19 // byte
	ResponseInfo          PropertyID = 0x1a // string
	ServerReference       PropertyID = 0x1c // string
	ReasonString          PropertyID = 0x1f // string
	ReceiveMax            PropertyID = 0x21 // two bytes
	TopicAliasMax         PropertyID = 0x22 // two bytes
	TopicAlias            PropertyID = 0x23 // two bytes
	MaxQoS                PropertyID = 0x24 // byte
	RetainAvailable       PropertyID = 0x25 // byte
	UserProperty          PropertyID = 0x26 // pair of strings, may be repeated
	MaxPacketSize         PropertyID = 0x27 // four bytes
	WildcardAvailable     PropertyID = 0x28 // byte
	SubscriptionIDsUsable PropertyID = 0x29 // byte
	SharedAvailable       PropertyID = 0x2a // byte
	propertyIDs                      = 0x2b
)

// kind is how a property's value is written.
type kind uint8

const (
	none     kind = iota
	one           // a byte
	two           // two bytes
	four          // four bytes
	variable      // a variable byte integer
	text8         // a string
	binary        // bytes
	pair          // two strings
)

// place is where a property stands: bit 0 is the will, the others are the packet types.
type place uint16

const inWill place = 1

func in(types ...Type) (p place) {
	for _, t := range types {
		p |= 1 << t
	}
	return p
}

// least and most bound a number; most 0 means no bound.
type propertyRule struct {
	kind        kind
	where       place
	least, most uint32
}

var acks = in(PUBACK, PUBREC, PUBREL, PUBCOMP)

var propertyRules = [propertyIDs]propertyRule{
	PayloadFormat:         {one, in(PUBLISH) | inWill, 0, 1},
	MessageExpiry:         {four, in(PUBLISH) | inWill, 0, 0},
	ContentType:           {text8, in(PUBLISH) | inWill, 0, 0},
	ResponseTopic:         {text8, in(PUBLISH) | inWill, 0, 0},
	CorrelationData:       {binary, in(PUBLISH) | inWill, 0, 0},
	SubscriptionID:        {variable, in(PUBLISH, SUBSCRIBE), 1, 0},
	SessionExpiry:         {four, in(CONNECT, CONNACK, DISCONNECT), 0, 0},
	AssignedClientID:      {text8, in(CONNACK), 0, 0},
	ServerKeepAlive:       {two, in(CONNACK), 0, 0},
	AuthMethod:            {text8, in(CONNECT, CONNACK, AUTH), 0, 0},
	AuthData:              {binary, in(CONNECT, CONNACK, AUTH), 0, 0},
	RequestProblemInfo:    {one, in(CONNECT), 0, 1},
	WillDelay:             {four, inWill, 0, 0},
	RequestResponseInfo:   {one, in(CONNECT), 0, 1},
	ResponseInfo:          {text8, in(CONNACK), 0, 0},
	ServerReference:       {text8, in(CONNACK, DISCONNECT), 0, 0},
	ReasonString:          {text8, in(CONNACK, SUBACK, UNSUBACK, DISCONNECT, AUTH) | acks, 0, 0},
	ReceiveMax:            {two, in(CONNECT, CONNACK), 1, 0},
	TopicAliasMax:         {two, in(CONNECT, CONNACK), 0, 0},
	TopicAlias:            {two, in(PUBLISH), 1, 0},
	MaxQoS:                {one, in(CONNACK), 0, 1},
	RetainAvailable:       {one, in(CONNACK), 0, 1},
	UserProperty:          {pair, ^place(0), 0, 0},
	MaxPacketSize:         {four, in(CONNECT, CONNACK), 1, 0},
	WildcardAvailable:     {one, in(CONNACK), 0, 1},
	SubscriptionIDsUsable: {one, in(CONNACK), 0, 1},
	SharedAvailable:       {one, in(CONNACK), 0, 1},
}

// Properties are the properties of a packet as they are written, without their length. Those of a decoded packet are valid and
// point into the bytes it was decoded from; the nil slice has none.
type Properties []byte

// Property is one of them. Numbers are in Int, strings and bytes in Value; of a pair Name is the first.
type Property struct {
	ID    PropertyID
	Int   uint32
	Name  []byte
	Value []byte
}

// Next returns the first property and those behind it. p must be valid and not empty.
func (p Properties) Next() (first Property, rest Properties) {
	first.ID = PropertyID(p[0])
	b := []byte(p[1:])
	switch propertyRules[first.ID].kind {
	case one:
		first.Int, b = uint32(b[0]), b[1:]
	case two:
		first.Int, b = uint32(b[0])<<8|uint32(b[1]), b[2:]
	case four:
		first.Int, b = uint32(b[0])<<24|uint32(b[1])<<16|uint32(b[2])<<8|uint32(b[3]), b[4:]
	case variable:
		v, n, _ := length(b)
		first.Int, b = uint32(v), b[n:]
	case pair:
		first.Name, b, _ = field(b)
		first.Value, b, _ = field(b)
	default:
		first.Value, b, _ = field(b)
	}
	return first, b
}

// Int returns the number of a property; for one that may be repeated the first.
func (p Properties) Int(id PropertyID) (v uint32, ok bool) {
	for len(p) > 0 {
		var one Property
		if one, p = p.Next(); one.ID == id {
			return one.Int, true
		}
	}
	return 0, false
}

// Bytes returns the string or bytes of a property, which point into p.
func (p Properties) Bytes(id PropertyID) (v []byte, ok bool) {
	for len(p) > 0 {
		var one Property
		if one, p = p.Next(); one.ID == id {
			return one.Value, true
		}
	}
	return nil, false
}

// AppendInt appends a property that is a number.
func AppendInt(p Properties, id PropertyID, v uint32) Properties {
	p = append(p, byte(id))
	switch propertyRules[id].kind {
	case one:
		return append(p, byte(v))
	case two:
		return append(p, byte(v>>8), byte(v))
	case variable:
		return appendLength(p, int(v))
	}
	return append(p, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

// AppendBytes appends a property that is a string or bytes, of at most MaxString bytes.
func AppendBytes[T string | []byte](p Properties, id PropertyID, v T) Properties {
	return appendField(append(p, byte(id)), v)
}

// AppendPair appends a user property; both must be at most MaxString bytes.
func AppendPair[T string | []byte](p Properties, name, value T) Properties {
	return appendField(appendField(append(p, byte(UserProperty)), name), value)
}

// AppendRaw appends a property as Next gave it.
func AppendRaw(p Properties, one Property) Properties {
	switch propertyRules[one.ID].kind {
	case text8, binary:
		return AppendBytes(p, one.ID, one.Value)
	case pair:
		return AppendPair(p, one.Name, one.Value)
	}
	return AppendInt(p, one.ID, one.Int)
}

// ValidProperties reports whether p may stand in a packet of type t.
func ValidProperties(p Properties, t Type) bool { return checkProperties(p, in(t)) == nil }

// properties takes the properties with their length off b.
func properties(b []byte, where place) (p Properties, rest []byte, err error) {
	if len(b) > 0 && b[0] == 0 {
		return nil, b[1:], nil
	}
	size, n, err := length(b)
	switch {
	case err != nil || n > 0 && n != lengthSize(size):
		return nil, nil, BadLength
	case n == 0 || len(b) < n+size:
		return nil, nil, BadSize
	}
	p, rest = b[n:n+size:n+size], b[n+size:]
	return p, rest, checkProperties(p, where)
}

// checkProperties holds p against the rules of section 2.2.2 and of the packet it stands in.
func checkProperties(p []byte, where place) error {
	seen := uint64(0)
	for len(p) > 0 {
		id := p[0]
		if id >= propertyIDs || propertyRules[id].where&where == 0 {
			return BadProperty
		}
		again := seen&(1<<id) != 0
		seen |= 1 << id
		many := id == byte(UserProperty) || id == byte(SubscriptionID) && where == in(PUBLISH)
		if again && !many {
			return DuplicateProperty
		}
		var err error
		if p, err = checkValue(PropertyID(id), p[1:]); err != nil {
			return err
		}
	}
	if seen&(1<<AuthData) != 0 && seen&(1<<AuthMethod) == 0 {
		return BadPropertyValue
	}
	return nil
}

// checkValue checks the value at the start of b and returns what is behind it.
func checkValue(id PropertyID, b []byte) (rest []byte, err error) {
	rule := &propertyRules[id]
	size := 0
	switch rule.kind {
	case text8, pair:
		rest, err = checkStrings(rule.kind, b)
		if v, _, _ := field(b); err == nil && id == ResponseTopic && !ValidTopic(v) {
			err = BadPropertyValue
		}
		return rest, err
	case binary:
		_, rest, ok := field(b)
		if !ok {
			return nil, BadSize
		}
		return rest, nil
	case variable:
		v, n, err := length(b)
		if err != nil || n > 0 && n != lengthSize(v) {
			return nil, BadLength
		}
		size = n
	case one:
		size = 1
	case two:
		size = 2
	case four:
		size = 4
	}
	if size == 0 || len(b) < size {
		return nil, BadSize
	}
	return b[size:], checkRange(rule, b[:size])
}

// checkRange judges a number; one that is not 0 has a byte that is not 0, however it is written.
func checkRange(rule *propertyRule, b []byte) error {
	if rule.kind == one && rule.most > 0 && uint32(b[0]) > rule.most {
		return BadPropertyValue
	}
	if rule.least == 0 {
		return nil
	}
	for _, c := range b {
		if c != 0 {
			return nil
		}
	}
	return BadPropertyValue
}

func checkStrings(k kind, b []byte) (rest []byte, err error) {
	if k == pair {
		if _, b, err = text(b); err != nil {
			return nil, err
		}
	}
	_, rest, err = text(b)
	return rest, err
}

// appendProperties appends p behind its length.
func appendProperties(dst []byte, p Properties) []byte {
	return append(appendLength(dst, len(p)), p...)
}

// propertiesSize is the length in bytes of p with its length.
func propertiesSize(p Properties) int { return lengthSize(len(p)) + len(p) }

// TextPayload reports whether a payload is what PayloadFormat 1 says of it.
func TextPayload(b []byte) bool { return utf8.Valid(b) }
