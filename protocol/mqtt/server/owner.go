package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
)

// Owner decides what the engine's connections mean: who may connect, what a publish causes and when it is
// safe, which filters are granted. The engine calls it; every method may be called from several goroutines
// at once, but for one session Connect, Attached, Subscribe, Unsubscribe, Publish and Disconnect come from
// that connection's goroutine, one after the other.
type Owner interface {
	// Connect judges a CONNECT. It may block until ctx ends (Config.ConnectTimeout after the connection
	// was made). To refuse it returns a *Refusal; any other error is answered "server unavailable" and logged.
	// After a nil error exactly one Disconnect follows.
	Connect(ctx context.Context, c *Connect) (Welcome, error)

	// Attached is called after CONNACK was written and before the connection's next packet is read.
	// What it sends goes out behind the messages that are re-sent of an earlier connection. Another goroutine's Send may
	// come before: an owner that keeps rows for a device and wants their order kept sends to a session only after its Attached.
	Attached(s *Session)

	// Subscribe judges one SUBSCRIBE: one code a request, the granted QoS or packet.SubackFailure. It may
	// block for durability: SUBACK is sent when it returns. An error closes the connection.
	Subscribe(s *Session, req []Subscription) ([]byte, error)

	// Unsubscribe is told of one UNSUBSCRIBE before its acknowledgement; an error closes the connection.
	Unsubscribe(s *Session, filters []string) error

	// Publish takes a message. It must not block long, since it runs on the connection's goroutine, and ends
	// with exactly one p.Done, from any goroutine, before or after it returned.
	Publish(s *Session, p *Publish)

	// Delivered reports that a Message with a Tag other than 0 arrived: acknowledged, or written at QoS 0.
	// It comes from the goroutine that found out and must not block.
	Delivered(s *Session, tag uint64)

	// Disconnect is the last call for a connection, once for each successful Connect.
	Disconnect(s *Session, why Cause)
}

// Connect is what a client said in CONNECT and how it came.
type Connect struct {
	ClientID  string
	UserName  string
	Password  []byte // valid until Owner.Connect returns; nil when absent
	Clean     bool
	KeepAlive uint16 // seconds, 0 = none
	Version   byte   // packet.V31 or packet.V311
	Remote    string // the peer's address
	Transport string // what Serve was given: "tcp", "tls", "mem"; "ws" or "wss"
	TLS       *tls.ConnectionState
	Will      *Will
}

// Will is the message that is published if the connection ends without DISCONNECT.
type Will struct {
	Topic   string
	Payload []byte
	QoS     byte
	Retain  bool
}

// Welcome is an owner's answer to an accepted CONNECT.
type Welcome struct {
	// Identity is what the session is known by; a second connection of the same identity takes over.
	// Empty means the client id, or a generated one if that is empty as well.
	Identity string
	// Data is the owner's own; Session.Data returns it.
	Data any
	// Present says that the owner's store holds this persistent session, and Subscriptions is what it is
	// subscribed to. With Present false the engine's own memory of the session counts. Both are ignored for a clean session.
	Present       bool
	Subscriptions []Subscription
	// KeepAlive, if not 0, replaces the client's for judging silence, in seconds.
	KeepAlive uint16
	// Rate and ByteRate, if not 0, replace Config's for this connection; negative means unlimited.
	Rate, ByteRate float64
	// Window, if not 0, replaces Config.Window for this connection.
	Window int
}

// Subscription is a topic filter with its QoS: asked for in a request, granted in a session.
type Subscription struct {
	Filter string
	QoS    byte
}

// Message is what an owner sends to a session.
type Message struct {
	Topic   string
	Payload []byte // copied by Send
	QoS     byte
	Retain  bool
	Expiry  time.Time // after it the message is dropped instead of sent; zero: never
	// Volatile messages are dropped when the connection ends instead of being kept for the next one.
	Volatile bool
	// Tag, if not 0, is reported by Owner.Delivered. A tag that is queued or in flight is not sent again.
	Tag uint64
}

// Refusal is the error by which Owner.Connect refuses with a code of its choice.
type Refusal struct {
	Code   packet.ConnackCode
	Reason string // for the log; not sent
}

func (r *Refusal) Error() string { return fmt.Sprintf("connection refused: %s: %s", r.Code, r.Reason) }

// Errors of Session.Send.
var (
	// ErrNotSubscribed: none of the session's filters matches the topic.
	ErrNotSubscribed = errors.New("mqtt server: session is not subscribed to the topic")
	// ErrOffline: the session has no connection now; nothing was kept.
	ErrOffline = errors.New("mqtt server: session is offline")
	// ErrFull: the session's queue is full of messages that may not be dropped, or takes none.
	ErrFull = errors.New("mqtt server: session queue is full")
)

// ErrUnavailable, given to Publish.Done (wrapped or not), says that the message could not be made safe now. It is not
// acknowledged, nothing more is read from the connection, and it is closed after Config.StoreTimeout, so that the client tries again later.
var ErrUnavailable = errors.New("mqtt server: store unavailable")
