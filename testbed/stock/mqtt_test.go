package stock

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// wire is an MQTT 3.1.1 connection made by hand: each packet is seen as it comes, and nothing is acknowledged unasked.
type wire struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
	next uint16
	most int // bytes of a packet that the device takes
}

// packet is one that the hub sent.
type packet struct {
	header byte
	body   []byte
	size   int // of all of it
}

// message is what a PUBLISH holds.
type message struct {
	topic, payload string
	id             uint16 // 0 for QoS 0
	size           int    // of the packet
}

// limit is how long a stock device waits for an acknowledgement.
var limit = harness.Promised(2 * time.Second)

// login connects as a stock device does. options go behind the authmode.
func login(t *testing.T, hub *harness.Hub, d harness.Credentials, options string) *wire {
	t.Helper()
	return connect(t, hub, d.ClientID(), d.UserName()+options, d.DeviceSecret)
}

func connect(t *testing.T, hub *harness.Hub, clientID, user, password string) *wire {
	t.Helper()
	began := time.Now()
	w := dialMQTT(t, hub)
	b := append(text("MQTT"), 4, 0xC2, 0, 240)
	w.write(0x10, append(append(append(b, text(clientID)...), text(user)...), text(password)...))
	p := w.packet(0x20)
	if len(p.body) != 2 || p.body[1] != 0 {
		t.Fatalf("CONNACK %x", p.body)
	}
	w.within(began, "CONNACK")
	return w
}

func dialMQTT(t *testing.T, hub *harness.Hub) *wire {
	t.Helper()
	conn, err := net.DialTimeout("tcp", hub.MQTT, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &wire{t: t, conn: conn, r: bufio.NewReader(conn), most: 2048}
}

func text(s string) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...) }

// frame is a packet as bytes.
func frame(header byte, body []byte) []byte {
	return append(binary.AppendUvarint([]byte{header}, uint64(len(body))), body...)
}

func (w *wire) write(header byte, body []byte) {
	w.t.Helper()
	if _, err := w.conn.Write(frame(header, body)); err != nil {
		w.t.Fatal(err)
	}
}

// within holds that something came before a stock device gives up on it.
func (w *wire) within(began time.Time, what string) {
	w.t.Helper()
	if took := time.Since(began); took > limit {
		w.t.Errorf("%s after %v: the device has given up on it after %v", what, took, limit)
	}
}

// receive is the next packet, or an error after wait.
func (w *wire) receive(wait time.Duration) (packet, error) {
	_ = w.conn.SetReadDeadline(time.Now().Add(wait))
	header, err := w.r.ReadByte()
	if err != nil {
		return packet{}, err
	}
	n, err := binary.ReadUvarint(w.r)
	if err != nil {
		return packet{}, err
	}
	p := packet{header, make([]byte, n), 1 + len(binary.AppendUvarint(nil, n)) + int(n)}
	_, err = io.ReadFull(w.r, p.body)
	return p, err
}

// packet is the next packet, which must be of that kind.
func (w *wire) packet(header byte) packet {
	w.t.Helper()
	p, err := w.receive(time.Minute)
	if err != nil || p.header&0xF0 != header&0xF0 {
		w.t.Fatalf("packet %#x %q instead of %#x: %v", p.header, p.body, header, err)
	}
	return p
}

// quiet holds that nothing comes for a while and the connection stays open.
func (w *wire) quiet(wait time.Duration) {
	w.t.Helper()
	p, err := w.receive(wait)
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		w.t.Errorf("packet %#x %q, %v; wanted nothing", p.header, p.body, err)
	}
}

func (w *wire) subscribeBody(filters ...string) []byte {
	w.next++
	b := binary.BigEndian.AppendUint16(nil, w.next)
	for _, f := range filters {
		b = append(append(b, text(f)...), 1)
	}
	return b
}

func (w *wire) publishBody(topic, payload string) []byte {
	w.next++
	return append(binary.BigEndian.AppendUint16(text(topic), w.next), payload...)
}

// subscribe wants QoS 1 of every filter.
func (w *wire) subscribe(filters ...string) {
	w.t.Helper()
	began := time.Now()
	w.write(0x82, w.subscribeBody(filters...))
	for _, code := range w.packet(0x90).body[2:] {
		if code > 1 {
			w.t.Fatalf("SUBACK %#x", code)
		}
	}
	w.within(began, "SUBACK")
}

// publish sends a message with QoS 1 and waits for its PUBACK; what comes before it is returned.
func (w *wire) publish(topic, payload string) (before []message) {
	w.t.Helper()
	began := time.Now()
	w.write(0x32, w.publishBody(topic, payload))
	for {
		p, err := w.receive(time.Minute)
		switch {
		case err != nil:
			w.t.Fatalf("no PUBACK for %s: %v", topic, err)
		case p.header == 0x40:
			w.within(began, "PUBACK")
			return before
		default:
			before = append(before, w.message(p))
		}
	}
}

// message reads a PUBLISH and holds it to what a stock device can take.
func (w *wire) message(p packet) message {
	w.t.Helper()
	if p.header&0xF0 != 0x30 {
		w.t.Fatalf("packet %#x %q instead of PUBLISH", p.header, p.body)
	}
	n := int(binary.BigEndian.Uint16(p.body))
	m := message{topic: string(p.body[2 : 2+n]), size: p.size}
	rest := p.body[2+n:]
	if p.header&0x06 != 0 {
		m.id, rest = binary.BigEndian.Uint16(rest), rest[2:]
	}
	m.payload = string(rest)
	switch {
	case m.size > w.most:
		w.t.Errorf("a packet of %d bytes on %s: the buffer has %d", m.size, m.topic, w.most)
	case len(m.topic) > 127:
		w.t.Errorf("a topic of %d bytes", len(m.topic))
	}
	return m
}

// get is the next message; it is not acknowledged.
func (w *wire) get() message {
	w.t.Helper()
	return w.message(w.packet(0x30))
}

func (w *wire) ack(m message) {
	w.t.Helper()
	if m.id != 0 {
		w.write(0x40, binary.BigEndian.AppendUint16(nil, m.id))
	}
}

// ask publishes and returns the next message, which is acknowledged.
func (w *wire) ask(topic, payload string) message {
	w.t.Helper()
	before := w.publish(topic, payload)
	if len(before) == 0 {
		before = append(before, w.get())
	}
	w.ack(before[0])
	return before[0]
}

// device is the path of a device in the API.
func device(d harness.Credentials, more string) string {
	return fmt.Sprintf("/v1/products/%s/devices/%s%s", d.ProductSN, d.DeviceSN, more)
}
