package server

import (
	"errors"
	"sync"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
)

// Session is what the engine holds for one identity from CONNECT on. A reconnect makes a new Session, to which
// the state of a persistent one moves. Its methods may be called at any time from any goroutine.
type Session struct {
	srv      *Server
	identity string
	remote   string
	data     any
	clean    bool

	mu      sync.Mutex // guards the fields below; taken after shard.mu and before conn.mu
	c       *conn      // nil once the connection is over
	ready   bool       // CONNACK is written: messages may follow
	ended   bool       // the owner got Disconnect
	forget  bool
	gone    chan struct{} // closed when ended; made by who waits for it
	filters []Subscription
	recv    map[uint16]bool // inbound QoS 2 ids between PUBLISH and PUBREL; true: received, false: with the owner
	sending
}

// Identity is what the owner named the session.
func (s *Session) Identity() string { return s.identity }

// Data is the owner's own, from Welcome.
func (s *Session) Data() any { return s.data }

// Clean reports whether the session ends with its connection.
func (s *Session) Clean() bool { return s.clean }

// Remote is the peer's address at CONNECT.
func (s *Session) Remote() string { return s.remote }

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

// inherit moves the state of an ended session to n, or drops it when n is clean; present tells whether there was any.
// It returns false when old still has its connection. The shard's mu is held.
func (n *Session) inherit(old *Session, present *bool) bool {
	old.mu.Lock()
	defer old.mu.Unlock()
	if !old.ended {
		return false
	}
	if n.clean {
		old.dropAllLocked()
		return true
	}
	n.filters, n.recv, n.sending = old.filters, old.recv, old.sending
	old.filters, old.recv, old.sending = nil, nil, sending{}
	*present = true
	return true
}

// welcome writes CONNACK, and behind it the messages in flight of an earlier connection and those that waited.
func (s *Session) welcome(c *conn, present bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.mu.Lock()
	if c.closed {
		defer c.mu.Unlock()
		return endWith(c.cause, nil)
	}
	o := c.outLocked()
	o.b = packet.AppendConnack(o.b, present, packet.Accepted)
	c.welcomed = true
	c.mu.Unlock()
	s.ready = true
	s.resendLocked(c)
	s.pumpLocked(c)
	c.mu.Lock()
	c.flushLocked()
	c.mu.Unlock()
	return nil
}

// end detaches the session from its connection, publishes the will, tells the owner and wakes a connection that takes over.
func (s *Session) end(c *conn, cause Cause) {
	s.mu.Lock()
	s.c, s.ready = nil, false
	s.dropUnkeptLocked()
	for id, received := range s.recv {
		if !received {
			delete(s.recv, id)
		}
	}
	s.mu.Unlock()
	if cause != CauseDisconnect {
		c.publishWill(s)
	}
	s.srv.owner.Disconnect(s, cause)

	sh := s.srv.shard(s.identity)
	sh.mu.Lock()
	s.mu.Lock()
	s.ended = true
	if s.clean || s.forget {
		delete(sh.sessions, s.identity)
		s.dropAllLocked()
	}
	if s.gone != nil {
		close(s.gone)
	}
	s.mu.Unlock()
	sh.mu.Unlock()
}

// dropAllLocked forgets everything that a persistent session would keep.
func (s *Session) dropAllLocked() {
	lost := len(s.flight) + len(s.queue)
	s.srv.stats.dropped[DropConnection].Add(uint64(lost))
	s.filters, s.recv, s.sending = nil, nil, sending{}
}

// withinLimit returns the requests that fit below limit and marks the others refused in codes.
func (s *Session) withinLimit(all []Subscription, limit int, codes []byte) []Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	have := len(s.filters)
	if have+len(all) <= limit {
		return all
	}
	asked := make([]Subscription, 0, len(all))
	for i, req := range all {
		switch {
		case s.filterLocked(req.Filter) >= 0:
		case have < limit:
			have++
		default:
			codes[i] = packet.SubackFailure
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

// subscribed puts the granted filters in force and writes SUBACK, so that no message comes between.
func (s *Session) subscribed(c *conn, id uint16, all []Subscription, codes []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, req := range all {
		if codes[i] == packet.SubackFailure {
			continue
		}
		if at := s.filterLocked(req.Filter); at >= 0 {
			s.filters[at].QoS = codes[i]
			continue
		}
		s.filters = append(s.filters, Subscription{Filter: req.Filter, QoS: codes[i]})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	o := c.outLocked()
	o.b = packet.AppendSuback(o.b, id, codes)
	c.flushLocked()
}

func (s *Session) unsubscribed(names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		if at := s.filterLocked(name); at >= 0 {
			s.filters = append(s.filters[:at], s.filters[at+1:]...)
		}
	}
}

// idState is what a session knows of an inbound QoS 2 packet id.
type idState uint8

const (
	idNew      idState = iota
	idPending          // with the owner
	idReceived         // PUBREC was earned, PUBREL has not come
)

// maxReceived bounds the ids that a client may leave unreleased.
const maxReceived = 4096

var errUnreleased = errors.New("too many QoS 2 publishes without PUBREL")

// note returns the state of an inbound id and notes a new one as pending.
func (s *Session) note(id uint16) (idState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	received, ok := s.recv[id]
	switch {
	case ok && received:
		return idReceived, nil
	case ok:
		return idPending, nil
	case len(s.recv) >= maxReceived:
		return idNew, endWith(CauseProtocol, errUnreleased)
	}
	if s.recv == nil {
		s.recv = map[uint16]bool{}
	}
	s.recv[id] = false
	return idNew, nil
}

// received moves an id from pending to received, or forgets it when the owner could not take the message.
func (s *Session) received(c *conn, id uint16, taken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.c != c: // the client sends again on its next connection
	case !taken:
		delete(s.recv, id)
	default:
		if _, ok := s.recv[id]; ok { // not released meanwhile
			s.recv[id] = true
		}
	}
}

// released forgets an id after PUBREL.
func (s *Session) released(id uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.recv, id)
	if len(s.recv) == 0 {
		s.recv = nil
	}
}
