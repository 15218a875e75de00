package server

import (
	"time"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
)

// pump sends what waits and may go now.
func (s *Session) pump(c *conn) {
	s.mu.Lock()
	tags := s.pumpLocked(c)
	s.mu.Unlock()
	for _, tag := range tags {
		s.srv.owner.Delivered(s, tag)
	}
}

// pumpLocked returns the tags of what needs no acknowledgement. A message that waits for room in flight does not hold up QoS 0 behind it; one
// that waits for room in the socket holds up all, also when a writer makes room meanwhile.
func (s *Session) pumpLocked(c *conn) (tags []uint64) {
	if s.c != c || !s.ready {
		return nil
	}
	if s.late != nil {
		defer s.refillLocked(c)
	}
	if len(s.queue) == 0 && s.unsent == 0 {
		return nil
	}
	s.resendLocked(c)
	kept, full := s.queue[:0], false
	for i := range s.queue {
		o := s.queue[i]
		switch {
		case o.expired():
			s.unqueuedLocked(&o)
			s.srv.stats.dropped[DropExpired].Add(1)
		case c.tooLarge(len(o.pkt)):
			s.unqueuedLocked(&o)
			s.srv.stats.dropped[DropTooLarge].Add(1)
			tags = appendTag(tags, o.tag)
		case full || !s.mayLaunchLocked(c, &o):
			kept = append(kept, o)
		case !s.launchLocked(c, &o):
			kept, full = append(kept, o), true
		case o.qos == 0:
			tags = appendTag(tags, o.tag)
		}
	}
	clear(s.queue[len(kept):])
	s.queue = kept
	if len(kept) == 0 {
		s.queue = nil
	}
	c.mu.Lock()
	c.flushUncorkedLocked()
	c.mu.Unlock()
	return tags
}

func appendTag(tags []uint64, tag uint64) []uint64 {
	if tag == 0 {
		return tags
	}
	return append(tags, tag)
}

func (o *outgoing) expired() bool { return !o.expiry.IsZero() && !time.Now().Before(o.expiry) }

// mayLaunchLocked tells whether the window of the client has room for o, and its id is free.
func (s *Session) mayLaunchLocked(c *conn, o *outgoing) bool {
	return o.qos == 0 || s.unsent == 0 && s.onWire < c.sendMax && (!o.fixed || s.flightLocked(o.id) < 0)
}

// launchLocked writes a waiting message; it returns false when the socket is full.
func (s *Session) launchLocked(c *conn, o *outgoing) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || !c.writableLocked() {
		return false
	}
	s.unqueuedLocked(o)
	if o.qos > 0 {
		if !o.fixed {
			o.id = s.nextIDLocked()
		}
		packet.SetPublishID(o.pkt, o.id, false)
	}
	s.age(o)
	c.writeEncodedLocked(o.pkt)
	s.srv.stats.publishOut[o.qos].Add(1)
	if o.qos > 0 {
		o.sent = true
		s.onWire++
		if !s.keeps(o) {
			o.pkt = nil
		}
		s.flight = append(s.flight, *o)
	}
	return true
}

// age writes into a waiting packet how long it is still good.
func (s *Session) age(o *outgoing) {
	if s.version == packet.V5 && !o.expiry.IsZero() {
		packet.SetPublishExpiry(o.pkt, secondsLeft(o.expiry))
	}
}

// resendLocked sends again what was in flight on an earlier connection, as far as the client's window goes: same order, same ids, DUP set.
func (s *Session) resendLocked(c *conn) {
	if s.unsent == 0 {
		return
	}
	kept := s.flight[:0]
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range s.flight {
		o := s.flight[i]
		switch {
		case o.sent || !o.pubrel && s.onWire >= c.sendMax:
			kept = append(kept, o)
			continue
		case o.pubrel:
			out := c.outLocked()
			out.b = packet.AppendID(out.b, packet.PUBREL, o.id)
		case o.qos == 1 && o.expired(): // QoS 2 that was begun is brought to its end
			s.unsent--
			s.srv.stats.dropped[DropExpired].Add(1)
			continue
		default:
			packet.SetPublishID(o.pkt, o.id, true)
			s.age(&o)
			c.writeEncodedLocked(o.pkt)
			s.srv.stats.publishOut[o.qos].Add(1)
			s.srv.stats.redelivered.Add(1)
		}
		o.sent = true
		s.unsent--
		s.onWire++
		kept = append(kept, o)
	}
	clear(s.flight[len(kept):])
	s.flight = kept
}

// dropUnkeptLocked drops, at the end of a connection, what is not for the next one. What came by a shared subscription stays until it is
// clear who gets it.
func (s *Session) dropUnkeptLocked() {
	clean := s.Clean()
	keep := func(o *outgoing) bool {
		return (!clean && !o.volatile && o.qos > 0 || o.share != "" && o.qos == 1) && (o.pkt != nil || o.pubrel)
	}
	lost := 0
	filter := func(all []outgoing) []outgoing {
		var kept []outgoing // a fresh slice: what is kept offline should not hold the capacity of a busy time
		for i := range all {
			if keep(&all[i]) {
				kept = append(kept, all[i])
			} else {
				lost++
			}
		}
		return kept
	}
	s.flight, s.queue = filter(s.flight), filter(s.queue)
	s.bounce()
	s.bytes, s.idle0 = 0, 0
	for i := range s.queue {
		s.bytes += len(s.queue[i].pkt)
	}
	s.srv.stats.dropped[DropConnection].Add(uint64(lost))
}
