package server

import (
	"errors"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
)

// ackOf handles a PUBACK, PUBREC, PUBREL or PUBCOMP.
func (c *conn) ackOf(t packet.Type, body []byte) error {
	var id uint16
	var code packet.Code
	var err error
	if c.version == packet.V5 {
		id, code, _, err = packet.DecodeAck5(t, body)
	} else {
		id, err = packet.DecodeID(body)
	}
	if err != nil {
		return err
	}
	if t == packet.PUBREL {
		c.release(id)
		return nil
	}
	c.s.acknowledged(c, t, id, code)
	return nil
}

// release answers a PUBREL: the id of an inbound publish is free, for an owner with a store once that is safe.
func (c *conn) release(id uint16) {
	in := c.s.inbound()
	k, ok := c.srv.owner.(Keeper)
	if !ok || c.s.Clean() {
		c.complete(id, in.forget(id))
		return
	}
	c.mu.Lock()
	c.pending++
	seq := c.ringLocked().push(ack{id: id, kind: packet.PUBCOMP})
	c.mu.Unlock()
	k.Released(c.s, id, func(err error) {
		if err == nil {
			in.forget(id)
		}
		c.answer(2, seq, packet.Success, "", err != nil)
	})
}

// complete writes PUBCOMP.
func (c *conn) complete(id uint16, known bool) {
	if !known {
		c.replyCode(packet.PUBCOMP, id, packet.IDNotFound)
		return
	}
	c.reply(packet.PUBCOMP, id)
}

// acknowledged handles PUBACK, PUBREC and PUBCOMP. One for an unknown id is ignored, but for PUBREC, whose sender waits for PUBREL.
func (s *Session) acknowledged(c *conn, t packet.Type, id uint16, code packet.Code) {
	s.mu.Lock()
	at := s.flightLocked(id)
	if at < 0 {
		s.mu.Unlock()
		if t == packet.PUBREC && !code.Failed() {
			c.replyCode(packet.PUBREL, id, packet.IDNotFound)
		}
		return
	}
	o := &s.flight[at]
	tag, release := uint64(0), false
	receipt := o.confirmed(t, code)
	switch {
	case t == packet.PUBACK && o.qos == 1, t == packet.PUBCOMP && o.pubrel, t == packet.PUBREC && o.qos == 2 && code.Failed():
		tag = o.tag
		s.landedLocked(at)
	case t == packet.PUBREC && o.pubrel: // once more
		release = o.tag == 0
	case t == packet.PUBREC && o.qos == 2 && s.receivedByKeeper(c, o):
	case t == packet.PUBREC && o.qos == 2:
		tag, o.tag = o.tag, 0
		o.pkt, o.pubrel, release = nil, true, true
	}
	s.mu.Unlock()
	if receipt != 0 {
		s.confirm(receipt)
	}
	if release {
		c.reply(packet.PUBREL, id)
	}
	if tag != 0 {
		s.srv.owner.Delivered(s, tag)
	}
	s.pump(c)
}

// confirmed takes the receipt of a message that t acknowledges; 0: it is not, or nobody asks.
func (o *outgoing) confirmed(t packet.Type, code packet.Code) (receipt uint64) {
	if code.Failed() || t == packet.PUBACK && o.qos != 1 || t == packet.PUBREC && o.qos != 2 {
		return 0
	}
	receipt, o.receipt = o.receipt, 0
	return receipt
}

func (s *Session) confirm(receipt uint64) {
	if c, ok := s.srv.owner.(Confirmer); ok {
		c.Confirmed(s, receipt)
	}
}

// receivedByKeeper lets an owner with a store note PUBREC before PUBREL goes out; it returns false when there is nothing to note.
func (s *Session) receivedByKeeper(c *conn, o *outgoing) bool {
	k, ok := s.srv.owner.(Keeper)
	if !ok || o.tag == 0 {
		return false
	}
	o.pkt, o.pubrel = nil, true
	id, tag := o.id, o.tag
	c.mu.Lock()
	c.pending++
	c.mu.Unlock()
	s.mu.Unlock()
	k.Received(s, tag, func(err error) { c.releaseSent(id, err) })
	s.mu.Lock()
	return true
}

// releaseSent writes PUBREL after PUBREC was noted; when it could not be, the connection ends as with any store that is unavailable.
func (c *conn) releaseSent(id uint16, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending--
	switch {
	case c.closed:
	case err != nil:
		c.stopReadingLocked()
	default:
		o := c.outLocked()
		o.b = packet.AppendID(o.b, packet.PUBREL, id)
		c.flushSoonLocked()
	}
	if c.pending <= c.wakeAt {
		c.signalLocked()
	}
}

func (s *Session) landedLocked(at int) {
	if s.flight[at].sent {
		s.onWire--
	} else {
		s.unsent--
	}
	s.flight = append(s.flight[:at], s.flight[at+1:]...)
	s.flight[:len(s.flight)+1][len(s.flight)] = outgoing{} // let go of the packet
	if len(s.flight) == 0 && cap(s.flight) > 8 {
		s.flight = nil
	}
}

// codeOfDone is the reason code that tells of a Done with err.
func codeOfDone(err error) (code packet.Code, reason string) {
	if err == nil {
		return packet.Success, "" // apart from what follows, which allocates
	}
	return codeOfRejection(err)
}

func codeOfRejection(err error) (code packet.Code, reason string) {
	var r *Rejection
	if errors.As(err, &r) {
		return r.Code, r.Reason
	}
	return packet.ImplementationSpecific, ""
}
