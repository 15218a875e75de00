package presence

import (
	"sync"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// held are the sub-devices of gateways whose connection was taken over by their own new one: they count as online until the
// gateway logs them in again, logs them out, goes, or Config.Grace is over. Nothing reaches them meanwhile.
type held struct {
	wake chan struct{}
	mu   sync.Mutex // guards all
	all  map[int64]*waiting
}

// waiting are those of one gateway.
type waiting struct {
	due  time.Time
	subs map[ident.Device]*Session
}

// hold keeps subs for the gateway's new connection. Those who come back over another node have a newer epoch by the time, which
// saves them from an Offline.
func (p *Presence) hold(gateway *Session, subs []*Session) {
	if len(subs) == 0 {
		return
	}
	h := &p.held
	h.mu.Lock()
	w := h.all[gateway.Device.ID]
	if w == nil {
		w = &waiting{subs: make(map[ident.Device]*Session, len(subs))}
	}
	w.due = p.now().Add(p.cfg.Grace)
	for _, s := range subs {
		p.local.remove(s)
		s.end()
		w.subs[s.Device.Identity] = s
	}
	if h.all == nil {
		h.all = map[int64]*waiting{}
	}
	h.all[gateway.Device.ID] = w
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// forget takes one out and returns it, nil when it is not there.
func (h *held) forget(gateway int64, dev ident.Device) *Session {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := h.all[gateway]
	if w == nil {
		return nil
	}
	s := w.subs[dev]
	if delete(w.subs, dev); len(w.subs) == 0 {
		delete(h.all, gateway)
	}
	return s
}

// release takes all of a gateway out.
func (h *held) release(gateway int64) []*Session {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := h.all[gateway]
	if w == nil {
		return nil
	}
	delete(h.all, gateway)
	list := make([]*Session, 0, len(w.subs))
	for _, s := range w.subs {
		list = append(list, s)
	}
	return list
}

// due are the gateways whose time is over, and when the next one's is.
func (h *held) due(now time.Time) (over []int64, next time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, w := range h.all {
		switch {
		case !w.due.After(now):
			over = append(over, id)
		case next.IsZero() || w.due.Before(next):
			next = w.due
		}
	}
	return over, next
}

// expireHeld ends those who were not logged in again in time, and returns when to look again.
func (p *Presence) expireHeld(now time.Time) (next time.Time) {
	over, next := p.held.due(now)
	for _, gateway := range over {
		for _, s := range p.held.release(gateway) {
			p.leave(s, registry.ReasonGateway)
		}
	}
	return next
}
