package uplink

import (
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// DefaultBuffer is the whole size in bytes of the largest packet that a device takes which has announced nothing else
// (the receive buffer of the stock C SDK).
const DefaultBuffer = 2048

// Message is one message on its way up. A door takes it from [Path.New], fills the first group of fields and gives it away
// with [Path.Take]; everything it points to (Name, Payload, Topic.Tail) must stay unchanged until the Ack.
// A Message made with a literal works too (tests, tools). It belongs to one goroutine at a time.
type Message struct {
	Device   ident.Device
	DeviceID int64
	Epoch    int64 // the session's fence; 0 when no session carries the message (HTTP)
	Product  *registry.Product
	Topic    topic.Topic
	Name     string // the topic as sent; the path takes ?parse=true away with the parsing
	Payload  []byte
	QoS      byte
	At       time.Time // what the message is of; zero: the path sets it
	Came     time.Time // when the hub was given it; zero: At
	Replayed bool      // it waited at a gateway while that had no connection: what is newer may have come before it
	CBOR     bool      // answers are to be CBOR
	Verifies bool      // the device has announced at its login that it verifies manifests
	Buffer   int       // the largest packet that the device takes; 0 means DefaultBuffer
	From     Link      // nil over HTTP
	Receipt  Receipt   // of a QoS 2 publish that must not be handled twice
	Origin   Origin    // of a QoS 1 publish whose repeat is to be known
	Mark     Mark      // by which a repeat is known otherwise

	Retain bool           // it was published so
	Also   func(*Message) // stages what else belongs into the message's unit, at each try; nil: nothing

	ID message.ID // set by the path

	doc     *codec.Doc
	docErr  error
	ops     []store.Op
	replies []Reply
	derived []Derived
	after   []func(error)

	flight // what the path keeps with the message
}

// Receipt is the packet id of a QoS 2 publish, noted in the message's own commit, so that a repeat after a crash is known. Device holds the
// session; a Packet of 0 is none.
type Receipt struct {
	Device int64
	Packet uint16
}

// Mark is an operation that is stored with what the message causes, by which its repeat will be known; with Always also when it causes
// nothing. It is not stored when the message is refused.
type Mark struct {
	Op     store.Op
	Always bool
}

// Reply is an answer that waits for the commit.
type Reply struct {
	Topic   string
	Payload []byte
}

// Derived is a message that the hub itself makes of another: only rules and watchers see it.
type Derived struct {
	Kind    topic.Kind
	Topic   string
	Payload []byte
}

// Doc decodes the payload, once, however many ask. The Doc belongs to the message: callers must not Release it.
func (m *Message) Doc() (*codec.Doc, error) {
	if m.doc == nil && m.docErr == nil {
		m.doc, m.docErr = codec.Decode(m.Payload, codec.DefaultLimits())
	}
	return m.doc, m.docErr
}

// Root is the decoded payload's root value.
func (m *Message) Root() (codec.Value, error) {
	d, err := m.Doc()
	if err != nil {
		return codec.Value{}, err
	}
	return d.Root(), nil
}

// Stage adds operations to the message's unit. Only the first of a unit may be a guard (see store.Unit).
func (m *Message) Stage(ops ...store.Op) { m.ops = append(m.ops, ops...) }

// Reply answers the sender on its own topic of kind k after the commit; tail is for kinds that have one. body is JSON as
// []byte (sent as it is, or turned into CBOR for a session that wants it) or a value for codec.Marshal. An answer is
// never queued: a sender that has gone in the meantime does not get it.
func (m *Message) Reply(k topic.Kind, tail string, body any) error {
	b, err := m.encode(body)
	if err != nil {
		return err
	}
	t := topic.Topic{Kind: k, Device: m.Device, Tail: tail}
	m.replies = append(m.replies, Reply{Topic: t.String(), Payload: b})
	return nil
}

func (m *Message) encode(body any) ([]byte, error) {
	raw, ok := body.([]byte)
	switch {
	case !ok && m.CBOR:
		return codec.Marshal(codec.CBOR, body)
	case !ok:
		return codec.Marshal(codec.JSON, body)
	case !m.CBOR || codec.Detect(raw) == codec.CBOR:
		return raw, nil
	}
	return codec.ToCBOR(raw, codec.DefaultLimits())
}

// Emit adds a derived message on the device's own topic of kind k (payload is JSON and belongs to the message from here
// on). Rules see it in the same unit; the device does not.
func (m *Message) Emit(k topic.Kind, payload []byte) {
	m.derived = append(m.derived, Derived{Kind: k, Topic: topic.System(m.Device, k), Payload: payload})
}

// After runs f once when the unit has ended: with nil after the commit, else with the reason. Caches confirm or drop here.
// It runs on the committer's goroutine, before the answers, and must not block. A unit that is tried again after a
// conflict ends each try with its own call.
func (m *Message) After(f func(err error)) { m.after = append(m.after, f) }

// Limit is how many payload bytes an answer on the device's topic of kind k may have for the device to take the packet.
func (m *Message) Limit(k topic.Kind) int {
	return PayloadLimit(m.Buffer, topic.System(m.Device, k))
}

// PayloadLimit is the number of payload bytes that fit a PUBLISH to topicName for a device whose packet buffer is buffer
// bytes (0: DefaultBuffer). OASIS MQTT 3.1.1 section 3.3: fixed header of at most 4 bytes here, topic length, packet id.
func PayloadLimit(buffer int, topicName string) int {
	if buffer == 0 {
		buffer = DefaultBuffer
	}
	return buffer - 1 - lengthBytes(buffer) - 2 - len(topicName) - 2
}

// lengthBytes is the size of the Remaining Length field of a packet of n bytes.
func lengthBytes(n int) int {
	size := 1
	for n >= 128 {
		n >>= 7
		size++
	}
	return size
}

// Staged, Replies and Emitted show what a handler left; for tests and for the path.
func (m *Message) Staged() []store.Op { return m.ops }

// Replies returns the answers that wait for the commit.
func (m *Message) Replies() []Reply { return m.replies }

// Emitted returns the derived messages.
func (m *Message) Emitted() []Derived { return m.derived }

// Ended tells who asked for it (After) that the message's unit has ended: for who commits a message by a unit of its own.
func (m *Message) Ended(err error) {
	for _, f := range m.after {
		f(err)
	}
}

// Reset takes back what was staged, answered and emitted, so that a handler can be called again.
func (m *Message) Reset() {
	clear(m.ops)
	clear(m.replies)
	clear(m.derived)
	clear(m.after)
	m.ops, m.replies, m.derived, m.after = m.ops[:0], m.replies[:0], m.derived[:0], m.after[:0]
}
