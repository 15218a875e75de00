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

	// Subscribe judges one SUBSCRIBE: one code a request, the granted QoS or a packet.Code from 0x80 on, which clients before 5.0
	// get as packet.SubackFailure. It may block for durability: SUBACK is sent when it returns. An error closes the connection.
	Subscribe(s *Session, req []Subscription) ([]byte, error)

	// Unsubscribe is told of one UNSUBSCRIBE before its acknowledgement; an error closes the connection.
	Unsubscribe(s *Session, filters []string) error

	// Publish takes a message. It must not block long, since it runs on the connection's goroutine, and ends
	// with exactly one p.Done, from any goroutine, before or after it returned.
	Publish(s *Session, p *Publish)

	// Delivered reports that a Message with a Tag other than 0 arrived: acknowledged, or written at QoS 0.
	// It comes from the goroutine that found out and must not block.
	Delivered(s *Session, tag uint64)

	// Disconnect is the last call for a connection, once for each successful Connect. Only a will with a delay may still be
	// published after it.
	Disconnect(s *Session, why Cause)
}

// Retainer is what an owner implements as well that keeps retained messages; RetainedStore is one to embed or ask.
type Retainer interface {
	// Retained returns the next retained messages for a new subscription: at most most of them, those with a topic behind after in an
	// order of the owner's, "" being the start. None, with a nil error, is the end. It may block; for one session it is called by one
	// goroutine at a time, between Attached and Disconnect, the first time behind SUBACK. An error ends the connection.
	Retained(s *Session, sub Subscription, after string, most int) ([]Message, error)
}

// Follower is what an owner implements as well that wants to know when a SUBSCRIBE is in force.
type Follower interface {
	// Subscribed is called behind SUBACK, on the connection's goroutine, also when no filter was granted.
	Subscribed(s *Session)
}

// Keeper is what an owner with a store implements as well, so that QoS 2 is exactly once over the end of the process, too.
type Keeper interface {
	// Released is told of a PUBREL: the id of an inbound publish is free. PUBCOMP is sent when done is called, which is when a
	// later Connect would not find the id in Welcome.Received. It must not block.
	Released(s *Session, id uint16, done func(error))
	// Received is told of the PUBREC of a message with a Tag. PUBREL is sent when done is called, which is when a later process
	// would send it with Message.Released. Delivered follows with PUBCOMP. It must not block.
	Received(s *Session, tag uint64, done func(error))
}

// Confirmer is what an owner implements as well that wants to know what became of messages which it keeps nowhere.
type Confirmer interface {
	// Confirmed is told the Receipt of a message that the client has acknowledged: with PUBACK, or with PUBREC at QoS 2. A message that
	// is dropped, refused by the client, or sent at QoS 0 is never confirmed. It must not block.
	Confirmed(s *Session, receipt uint64)
}

// Authenticator is what an owner implements as well that knows enhanced authentication (MQTT 5.0, section 4.12). For a
// CONNECT with a method it is asked before Connect, and again whenever the client wants to authenticate anew.
type Authenticator interface {
	// Authenticate takes one step; data is what the client sent. With more, reply goes out in an AUTH and the next step follows;
	// else the exchange has succeeded, and reply goes out with the answer. An error, as of Connect, refuses.
	Authenticate(ctx context.Context, x *Exchange, data []byte) (reply []byte, more bool, err error)
}

// Exchange is one enhanced authentication.
type Exchange struct {
	Method  string
	Connect *Connect // of the connection
	Session *Session // nil until the CONNECT is accepted
	State   any      // the owner's own, from step to step
}

// Connect is what a client said in CONNECT and how it came.
type Connect struct {
	ClientID  string // never empty: a client without one has got one
	UserName  string
	Password  []byte // valid until Owner.Connect returns; nil when absent
	Clean     bool   // Clean Start: what is kept of an earlier session is dropped
	KeepAlive uint16 // seconds, 0 = none
	Version   byte   // packet.V31, packet.V311 or packet.V5
	Remote    string // the peer's address
	Transport string // what Serve was given: "tcp", "tls", "mem"; "ws" or "wss"
	TLS       *tls.ConnectionState
	Will      *Will

	// SessionExpiry is how many seconds the session outlives its connection: 0 = not at all, NoExpiry = for ever. Before MQTT 5.0
	// it is one of the two, as Clean says.
	SessionExpiry uint32
	// AuthMethod is that of an enhanced authentication which has succeeded; Auth is its exchange.
	AuthMethod string
	Auth       *Exchange
	// WantsResponseInfo: the client asked for Welcome.ResponseInfo.
	WantsResponseInfo bool
	Properties        packet.Properties // as they came
}

// NoExpiry is the session expiry of a session that does not end by itself.
const NoExpiry = 0xffff_ffff

// Will is the message that is published if the connection ends without DISCONNECT.
type Will struct {
	Topic   string
	Payload []byte
	QoS     byte
	Retain  bool

	// Delay is how many seconds it waits for the client to come back; it does not outlast the session.
	Delay      uint32
	Properties packet.Properties // all of the will's
}

// Welcome is an owner's answer to an accepted CONNECT.
type Welcome struct {
	// Identity is what the session is known by; a second connection of the same identity takes over. Empty means the client id.
	Identity string
	// Data is the owner's own; Session.Data returns it.
	Data any
	// Present says that the owner's store holds this persistent session: Subscriptions is what it is subscribed to, Received the ids
	// of inbound QoS 2 publishes that are not released (Keeper). With Present false the engine's own memory of the session
	// counts. All are ignored for a clean start.
	Present       bool
	Subscriptions []Subscription
	Received      []uint16
	// KeepAlive, if not 0, replaces the client's for judging silence, in seconds; a client of 5.0 is told.
	KeepAlive uint16
	// Limits may be changed while the connection is open: see Session.SetLimits.
	Limits
	// Window, if not 0, replaces Config.Window for this connection.
	Window int
	// SessionExpiry, if not 0, is the most that the client gets, in seconds.
	SessionExpiry uint32
	// Routed puts the session's filters into the tree of Server.Route. Shared subscriptions are in it always.
	Routed bool
	// QueueOffline lets messages for a persistent session wait in its queue while it has no connection, instead of ErrOffline.
	QueueOffline bool
	// ResponseInfo is sent to a client that asked for it; Properties are user properties, or others that CONNACK may have.
	ResponseInfo string
	Properties   packet.Properties
}

// Subscription is a topic filter with its options: asked for in a request, granted in a session.
type Subscription struct {
	Filter string
	QoS    byte
	// Options of MQTT 5.0 beside the QoS.
	Options packet.Options
	// ID is the client's identifier for it; 0 = none.
	ID uint32
}

// Message is what an owner sends to a session.
type Message struct {
	Topic   string
	Payload []byte // copied by Send
	QoS     byte
	// Retain says that it was published so. Only subscriptions with Retain As Published are told.
	Retain bool
	// Kept says that it goes out because it is retained, not because it was published: all subscriptions are told.
	Kept   bool
	Expiry time.Time // after it the message is dropped instead of sent; zero: never
	// Volatile messages are dropped when the connection ends instead of being kept for the next one.
	Volatile bool
	// Tag, if not 0, is reported by Owner.Delivered. A tag that is queued or in flight is not sent again.
	Tag uint64
	// Receipt, if not 0, is reported by Confirmer.Confirmed. Nothing else follows from it.
	Receipt uint64
	// Properties are those of PUBLISH, for clients of 5.0. Expiry, topic aliases and subscription ids in them are the engine's
	// business and left out.
	Properties packet.Properties
	// From is the publisher, whom a subscription with No Local keeps out. It may be nil.
	From *Session
	// PacketID, if not 0, is the id that the message takes at QoS 2: an owner that keeps it in a store gives it the same each
	// time (Keeper). It waits until the id is free. Released means that PUBREC had come: only PUBREL is sent.
	PacketID uint16
	Released bool
	// Firm messages are not dropped from a full queue for later ones: for owners that send no more of them than fit, and know what
	// ErrFull means.
	Firm bool
	// Share, if not "", is the shared subscription by which it goes, and the only one that counts: for owners that choose the member
	// themselves. Such a message is not given to another member by the engine.
	Share string
}

// Refusal is the error by which Owner.Connect refuses with a code of its choice.
type Refusal struct {
	Code   packet.ConnackCode
	Code5  packet.Code // what a client of 5.0 is told, 0 = what Code is there
	Reason string      // for the log; not sent
}

func (r *Refusal) Error() string { return fmt.Sprintf("connection refused: %s: %s", r.Code, r.Reason) }

// Rejection is the error by which Publish.Done refuses a message with a code of its choice.
type Rejection struct {
	Code   packet.Code // one that PUBACK may carry, from 0x80 on
	Reason string      // sent to a client of 5.0 that wants to know
}

func (r *Rejection) Error() string { return fmt.Sprintf("publish refused: %s: %s", r.Code, r.Reason) }

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
