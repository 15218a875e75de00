package packet

// Reason says what is wrong with a packet. It is an error; reasons are few, so that they can be counted by name.
type Reason uint8

// The reasons for which a packet is malformed. Sections are those of MQTT 3.1.1, from BadProperty on those of 5.0.
const (
	BadType           Reason = iota // packet type 0, or 15 before 5.0 (2.2.1)
	BadFlags                        // reserved flags of the first byte (2.2.2)
	BadLength                       // remaining length of more than four bytes, in 5.0 not in its shortest form (2.2.3)
	BadSize                         // remaining length that does not fit the packet's fields
	BadString                       // not UTF-8, or with U+0000 (1.5.3)
	BadTopic                        // topic name empty or with wildcards (3.3.2.1, 4.7)
	BadFilter                       // topic filter empty or with a misplaced wildcard (4.7)
	BadQoS                          // QoS 3, or DUP at QoS 0 (3.3.1)
	ZeroID                          // packet id 0 (2.3.1)
	NoFilters                       // SUBSCRIBE or UNSUBSCRIBE without a filter (3.8.3, 3.10.3)
	BadProtocolName                 // neither "MQTT" nor "MQIsdp" (3.1.2.1)
	BadProtocolLevel                // a name we know with a level we do not (3.1.2.2)
	BadConnectFlags                 // reserved flag, will flags, password without user name (3.1.2.3)
	BadConnackFlags                 // CONNACK flags or code out of range (3.2.2)
	BadReturnCode                   // SUBACK code out of range (3.9.3)
	BadProperty                     // a property unknown or in a packet where it may not be (2.2.2)
	DuplicateProperty               // a property twice (2.2.2)
	BadPropertyValue                // a property out of its range, or authentication data without a method (2.2.2, 3.1.2)
	BadReasonCode                   // a reason code that the packet may not carry (2.4)
	BadOptions                      // reserved bits of a subscription's options (3.8.3.1)
	BadRetainHandling               // retain handling 3 (3.8.3.1)
	BadShare                        // "$share/" without a group or a filter (4.8.2)
	NoLocalShared                   // No Local with a shared subscription (3.8.3.1)
	NoTopic                         // neither a topic name nor an alias (3.3.2.1)
	reasons
)

// Reasons is the number of reasons, for tables indexed by Reason.
const Reasons = int(reasons)

var reasonNames = [reasons]string{
	"bad_type", "bad_flags", "bad_length", "bad_size", "bad_string", "bad_topic", "bad_filter", "bad_qos", "zero_id",
	"no_filters", "bad_protocol_name", "bad_protocol_level", "bad_connect_flags", "bad_connack_flags", "bad_return_code",
	"bad_property", "duplicate_property", "bad_property_value", "bad_reason_code", "bad_options", "bad_retain_handling", "bad_share",
	"no_local_shared", "no_topic",
}

// String returns the reason as a metric label.
func (r Reason) String() string {
	if r < reasons {
		return reasonNames[r]
	}
	return "unknown"
}

// Error makes a Reason an error.
func (r Reason) Error() string { return "malformed packet: " + r.String() }

// Code is what MQTT 5.0 calls the fault.
func (r Reason) Code() Code {
	switch r {
	case ZeroID, NoFilters, DuplicateProperty, BadPropertyValue, BadReasonCode, BadRetainHandling, BadShare, NoLocalShared, NoTopic:
		return ProtocolError
	case BadProtocolName, BadProtocolLevel:
		return UnsupportedVersion
	}
	return MalformedPacket
}
