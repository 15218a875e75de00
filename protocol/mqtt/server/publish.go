package server

import (
	"errors"
	"time"
	"unsafe"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
)

// Publish is a message from a client, and the token that ends its handling. Topic, Payload and Properties point into the
// connection's buffer: they are valid, and must not be written to, until Done.
type Publish struct {
	Topic      string
	Payload    []byte
	QoS        byte
	Retain     bool
	Dup        bool
	Will       bool              // the will of a session whose connection has ended; Done acknowledges nothing
	PacketID   uint16            // 0 at QoS 0
	Properties packet.Properties // of MQTT 5.0, as they came

	srv   *Server
	s     *Session
	c     *conn // nil for a will
	chunk *chunk
	seq   uint32
}

// Message is what subscribers are sent of p: its expiry counted from now, its publisher in From. It is valid as long as p.
func (p *Publish) Message() Message {
	m := Message{Topic: p.Topic, Payload: p.Payload, QoS: p.QoS, Retain: p.Retain, Properties: p.Properties, From: p.s}
	if len(p.Properties) > 0 {
		if seconds, ok := p.Properties.Int(packet.MessageExpiry); ok {
			m.Expiry = time.Now().Add(time.Duration(seconds) * time.Second)
		}
	}
	return m
}

// Done ends the handling of p; it is called exactly once, from any goroutine, and p must not be used afterwards.
//
//	nil             the message is safe: PUBACK or PUBREC, after those of earlier publishes
//	ErrUnavailable  it could not be made safe now: not acknowledged, reading stops, closed after Config.StoreTimeout
//	*Rejection      it is refused for good: a client of 5.0 gets the code; before, it is acknowledged all the same, as there is
//	                no other word. Counted as DropRefused
//	other           the same with packet.ImplementationSpecific
func (p *Publish) Done(err error) {
	srv, c, ch, seq, qos, id := p.srv, p.c, p.chunk, p.seq, p.QoS, p.PacketID
	if srv == nil {
		panic("mqtt server: Publish.Done called twice")
	}
	in := p.inbound()
	*p = Publish{}
	srv.pools.tokens.Put(p)
	if ch != nil {
		srv.pools.release(ch)
	}
	unavailable := errors.Is(err, ErrUnavailable)
	if err != nil && !unavailable {
		srv.stats.dropped[DropRefused].Add(1)
	}
	if c == nil {
		return
	}
	code, reason := codeOfDone(err)
	if in != nil {
		taken := !unavailable && (c.version != packet.V5 || !code.Failed())
		if other, n := in.settle(c, id, taken); other != nil {
			other.answer(qos, n, code, reason, unavailable)
		}
	}
	c.answer(qos, seq, code, reason, unavailable)
}

// inbound is the table that p's id is in; nil when it is in none.
func (p *Publish) inbound() *inbound {
	if p.QoS != 2 || p.c == nil {
		return nil
	}
	return p.c.inbox
}

// answer takes a publish off the owner's hands and writes the acknowledgements that are due.
func (c *conn) answer(qos byte, seq uint32, code packet.Code, reason string, unavailable bool) {
	c.mu.Lock()
	c.pending--
	if !c.closed {
		switch {
		case unavailable:
			c.stopReadingLocked()
		case qos > 0:
			c.acks.ready(seq, code)
			c.noteReasonLocked(seq, reason)
			c.writeAcksLocked()
		}
	}
	if c.pending <= c.wakeAt {
		c.signalLocked()
	}
	c.mu.Unlock()
}

// noteReasonLocked keeps the words of an acknowledgement for a client that wants them.
func (c *conn) noteReasonLocked(seq uint32, reason string) {
	if reason == "" || c.five == nil || c.five.quiet {
		return
	}
	if c.five.reasons == nil {
		c.five.reasons = map[uint32]string{}
	}
	c.five.reasons[seq] = reason
}

// stopReadingLocked starts the time after which a connection with an unavailable store is closed.
func (c *conn) stopReadingLocked() {
	if c.unavail == 0 {
		c.unavail = c.srv.wheel.after(c.srv.cfg.StoreTimeout)
		c.srv.wheel.add(&c.timed, c.unavail)
	}
	c.signalLocked()
}

// writeAcksLocked appends the acknowledgements that are earned and in turn.
func (c *conn) writeAcksLocked() {
	some := false
	for c.acks != nil {
		seq := c.acks.head
		a, ok := c.acks.pop()
		if !ok {
			break
		}
		if a.kind == packet.PUBACK {
			c.owed1--
		}
		c.appendAckLocked(a, seq)
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

// appendAckLocked writes one acknowledgement.
func (c *conn) appendAckLocked(a ack, seq uint32) {
	o := c.outLocked()
	if c.five == nil || a.code == packet.Success {
		o.b = packet.AppendID(o.b, a.kind, a.id)
		return
	}
	var p packet.Properties
	if reason, ok := c.five.reasons[seq]; ok {
		delete(c.five.reasons, seq)
		if p = packet.AppendBytes(nil, packet.ReasonString, reason); !packet.ValidProperties(p, a.kind) || c.tooLarge(len(p)+16) {
			p = nil
		}
	}
	o.b = packet.AppendAck5(o.b, a.kind, a.id, a.code, p)
}

// publish hands a message to the owner.
func (c *conn) publish(flags byte, body []byte) error {
	var p packet.Publish
	topic, err := c.readPublish(flags, body, &p)
	if err != nil {
		return err
	}
	chunk := c.in
	chunk.refs.Add(1) // p points into it: while it waits here, and then until Done
	seq, known, err := c.admit(&p, topic, len(body))
	if known || err != nil {
		c.srv.pools.release(chunk)
		return err
	}
	t := c.srv.pools.token()
	*t = Publish{
		Topic: topic, Payload: p.Payload, // valid while chunk is held
		QoS: p.QoS, Retain: p.Retain, Dup: p.Dup, PacketID: p.ID, Properties: p.Properties,
		srv: c.srv, s: c.s, c: c, chunk: chunk, seq: seq,
	}
	c.srv.stats.publishIn[p.QoS].Add(1)
	c.srv.owner.Publish(c.s, t)
	return nil
}

// view is a string that shares b's bytes.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// bytesOf are the bytes of s, which must only be read.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// admit holds a publish back to the connection's rate and window, and owes its acknowledgement. One that is
// known, a repeat of QoS 2, is not for the owner.
func (c *conn) admit(p *packet.Publish, topic string, size int) (seq uint32, known bool, err error) {
	if l := c.limits.Load(); l != nil {
		if r := l.rateOf(topic); r != nil {
			if err := c.throttle(l, r, size); err != nil {
				return 0, false, err
			}
		}
	}
	if p.QoS == 2 {
		if known, err = c.repeated(p.ID); known || err != nil {
			return 0, known, err
		}
	}
	if err = c.withinReceiveMax(p); err == nil {
		seq, err = c.enterWindow(p)
	}
	if err != nil && p.QoS == 2 {
		c.inbox.forget(p.ID) // the owner has not seen it
	}
	return seq, false, err
}

// resumeGrace is for how long a client that came back to its session is not held to the Receive Maximum.
const resumeGrace = 10 * time.Second

// withinReceiveMax holds a client of 5.0 to the number of unacknowledged publishes that it was told. Some clients repeat all that they have
// in flight as soon as they are back, whatever that number is, and would do so for ever if they were cut off for it: repeats are
// held back by the window instead, and so is as much as another window of what comes behind them. Others send what they took on
// while they were away before they repeat: for resumeGrace a client that is back at its session is not held to the number at all.
func (c *conn) withinReceiveMax(p *packet.Publish) error {
	if c.five == nil || p.QoS == 0 {
		return nil
	}
	c.five.repeats = c.five.repeats || p.Dup
	held := 0
	if c.inbox != nil {
		held = c.inbox.len()
	}
	if p.QoS == 1 {
		held++
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case p.Dup || int(c.owed1)+held <= int(c.window) || c.srv.wheel.now.Load() < c.five.lenient:
		return nil
	case c.five.repeats && c.five.excess < int(c.window):
		c.five.excess++
		return nil
	}
	return endWith(CauseQuota, errReceiveMax)
}

// enterWindow waits for room among the publishes that are with the owner.
func (c *conn) enterWindow(p *packet.Publish) (seq uint32, err error) {
	for {
		c.mu.Lock()
		if c.pending < c.window && c.unavail == 0 && !c.draining {
			break
		}
		draining := c.draining
		c.mu.Unlock()
		if draining {
			return 0, endWith(CauseShutdown, nil)
		}
		// Half of the window is waited for, so that a full one does not mean a wake-up a message.
		half := c.window / 2
		if err := c.holdBack(half, func() bool { return c.draining || c.unavail == 0 && c.pending <= half }); err != nil {
			return 0, err
		}
	}
	defer c.mu.Unlock()
	c.pending++
	switch p.QoS {
	case 1:
		c.owed1++
		seq = c.ringLocked().push(ack{id: p.ID, kind: packet.PUBACK})
	case 2:
		seq = c.ringLocked().push(ack{id: p.ID, kind: packet.PUBREC})
	}
	return seq, nil
}

// repeated handles a QoS 2 publish whose id the session already holds: with the owner it waits for that, received it is
// acknowledged again. Otherwise the id is noted.
func (c *conn) repeated(id uint16) (known bool, err error) {
	if c.inbox == nil {
		c.inbox = c.s.inbound()
	}
	state, err := c.inbox.note(c, id)
	if err != nil || state == idNew {
		return false, err
	}
	if state == idReceived {
		c.mu.Lock()
		c.acks.ready(c.ringLocked().push(ack{id: id, kind: packet.PUBREC}), packet.Success)
		c.writeAcksLocked()
		c.mu.Unlock()
	}
	return true, nil
}
