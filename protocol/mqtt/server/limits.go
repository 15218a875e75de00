package server

import "sync"

// Limits are what an owner grants a connection of what Config allows.
type Limits struct {
	// Rate and ByteRate, if not 0, replace Config's; negative means unlimited.
	Rate, ByteRate float64
	// NoQoS2 and NoRetain refuse what they say: a client of 5.0 is told and cut off when it does not mind; before, a QoS 2 publish
	// ends the connection and RETAIN is ignored.
	NoQoS2, NoRetain bool
	// Subscriptions, if not 0, replaces Config.MaxSubscriptions.
	Subscriptions int
	// RateOf, for a connection that carries several, says whose rate a publish to a topic counts against; nil from it, or without
	// it, is the connection's own. It is called on the connection's goroutine and must not keep the topic.
	RateOf func(topic string) *Rate
}

// Rate is what one of those has used of its own bound. It belongs to one connection at a time.
type Rate struct{ rate *rate }

// NewRate returns a Rate of so many messages and bytes of publishes a second, 0 for no bound; nil without any.
func NewRate(msgs, bytes float64) *Rate {
	p := newPace(msgs, bytes)
	if p == (pace{}) {
		return nil
	}
	return &Rate{&rate{pace: &p}}
}

// limits are Limits in force on one connection.
type limits struct {
	rate
	*terms
}

// terms are Limits in force as all connections share them that got the same.
type terms struct {
	pace     pace
	switches Limits
}

// shared finds the terms of equal Limits.
type shared struct {
	mu  sync.Mutex // guards all
	all map[sameLimits]*terms
}

// sameLimits are Limits that can be compared; those with RateOf are a connection's own.
type sameLimits struct {
	rate, byteRate   float64
	noQoS2, noRetain bool
	subscriptions    int
}

// sharedMost bounds what is remembered; beyond it connections share less.
const sharedMost = 1000

// limits returns nil when nothing is limited: most connections spend no memory on it.
func (s *Server) limits(l Limits) *limits {
	if l.Rate == 0 {
		l.Rate = s.cfg.Rate
	}
	if l.ByteRate == 0 {
		l.ByteRate = s.cfg.ByteRate
	}
	t := s.terms.of(l)
	if t.pace == (pace{}) && !l.NoQoS2 && !l.NoRetain && l.Subscriptions == 0 && l.RateOf == nil {
		return nil
	}
	return &limits{rate{pace: &t.pace}, t}
}

func (s *shared) of(l Limits) *terms {
	if l.RateOf != nil {
		return &terms{newPace(l.Rate, l.ByteRate), l}
	}
	key := sameLimits{l.Rate, l.ByteRate, l.NoQoS2, l.NoRetain, l.Subscriptions}
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.all[key]; t != nil {
		return t
	}
	t := &terms{newPace(l.Rate, l.ByteRate), l}
	if len(s.all) >= sharedMost || s.all == nil {
		s.all = map[sameLimits]*terms{}
	}
	s.all[key] = t
	return t
}

// rateOf is the rate that a publish to a topic counts against; nil without a bound.
func (l *limits) rateOf(topic string) *rate {
	if l.switches.RateOf != nil {
		if r := l.switches.RateOf(topic); r != nil {
			return r.rate
		}
	}
	if l.terms.pace == (pace{}) {
		return nil
	}
	return &l.rate
}

// subscriptions is how many filters the connection may have, by default most.
func (l *limits) subscriptions(most int) int {
	if l != nil && l.switches.Subscriptions != 0 {
		return l.switches.Subscriptions
	}
	return most
}

func (l *limits) noQoS2() bool { return l != nil && l.switches.NoQoS2 }

func (l *limits) noRetain() bool { return l != nil && l.switches.NoRetain }

// SetLimits replaces the limits of the session's connection, if it has one; the next publish is judged by them, and one that is
// held back to the old rate is let go. A client of 5.0 cannot be told of a switch that was turned off: it is cut off at a publish
// that it may not make any longer, and learns of it when it comes back.
func (s *Session) SetLimits(l Limits) {
	s.mu.Lock()
	c := s.c
	s.mu.Unlock()
	if c == nil {
		return
	}
	c.limits.Store(c.srv.limits(l))
	c.mu.Lock()
	c.signalLocked()
	c.mu.Unlock()
}
