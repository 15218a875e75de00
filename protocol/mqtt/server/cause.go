package server

import "github.com/hawser-iot/hawser/protocol/mqtt/packet"

// Cause says why a connection ended. Causes are counted in Stats.
type Cause uint8

// The causes of an end. The first two are the client's own doing.
const (
	CauseDisconnect     Cause = iota // the client sent DISCONNECT
	CauseEOF                         // the client closed the connection without DISCONNECT
	CauseNetwork                     // reading or writing failed
	CauseTLS                         // the TLS handshake failed
	CauseConnectTimeout              // no complete CONNECT within Config.ConnectTimeout
	CauseKeepAlive                   // silent for 1.5 times the keep-alive
	CauseMalformed                   // bytes that are not MQTT
	CauseProtocol                    // a packet that may not come now
	CauseTooLarge                    // a packet over Config.MaxPacket
	CauseRefused                     // CONNECT refused
	CauseTakenOver                   // another connection took the identity
	CauseKicked                      // the owner ended it, e.g. the device was disabled
	CauseDeleted                     // the owner ended it: the identity exists no more
	CauseSlowReader                  // the client did not read for Config.WriteTimeout
	CauseUnavailable                 // a message could not be stored for Config.StoreTimeout
	CauseOwner                       // the owner returned an error from Subscribe or Unsubscribe
	CauseShutdown                    // the server is closing
	CauseDisconnectWill              // the client sent a DISCONNECT of 5.0 that wants its will published, or tells of a fault
	CauseQuota                       // the client sent more than its Receive Maximum allows (5.0)
	CauseAuth                        // a reauthentication failed (5.0)
	causes
)

var causeNames = [causes]string{
	"disconnect", "eof", "network", "tls", "connect_timeout", "keep_alive", "malformed", "protocol", "too_large",
	"refused", "taken_over", "kicked", "deleted", "slow_reader", "unavailable", "owner", "shutdown", "disconnect_will", "quota", "auth",
}

// code is the reason code of the DISCONNECT that a client of MQTT 5.0 gets; 0 when it gets none.
func (c Cause) code() packet.Code {
	switch c {
	case CauseKeepAlive:
		return packet.KeepAliveTimeout
	case CauseMalformed:
		return packet.MalformedPacket
	case CauseProtocol:
		return packet.ProtocolError
	case CauseTooLarge:
		return packet.TooLarge
	case CauseTakenOver:
		return packet.TakenOver
	case CauseKicked, CauseDeleted:
		return packet.AdministrativeAction
	case CauseUnavailable:
		return packet.Busy
	case CauseOwner:
		return packet.Unspecified
	case CauseShutdown:
		return packet.ShuttingDown
	case CauseQuota:
		return packet.ReceiveMaxExceeded
	case CauseAuth:
		return packet.Unauthorized
	}
	return 0
}

// String returns the cause as a metric label: lower case, with underscores.
func (c Cause) String() string {
	if c < causes {
		return causeNames[c]
	}
	return "unknown"
}

// Causes returns all causes in order, for exporters.
func Causes() []Cause {
	all := make([]Cause, causes)
	for i := range all {
		all[i] = Cause(i)
	}
	return all
}

// Drop says why a message was dropped. Drops are counted in Stats.
type Drop uint8

// The reasons to drop a message.
const (
	DropRefused    Drop = iota // inbound: the owner's Done had an error other than ErrUnavailable
	DropQueueFull              // outbound: the oldest waiting message made room
	DropExpired                // outbound: Message.Expiry passed while it waited
	DropConnection             // outbound: volatile, QoS 0 or of a clean session, and the connection ended
	DropTooLarge               // outbound: the packet is larger than MQTT or the client (5.0) allows
	DropNoMember               // outbound: no member of a shared subscription could take it
	drops
)

var dropNames = [drops]string{"refused", "queue_full", "expired", "connection", "too_large", "no_member"}

// String returns the reason as a metric label.
func (d Drop) String() string {
	if d < drops {
		return dropNames[d]
	}
	return "unknown"
}

// Drops returns all reasons in order, for exporters.
func Drops() []Drop {
	all := make([]Drop, drops)
	for i := range all {
		all[i] = Drop(i)
	}
	return all
}
