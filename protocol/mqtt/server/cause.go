package server

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
	causes
)

var causeNames = [causes]string{
	"disconnect", "eof", "network", "tls", "connect_timeout", "keep_alive", "malformed", "protocol", "too_large",
	"refused", "taken_over", "kicked", "deleted", "slow_reader", "unavailable", "owner", "shutdown",
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
	DropTooLarge               // outbound: the packet is larger than MQTT or Config.MaxPacket allows
	drops
)

var dropNames = [drops]string{"refused", "queue_full", "expired", "connection", "too_large"}

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
