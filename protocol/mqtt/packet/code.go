package packet

import "strconv"

// Code is a reason code of MQTT 5.0 (section 2.4). From 0x80 on it tells of a failure.
type Code byte

// The reason codes of MQTT 5.0.
const (
	Success                Code = 0x00 // in SUBACK: granted QoS 0; in DISCONNECT: a normal end
	DisconnectWithWill     Code = 0x04
	NoMatchingSubscribers  Code = 0x10
	NoSubscriptionExisted  Code = 0x11
	ContinueAuthentication Code = 0x18
	Reauthenticate         Code = 0x19
	Unspecified            Code = 0x80
	MalformedPacket        Code = 0x81
	ProtocolError          Code = 0x82
	ImplementationSpecific Code = 0x83
	UnsupportedVersion     Code = 0x84
	ClientIDNotValid       Code = 0x85
	BadUserNameOrPassword  Code = 0x86
	Unauthorized           Code = 0x87
	Unavailable            Code = 0x88
	Busy                   Code = 0x89
	Banned                 Code = 0x8a
	ShuttingDown           Code = 0x8b
	BadAuthMethod          Code = 0x8c
	KeepAliveTimeout       Code = 0x8d
	TakenOver              Code = 0x8e
	FilterInvalid          Code = 0x8f
	TopicInvalid           Code = 0x90
	IDInUse                Code = 0x91
	IDNotFound             Code = 0x92
	ReceiveMaxExceeded     Code = 0x93
	AliasInvalid           Code = 0x94
	TooLarge               Code = 0x95
	RateTooHigh            Code = 0x96
	QuotaExceeded          Code = 0x97
	AdministrativeAction   Code = 0x98
	PayloadFormatInvalid   Code = 0x99
	RetainNotSupported     Code = 0x9a
	QoSNotSupported        Code = 0x9b
	UseAnotherServer       Code = 0x9c
	ServerMoved            Code = 0x9d
	SharedNotSupported     Code = 0x9e
	ConnectionRateExceeded Code = 0x9f
	MaximumConnectTime     Code = 0xa0
	IDsNotSupported        Code = 0xa1
	WildcardsNotSupported  Code = 0xa2
)

var codeNames = map[Code]string{
	Success: "success", DisconnectWithWill: "disconnect with will", NoMatchingSubscribers: "no matching subscribers",
	NoSubscriptionExisted: "no subscription existed", ContinueAuthentication: "continue authentication", Reauthenticate: "reauthenticate",
	Unspecified: "unspecified error", MalformedPacket: "malformed packet", ProtocolError: "protocol error",
	ImplementationSpecific: "implementation specific error", UnsupportedVersion: "unsupported protocol version",
	ClientIDNotValid: "client identifier not valid", BadUserNameOrPassword: "bad user name or password", Unauthorized: "not authorized",
	Unavailable: "server unavailable", Busy: "server busy", Banned: "banned", ShuttingDown: "server shutting down",
	BadAuthMethod: "bad authentication method", KeepAliveTimeout: "keep alive timeout", TakenOver: "session taken over",
	FilterInvalid: "topic filter invalid", TopicInvalid: "topic name invalid", IDInUse: "packet identifier in use",
	IDNotFound: "packet identifier not found", ReceiveMaxExceeded: "receive maximum exceeded", AliasInvalid: "topic alias invalid",
	TooLarge: "packet too large", RateTooHigh: "message rate too high", QuotaExceeded: "quota exceeded",
	AdministrativeAction: "administrative action", PayloadFormatInvalid: "payload format invalid", RetainNotSupported: "retain not supported",
	QoSNotSupported: "QoS not supported", UseAnotherServer: "use another server", ServerMoved: "server moved",
	SharedNotSupported: "shared subscriptions not supported", ConnectionRateExceeded: "connection rate exceeded",
	MaximumConnectTime: "maximum connect time", IDsNotSupported: "subscription identifiers not supported",
	WildcardsNotSupported: "wildcard subscriptions not supported",
}

// String says the code in words.
func (c Code) String() string {
	if name, ok := codeNames[c]; ok {
		return name
	}
	return "reason code 0x" + strconv.FormatUint(uint64(c), 16)
}

// Failed reports whether the code tells of a failure.
func (c Code) Failed() bool { return c >= 0x80 }

// codeSet is a set of codes.
type codeSet [4]uint64

func codes(list ...Code) (s codeSet) {
	for _, c := range list {
		s[c>>6] |= 1 << (c & 63)
	}
	return s
}

func (s *codeSet) has(c Code) bool { return s[c>>6]&(1<<(c&63)) != 0 }

var (
	receiptCodes = codes(Success, NoMatchingSubscribers, Unspecified, ImplementationSpecific, Unauthorized, TopicInvalid, IDInUse,
		QuotaExceeded, PayloadFormatInvalid)
	releaseCodes = codes(Success, IDNotFound)
)

// codesOf are the codes that a packet may carry. DISCONNECT's are those of both directions.
var codesOf = [16]codeSet{
	CONNACK: codes(Success, Unspecified, MalformedPacket, ProtocolError, ImplementationSpecific, UnsupportedVersion, ClientIDNotValid,
		BadUserNameOrPassword, Unauthorized, Unavailable, Busy, Banned, BadAuthMethod, TopicInvalid, TooLarge, QuotaExceeded,
		PayloadFormatInvalid, RetainNotSupported, QoSNotSupported, UseAnotherServer, ServerMoved, ConnectionRateExceeded),
	PUBACK: receiptCodes, PUBREC: receiptCodes, PUBREL: releaseCodes, PUBCOMP: releaseCodes,
	SUBACK: codes(0, 1, 2, Unspecified, ImplementationSpecific, Unauthorized, FilterInvalid, IDInUse, QuotaExceeded,
		SharedNotSupported, IDsNotSupported, WildcardsNotSupported),
	UNSUBACK: codes(Success, NoSubscriptionExisted, Unspecified, ImplementationSpecific, Unauthorized, FilterInvalid, IDInUse),
	DISCONNECT: codes(Success, DisconnectWithWill, Unspecified, MalformedPacket, ProtocolError, ImplementationSpecific, Unauthorized,
		Busy, ShuttingDown, KeepAliveTimeout, TakenOver, FilterInvalid, TopicInvalid, ReceiveMaxExceeded, AliasInvalid, TooLarge,
		RateTooHigh, QuotaExceeded, AdministrativeAction, PayloadFormatInvalid, RetainNotSupported, QoSNotSupported, UseAnotherServer,
		ServerMoved, SharedNotSupported, ConnectionRateExceeded, MaximumConnectTime, IDsNotSupported, WildcardsNotSupported),
	AUTH: codes(Success, ContinueAuthentication, Reauthenticate),
}

// Allowed reports whether a packet of type t may carry the code.
func (c Code) Allowed(t Type) bool { return t < 16 && codesOf[t].has(c) }

// Code is what MQTT 5.0 calls the return code.
func (c ConnackCode) Code() Code {
	switch c {
	case Accepted:
		return Success
	case BadVersion:
		return UnsupportedVersion
	case IdentifierRejected:
		return ClientIDNotValid
	case ServerUnavailable:
		return Unavailable
	case BadCredentials:
		return BadUserNameOrPassword
	case NotAuthorized:
		return Unauthorized
	}
	return Unspecified
}

// Connack is the nearest return code that MQTT 3.1.1 has for the code.
func (c Code) Connack() ConnackCode {
	switch c {
	case Success:
		return Accepted
	case UnsupportedVersion:
		return BadVersion
	case ClientIDNotValid:
		return IdentifierRejected
	case BadUserNameOrPassword:
		return BadCredentials
	case Unauthorized, Banned, BadAuthMethod:
		return NotAuthorized
	}
	return ServerUnavailable
}
