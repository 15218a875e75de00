package server

// Limits are what an owner grants a connection of what Config allows.
type Limits struct {
	// Rate and ByteRate, if not 0, replace Config's; negative means unlimited.
	Rate, ByteRate float64
	// NoQoS2 and NoRetain refuse what they say: a client of 5.0 is told and cut off when it does not mind; before, a QoS 2 publish
	// ends the connection and RETAIN is ignored.
	NoQoS2, NoRetain bool
}

// limits are Limits in force.
type limits struct {
	rate     *rate // nil without a bound
	switches Limits
}

// limits returns nil when nothing is limited: most connections spend no memory on it.
func (c *Config) limits(l Limits) *limits {
	msgs, bytes := c.Rate, c.ByteRate
	if l.Rate != 0 {
		msgs = l.Rate
	}
	if l.ByteRate != 0 {
		bytes = l.ByteRate
	}
	r := newRate(msgs, bytes)
	if r == nil && !l.NoQoS2 && !l.NoRetain {
		return nil
	}
	return &limits{r, l}
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
	c.limits.Store(c.srv.cfg.limits(l))
	c.mu.Lock()
	c.signalLocked()
	c.mu.Unlock()
}
