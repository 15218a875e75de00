package server

import (
	"slices"
	"strings"
)

// backlog is what is retained for new subscriptions of a session and not sent yet: a place for each subscription, no messages. They are read
// a page at a time, when there is room for one, so that any number of them costs a session the same. It is the session's, and guarded by its mu.
type backlog struct {
	passes  []*pass
	reading bool          // a goroutine reads a page, or is about to
	done    chan struct{} // closed when it does no more; made by who waits for it

	// What was retained while the page was read: its messages of these topics may be old.
	fresh []string
	stale bool // there were too many to list
}

// pass is the reading for one subscription.
type pass struct {
	sub   Subscription
	after string // topic of the last message that was taken
	again bool   // subscribed to once more meanwhile: it starts anew behind the page that is read now
}

// maxFresh bounds backlog.fresh.
const maxFresh = 64

// begin has what is retained for subs read from the start. It reports whether the caller is to read the first page: see refill.
func (s *Session) beginBacklog(subs []Subscription) bool {
	if len(subs) == 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.late == nil {
		s.late = &backlog{}
	}
	b := s.late
	for _, sub := range subs {
		i := slices.IndexFunc(b.passes, func(p *pass) bool { return p.sub.Filter == sub.Filter })
		switch {
		case i < 0:
			b.passes = append(b.passes, &pass{sub: sub})
		case i == 0 && b.reading:
			b.passes[0].sub, b.passes[0].again = sub, true
		default:
			b.passes[i] = &pass{sub: sub}
		}
	}
	if b.reading {
		return false
	}
	b.reading = true
	return true
}

// forgetPassLocked ends the pass of a filter that is subscribed to no more.
func (s *Session) forgetPassLocked(filter string) {
	if s.late != nil {
		s.late.passes = slices.DeleteFunc(s.late.passes, func(p *pass) bool { return p.sub.Filter == filter })
	}
}

// refillLocked has the next page read when there is room for it.
func (s *Session) refillLocked(c *conn) {
	b := s.late
	if b == nil || b.reading || !s.attached || s.pageLocked(c) == 0 {
		return
	}
	b.reading = true
	go s.refill(c, anyPages)
}

// pageLocked is how many retained messages are to be read now. Half of the queue is theirs, so that what is published meanwhile has room, too.
func (s *Session) pageLocked(c *conn) int {
	cfg := &s.srv.cfg
	most := max(1, cfg.OutQueue/2)
	if s.c != c || !s.ready || len(s.late.passes) == 0 || len(s.queue) > most/4 || s.bytes > cfg.OutBytes/8 {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.waitingBytesLocked() >= highWater {
		return 0
	}
	return most - len(s.queue)
}

// anyPages lets refill read as many pages as there is room for.
const anyPages = -1

// refill reads pages as long as there is room, at most so many. The session's reading was set for it.
func (s *Session) refill(c *conn, pages int) {
	for ; ; pages-- {
		s.mu.Lock()
		b := s.late
		b.fresh, b.stale = nil, false
		n := s.pageLocked(c)
		if n == 0 || pages == 0 {
			break
		}
		p := b.passes[0]
		sub, after := p.sub, p.after
		s.mu.Unlock()
		page, err := s.srv.owner.(Retainer).Retained(s, sub, after, n)
		s.mu.Lock()
		tags := s.takePageLocked(c, p, page, err)
		if err != nil {
			c.close(CauseOwner)
		}
		s.mu.Unlock()
		for _, tag := range tags {
			s.srv.owner.Delivered(s, tag)
		}
	}
	b := s.late
	b.reading = false
	if b.done != nil {
		close(b.done)
		b.done = nil
	}
	if len(b.passes) == 0 {
		s.late = nil
	} else if pages == 0 {
		s.refillLocked(c)
	}
	s.mu.Unlock()
}

// takePageLocked sends a page, as far as it is not overtaken by what was sent while it was read; the rest is read again. It returns the tags
// of what needs no acknowledgement.
func (s *Session) takePageLocked(c *conn, p *pass, page []Message, err error) (tags []uint64) {
	b := s.late
	wanted := len(b.passes) > 0 && b.passes[0] == p
	cut := len(page)
	switch {
	case !wanted || b.stale:
		cut = 0
	case len(b.fresh) > 0:
		if i := slices.IndexFunc(page, func(m Message) bool { return slices.Contains(b.fresh, m.Topic) }); i >= 0 {
			cut = i
		}
	}
	d := delivery{qos: p.sub.QoS, retain: true, backlog: true}
	if p.sub.ID != 0 {
		d.ids = []uint32{p.sub.ID}
	}
	for i := range page[:cut] {
		if done, _ := s.sendLocked(&page[i], &d); done {
			tags = appendTag(tags, page[i].Tag)
		}
		p.after = page[i].Topic
	}
	for i := range page[cut:] {
		tags = appendTag(tags, page[cut+i].Tag)
	}
	switch {
	case !wanted:
	case p.again:
		p.again, p.after = false, ""
	case err == nil && len(page) == 0:
		b.passes = slices.Delete(b.passes, 0, 1)
	}
	if cut > 0 {
		p.after = strings.Clone(p.after)
	}
	return tags
}

// noteFreshLocked is told of a message that was published with RETAIN and is sent now.
func (s *Session) noteFreshLocked(m *Message) {
	b := s.late
	switch {
	case b == nil || !b.reading || !m.Retain || b.stale:
	case len(b.fresh) < maxFresh:
		b.fresh = append(b.fresh, strings.Clone(m.Topic))
	default:
		b.stale = true
	}
}

// endBacklogLocked waits for a page that is being read, at the end of a connection, and ends what is not for the next one.
func (s *Session) endBacklogLocked() {
	for s.late != nil && s.late.reading {
		if s.late.done == nil {
			s.late.done = make(chan struct{})
		}
		done := s.late.done
		s.mu.Unlock()
		<-done
		s.mu.Lock()
	}
	if s.late == nil {
		return
	}
	s.late.passes = slices.DeleteFunc(s.late.passes, func(p *pass) bool { return s.Clean() || p.sub.QoS == 0 })
	if len(s.late.passes) == 0 {
		s.late = nil
	}
}
