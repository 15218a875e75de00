package scenario

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// numbers are devices that publish 1, 2, 3 … each on their topic upload, over reconnects, one message in flight, at QoS 2 in sessions
// that are kept: the hub takes each number once, so that one that is there twice was delivered twice.
type numbers struct {
	done chan struct{}
	wg   sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	allowed int        // each device may publish up to this number
	acked   []int
	turn    chan struct{} // closed when allowed changes
}

func startNumbers(addr string, fleet []harness.Credentials) *numbers {
	w := &numbers{done: make(chan struct{}), acked: make([]int, len(fleet)), turn: make(chan struct{})}
	for i, d := range fleet {
		w.wg.Go(func() { w.device(addr, i, d) })
	}
	return w
}

// release lets each device publish n more.
func (w *numbers) release(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.allowed += n
	close(w.turn)
	w.turn = make(chan struct{})
}

// wait returns when all that was released is acknowledged.
func (w *numbers) wait(t *testing.T, patience time.Duration) {
	t.Helper()
	harness.Eventually(t, patience, "all messages are acknowledged", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, n := range w.acked {
			if n < w.allowed {
				return false
			}
		}
		return true
	})
}

func (w *numbers) end() {
	close(w.done)
	w.wg.Wait()
}

// next waits until device i may publish; false at the end.
func (w *numbers) next(i int) (n int, ok bool) {
	for {
		w.mu.Lock()
		n, turn := w.acked[i]+1, w.turn
		may := n <= w.allowed
		w.mu.Unlock()
		if may {
			return n, true
		}
		select {
		case <-turn:
		case <-w.done:
			return 0, false
		}
	}
}

func (w *numbers) device(addr string, i int, d harness.Credentials) {
	var p progress
	for {
		n, ok := w.next(i)
		if !ok {
			return
		}
		c, err := dialRaw(addr)
		if err == nil {
			err = c.connectKept(d)
		}
		for err == nil && ok {
			if err = c.publishNumber(d, n, &p); err != nil {
				break
			}
			p = progress{}
			w.mu.Lock()
			w.acked[i] = n
			w.mu.Unlock()
			n, ok = w.next(i)
		}
		if c != nil {
			c.close()
		}
		select {
		case <-w.done:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// connectKept logs in to a session that outlives the connection.
func (c *raw) connectKept(d harness.Credentials) error {
	b := append(mqttString("MQTT"), 4, 0xC0, 0, 60)
	b = append(b, mqttString(d.ClientID())...)
	b = append(append(b, mqttString(d.UserName())...), mqttString(d.DeviceSecret)...)
	if err := c.send(0x10, b); err != nil {
		return err
	}
	h, body, err := c.read()
	if err != nil {
		return err
	}
	if h != 0x20 || len(body) != 2 || body[1] != 0 {
		return fmt.Errorf("packet %#x %x instead of a good CONNACK", h, body)
	}
	return nil
}

// progress is how far a number has got, over connections.
type progress struct{ sent, received bool }

// publishNumber sends {"n":n} with QoS 2, going on where an earlier connection has ended, until the hub is done with it.
func (c *raw) publishNumber(d harness.Credentials, n int, p *progress) error {
	id := binary.BigEndian.AppendUint16(nil, uint16(n%65535+1))
	if !p.received {
		header := byte(0x34)
		if p.sent {
			header |= 0x08 // DUP
		}
		p.sent = true
		if err := c.send(header, fmt.Appendf(append(mqttString(d.Topic("upload")), id...), `{"n":%d}`, n)); err != nil {
			return err
		}
		if err := c.awaitAck(0x50, id); err != nil {
			return err
		}
		p.received = true
	}
	if err := c.send(0x62, id); err != nil {
		return err
	}
	return c.awaitAck(0x70, id)
}

// awaitAck reads packets until it is the one with the header, which must be of the id.
func (c *raw) awaitAck(header byte, id []byte) error {
	for {
		h, body, err := c.read()
		if err != nil {
			return err
		}
		if h == header {
			if !bytes.Equal(body, id) {
				return fmt.Errorf("packet %#x of %x, not of %x", h, body, id)
			}
			return nil
		}
	}
}
