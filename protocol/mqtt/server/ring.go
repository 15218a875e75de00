package server

import "github.com/hawser-iot/hawser/protocol/mqtt/packet"

// ackRing holds the acknowledgements that a connection owes, in the order in which the publishes came. It is
// empty memory when nothing is owed.
type ackRing struct {
	slots []ack // length is a power of two
	head  uint32
	tail  uint32
}

type ack struct {
	id    uint16
	kind  packet.Type // PUBACK, PUBREC or PUBCOMP
	code  packet.Code // sent to clients of 5.0
	ready bool
}

// keepSlots is the largest ring that an idle connection keeps.
const keepSlots = 8

// ringLocked is what the connection owes, made with the first.
func (c *conn) ringLocked() *ackRing {
	if c.acks == nil {
		c.acks = &ackRing{}
	}
	return c.acks
}

// push owes an acknowledgement and returns its number.
func (r *ackRing) push(a ack) uint32 {
	if n := uint32(len(r.slots)); r.tail-r.head == n {
		grown := make([]ack, max(4, 2*n))
		for i := r.head; i != r.tail; i++ {
			grown[i%uint32(len(grown))] = r.slots[i%n]
		}
		r.slots = grown
	}
	r.slots[r.tail%uint32(len(r.slots))] = a
	r.tail++
	return r.tail - 1
}

// ready marks acknowledgement number seq as earned.
func (r *ackRing) ready(seq uint32, code packet.Code) {
	a := &r.slots[seq%uint32(len(r.slots))]
	a.ready, a.code = true, code
}

// pop returns the oldest acknowledgement if it is earned.
func (r *ackRing) pop() (a ack, ok bool) {
	if r.head == r.tail {
		return a, false
	}
	a = r.slots[r.head%uint32(len(r.slots))]
	if !a.ready {
		return a, false
	}
	r.head++
	if r.head == r.tail && len(r.slots) > keepSlots {
		r.slots = nil
	}
	return a, true
}
