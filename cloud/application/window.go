package application

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// window is how many rows a session is handed that it has not acknowledged; the engine's queue has room for them. What is beyond waits in
// the store and is read when half of the window is free.
const window = 128

// ref names a row of the queue: of a session, or of a group.
type ref struct{ device, seq int64 }

// handing is which rows a session has been handed. It is guarded by the session's mu.
type handing struct {
	tags    map[uint64]ref
	rows    map[ref]bool // handed, true: acknowledged, and the row is about to go
	open    int          // not acknowledged
	behind  bool         // there may be rows that it was not handed
	missed  uint64       // counts those that came meanwhile
	from    int64        // of the session's own: those from this seq on; all before were handed, or are unknown to this node
	held    bool         // a SUBSCRIBE is not in force yet
	filling bool         // a goroutine reads rows, or is about to
	reading bool         // … right now: rows that go stay known until it is done, since it may still see them
	gone    []ref
	last    uint64 // number of the last row of a group
}

// groupTag marks the tag of a group's row. A session's own row has its seq, so that what a persistent session still has in flight from an
// earlier connection is known.
const groupTag = 1 << 63

// hand gives a row that is committed to the session's connection. It reports false when that has no room for it, or is not there; whoever
// owns the row then has to see to it.
func (s *Session) hand(r ref, m server.Message) bool {
	s.order.Lock()
	defer s.order.Unlock()
	return s.handLocked(r, m, false)
}

// handLocked is hand with order held; with forced, that the session is behind does not matter. mu is not held while the connection takes the message, which may
// be the end of it: see Delivered.
func (s *Session) handLocked(r ref, m server.Message, forced bool) bool {
	link, known := s.admit(r, &m, forced)
	if link == nil {
		return known
	}
	if link.Send(m) == nil {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h := &s.handing // what is not taken stays a row, for the next look
	delete(h.rows, r)
	delete(h.tags, m.Tag)
	h.open--
	s.leftLocked(r)
	return false
}

// leftLocked notes that a row was not handed.
func (s *Session) leftLocked(r ref) {
	s.handing.behind = true
	if r.device == s.ID {
		s.handing.from = min(s.handing.from, r.seq)
	}
}

// admit notes a row as handed and returns the connection for it; nil when it has been handed already, which known says, or cannot be.
func (s *Session) admit(r ref, m *server.Message, forced bool) (link Link, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := &s.handing
	if s.link == nil {
		return nil, false
	}
	if _, known = h.rows[r]; known {
		return nil, true
	}
	if !forced && h.fullLocked() || forced && h.open >= window {
		s.leftLocked(r)
		return nil, false
	}
	m.Tag, m.Firm = uint64(r.seq), true
	if m.Share != "" {
		h.last++
		m.Tag, m.Volatile = groupTag|h.last, true // at the connection's end it is another's
	}
	h.noteLocked(r, false)
	h.tags[m.Tag] = r
	h.open++
	return s.link, false
}

// fullLocked tells whether no more may be handed now; a session that misses something looks for it later.
func (h *handing) fullLocked() bool {
	if !h.behind && h.open < window {
		return false
	}
	h.behind = true
	h.missed++
	return true
}

func (h *handing) noteLocked(r ref, acknowledged bool) {
	if h.rows == nil {
		h.rows, h.tags = map[ref]bool{}, map[uint64]ref{}
	}
	h.rows[r] = acknowledged
}

// wantsLocked tells whether the session still subscribes to a topic other than by a group.
func (s *Session) wantsLocked(name string) bool {
	for _, f := range s.filters {
		if topic.Match(f.Filter, name) {
			return true
		}
	}
	return false
}

// Delivered is told that a session has acknowledged a row. It does not block; the row goes with the next commit.
func (a *Applications) Delivered(s *Session, tag uint64) {
	s.mu.Lock()
	h := &s.handing
	r, ok := h.tags[tag]
	if ok {
		delete(h.tags, tag)
		h.open--
	} else if r = (ref{s.ID, int64(tag)}); tag&groupTag != 0 {
		s.mu.Unlock() // of an earlier connection: it is another's by now
		return
	}
	h.noteLocked(r, true)
	a.refillLocked(s)
	s.mu.Unlock()
	a.remove(s, r)
}

// remove deletes a row that a session is done with.
func (a *Applications) remove(s *Session, r ref) {
	a.Store.Submit(&store.Unit{Device: r.device, Ops: []store.Op{deleteRow.Op(r.device, r.seq)}, Done: func(err error) {
		if err != nil {
			a.metrics.unnoted.Inc()
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.handing.reading {
			s.handing.gone = append(s.handing.gone, r)
			return
		}
		delete(s.handing.rows, r)
	}})
}

// refillLocked has rows read when the session is behind and has room.
func (a *Applications) refillLocked(s *Session) {
	h := &s.handing
	if h.filling || !s.wantsRowsLocked() {
		return
	}
	h.filling = true
	a.work.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), fillWait)
		defer cancel()
		if err := a.fill(ctx, s); err != nil {
			a.Log.Warn("queued messages not sent", "application", s.Identity, "err", err)
		}
	})
}

func (s *Session) wantsRowsLocked() bool {
	h := &s.handing
	return s.link != nil && h.behind && !h.held && h.open <= window/2
}

// Joined is told that what the session has subscribed to is in force: until then it was handed nothing.
func (a *Applications) Joined(s *Session) {
	s.mu.Lock()
	held := s.handing.held
	s.handing.held = false
	s.mu.Unlock()
	if held {
		a.catchUp(s, false)
	}
}

// fillWait bounds the reading of rows.
const fillWait = 10 * time.Second

// catchUp has the session look for rows that it was not handed; with all, also for those of its own that this node does not know of.
func (a *Applications) catchUp(s *Session, all bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.handing.behind = true; all {
		s.handing.from = 0
	}
	a.refillLocked(s)
}

// fill hands a session rows from the store until there are no more, or no room. The session's filling was set for it.
func (a *Applications) fill(ctx context.Context, s *Session) error {
	for {
		s.mu.Lock()
		h := &s.handing
		if !s.wantsRowsLocked() {
			h.filling = false
			s.mu.Unlock()
			return nil
		}
		q, missed := query{room: window - h.open, from: h.from}, h.missed
		for r := range h.rows {
			if r.device != s.ID || r.seq >= q.from {
				q.known++
			}
		}
		h.reading, h.from = true, math.MaxInt64
		s.mu.Unlock()
		found, err := a.waiting(ctx, s, q)
		if err != nil {
			found.from, found.all = q.from, false
		}
		if more := s.take(found, missed); err != nil || !more {
			if err != nil {
				s.mu.Lock()
				h.filling = false
				s.mu.Unlock()
			}
			return err
		}
	}
}

// query is what a session has rows read for: room for so many, its own from a seq on. So many among them were handed already.
type query struct {
	room, known int
	from        int64
}

// found is what was read.
type found struct {
	list []waiting
	all  bool  // there is no more
	from int64 // where the session's own go on
}

// take hands out what was read; missed is how much had been missed before. It reports false, and ends the filling, when it makes no sense to
// read on now.
func (s *Session) take(f found, missed uint64) (more bool) {
	s.order.Lock()
	defer s.order.Unlock()
	s.mu.Lock()
	h := &s.handing
	h.from = min(h.from, f.from)
	if f.all && h.missed == missed {
		h.behind = false
	}
	s.mu.Unlock()
	for _, w := range f.list {
		if s.has(w.ref) {
			continue
		}
		if more = s.handLocked(w.ref, w.m, true); !more {
			break // nor what is behind it, for the order's sake
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h.reading = false
	for _, r := range h.gone {
		delete(h.rows, r)
	}
	h.gone = nil
	h.filling = more || h.missed != missed
	return h.filling
}

// has tells whether the session was handed a row that is not deleted yet.
func (s *Session) has(r ref) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.handing.rows[r]
	return ok
}

// waiting is a row that waits.
type waiting struct {
	ref
	m      server.Message
	member string // of a group that has it
}

// waiting reads rows that the session has not been handed: its own, and then those of its groups.
func (a *Applications) waiting(ctx context.Context, s *Session, q query) (f found, err error) {
	f.all, f.from = true, math.MaxInt64
	if s.ID != 0 {
		list, err := a.rows(ctx, ref{s.ID, q.from - 1}, "", q.room+q.known)
		if err != nil {
			return f, err
		}
		if len(list) == q.room+q.known {
			f.all, f.from = false, list[len(list)-1].seq+1
		}
		f.list = a.dropUnwanted(s, list)
	}
	for _, g := range a.groupsOf(s) {
		if len(f.list) >= q.room+q.known {
			f.all = false
			break
		}
		more, all, err := a.claim(ctx, s, g, q)
		if err != nil {
			return f, err
		}
		f.all = f.all && all
		f.list = append(f.list, more...)
	}
	return f, nil
}

// dropUnwanted deletes the rows to whose topics the session does not subscribe any more.
func (a *Applications) dropUnwanted(s *Session, list []waiting) []waiting {
	kept := list[:0]
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range list {
		if s.wantsLocked(w.m.Topic) {
			kept = append(kept, w)
			continue
		}
		a.Store.Submit(&store.Unit{Device: w.device, Ops: []store.Op{deleteRow.Op(w.device, w.seq)}, Done: func(error) {}})
	}
	return kept
}

// underway is how long the note of a row that was given to a member may take: before, it is not read, or it would come twice.
const underway = 10 * time.Second

// rows reads rows behind a place, oldest first: those of a session, or with member those of a group that are nobody's or that member's.
func (a *Applications) rows(ctx context.Context, after ref, member string, limit int) (list []waiting, err error) {
	rows, err := a.Store.Query(ctx, `SELECT seq, topic, payload, qos, retain, member FROM queue WHERE device = ? AND seq > ? AND expires_at > ?
		AND (member = '' OR member = ? AND seq < ?) ORDER BY seq LIMIT ?`,
		after.device, after.seq, a.now().UnixMilli(), member, int64(message.FirstID(a.now().Add(-underway))), limit)
	if err != nil {
		return nil, fmt.Errorf("read queue of application: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		w := waiting{ref: ref{device: after.device}}
		var qos, retain int64
		if err := rows.Scan(&w.seq, &w.m.Topic, &w.m.Payload, &qos, &retain, &w.member); err != nil {
			return list, err
		}
		w.m.QoS, w.m.Retain = byte(qos), retain != 0
		list = append(list, w)
	}
	return list, nil
}
