package interop

import (
	"encoding/json"
	"io"
	"sync"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
)

// witness reads what a client sends at QoS 2, over all its connections. A PUBLISH whose id the client has not released is a repeat of the message;
// one after its PUBREL is a new message to any server ([MQTT-4.3.3-2]), though some clients mean the old one. So it knows how many times a
// number may arrive.
type witness struct {
	mu   sync.Mutex // guards the fields below
	open map[uint16]int
	sent map[int]int
}

func newWitness() *witness { return &witness{open: map[uint16]int{}, sent: map[int]int{}} }

// times is how many messages with that number the client has sent.
func (w *witness) times(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent[n]
}

// watched passes one connection's bytes on, and shows the witness what was taken.
type watched struct {
	io.Writer
	w       *witness
	buf     []byte
	version byte
}

func (c *watched) Write(b []byte) (int, error) {
	n, err := c.Writer.Write(b)
	c.buf = append(c.buf, b[:n]...)
	for {
		h, size, broken := packet.ParseHeader(c.buf)
		if broken != nil || size == 0 || len(c.buf) < size+h.Remaining {
			return n, err
		}
		c.packet(h, c.buf[size:size+h.Remaining])
		c.buf = c.buf[size+h.Remaining:]
	}
}

func (c *watched) packet(h packet.Header, body []byte) {
	switch h.Type {
	case packet.CONNECT:
		var p packet.Connect
		if packet.DecodeConnect(body, &p) == nil {
			c.version = p.Level
		}
	case packet.PUBLISH:
		var p packet.Publish
		decode := packet.DecodePublish
		if c.version == packet.V5 {
			decode = packet.DecodePublish5
		}
		var row struct{ N int }
		if decode(h.Flags, body, &p) == nil && p.QoS == 2 && json.Unmarshal(p.Payload, &row) == nil {
			c.w.published(p.ID, row.N)
		}
	case packet.PUBREL:
		if len(body) >= 2 {
			c.w.released(uint16(body[0])<<8 | uint16(body[1]))
		}
	}
}

func (w *witness) published(id uint16, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if before, ok := w.open[id]; ok && before == n {
		return
	}
	w.open[id] = n
	w.sent[n]++
}

func (w *witness) released(id uint16) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open, id)
}
