package server

import (
	"sync/atomic"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
)

// Stats is a snapshot of a server's counters. All but the first two only grow.
type Stats struct {
	Connections int // open now, handshakes included
	Sessions    int // known now, offline persistent ones included

	Accepted     uint64 // connections taken from listeners
	AcceptErrors uint64 // Accept calls that failed
	Connects     uint64 // CONNECTs welcomed

	PublishIn    [3]uint64 // publishes handed to the owner, by QoS
	PublishOut   [3]uint64 // publishes written to clients, by QoS, repeats included
	Redelivered  uint64    // of those, repeats with DUP
	BytesIn      uint64
	BytesOut     uint64
	Writes       uint64 // writes to connections; BytesOut/Writes tells how well they gather
	Paused       uint64 // times reading stopped for a full window, a rate or a slow reader
	Unsubscribed uint64 // Send calls that found no filter

	Expired uint64 // sessions that ended by their expiry

	Closed  map[Cause]uint64              // ended connections
	Refused map[packet.ConnackCode]uint64 // refused CONNECTs
	Denied  uint64                        // filters answered with packet.SubackFailure
	Dropped map[Drop]uint64               // messages
	Broken  map[string]uint64             // malformed packets by reason, a bounded set
}

// counters are the live form of Stats.
type counters struct {
	accepted, acceptErrors, connects atomic.Uint64
	publishIn, publishOut            [3]atomic.Uint64
	redelivered                      atomic.Uint64
	bytesIn, bytesOut, writes        atomic.Uint64
	paused, unsubscribed, denied     atomic.Uint64
	expired                          atomic.Uint64
	closed                           [causes]atomic.Uint64
	refused                          [6]atomic.Uint64
	dropped                          [drops]atomic.Uint64
	broken                           [packet.Reasons]atomic.Uint64
}

// Stats returns a snapshot of the counters.
func (s *Server) Stats() Stats {
	n := &s.stats
	out := Stats{
		Connections: s.Connections(), Accepted: n.accepted.Load(), AcceptErrors: n.acceptErrors.Load(),
		Connects: n.connects.Load(), Redelivered: n.redelivered.Load(), BytesIn: n.bytesIn.Load(),
		BytesOut: n.bytesOut.Load(), Writes: n.writes.Load(), Paused: n.paused.Load(),
		Unsubscribed: n.unsubscribed.Load(), Denied: n.denied.Load(), Expired: n.expired.Load(),
		Closed: map[Cause]uint64{}, Refused: map[packet.ConnackCode]uint64{}, Dropped: map[Drop]uint64{}, Broken: map[string]uint64{},
	}
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		out.Sessions += len(sh.sessions)
		sh.mu.Unlock()
	}
	for i := range n.publishIn {
		out.PublishIn[i], out.PublishOut[i] = n.publishIn[i].Load(), n.publishOut[i].Load()
	}
	fill(out.Closed, n.closed[:])
	fill(out.Refused, n.refused[:])
	fill(out.Dropped, n.dropped[:])
	for i := range n.broken {
		if v := n.broken[i].Load(); v > 0 {
			out.Broken[packet.Reason(i).String()] = v
		}
	}
	return out
}

// fill copies the counters that are not 0 to a map by their index.
func fill[K Cause | Drop | packet.ConnackCode](m map[K]uint64, from []atomic.Uint64) {
	for i := range from {
		if v := from[i].Load(); v > 0 {
			m[K(i)] = v
		}
	}
}
