package mqttconform

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/gorilla/websocket"
)

// The types of control packets.
const (
	tConnect = iota + 1
	tConnack
	tPublish
	tPuback
	tPubrec
	tPubrel
	tPubcomp
	tSubscribe
	tSuback
	tUnsubscribe
	tUnsuback
	tPingreq
	tPingresp
	tDisconnect
	tAuth
)

var typeNames = [...]string{"type 0", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE",
	"SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH"}

// packet is one control packet as it came.
type packet struct {
	typ, flags byte
	size       int // whole, with the fixed header
	body       []byte
}

func (p packet) String() string {
	return fmt.Sprintf("%s flags %x body % x", typeNames[p.typ], p.flags, p.body[:min(len(p.body), 40)])
}

var errWire = errors.New("the server broke the packet format")

// readPacket reads a packet and judges what every packet of a server must keep to: a type that servers send,
// reserved flags, and a length in as few bytes as it needs.
func readPacket(r io.Reader) (packet, error) {
	var b [1]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return packet{}, err
	}
	p := packet{typ: b[0] >> 4, flags: b[0] & 15}
	if err := p.checkHeader(); err != nil {
		return p, err
	}
	length, n := 0, 0
	for {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return p, err
		}
		length |= int(b[0]&0x7f) << (7 * n)
		n++
		if b[0]&0x80 == 0 {
			break
		}
		if n == 4 {
			return p, fmt.Errorf("%w: length of more than four bytes", errWire)
		}
	}
	if n > 1 && b[0] == 0 {
		return p, fmt.Errorf("%w: length %d in %d bytes", errWire, length, n)
	}
	p.size, p.body = 1+n+length, make([]byte, length)
	_, err := io.ReadFull(r, p.body)
	return p, err
}

func (p packet) checkHeader() error {
	want := byte(0)
	switch p.typ {
	case tPublish:
		if qos := p.flags >> 1 & 3; qos == 3 || qos == 0 && p.flags&8 != 0 {
			return fmt.Errorf("%w: PUBLISH with flags %x", errWire, p.flags)
		}
		return nil
	case tPubrel:
		want = 2
	case 0, tConnect, tSubscribe, tUnsubscribe, tPingreq:
		return fmt.Errorf("%w: %s from a server", errWire, typeNames[p.typ])
	}
	if p.flags != want {
		return fmt.Errorf("%w: %s with flags %x, want %x", errWire, typeNames[p.typ], p.flags, want)
	}
	return nil
}

// dialWebSocket connects to url with the subprotocol mqtt and returns it as a byte stream.
func dialWebSocket(url string) (*wsConn, error) {
	d := websocket.Dialer{Subprotocols: []string{"mqtt"}, HandshakeTimeout: limit}
	ws, resp, err := d.Dial(url, nil)
	if err != nil {
		return nil, err
	}
	return &wsConn{Conn: ws, subprotocol: resp.Header.Get("Sec-WebSocket-Protocol")}, nil
}

// wsConn makes a byte stream of a WebSocket; each Write is one binary frame.
type wsConn struct {
	*websocket.Conn
	r           io.Reader
	subprotocol string
}

func (w *wsConn) Read(b []byte) (int, error) {
	for {
		if w.r == nil {
			kind, r, err := w.NextReader()
			if err != nil {
				return 0, err
			}
			if kind != websocket.BinaryMessage {
				return 0, fmt.Errorf("%w: a WebSocket frame of kind %d", errWire, kind)
			}
			w.r = r
		}
		n, err := w.r.Read(b)
		if errors.Is(err, io.EOF) {
			w.r, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (w *wsConn) Write(b []byte) (int, error) {
	return len(b), w.WriteMessage(websocket.BinaryMessage, b)
}

func (w *wsConn) SetDeadline(t time.Time) error {
	return errors.Join(w.SetReadDeadline(t), w.SetWriteDeadline(t))
}

var _ net.Conn = (*wsConn)(nil)
