package server

import (
	"errors"
	"sync"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
)

// inbound is what a session knows of the QoS 2 publishes of its client that are not released; exactly once rests on it. It
// moves with the state of a persistent session, so that a Done that comes after a reconnect still finds its id.
type inbound struct {
	mu  sync.Mutex // taken before conn.mu; guards ids
	ids map[uint16]inboundID
}

// inboundID is one id between PUBLISH and PUBREL.
type inboundID struct {
	received bool  // the owner has taken it; else it is with the owner
	c        *conn // the connection that it came by last, nil once received
	seq      uint32
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

func newInbound(received []uint16) *inbound {
	in := &inbound{ids: make(map[uint16]inboundID, len(received))}
	in.add(received)
	return in
}

// add takes in what the owner's store knows.
func (in *inbound) add(received []uint16) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, id := range received {
		if _, ok := in.ids[id]; !ok {
			in.ids[id] = inboundID{received: true}
		}
	}
}

// inbound returns the session's table, made at first use.
func (s *Session) inbound() *inbound {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.in == nil {
		s.in = newInbound(nil)
	}
	return s.in
}

// note returns the state of an id and notes a new one as pending. For one that came by an earlier connection and is still with the
// owner, c owes the PUBREC from now on.
func (in *inbound) note(c *conn, id uint16) (idState, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	known, ok := in.ids[id]
	switch {
	case ok && known.received:
		return idReceived, nil
	case ok:
		if known.c != c {
			in.ids[id] = inboundID{c: c, seq: c.owe(id)}
		}
		return idPending, nil
	case len(in.ids) >= maxReceived:
		return idNew, endWith(CauseProtocol, errUnreleased)
	}
	in.ids[id] = inboundID{c: c}
	return idNew, nil
}

// owe adds a PUBREC that an earlier connection's Done will earn.
func (c *conn) owe(id uint16) uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending++
	return c.ringLocked().push(ack{id: id, kind: packet.PUBREC})
}

// settle ends the time of an id with the owner: it is received, or forgotten when the owner did not take it. It returns the
// connection that owes the PUBREC if that is another than c.
func (in *inbound) settle(c *conn, id uint16, taken bool) (other *conn, seq uint32) {
	in.mu.Lock()
	defer in.mu.Unlock()
	known, ok := in.ids[id]
	switch {
	case !ok || known.received: // released meanwhile
		return nil, 0
	case taken:
		in.ids[id] = inboundID{received: true}
	default:
		delete(in.ids, id)
	}
	if known.c == c {
		return nil, 0
	}
	return known.c, known.seq
}

// forget frees an id; it reports whether it was known.
func (in *inbound) forget(id uint16) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	_, ok := in.ids[id]
	delete(in.ids, id)
	return ok
}

func (in *inbound) len() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.ids)
}
