package scenario

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// raw is an MQTT 3.1.1 connection made by hand, for what no proper client
// would send and for seeing each packet as it comes.
type raw struct {
	conn net.Conn
	r    *bufio.Reader
}

func dialRaw(addr string) (*raw, error) {
	conn, err := net.DialTimeout("tcp", addr, time.Minute)
	if err != nil {
		return nil, err
	}
	return &raw{conn, bufio.NewReader(conn)}, nil
}

func (c *raw) close() { _ = c.conn.Close() }

// send writes one packet: a header byte and its body behind the length.
func (c *raw) send(header byte, body []byte) error {
	_, err := c.conn.Write(append(binary.AppendUvarint([]byte{header}, uint64(len(body))), body...))
	return err
}

// read returns the next packet, waiting a minute at most.
func (c *raw) read() (header byte, body []byte, err error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		return 0, nil, err
	}
	if header, err = c.r.ReadByte(); err != nil {
		return 0, nil, err
	}
	n, err := binary.ReadUvarint(c.r)
	if err != nil {
		return 0, nil, err
	}
	body = make([]byte, n)
	_, err = io.ReadFull(c.r, body)
	return header, body, err
}

// connect logs in with a clean session and returns the CONNACK's code.
func (c *raw) connect(clientID, user, password string, keepAlive uint16) (byte, error) {
	b := append(mqttString("MQTT"), 4, 0xC2)
	b = binary.BigEndian.AppendUint16(b, keepAlive)
	b = append(b, mqttString(clientID)...)
	b = append(append(b, mqttString(user)...), mqttString(password)...)
	if err := c.send(0x10, b); err != nil {
		return 0, err
	}
	h, body, err := c.read()
	if err != nil {
		return 0, err
	}
	if h != 0x20 || len(body) != 2 {
		return 0, fmt.Errorf("packet %#x %x instead of CONNACK", h, body)
	}
	return body[1], nil
}

var errNoAck = errors.New("no PUBACK")

// publishAcked sends one QoS 1 message and waits for its PUBACK.
func (c *raw) publishAcked(topic string, payload []byte, id uint16) error {
	b := binary.BigEndian.AppendUint16(mqttString(topic), id)
	if err := c.send(0x32, append(b, payload...)); err != nil {
		return err
	}
	for {
		h, body, err := c.read()
		if err != nil {
			return err
		}
		if h == 0x40 {
			if binary.BigEndian.Uint16(body) != id {
				return errNoAck
			}
			return nil
		}
	}
}

// subscribe returns the SUBACK's code for one filter.
func (c *raw) subscribe(filter string) (byte, error) {
	b := append([]byte{0, 7}, mqttString(filter)...)
	if err := c.send(0x82, append(b, 1)); err != nil {
		return 0, err
	}
	h, body, err := c.read()
	if err != nil {
		return 0, err
	}
	if h != 0x90 || len(body) != 3 {
		return 0, fmt.Errorf("packet %#x %x instead of SUBACK", h, body)
	}
	return body[2], nil
}

// ended reports whether the hub closes the connection within a minute.
func (c *raw) ended() bool {
	for {
		if _, _, err := c.read(); err != nil {
			var timeout net.Error
			return !errors.As(err, &timeout) || !timeout.Timeout()
		}
	}
}

func mqttString(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}
