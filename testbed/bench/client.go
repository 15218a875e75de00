package main

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// client is an MQTT 3.1.1 connection of the load generator, made by hand so
// that it costs little and shares no code with what is measured.
type client struct {
	spec clientSpec
	conn net.Conn
	r    *bufio.Reader

	mu     sync.Mutex // guards the fields below and writes
	nextID uint16
	turn   int // in spec.Topics
	sentAt map[uint16]time.Time
	buf    []byte
	credit chan struct{} // of a flat-out load: a burst is acknowledged
}

// clientSpec says who a client is and what it does.
type clientSpec struct {
	ID, User, Password string
	Publish            string   // topic to publish to
	Topics             []string // topics to publish to in turn, instead of one
	Subscribe          string   // filter, QoS 1
	Persistent         bool     // its session is kept
}

func (s clientSpec) publishes() bool { return s.Publish != "" || len(s.Topics) > 0 }

// dial connects, logs in and subscribes. Source addresses spread over
// 127.0.0.2..9, since one pair of addresses has too few ports for large fleets.
func dial(addr string, secure *tls.Config, i int, spec clientSpec) (*client, error) {
	d := net.Dialer{Timeout: time.Minute, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i%8))}}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if secure != nil {
		conn = tls.Client(conn, secure)
	}
	c := &client{spec: spec, conn: conn, r: bufio.NewReaderSize(conn, 512), sentAt: map[uint16]time.Time{}}
	if err := c.login(); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *client) login() error {
	flags := byte(0x02) // clean session
	if c.spec.Persistent {
		flags = 0
	}
	if c.spec.User != "" {
		flags |= 0xC0
	}
	b := appendString(nil, "MQTT")
	b = append(b, 4, flags, 0x04, 0xB0) // keep-alive 1200 s
	b = appendString(b, c.spec.ID)
	if c.spec.User != "" {
		b = appendString(appendString(b, c.spec.User), c.spec.Password)
	}
	if _, err := c.conn.Write(frame(0x10, b)); err != nil {
		return fmt.Errorf("send CONNECT: %w", err)
	}
	if h, body, err := c.read(); err != nil || h != 0x20 || len(body) != 2 || body[1] != 0 {
		return fmt.Errorf("login of %s: packet %#x %x: %w", c.spec.ID, h, body, errors.Join(err, errRefused))
	}
	if c.spec.Subscribe == "" {
		return nil
	}
	b = appendString([]byte{0, 1}, c.spec.Subscribe)
	if _, err := c.conn.Write(frame(0x82, append(b, 1))); err != nil {
		return fmt.Errorf("send SUBSCRIBE: %w", err)
	}
	if h, body, err := c.read(); err != nil || h != 0x90 || len(body) != 3 || body[2] > 1 {
		return fmt.Errorf("subscription of %s: packet %#x %x: %w", c.spec.ID, h, body, errors.Join(err, errRefused))
	}
	return nil
}

var errRefused = errors.New("refused")

// publish sends payload; a QoS 1 message's time is kept until its PUBACK.
func (c *client) publish(qos byte, payload []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	topic := c.spec.Publish
	if len(c.spec.Topics) > 0 {
		topic = c.spec.Topics[c.turn%len(c.spec.Topics)]
		c.turn++
	}
	n := 2 + len(topic) + len(payload)
	if qos > 0 {
		n += 2
	}
	b := append(c.buf[:0], 0x30|qos<<1)
	b = binary.AppendUvarint(b, uint64(n))
	b = appendString(b, topic)
	if qos > 0 {
		c.nextID++
		if c.nextID == 0 {
			c.nextID = 1
		}
		b = binary.BigEndian.AppendUint16(b, c.nextID)
		c.sentAt[c.nextID] = time.Now()
	}
	b = append(b, payload...)
	c.buf = b
	_, err := c.conn.Write(b)
	return err
}

// receive reads packets until the connection ends, telling the counters.
func (c *client) receive(count *counters) error {
	for {
		h, body, err := c.read()
		if err != nil {
			return err
		}
		switch h >> 4 {
		case 4: // PUBACK
			id := binary.BigEndian.Uint16(body)
			c.mu.Lock()
			at := c.sentAt[id]
			delete(c.sentAt, id)
			c.mu.Unlock()
			count.ack(time.Since(at))
		case 3: // PUBLISH
			n := 2 + int(binary.BigEndian.Uint16(body))
			count.receive(body[n:])
			if h&0x06 != 0 {
				c.mu.Lock()
				_, err = c.conn.Write([]byte{0x40, 2, body[n], body[n+1]})
				c.mu.Unlock()
				if err != nil {
					return err
				}
			}
		}
	}
}

func (c *client) read() (byte, []byte, error) {
	h, err := c.r.ReadByte()
	if err != nil {
		return 0, nil, err
	}
	n, err := binary.ReadUvarint(c.r)
	if err != nil {
		return 0, nil, err
	}
	body := make([]byte, n)
	_, err = io.ReadFull(c.r, body)
	return h, body, err
}

func frame(header byte, body []byte) []byte {
	return append(binary.AppendUvarint([]byte{header}, uint64(len(body))), body...)
}

func appendString(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}
