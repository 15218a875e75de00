package server

import (
	"errors"
	"time"
	"unsafe"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
)

// Further errors of Session.Send.
var (
	// ErrExpired: Message.Expiry has passed.
	ErrExpired = errors.New("mqtt server: message has expired")
	// ErrInvalid: the topic is not a topic name, or the packet is larger than MQTT allows.
	ErrInvalid = errors.New("mqtt server: message cannot be sent")
)

// sending is the outbound state of a session; it moves to the next Session of a persistent one.
type sending struct {
	flight []outgoing // sent and not acknowledged, oldest first
	queue  []outgoing // waiting for room in flight or in the socket, oldest first
	bytes  int        // of the packets in queue
	idle0  int        // QoS 0 messages in queue: those behind must not overtake them
	lastID uint16
}

// outgoing is one message to the client.
type outgoing struct {
	pkt      []byte // the encoded PUBLISH; nil when it need not be sent again
	tag      uint64
	expiry   time.Time
	id       uint16
	qos      byte
	volatile bool
	pubrel   bool // QoS 2: PUBREC has come, PUBREL is sent
}

// Send sends m to the client if one of the session's filters matches; QoS is the lower of message and subscription.
// It never blocks on the network: what the client cannot take now waits in the session's queue, and when
// that is full the oldest waiting message is dropped and counted. A nil error means sent or waiting.
func (s *Session) Send(m Message) error {
	if !packet.ValidTopic(unsafe.Slice(unsafe.StringData(m.Topic), len(m.Topic))) { // only read there
		return ErrInvalid
	}
	s.mu.Lock()
	sent0, err := s.sendLocked(&m)
	s.mu.Unlock()
	if sent0 && m.Tag != 0 {
		s.srv.owner.Delivered(s, m.Tag)
	}
	return err
}

// sendLocked reports whether m was written at QoS 0.
func (s *Session) sendLocked(m *Message) (sent0 bool, err error) {
	c := s.c
	if c == nil || !s.ready {
		return false, ErrOffline
	}
	granted, ok := s.matchLocked(m.Topic)
	if !ok {
		s.srv.stats.unsubscribed.Add(1)
		return false, ErrNotSubscribed
	}
	qos := min(m.QoS, granted)
	size, remaining := packet.PublishSize(len(m.Topic), len(m.Payload), qos)
	switch {
	case len(m.Topic) > packet.MaxString || remaining > packet.MaxRemaining:
		s.srv.stats.dropped[DropTooLarge].Add(1)
		return false, ErrInvalid
	case m.Tag != 0 && s.knowsTagLocked(m.Tag):
		return false, nil
	case !m.Expiry.IsZero() && !time.Now().Before(m.Expiry):
		s.srv.stats.dropped[DropExpired].Add(1)
		return false, ErrExpired
	}
	if s.roomLocked(c, qos) {
		return s.transmitLocked(c, m, qos, size)
	}
	return false, s.enqueueLocked(m, qos, size)
}

// roomLocked reports whether a new message may go out at once.
func (s *Session) roomLocked(c *conn, qos byte) bool {
	if qos == 0 && s.idle0 > 0 || qos > 0 && (len(s.queue) > 0 || len(s.flight) >= s.srv.cfg.InFlight) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.closed && c.writableLocked()
}

// transmitLocked encodes m straight into the write buffer. A copy is kept only for what a later connection may have to send again.
func (s *Session) transmitLocked(c *conn, m *Message, qos byte, size int) (sent0 bool, err error) {
	if qos > 0 {
		o := outgoing{tag: m.Tag, expiry: m.Expiry, qos: qos, volatile: m.Volatile, id: s.nextIDLocked()}
		if !s.clean && !m.Volatile {
			o.pkt = packet.AppendPublish(make([]byte, 0, size), m.Topic, m.Payload, qos, o.id, false, m.Retain)
		}
		s.flight = append(s.flight, o)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.srv.stats.publishOut[qos].Add(1)
	out := c.outLocked()
	out.b = packet.AppendPublish(out.b, m.Topic, m.Payload, qos, s.lastID, false, m.Retain)
	c.flushUncorkedLocked()
	return qos == 0, nil
}

// enqueueLocked lets m wait, dropping the oldest when there is no room.
func (s *Session) enqueueLocked(m *Message, qos byte, size int) error {
	if size > s.srv.cfg.OutBytes {
		return ErrFull
	}
	for len(s.queue) >= s.srv.cfg.OutQueue || s.bytes+size > s.srv.cfg.OutBytes {
		s.dropOldestLocked()
	}
	pkt := packet.AppendPublish(make([]byte, 0, size), m.Topic, m.Payload, qos, 1, false, m.Retain)
	s.queue = append(s.queue, outgoing{pkt: pkt, tag: m.Tag, expiry: m.Expiry, qos: qos, volatile: m.Volatile})
	s.bytes += size
	if qos == 0 {
		s.idle0++
	}
	return nil
}

func (s *Session) dropOldestLocked() {
	s.unqueuedLocked(&s.queue[0])
	s.srv.stats.dropped[DropQueueFull].Add(1)
	s.queue = append(s.queue[:0], s.queue[1:]...)
}

// unqueuedLocked takes o out of the queue's sums.
func (s *Session) unqueuedLocked(o *outgoing) {
	s.bytes -= len(o.pkt)
	if o.qos == 0 {
		s.idle0--
	}
}

func (s *Session) knowsTagLocked(tag uint64) bool {
	for i := range s.flight {
		if s.flight[i].tag == tag {
			return true
		}
	}
	for i := range s.queue {
		if s.queue[i].tag == tag {
			return true
		}
	}
	return false
}

// nextIDLocked returns a packet id that is not in flight. Ids of the client's own publishes do not matter: each direction has its own.
func (s *Session) nextIDLocked() uint16 {
	for {
		s.lastID++
		if s.lastID != 0 && s.flightLocked(s.lastID) < 0 {
			return s.lastID
		}
	}
}

func (s *Session) flightLocked(id uint16) int {
	for i := range s.flight {
		if s.flight[i].id == id {
			return i
		}
	}
	return -1
}

// acknowledged handles PUBACK, PUBREC and PUBCOMP. One for an unknown id is ignored, but for PUBREC, whose sender waits for PUBREL.
func (s *Session) acknowledged(c *conn, t packet.Type, id uint16) {
	s.mu.Lock()
	tag := uint64(0)
	if at := s.flightLocked(id); at >= 0 {
		o := &s.flight[at]
		switch {
		case t == packet.PUBACK && o.qos == 1:
			tag = o.tag
			s.landedLocked(at)
		case t == packet.PUBREC && o.qos == 2:
			tag, o.tag = o.tag, 0
			o.pkt, o.pubrel = nil, true
		case t == packet.PUBCOMP && o.pubrel:
			s.landedLocked(at)
		}
	}
	s.mu.Unlock()
	if t == packet.PUBREC {
		c.reply(packet.PUBREL, id)
	}
	if tag != 0 {
		s.srv.owner.Delivered(s, tag)
	}
	s.pump(c)
}

func (s *Session) landedLocked(at int) {
	s.flight = append(s.flight[:at], s.flight[at+1:]...)
	s.flight[:len(s.flight)+1][len(s.flight)] = outgoing{} // let go of the packet
	if len(s.flight) == 0 && cap(s.flight) > 8 {
		s.flight = nil
	}
}

// pump sends what waits and may go now.
func (s *Session) pump(c *conn) {
	s.mu.Lock()
	tags := s.pumpLocked(c)
	s.mu.Unlock()
	for _, tag := range tags {
		s.srv.owner.Delivered(s, tag)
	}
}

// pumpLocked returns the tags of what was written at QoS 0. A message that waits for room in flight does not hold up QoS 0 behind it.
func (s *Session) pumpLocked(c *conn) (tags []uint64) {
	if len(s.queue) == 0 || s.c != c || !s.ready {
		return nil
	}
	kept := s.queue[:0]
	for i := range s.queue {
		o := s.queue[i]
		switch {
		case o.expired():
			s.unqueuedLocked(&o)
			s.srv.stats.dropped[DropExpired].Add(1)
		case o.qos > 0 && len(s.flight) >= s.srv.cfg.InFlight || !s.launchLocked(c, &o):
			kept = append(kept, o)
		case o.qos == 0 && o.tag != 0:
			tags = append(tags, o.tag)
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

func (o *outgoing) expired() bool { return !o.expiry.IsZero() && !time.Now().Before(o.expiry) }

// launchLocked writes a waiting message; it returns false when the socket is full.
func (s *Session) launchLocked(c *conn, o *outgoing) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || !c.writableLocked() {
		return false
	}
	s.unqueuedLocked(o)
	if o.qos > 0 {
		o.id = s.nextIDLocked()
		packet.SetPublishID(o.pkt, o.id, false)
	}
	out := c.outLocked()
	out.b = append(out.b, o.pkt...)
	s.srv.stats.publishOut[o.qos].Add(1)
	if o.qos > 0 {
		if s.clean || o.volatile {
			o.pkt = nil
		}
		s.flight = append(s.flight, *o)
	}
	return true
}

// resendLocked sends again what was in flight on an earlier connection: same order, same ids, DUP set.
func (s *Session) resendLocked(c *conn) {
	kept := s.flight[:0]
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range s.flight {
		o := s.flight[i]
		out := c.outLocked()
		switch {
		case o.pubrel:
			out.b = packet.AppendID(out.b, packet.PUBREL, o.id)
		case o.expired():
			s.srv.stats.dropped[DropExpired].Add(1)
			continue
		default:
			packet.SetPublishID(o.pkt, o.id, true)
			out.b = append(out.b, o.pkt...)
			s.srv.stats.publishOut[o.qos].Add(1)
			s.srv.stats.redelivered.Add(1)
		}
		kept = append(kept, o)
	}
	clear(s.flight[len(kept):])
	s.flight = kept
}

// dropUnkeptLocked drops, at the end of a connection, what is not for the next one.
func (s *Session) dropUnkeptLocked() {
	keep := func(o *outgoing) bool { return !s.clean && !o.volatile && o.qos > 0 && (o.pkt != nil || o.pubrel) }
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
	s.bytes, s.idle0 = 0, 0
	for i := range s.queue {
		s.bytes += len(s.queue[i].pkt)
	}
	s.srv.stats.dropped[DropConnection].Add(uint64(lost))
}
