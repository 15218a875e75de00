package server

import (
	"errors"
	"slices"
	"time"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
)

// Further errors of Session.Send.
var (
	// ErrExpired: Message.Expiry has passed.
	ErrExpired = errors.New("mqtt server: message has expired")
	// ErrInvalid: the topic is not a topic name, or the packet is larger than MQTT allows.
	ErrInvalid = errors.New("mqtt server: message cannot be sent")
	// ErrTooLarge: the client (5.0) takes no packet of this size.
	ErrTooLarge = errors.New("mqtt server: message is larger than the client takes")
)

// sending is the outbound state of a session; it moves to the next Session of a persistent one.
type sending struct {
	flight []outgoing // sent and not acknowledged, oldest first
	queue  []outgoing // waiting for room in flight or in the socket, oldest first
	late   *backlog   // what is retained and waits to be read, nil when nothing does
	bytes  int        // of the packets in queue
	idle0  int32      // QoS 0 messages in queue: those behind must not overtake them
	onWire int32      // of flight: sent on this connection, which is what the client's Receive Maximum bounds
	unsent int32      // of flight: not yet sent again on this connection
	lastID uint16
}

// outgoing is one message to the client.
type outgoing struct {
	pkt      []byte // the encoded PUBLISH; nil when it need not be sent again
	tag      uint64
	receipt  uint64
	expiry   time.Time
	share    string // the shared subscription that it came by
	id       uint16
	fixed    bool // id is the owner's
	qos      byte
	volatile bool
	sent     bool // on this connection
	pubrel   bool // QoS 2: PUBREC has come, PUBREL is sent
	kept     bool // not dropped for what is published meanwhile
}

// Send sends m to the client if one of the session's filters matches; QoS is the lower of message and subscription.
// It never blocks on the network: what the client cannot take now waits in the session's queue, and when
// that is full the oldest waiting message is dropped and counted. A nil error means sent or waiting. A message with a Tag that the
// client can never take counts as delivered.
func (s *Session) Send(m Message) error {
	if m.Share == "" {
		return s.send(&m, nil)
	}
	d, ok := s.sharedDelivery(m.Share, &m)
	if !ok {
		return ErrNotSubscribed
	}
	return s.send(&m, &d)
}

// send is Send; only, if not nil, is the one subscription that counts: it gets a retained message, or is a shared one.
func (s *Session) send(m *Message, only *delivery) error {
	if !packet.ValidTopic(bytesOf(m.Topic)) {
		return ErrInvalid
	}
	s.mu.Lock()
	done, err := s.sendLocked(m, only)
	s.mu.Unlock()
	if done && m.Tag != 0 {
		s.srv.owner.Delivered(s, m.Tag)
	}
	return err
}

// delivery is what the subscriptions of a session make of a message.
type delivery struct {
	qos    byte
	retain bool
	share  string // the shared subscription
	ids    []uint32
	// backlog: it is retained and not sent because it was published now. It waits also while the session has no connection.
	backlog bool
}

// deliveryLocked judges m by the session's filters; ids of matching subscriptions are appended to d.ids.
func (s *Session) deliveryLocked(m *Message, d *delivery) (ok bool) {
	asPublished := false
	for i := range s.filters {
		f := &s.filters[i]
		if !match(f.Filter, m.Topic) {
			continue
		}
		if f.Options&packet.NoLocal != 0 && m.From != nil && m.From.identity == s.identity {
			continue
		}
		ok = true
		d.qos = max(d.qos, f.QoS)
		asPublished = asPublished || f.Options&packet.RetainAsPublished != 0
		if f.ID != 0 && s.version == packet.V5 {
			d.ids = append(d.ids, f.ID)
		}
	}
	d.retain = m.Kept || m.Retain && asPublished
	return ok
}

// sendLocked reports whether nothing more will be heard of m: it was written at QoS 0, or cannot be delivered ever.
func (s *Session) sendLocked(m *Message, only *delivery) (done bool, err error) {
	c := s.c
	online := c != nil && s.ready
	if !online && !s.waitsOffline(m) && (only == nil || !only.backlog) {
		return false, ErrOffline
	}
	if m.Released {
		return false, s.releaseLocked(c, m, online)
	}
	var d delivery
	if only != nil {
		d = *only
	} else if !s.deliveryLocked(m, &d) {
		s.srv.stats.unsubscribed.Add(1)
		return false, ErrNotSubscribed
	}
	if !d.backlog {
		s.noteFreshLocked(m)
	}
	d.qos = min(d.qos, m.QoS)
	switch {
	case m.Tag != 0 && s.knowsTagLocked(m.Tag):
		return false, nil
	case !m.Expiry.IsZero() && !time.Now().Before(m.Expiry):
		s.srv.stats.dropped[DropExpired].Add(1)
		return false, ErrExpired
	case !online && d.qos == 0:
		return false, ErrOffline
	}
	if s.version != packet.V5 || len(m.Properties) == 0 && len(d.ids) == 0 && m.Expiry.IsZero() {
		return s.dispatchLocked(c, m, &d, nil, online)
	}
	scratch := s.srv.pools.out()
	scratch.b = properties(scratch.b, m, d.ids)
	done, err = s.dispatchLocked(c, m, &d, scratch.b, online)
	s.srv.pools.putOut(scratch)
	return done, err
}

// waitsOffline tells whether m may wait for the client to come back.
func (s *Session) waitsOffline(m *Message) bool {
	return s.queueOffline && m.QoS > 0 && !m.Volatile && !s.Clean() && s.filters != nil
}

// properties appends what a subscriber of 5.0 gets.
func properties(p packet.Properties, m *Message, ids []uint32) packet.Properties {
	p = forwarded(p, m.Properties)
	if !m.Expiry.IsZero() {
		p = packet.AppendInt(p, packet.MessageExpiry, secondsLeft(m.Expiry))
	}
	for _, id := range ids {
		p = packet.AppendInt(p, packet.SubscriptionID, id)
	}
	return p
}

// secondsLeft rounds up, so that a message is not said to be over that is not.
func secondsLeft(t time.Time) uint32 {
	return uint32(max(0, min(int64((time.Until(t)+time.Second-1)/time.Second), 0xffff_ffff)))
}

// dispatchLocked writes m, or lets it wait.
func (s *Session) dispatchLocked(c *conn, m *Message, d *delivery, p packet.Properties, online bool) (done bool, err error) {
	size, remaining := packet.PublishSize(len(m.Topic), len(m.Payload), d.qos)
	if s.version == packet.V5 {
		size, remaining = packet.PublishSize5(len(m.Topic), len(m.Payload), d.qos, p)
	}
	if len(m.Topic) > packet.MaxString || remaining > packet.MaxRemaining {
		s.srv.stats.dropped[DropTooLarge].Add(1)
		return false, ErrInvalid
	}
	if online && c.tooLarge(size) {
		s.srv.stats.dropped[DropTooLarge].Add(1)
		return true, errIfUntagged(m.Tag)
	}
	if online && s.roomLocked(c, m, d.qos) {
		s.transmitLocked(c, m, d, p, size)
		return d.qos == 0, nil
	}
	return false, s.enqueueLocked(m, d, p, size)
}

func errIfUntagged(tag uint64) error {
	if tag != 0 {
		return nil
	}
	return ErrTooLarge
}

// tooLarge tells whether the client takes no packet of this size.
func (c *conn) tooLarge(size int) bool {
	return c.five != nil && c.five.maxPacket != 0 && size > c.five.maxPacket
}

// roomLocked reports whether a new message may go out at once.
func (s *Session) roomLocked(c *conn, m *Message, qos byte) bool {
	switch {
	case qos == 0 && s.idle0 > 0, qos > 0 && (len(s.queue) > 0 || s.unsent > 0 || s.onWire >= c.sendMax):
		return false
	case qos == 2 && m.PacketID != 0 && s.flightLocked(m.PacketID) >= 0:
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.closed && c.writableLocked()
}

// transmitLocked encodes m straight into the write buffer. A copy is kept only for what a later connection, or another member of a
// shared subscription, may have to be sent again.
func (s *Session) transmitLocked(c *conn, m *Message, d *delivery, p packet.Properties, size int) {
	id := uint16(0)
	if d.qos > 0 {
		o := outgoing{tag: m.Tag, receipt: m.Receipt, expiry: m.Expiry, share: d.share, qos: d.qos, volatile: m.Volatile, sent: true}
		if o.id = m.PacketID; o.id == 0 || d.qos == 1 {
			o.id = s.nextIDLocked()
		}
		id = o.id
		if s.keeps(&o) {
			o.pkt = appendPublish(make([]byte, 0, size), s.version, m.Topic, m.Payload, d.qos, id, false, d.retain, p)
		}
		s.flight = append(s.flight, o)
		s.onWire++
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.srv.stats.publishOut[d.qos].Add(1)
	c.writePublishLocked(m.Topic, m.Payload, d.qos, id, false, d.retain, p)
	c.flushUncorkedLocked()
}

// keeps tells whether a message in flight is kept encoded.
func (s *Session) keeps(o *outgoing) bool { return o.share != "" || !s.Clean() && !o.volatile }

// enqueueLocked lets m wait, dropping the oldest when there is no room.
func (s *Session) enqueueLocked(m *Message, d *delivery, p packet.Properties, size int) error {
	if size > s.srv.cfg.OutBytes {
		return ErrFull
	}
	for len(s.queue) >= s.srv.cfg.OutQueue || s.bytes+size > s.srv.cfg.OutBytes {
		if !s.dropOldestLocked() {
			s.srv.stats.dropped[DropQueueFull].Add(1)
			return ErrFull
		}
	}
	pkt := appendPublish(make([]byte, 0, size), s.version, m.Topic, m.Payload, d.qos, 1, false, d.retain, p)
	o := outgoing{pkt: pkt, tag: m.Tag, receipt: m.Receipt, expiry: m.Expiry, share: d.share, qos: d.qos, volatile: m.Volatile, kept: d.backlog || m.Firm}
	if d.qos == 2 && m.PacketID != 0 {
		o.id, o.fixed = m.PacketID, true
	}
	s.queue = append(s.queue, o)
	s.bytes += size
	if d.qos == 0 {
		s.idle0++
	}
	return nil
}

// releaseLocked takes up a QoS 2 message whose PUBREC came in an earlier process.
func (s *Session) releaseLocked(c *conn, m *Message, online bool) error {
	if m.Tag != 0 && s.knowsTagLocked(m.Tag) || s.flightLocked(m.PacketID) >= 0 {
		return nil
	}
	s.flight = append(s.flight, outgoing{tag: m.Tag, id: m.PacketID, qos: 2, pubrel: true, sent: online})
	if !online {
		s.unsent++
		return nil
	}
	s.onWire++
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.outLocked()
	o.b = packet.AppendID(o.b, packet.PUBREL, m.PacketID)
	c.flushUncorkedLocked()
	return nil
}

// dropOldestLocked makes room; it reports false when there is nothing that may be dropped.
func (s *Session) dropOldestLocked() bool {
	at := slices.IndexFunc(s.queue, func(o outgoing) bool { return !o.kept })
	if at < 0 {
		return false
	}
	s.unqueuedLocked(&s.queue[at])
	s.srv.stats.dropped[DropQueueFull].Add(1)
	s.queue = slices.Delete(s.queue, at, at+1)
	return true
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
