package server

import (
	"sync"
	"sync/atomic"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
)

// Session is what the engine holds for one identity from CONNECT on. A reconnect makes a new Session, to which
// the state of a persistent one moves. Its methods may be called at any time from any goroutine.
type Session struct {
	srv          *Server
	identity     string
	data         any
	version      byte
	routed       bool
	queueOffline bool
	expiry       atomic.Uint32 // seconds that it outlives its connection

	mu       sync.Mutex // guards the fields below; taken after shard.mu and before inbound.mu and conn.mu
	c        *conn      // nil once the connection is over
	ready    bool       // CONNACK is written: messages may follow
	attached bool       // the owner has been told of the connection
	ended    bool       // the owner got Disconnect
	forget   bool
	gone     chan struct{} // closed when ended; made by who waits for it
	filters  []Subscription
	in       *inbound   // nil before the first QoS 2 publish
	after    *afterlife // of one without a connection
	sending
}

// Identity is what the owner named the session.
func (s *Session) Identity() string { return s.identity }

// Data is the owner's own, from Welcome.
func (s *Session) Data() any { return s.data }

// Clean reports whether the session ends with its connection. A DISCONNECT of MQTT 5.0 may change it.
func (s *Session) Clean() bool { return s.expiry.Load() == 0 }

// Expiry is how many seconds the session outlives its connection, NoExpiry for ever.
func (s *Session) Expiry() uint32 { return s.expiry.Load() }

// Version is the protocol level that the client speaks.
func (s *Session) Version() byte { return s.version }

// Remote is the peer's address while the session has a connection, else "".
func (s *Session) Remote() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.c == nil {
		return ""
	}
	return s.c.remote()
}

// Online reports whether the session has a connection.
func (s *Session) Online() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.c != nil
}

// Subscriptions returns a copy of the session's filters with their granted QoS.
func (s *Session) Subscriptions() []Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Subscription(nil), s.filters...)
}

// Subscribed returns the highest granted QoS of the filters that match topic.
func (s *Session) Subscribed(topic string) (qos byte, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.matchLocked(topic)
}

func (s *Session) matchLocked(topic string) (qos byte, ok bool) {
	for i := range s.filters {
		if f := &s.filters[i]; (!ok || f.QoS > qos) && match(f.Filter, topic) {
			qos, ok = f.QoS, true
		}
	}
	return qos, ok
}

// kick ends the session's connection; it reports whether there was one.
func (s *Session) kick(why Cause) bool {
	s.mu.Lock()
	c := s.c
	s.mu.Unlock()
	if c == nil {
		return false
	}
	c.close(why)
	return true
}

// over returns a channel that is closed when the owner got Disconnect.
func (s *Session) over() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone == nil {
		s.gone = make(chan struct{})
		if s.ended {
			close(s.gone)
		}
	}
	return s.gone
}

// inherit moves the state of an ended session to n, or drops it for a clean start; present tells whether there was any, and will is
// one that has to be published because its session is over. It returns false when old still has its connection. The shard's mu is held.
func (n *Session) inherit(old *Session, clean bool) (present bool, will *Will, ok bool) {
	old.mu.Lock()
	defer old.mu.Unlock()
	if !old.ended {
		return false, nil, false
	}
	will, over := old.resumeLocked()
	if clean || over {
		old.dropAllLocked()
		return false, will, true
	}
	n.filters, n.in, n.sending = old.filters, old.in, old.sending
	old.filters, old.in, old.sending = nil, nil, sending{}
	n.convert(old.version)
	n.bounce()
	return true, nil, true
}

// bounce marks what was in flight as not sent on the new connection.
func (n *Session) bounce() {
	n.onWire, n.unsent = 0, int32(len(n.flight))
	for i := range n.flight {
		n.flight[i].sent = false
	}
}

// convert encodes what is kept anew when the client came back with another version.
func (n *Session) convert(from byte) {
	if (from == packet.V5) == (n.version == packet.V5) {
		return
	}
	n.bytes = 0
	for _, list := range [][]outgoing{n.flight, n.queue} {
		for i := range list {
			o := &list[i]
			if p, ok := decodePublish(o.pkt, from); ok {
				o.pkt = appendPublish(nil, n.version, p.Topic, p.Payload, p.QoS, max(p.ID, 1), p.Dup, p.Retain, p.Properties)
			}
		}
	}
	for i := range n.queue {
		n.bytes += len(n.queue[i].pkt)
	}
}

// welcome writes CONNACK, and behind it the messages in flight of an earlier connection and those that waited.
func (s *Session) welcome(c *conn, present bool, p packet.Properties) error {
	s.mu.Lock()
	tags, err := s.welcomeLocked(c, present, p)
	s.mu.Unlock()
	for _, tag := range tags {
		s.srv.owner.Delivered(s, tag)
	}
	return err
}

func (s *Session) welcomeLocked(c *conn, present bool, p packet.Properties) (tags []uint64, err error) {
	c.mu.Lock()
	if c.closed {
		defer c.mu.Unlock()
		return nil, endWith(c.cause, nil)
	}
	o := c.outLocked()
	if c.version == packet.V5 {
		o.b = packet.AppendConnack5(o.b, present, packet.Success, p)
	} else {
		o.b = packet.AppendConnack(o.b, present, packet.Accepted)
	}
	c.welcomed = true
	c.mu.Unlock()
	s.ready = true
	tags = s.pumpLocked(c)
	c.mu.Lock()
	c.flushLocked()
	c.mu.Unlock()
	return tags, nil
}

// end detaches the session from its connection, publishes the will, tells the owner and wakes a connection that takes over.
func (s *Session) end(c *conn, cause Cause) {
	s.mu.Lock()
	s.c, s.ready = nil, false
	s.endBacklogLocked()
	s.dropUnkeptLocked()
	s.mu.Unlock()
	will := c.will
	switch {
	case cause == CauseDisconnect:
		will = nil
	case will != nil && min(will.Delay, s.expiry.Load()) == 0:
		s.publishWill(will)
		will = nil
	}
	s.srv.owner.Disconnect(s, cause)

	sh := s.srv.shard(s.identity)
	sh.mu.Lock()
	s.mu.Lock()
	s.ended = true
	var orphans []outgoing
	if s.Clean() || s.forget {
		delete(sh.sessions, s.identity)
		orphans = s.orphansLocked()
		s.dropAllLocked()
	} else {
		s.outliveLocked(will)
	}
	if s.gone != nil {
		close(s.gone)
	}
	s.mu.Unlock()
	sh.mu.Unlock()
	if len(orphans) > 0 {
		s.srv.reroute(s.version, orphans)
	}
}

// dropAllLocked forgets everything that a persistent session would keep.
func (s *Session) dropAllLocked() {
	lost := len(s.flight) + len(s.queue)
	s.srv.stats.dropped[DropConnection].Add(uint64(lost))
	for i := range s.filters {
		s.srv.unindex(s, s.filters[i].Filter)
	}
	s.filters, s.in, s.sending = nil, nil, sending{}
}

// withinLimit returns the requests that fit below limit and marks the others refused in codes.
func (s *Session) withinLimit(all []Subscription, limit int, codes []byte) []Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	have := len(s.filters)
	asked := make([]Subscription, 0, len(all))
	for i, req := range all {
		switch {
		case !s.indexable(req.Filter):
			codes[i] = byte(packet.FilterInvalid)
			continue
		case s.filterLocked(req.Filter) >= 0:
		case have < limit:
			have++
		default:
			codes[i] = byte(packet.QuotaExceeded)
			continue
		}
		asked = append(asked, req)
	}
	return asked
}

func (s *Session) filterLocked(filter string) int {
	for i := range s.filters {
		if s.filters[i].Filter == filter {
			return i
		}
	}
	return -1
}

// subscribed puts the granted filters in force and writes SUBACK, so that no message comes between. It returns those whose retained
// messages are to be sent.
func (s *Session) subscribed(c *conn, id uint16, all []Subscription, codes []byte) (retained []Subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, sub := range all {
		if codes[i] >= packet.SubackFailure {
			continue
		}
		sub.QoS = codes[i]
		at := s.filterLocked(sub.Filter)
		if sub.wantsRetained(at < 0) {
			retained = append(retained, sub)
		}
		if at >= 0 {
			s.filters[at] = sub
			continue
		}
		s.filters = append(s.filters, sub)
		s.srv.index(s, sub.Filter)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	o := c.outLocked()
	if c.version == packet.V5 {
		o.b = packet.AppendSuback5(o.b, packet.SUBACK, id, nil, codes)
	} else {
		for i := range codes {
			if codes[i] >= packet.SubackFailure {
				codes[i] = packet.SubackFailure
			}
		}
		o.b = packet.AppendSuback(o.b, id, codes)
	}
	c.flushUncorkedLocked()
	return retained
}

// wantsRetained tells whether a subscription that is new or not gets what is retained.
func (sub *Subscription) wantsRetained(isNew bool) bool {
	if _, _, shared, _ := packet.Share(sub.Filter); shared {
		return false
	}
	switch sub.Options & (packet.RetainIfNew | packet.RetainNever) {
	case 0:
		return true
	case packet.RetainIfNew:
		return isNew
	}
	return false
}

// unsubscribed takes filters out; codes are those of UNSUBACK in MQTT 5.0.
func (s *Session) unsubscribed(names []string) (codes []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	codes = make([]byte, len(names))
	for i, name := range names {
		at := s.filterLocked(name)
		if at < 0 {
			codes[i] = byte(packet.NoSubscriptionExisted)
			continue
		}
		s.filters = append(s.filters[:at], s.filters[at+1:]...)
		s.srv.unindex(s, name)
		s.forgetPassLocked(name)
	}
	return codes
}
