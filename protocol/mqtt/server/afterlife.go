package server

import "time"

// afterlife is what a session without a connection waits for: the delay of its will, and its expiry.
type afterlife struct {
	timed
	s      *Session
	will   *Will
	willAt int64     // tick at which the will is published, 0 = there is none
	endAt  int64     // tick at which the session ends, 0 = never
	until  time.Time // the same, exactly; zero = never
}

// outliveLocked makes the session wait; will is one whose delay is not over.
func (s *Session) outliveLocked(will *Will) {
	w := &s.srv.wheel
	expiry := s.expiry.Load()
	if will == nil && expiry == NoExpiry {
		return
	}
	a := &afterlife{s: s, will: will}
	a.what = a
	first := int64(0)
	if expiry != NoExpiry {
		d := time.Duration(expiry) * time.Second
		a.until, a.endAt = time.Now().Add(d), w.after(d)
		first = a.endAt
	}
	if will != nil {
		a.willAt = w.after(time.Duration(will.Delay) * time.Second)
		if first == 0 || a.willAt < first {
			first = a.willAt
		}
	}
	s.after = a
	w.add(&a.timed, first)
}

// resumeLocked ends the waiting; it returns the will that was not published, and whether the session was over already.
func (s *Session) resumeLocked() (will *Will, over bool) {
	a := s.after
	if a == nil {
		return nil, false
	}
	s.after = nil
	s.srv.wheel.remove(&a.timed)
	return a.will, !a.until.IsZero() && !time.Now().Before(a.until)
}

// late is called by the wheel; nothing here was noted under a tick.
func (a *afterlife) late(int64, int64) {}

// checkDeadline publishes the will and ends the session when it is time.
func (a *afterlife) checkDeadline(now int64) (next int64) {
	s := a.s
	sh := s.srv.shard(s.identity)
	sh.mu.Lock()
	s.mu.Lock()
	var will *Will
	over := false
	if s.after == a {
		over = a.endAt != 0 && now >= a.endAt
		if a.will != nil && (over || now >= a.willAt) {
			will, a.will, a.willAt = a.will, nil, 0
		}
		next = a.endAt
		if a.willAt != 0 && (next == 0 || a.willAt < next) {
			next = a.willAt
		}
	}
	if over {
		next, s.after = 0, nil
		if sh.sessions[s.identity] == s {
			delete(sh.sessions, s.identity)
		}
		s.dropAllLocked()
	}
	s.mu.Unlock()
	sh.mu.Unlock()
	s.publishWill(will)
	if over {
		s.srv.stats.expired.Add(1)
		s.srv.expired(s)
	}
	return next
}

// Expirer is what an owner implements as well that keeps something for sessions.
type Expirer interface {
	// Expired is told that a session without a connection has ended by its expiry. It must not block.
	Expired(s *Session)
}

func (s *Server) expired(one *Session) {
	if e, ok := s.owner.(Expirer); ok {
		e.Expired(one)
	}
}

// publishWill gives the owner a will, if there is one.
func (s *Session) publishWill(w *Will) {
	if w == nil {
		return
	}
	t := s.srv.pools.token()
	*t = Publish{Topic: w.Topic, Payload: w.Payload, QoS: w.QoS, Retain: w.Retain, Will: true, Properties: w.Properties, srv: s.srv, s: s}
	s.srv.owner.Publish(s, t)
}
