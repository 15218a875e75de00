package brokertest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
)

// Wait is how long the client waits for what must come.
const Wait = time.Minute

// Packet is one packet from the hub.
type Packet struct {
	Type    packet.Type
	Topic   string
	Payload string
	QoS     byte
	Dup     bool
	Retain  bool
	ID      uint16
	Codes   []byte
}

// Client is an MQTT client of a few lines over the engine's packets. It acknowledges publishes unless told not to.
type Client struct {
	t       testing.TB
	conn    net.Conn
	packets chan Packet
	Present bool
	Code    packet.ConnackCode

	mu     sync.Mutex // guards writes and the fields below
	noAck  bool
	nextID uint16
}

// Login says how a client connects; the zero values of all but Device and Password are usual ones.
type Login struct {
	Device     ident.Device
	Password   string
	UserName   string // default P|D|1
	ClientID   string // default P.D
	Persistent bool
	KeepAlive  uint16   // default 60
	NoAck      bool     // leaves publishes unacknowledged
	Conn       net.Conn // nil: one in memory
}

// Dial connects and waits for CONNACK; look at Code.
func (s *Stack) Dial(t testing.TB, l Login) *Client {
	t.Helper()
	conn, err := l.Conn, error(nil)
	if conn == nil {
		conn, err = s.Listener.Dial()
	}
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	c := &Client{t: t, conn: conn, packets: make(chan Packet, 4096), noAck: l.NoAck}
	t.Cleanup(func() { _ = conn.Close() })
	if l.UserName == "" {
		l.UserName = l.Device.Product + "|" + l.Device.SN + "|1"
	}
	if l.ClientID == "" {
		l.ClientID = l.Device.ClientID()
	}
	if l.KeepAlive == 0 {
		l.KeepAlive = 60
	}
	c.write(packet.AppendConnect(nil, &packet.Connect{Level: packet.V311, Clean: !l.Persistent, KeepAlive: l.KeepAlive, ClientID: []byte(l.ClientID),
		HasUserName: true, UserName: []byte(l.UserName), HasPassword: true, Password: []byte(l.Password)}))
	go c.read()
	p, ok := c.next(Wait)
	if !ok || p.Type != packet.CONNACK {
		t.Fatalf("no CONNACK: %+v", p)
	}
	c.Present, c.Code = p.Codes[0] == 1, packet.ConnackCode(p.Codes[1])
	return c
}

// MustDial connects and fails the test when the hub refuses.
func (s *Stack) MustDial(t testing.TB, l Login) *Client {
	t.Helper()
	c := s.Dial(t, l)
	if c.Code != packet.Accepted {
		t.Fatalf("CONNECT of %s refused: %s", l.Device, c.Code)
	}
	return c
}

func (c *Client) write(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = c.conn.Write(b) // a closed connection shows when reading
}

// read decodes until the connection ends, which closes the channel.
func (c *Client) read() {
	defer close(c.packets)
	r := bufio.NewReader(c.conn)
	for {
		p, err := readPacket(r)
		if err != nil {
			return
		}
		switch {
		case c.noAck:
		case p.Type == packet.PUBLISH && p.QoS > 0:
			c.write(packet.AppendID(nil, packet.PUBACK+packet.Type(p.QoS-1), p.ID))
		case p.Type == packet.PUBREL:
			c.write(packet.AppendID(nil, packet.PUBCOMP, p.ID))
			continue
		}
		c.packets <- p
	}
}

func readPacket(r *bufio.Reader) (Packet, error) {
	first, err := r.ReadByte()
	if err != nil {
		return Packet{}, err
	}
	n, shift := 0, 0
	for {
		b, err := r.ReadByte()
		if err != nil {
			return Packet{}, err
		}
		n |= int(b&0x7f) << shift
		if b < 0x80 {
			break
		}
		shift += 7
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return Packet{}, err
	}
	return decode(packet.Type(first>>4), first&0xf, body)
}

func decode(t packet.Type, flags byte, body []byte) (Packet, error) {
	p := Packet{Type: t}
	switch t {
	case packet.CONNACK:
		p.Codes = body
	case packet.PUBLISH:
		var pub packet.Publish
		if err := packet.DecodePublish(flags, body, &pub); err != nil {
			return p, err
		}
		p.Topic, p.Payload, p.QoS, p.Dup, p.Retain, p.ID = string(pub.Topic), string(pub.Payload), pub.QoS, pub.Dup, pub.Retain, pub.ID
	case packet.SUBACK:
		id, codes, err := packet.DecodeSuback(body)
		if err != nil {
			return p, err
		}
		p.ID, p.Codes = id, codes
	case packet.PUBACK, packet.UNSUBACK, packet.PUBREL:
		id, err := packet.DecodeID(body)
		if err != nil {
			return p, err
		}
		p.ID = id
	case packet.PINGRESP:
	default:
		return p, errors.New("unexpected packet")
	}
	return p, nil
}

func (c *Client) next(d time.Duration) (Packet, bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case p, ok := <-c.packets:
		return p, ok
	case <-timer.C:
		return Packet{}, false
	}
}

// Next returns the next packet and fails the test when none comes.
func (c *Client) Next() Packet {
	c.t.Helper()
	p, ok := c.next(Wait)
	if !ok {
		c.t.Fatal("no packet came, or the connection ended")
	}
	return p
}

// Message returns the next publish, passing over acknowledgements.
func (c *Client) Message() Packet {
	c.t.Helper()
	for {
		if p := c.Next(); p.Type == packet.PUBLISH {
			return p
		}
	}
}

// Ended waits for the end of the connection, passing over what still comes.
func (c *Client) Ended() {
	c.t.Helper()
	deadline := time.Now().Add(Wait)
	for {
		p, ok := c.next(time.Until(deadline))
		if !ok && time.Now().After(deadline) {
			c.t.Fatal("the connection did not end")
		}
		if !ok {
			return
		}
		_ = p
	}
}

// Quiet proves that nothing is on its way: a ping's answer comes first.
func (c *Client) Quiet() {
	c.t.Helper()
	c.write(packet.AppendEmpty(nil, packet.PINGREQ))
	if p := c.Next(); p.Type != packet.PINGRESP {
		c.t.Fatalf("want nothing but PINGRESP, got %+v", p)
	}
}

func (c *Client) id() uint16 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nextID++
	return c.nextID
}

// Subscribe subscribes with QoS 1 and returns the codes of SUBACK.
func (c *Client) Subscribe(filters ...string) []byte {
	c.t.Helper()
	return c.SubscribeAt(1, filters...)
}

// SubscribeAt subscribes with a QoS and returns the codes of SUBACK.
func (c *Client) SubscribeAt(qos byte, filters ...string) []byte {
	c.t.Helper()
	var list []packet.Filter
	for _, f := range filters {
		list = append(list, packet.Filter{Filter: f, QoS: qos})
	}
	c.write(packet.AppendSubscribe(nil, c.id(), list))
	for {
		if p := c.Next(); p.Type == packet.SUBACK {
			return p.Codes
		}
	}
}

// Unsubscribe waits for UNSUBACK.
func (c *Client) Unsubscribe(filters ...string) {
	c.t.Helper()
	c.write(packet.AppendUnsubscribe(nil, c.id(), filters))
	for c.Next().Type != packet.UNSUBACK {
		continue
	}
}

// Send publishes with QoS 1 and does not wait.
func (c *Client) Send(topic, payload string) uint16 {
	id := c.id()
	c.write(packet.AppendPublish(nil, topic, []byte(payload), 1, id, false, false))
	return id
}

// Repeat publishes with QoS 1 and DUP, as a client does that has not seen the PUBACK of id, and waits for it.
func (c *Client) Repeat(id uint16, topic, payload string) {
	c.t.Helper()
	c.write(packet.AppendPublish(nil, topic, []byte(payload), 1, id, true, false))
	for {
		if p := c.Next(); p.Type == packet.PUBACK && p.ID == id {
			return
		}
	}
}

// Retain publishes with QoS 1 and RETAIN, and waits for the PUBACK.
func (c *Client) Retain(topic, payload string) {
	c.t.Helper()
	id := c.id()
	c.write(packet.AppendPublish(nil, topic, []byte(payload), 1, id, false, true))
	for {
		if p := c.Next(); p.Type == packet.PUBACK && p.ID == id {
			return
		}
	}
}

// Publish publishes with QoS 1 and returns what came up to its PUBACK.
func (c *Client) Publish(topic, payload string) []Packet {
	c.t.Helper()
	id := c.Send(topic, payload)
	var before []Packet
	for {
		p := c.Next()
		if p.Type == packet.PUBACK && p.ID == id {
			return before
		}
		before = append(before, p)
	}
}

// Ack acknowledges a publish, for clients with NoAck.
func (c *Client) Ack(id uint16) { c.write(packet.AppendID(nil, packet.PUBACK, id)) }

// Disconnect leaves in order and waits for the end.
func (c *Client) Disconnect() {
	c.t.Helper()
	c.write(packet.AppendEmpty(nil, packet.DISCONNECT))
	c.Ended()
}

// Break cuts the connection without a word.
func (c *Client) Break() { _ = c.conn.Close() }

// Expect fails the test unless p is a publish of that topic and payload.
func Expect(t testing.TB, p Packet, topic, payload string) {
	t.Helper()
	if p.Topic != topic || p.Payload != payload {
		t.Fatalf("got %s\nwant %s", fmt.Sprintf("%s %s", p.Topic, p.Payload), fmt.Sprintf("%s %s", topic, payload))
	}
}

// Packets are those that Next would return; the channel is closed when the connection ends.
func (c *Client) Packets() <-chan Packet { return c.packets }

// Close ends the connection without a word.
func (c *Client) Close() { _ = c.conn.Close() }

// SendQoS0 publishes with QoS 0.
func (c *Client) SendQoS0(topic, payload string) {
	c.write(packet.AppendPublish(nil, topic, []byte(payload), 0, 0, false, false))
}
