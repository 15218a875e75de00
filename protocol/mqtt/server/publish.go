package server

import (
	"errors"
	"unsafe"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
)

// Publish is a message from a client, and the token that ends its handling. Topic and Payload point into the
// connection's buffer: they are valid, and must not be written to, until Done.
type Publish struct {
	Topic    string
	Payload  []byte
	QoS      byte
	Retain   bool
	Dup      bool
	Will     bool   // the will of a session whose connection has ended; Done acknowledges nothing
	PacketID uint16 // 0 at QoS 0

	c     *conn
	chunk *chunk
	seq   uint32
}

// Done ends the handling of p; it is called exactly once, from any goroutine, and p must not be used afterwards.
//
//	nil             the message is safe: PUBACK or PUBREC, after those of earlier publishes
//	ErrUnavailable  it could not be made safe now: not acknowledged, reading stops, closed after Config.StoreTimeout
//	other           it is refused for good: acknowledged all the same, as MQTT 3.1.1 has no other word, and counted as DropRefused
func (p *Publish) Done(err error) {
	c, ch, seq, qos, id, will := p.c, p.chunk, p.seq, p.QoS, p.PacketID, p.Will
	if c == nil {
		panic("mqtt server: Publish.Done called twice")
	}
	*p = Publish{}
	c.srv.pools.tokens.Put(p)
	if ch != nil {
		c.srv.pools.release(ch)
	}
	unavailable := errors.Is(err, ErrUnavailable)
	if err != nil && !unavailable {
		c.srv.stats.dropped[DropRefused].Add(1)
	}
	if will {
		return
	}
	if qos == 2 {
		c.s.received(c, id, !unavailable)
	}
	c.answer(qos, seq, unavailable)
}

// answer takes a publish off the owner's hands and writes the acknowledgements that are due.
func (c *conn) answer(qos byte, seq uint32, unavailable bool) {
	c.mu.Lock()
	c.pending--
	if !c.closed {
		switch {
		case unavailable:
			c.stopReadingLocked()
		case qos > 0:
			c.acks.ready(seq)
			c.writeAcksLocked()
		}
	}
	if c.pending <= c.wakeAt {
		c.signalLocked()
	}
	c.mu.Unlock()
}

// stopReadingLocked starts the time after which a connection with an unavailable store is closed.
func (c *conn) stopReadingLocked() {
	if c.unavail == 0 {
		c.unavail = c.srv.wheel.after(c.srv.cfg.StoreTimeout)
		c.srv.wheel.add(c, c.unavail)
	}
	c.signalLocked()
}

// writeAcksLocked appends the acknowledgements that are earned and in turn.
func (c *conn) writeAcksLocked() {
	some := false
	for {
		a, ok := c.acks.pop()
		if !ok {
			break
		}
		o := c.outLocked()
		o.b = packet.AppendID(o.b, a.kind, a.id)
		some = true
	}
	switch {
	case !some:
	case c.corked && c.waitingBytesLocked() >= earlyFlush:
		c.flushLocked()
	default:
		c.flushSoonLocked()
	}
}

// publish hands a message to the owner.
func (c *conn) publish(flags byte, body []byte) error {
	var p packet.Publish
	if err := packet.DecodePublish(flags, body, &p); err != nil {
		return err
	}
	chunk := c.in
	chunk.refs.Add(1) // p points into it: while it waits here, and then until Done
	seq, known, err := c.admit(&p, len(body))
	if known || err != nil {
		c.srv.pools.release(chunk)
		return err
	}
	t := c.srv.pools.token()
	*t = Publish{
		Topic: unsafe.String(unsafe.SliceData(p.Topic), len(p.Topic)), Payload: p.Payload, // valid while chunk is held
		QoS: p.QoS, Retain: p.Retain, Dup: p.Dup, PacketID: p.ID, c: c, chunk: chunk, seq: seq,
	}
	c.srv.stats.publishIn[p.QoS].Add(1)
	c.srv.owner.Publish(c.s, t)
	return nil
}

// admit holds a publish back to the connection's rate and window, and owes its acknowledgement. One that is
// known, a repeat of QoS 2, is not for the owner.
func (c *conn) admit(p *packet.Publish, size int) (seq uint32, known bool, err error) {
	if c.rate != nil {
		if err := c.throttle(size); err != nil {
			return 0, false, err
		}
	}
	if p.QoS == 2 {
		if known, err = c.repeated(p.ID); known || err != nil {
			return 0, known, err
		}
	}
	for {
		c.mu.Lock()
		if c.pending < c.window && c.unavail == 0 && !c.draining {
			break
		}
		draining := c.draining
		c.mu.Unlock()
		if draining {
			return 0, false, endWith(CauseShutdown, nil)
		}
		// Half of the window is waited for, so that a full one does not mean a wake-up a message.
		half := c.window / 2
		if err := c.holdBack(half, func() bool { return c.draining || c.unavail == 0 && c.pending <= half }); err != nil {
			return 0, false, err
		}
	}
	defer c.mu.Unlock()
	c.pending++
	switch p.QoS {
	case 1:
		seq = c.acks.push(ack{id: p.ID, kind: packet.PUBACK})
	case 2:
		seq = c.acks.push(ack{id: p.ID, kind: packet.PUBREC})
	}
	return seq, false, nil
}

// repeated handles a QoS 2 publish whose id the session already holds: with the owner it is ignored, received it is
// acknowledged again. Otherwise the id is noted.
func (c *conn) repeated(id uint16) (known bool, err error) {
	state, err := c.s.note(id)
	if err != nil || state == idNew {
		return false, err
	}
	if state == idReceived {
		c.mu.Lock()
		c.acks.ready(c.acks.push(ack{id: id, kind: packet.PUBREC}))
		c.writeAcksLocked()
		c.mu.Unlock()
	}
	return true, nil
}

// publishWill gives the owner the will of a connection that ended without DISCONNECT.
func (c *conn) publishWill(s *Session) {
	w := c.will
	if w == nil {
		return
	}
	t := c.srv.pools.token()
	*t = Publish{Topic: w.Topic, Payload: w.Payload, QoS: w.QoS, Retain: w.Retain, Will: true, c: c}
	c.srv.owner.Publish(s, t)
}
