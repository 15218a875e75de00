package conversation

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// patience is how long an answer may take. It is only for a hub that does not
// answer at all; nothing waits for it to pass.
const patience = time.Minute

// MQTT 3.1.1 control packets, section 2.2.1: type and flags as the first byte has them.
const (
	connect    = 0x10
	connack    = 0x20
	publish    = 0x30
	puback     = 0x40
	subscribe  = 0x82
	suback     = 0x90
	pingreq    = 0xC0
	pingresp   = 0xD0
	disconnect = 0xE0
)

var errClosed = errors.New("the hub ended the connection")

// delivery is a PUBLISH that the hub sent.
type delivery struct {
	topic   string
	payload []byte
}

// client is one MQTT 3.1.1 connection. Its own goroutine reads; packets that
// answer something go to acks, messages to got. Both are large enough for any
// conversation; more is an error.
type client struct {
	conn net.Conn
	mu   sync.Mutex // guards writes to conn
	acks chan []byte
	got  chan delivery
	last uint16
}

// dial logs in; code is the CONNACK's return code.
func dial(addr string, login login) (c *client, code byte, err error) {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, 0, err
	}
	c = &client{conn: conn, acks: make(chan []byte, 64), got: make(chan delivery, 1024)}
	if err := c.write(connect, login.body()); err != nil {
		return nil, 0, err
	}
	r := bufio.NewReader(conn)
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	p, err := readPacket(r)
	if err != nil {
		_ = conn.Close()
		return nil, 0, err
	}
	if p[0] != connack || len(p) != 3 {
		_ = conn.Close()
		return nil, 0, fmt.Errorf("%x instead of a CONNACK", p)
	}
	if p[2] != 0 {
		_ = conn.Close()
		return nil, p[2], nil
	}
	_ = conn.SetReadDeadline(time.Time{})
	go c.read(r)
	return c, 0, nil
}

type login struct {
	clientID, user, password string
	persistent               bool
	keepAlive                uint16
}

func (l login) body() []byte {
	flags := byte(0xC0)
	if !l.persistent {
		flags |= 0x02
	}
	b := append(text("MQTT"), 4, flags)
	b = binary.BigEndian.AppendUint16(b, l.keepAlive)
	return append(append(append(b, text(l.clientID)...), text(l.user)...), text(l.password)...)
}

func text(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

func (c *client) write(header byte, body []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.conn.SetWriteDeadline(time.Now().Add(patience))
	_, err := c.conn.Write(append(binary.AppendUvarint([]byte{header}, uint64(len(body))), body...))
	return err
}

// readPacket returns a packet without its length: the first byte, then the body.
func readPacket(r *bufio.Reader) ([]byte, error) {
	h, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, err
	}
	p := make([]byte, n+1)
	p[0] = h
	_, err = io.ReadFull(r, p[1:])
	return p, err
}

// read runs until the connection ends; then got and acks are closed.
func (c *client) read(r *bufio.Reader) {
	defer close(c.got)
	defer close(c.acks)
	for {
		p, err := readPacket(r)
		if err != nil {
			return
		}
		if p[0]&0xF0 != publish {
			c.acks <- p
			continue
		}
		n := int(binary.BigEndian.Uint16(p[1:]))
		d, rest := delivery{topic: string(p[3 : 3+n])}, p[3+n:]
		if p[0]&0x06 != 0 {
			if err := c.write(puback, rest[:2]); err != nil {
				return
			}
			rest = rest[2:]
		}
		d.payload = rest
		c.got <- d
	}
}

// ack waits for a packet of this type.
func (c *client) ack(header byte) ([]byte, error) {
	select {
	case p, ok := <-c.acks:
		if !ok {
			return nil, errClosed
		}
		if p[0] != header {
			return nil, fmt.Errorf("packet %x, want one of type %#x", p, header)
		}
		return p[1:], nil
	case <-time.After(patience):
		return nil, fmt.Errorf("no packet of type %#x within %v", header, patience)
	}
}

func (c *client) id() uint16 { c.last++; return c.last }

// subscribe returns what the hub granted.
func (c *client) subscribe(filter string, qos byte) (byte, error) {
	b := append(binary.BigEndian.AppendUint16(nil, c.id()), text(filter)...)
	if err := c.write(subscribe, append(b, qos)); err != nil {
		return 0, err
	}
	p, err := c.ack(suback)
	if err != nil {
		return 0, err
	}
	return p[len(p)-1], nil
}

// publish waits for the PUBACK at QoS 1.
func (c *client) publish(topic string, qos byte, payload []byte) error {
	b := text(topic)
	if qos > 0 {
		b = binary.BigEndian.AppendUint16(b, c.id())
	}
	if err := c.write(publish|qos<<1, append(b, payload...)); err != nil || qos == 0 {
		return err
	}
	p, err := c.ack(puback)
	if err == nil && binary.BigEndian.Uint16(p) != c.last {
		err = fmt.Errorf("PUBACK %x, want one for %d", p, c.last)
	}
	return err
}

// ping returns when the hub has answered, and so has sent all that it had before.
func (c *client) ping() error {
	if err := c.write(pingreq, nil); err != nil {
		return err
	}
	_, err := c.ack(pingresp)
	return err
}

// next waits for a message.
func (c *client) next() (delivery, error) {
	select {
	case d, ok := <-c.got:
		if !ok {
			return d, errClosed
		}
		return d, nil
	case <-time.After(patience):
		return delivery{}, fmt.Errorf("no message within %v", patience)
	}
}

// closed waits for the hub to end the connection.
func (c *client) closed() error {
	for end := time.After(patience); ; {
		select {
		case _, ok := <-c.acks:
			if !ok {
				return nil
			}
		case <-end:
			return fmt.Errorf("still connected after %v", patience)
		}
	}
}

func (c *client) leave() { _ = c.write(disconnect, nil); c.drop() }

func (c *client) drop() { _ = c.conn.Close() }
