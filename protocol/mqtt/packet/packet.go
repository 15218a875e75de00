// Package packet is the MQTT wire format as pure functions over bytes: it finds a packet in a buffer,
// decodes it in place and appends it to a buffer.
//
// It promises that a decoded packet obeys every rule of MQTT 3.1.1 (OASIS, 29 October 2014) or 5.0 (OASIS, 7 March 2019)
// that can be judged from the packet alone: reserved flags, remaining length, UTF-8 without U+0000 and surrogates,
// packet ids other than 0, topic names and filters, the flags of CONNECT; in 5.0 properties (place, number, range), reason codes and
// the options of subscriptions. MQTT 3.1 ("MQIsdp", level 3) is read too. Functions whose name ends in 5 are for packets that 5.0
// writes differently. Nothing is copied: decoded strings, payloads and properties are slices of the input, and decoders
// allocate nothing. Encoders append exactly what decoders take.
//
// It leaves to the engine (protocol/mqtt/server) all that depends on what came before: that CONNECT comes
// first and once, packet ids in use, size limits of a deployment, quality of service.
package packet

import "strconv"

// Type is the control packet type, the upper four bits of the first byte (section 2.2.1).
type Type byte

// The control packet types. AUTH is of MQTT 5.0.
const (
	CONNECT     Type = 1
	CONNACK     Type = 2
	PUBLISH     Type = 3
	PUBACK      Type = 4
	PUBREC      Type = 5
	PUBREL      Type = 6
	PUBCOMP     Type = 7
	SUBSCRIBE   Type = 8
	SUBACK      Type = 9
	UNSUBSCRIBE Type = 10
	UNSUBACK    Type = 11
	PINGREQ     Type = 12
	PINGRESP    Type = 13
	DISCONNECT  Type = 14
	AUTH        Type = 15
)

var typeNames = [...]string{
	"0", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE", "SUBACK",
	"UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH",
}

// String returns the type's name as the standard writes it.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return strconv.Itoa(int(t))
}

// The protocol levels of CONNECT that have a meaning here.
const (
	V31  byte = 3 // MQTT 3.1, protocol name "MQIsdp"
	V311 byte = 4 // MQTT 3.1.1, protocol name "MQTT"
	V5   byte = 5 // MQTT 5.0, protocol name "MQTT"
)

// ConnackCode is the return code of CONNACK (section 3.2.2.3).
type ConnackCode byte

// The return codes of CONNACK in MQTT 3.1.1.
const (
	Accepted           ConnackCode = 0
	BadVersion         ConnackCode = 1
	IdentifierRejected ConnackCode = 2
	ServerUnavailable  ConnackCode = 3
	BadCredentials     ConnackCode = 4
	NotAuthorized      ConnackCode = 5
)

var connackNames = [...]string{
	"accepted", "unacceptable protocol version", "identifier rejected", "server unavailable",
	"bad user name or password", "not authorized",
}

// String says the code in words.
func (c ConnackCode) String() string {
	if int(c) < len(connackNames) {
		return connackNames[c]
	}
	return "connack code " + strconv.Itoa(int(c))
}

// SubackFailure is the SUBACK return code of a filter that was not granted (section 3.9.3).
const SubackFailure byte = 0x80

// MaxRemaining is the largest remaining length that four bytes can say (section 2.2.3).
const MaxRemaining = 268_435_455
