package server

import (
	"slices"
	"sync/atomic"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/trie"
)

// audience is who has subscribed to one filter in the server's tree. Its slices are never changed in place.
type audience struct {
	plain  []string // identities
	groups []*group
}

// group is a shared subscription.
type group struct {
	filter  string // as subscribed, "$share/group/filter"
	members []string
	next    *atomic.Uint32 // round robin
}

// indexable tells whether a filter can be in the tree if it has to be.
func (s *Session) indexable(filter string) bool {
	_, rest, shared, ok := packet.Share(filter)
	return ok && (!shared && !s.routed || trie.Fits(rest))
}

// index puts a filter of s into the tree, if it belongs there.
func (s *Server) index(one *Session, filter string) {
	_, rest, shared, _ := packet.Share(filter)
	if !shared && !one.routed {
		return
	}
	s.subs.Update(rest, func(a audience, _ bool) (audience, bool) {
		if !shared {
			a.plain = with(a.plain, one.identity)
			return a, true
		}
		groups := slices.Clone(a.groups)
		if i := a.group(filter); i >= 0 {
			groups[i] = &group{filter, with(groups[i].members, one.identity), groups[i].next}
		} else {
			groups = append(groups, &group{filter, []string{one.identity}, new(atomic.Uint32)})
		}
		a.groups = groups
		return a, true
	})
}

// unindex takes a filter of s out of the tree.
func (s *Server) unindex(one *Session, filter string) {
	_, rest, shared, _ := packet.Share(filter)
	if !shared && !one.routed {
		return
	}
	s.subs.Update(rest, func(a audience, _ bool) (audience, bool) {
		if !shared {
			a.plain = without(a.plain, one.identity)
			return a, a.some()
		}
		i := a.group(filter)
		if i < 0 {
			return a, a.some()
		}
		groups := slices.Clone(a.groups)
		groups[i] = &group{filter, without(groups[i].members, one.identity), groups[i].next}
		if len(groups[i].members) == 0 {
			groups = slices.Delete(groups, i, i+1)
		}
		a.groups = groups
		return a, a.some()
	})
}

func (a *audience) some() bool { return len(a.plain)+len(a.groups) > 0 }

func (a *audience) group(filter string) int {
	return slices.IndexFunc(a.groups, func(g *group) bool { return g.filter == filter })
}

func with(list []string, one string) []string {
	if slices.Contains(list, one) {
		return list
	}
	return append(slices.Clone(list), one)
}

func without(list []string, one string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == one })
}

// Route sends m to all that have subscribed to its topic among the Routed sessions, and to one member of each shared subscription
// that matches. It returns how many have taken it. Like Send it never blocks on the network.
func (s *Server) Route(m Message) (taken int) {
	var plain []string
	var groups []*group
	s.subs.Match(m.Topic, func(a audience) bool {
		plain = append(plain, a.plain...)
		groups = append(groups, a.groups...)
		return true
	})
	slices.Sort(plain) // a session with several filters gets one copy, which tells of all
	for _, identity := range slices.Compact(plain) {
		if to, ok := s.Session(identity); ok && to.Send(m) == nil {
			taken++
		}
	}
	for _, g := range groups {
		if s.toGroup(g, &m) {
			taken++
		}
	}
	return taken
}

// toGroup gives m to the next member that is online, or lets it wait for one that is not.
func (s *Server) toGroup(g *group, m *Message) bool {
	first := int(g.next.Add(1) - 1)
	for _, online := range []bool{true, false} {
		for i := range g.members {
			to, ok := s.Session(g.members[(first+i)%len(g.members)])
			if ok && to.Online() == online && to.sendShared(g.filter, m) {
				return true
			}
		}
	}
	s.stats.dropped[DropNoMember].Add(1)
	return false
}

// sendShared sends m by the shared subscription of that name.
func (s *Session) sendShared(filter string, m *Message) bool {
	d, ok := s.sharedDelivery(filter, m)
	d.share = filter
	return ok && s.send(m, &d) == nil
}

// sharedDelivery is what the shared subscription of that name makes of m.
func (s *Session) sharedDelivery(filter string, m *Message) (d delivery, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.filterLocked(filter)
	if at < 0 {
		return d, false
	}
	f := &s.filters[at]
	d = delivery{qos: f.QoS, retain: m.Retain && f.Options&packet.RetainAsPublished != 0}
	if f.ID != 0 {
		d.ids = []uint32{f.ID}
	}
	return d, true
}

// orphansLocked are the messages of shared subscriptions that a session leaves behind unacknowledged.
func (s *Session) orphansLocked() (list []outgoing) {
	for _, from := range [][]outgoing{s.flight, s.queue} {
		for i := range from {
			if o := &from[i]; o.share != "" && o.qos == 1 && o.pkt != nil {
				list = append(list, *o)
			}
		}
	}
	return list
}

// reroute gives what a member has left behind to others of its group.
func (s *Server) reroute(version byte, orphans []outgoing) {
	for i := range orphans {
		o := &orphans[i]
		p, ok := decodePublish(o.pkt, version)
		_, rest, _, _ := packet.Share(o.share)
		a, found := s.subs.Get(rest)
		if !ok || !found || o.expired() {
			continue
		}
		if at := a.group(o.share); at >= 0 {
			s.toGroup(a.groups[at], &Message{Topic: string(p.Topic), Payload: p.Payload, QoS: p.QoS, Expiry: o.expiry, Properties: p.Properties})
		}
	}
}
