package metric

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// Live points: while somebody watches, and for a while after, each node counts by the second, tells the others what it has counted, and
// shows its watchers the sum. A node tells the others that it has watchers by watchSubject; who hears it tells on countSubject for
// askedFor. Nothing is written.
const (
	watchSubject = "hawser.metrics.watch"
	countSubject = "hawser.metrics.count"
	liveEvery    = time.Second
	askEvery     = 2 * time.Second
	askedFor     = 6 * time.Second
	lingering    = time.Minute // how long a watcher who has gone may take to come back and miss nothing
	liveRing     = 120         // seconds that are kept for those who come back
	liveQueue    = 30          // seconds that wait for one watcher; the oldest goes first
	devicesEvery = 5 * time.Second
)

// LivePoint is what happened in about one second, on all nodes, by scope. ID rises, and is the time in Unix milliseconds.
type LivePoint struct {
	ID     int64
	scopes map[string][]int64
}

// Sum is the point of some scopes together.
func (p *LivePoint) Sum(scopes []string) (v [names]int64) {
	for _, s := range scopes {
		for n, x := range p.scopes[s] {
			if n < len(v) {
				v[n] += x
			}
		}
	}
	return v
}

type live struct {
	history *History

	mu     sync.Mutex // guards the fields below
	subs   map[*liveSub]struct{}
	until  time.Time // this node counts until then
	local  time.Time // … and shows until then, for watchers of its own
	others map[string][]int64
	ring   []*LivePoint // oldest first
	wake   chan struct{}
}

type liveSub struct{ ch chan *LivePoint }

// listen hears of other nodes' watchers and counts.
func (l *live) listen() (stop func(), err error) {
	if l.history.cfg.Alone {
		return func() {}, nil
	}
	stopWatch, err := l.history.Bus.Subscribe(watchSubject, func(_ string, b []byte) []byte {
		if string(b) != l.history.cfg.Node {
			l.extend(askedFor, false)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("metric: %w", err)
	}
	stopCount, err := l.history.Bus.Subscribe(countSubject, func(_ string, b []byte) []byte { l.heard(b); return nil })
	if err != nil {
		stopWatch()
		return nil, fmt.Errorf("metric: %w", err)
	}
	return func() { stopCount(); stopWatch() }, nil
}

// wireCount is what a node tells the others of a second.
type wireCount struct {
	Node   string             `json:"n"`
	Scopes map[string][]int64 `json:"s"`
}

func (l *live) heard(b []byte) {
	var w wireCount
	if json.Unmarshal(b, &w) != nil || w.Node == l.history.cfg.Node {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.others == nil {
		l.others = make(map[string][]int64)
	}
	merge(l.others, w.Scopes)
}

// merge adds from's numbers to into's.
func merge(into, from map[string][]int64) {
	for scope, v := range from {
		if len(v) > int(names) {
			v = v[:names]
		}
		have := into[scope]
		if have == nil {
			have = make([]int64, names)
			into[scope] = have
		}
		for i, x := range v {
			have[i] += x
		}
	}
}

// extend has this node count for a while, and for watchers of its own show it.
func (l *live) extend(d time.Duration, local bool) {
	until := time.Now().Add(d)
	l.mu.Lock()
	if until.After(l.until) {
		l.until = until
	}
	if local && until.After(l.local) {
		l.local = until
	}
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Watch returns live points, those after the one with the id after first (0: only new ones); whole tells that none of those is missing.
// The channel holds liveQueue points; who is slower misses the oldest. cancel must be called.
func (h *History) Watch(after int64) (points <-chan *LivePoint, whole bool, cancel func()) {
	l := &h.live
	l.extend(lingering, true)
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &liveSub{make(chan *LivePoint, liveQueue+liveRing)}
	whole = after <= 0
	for _, p := range l.ring {
		if after > 0 && p.ID == after {
			whole = true
		}
		if after > 0 && p.ID > after {
			s.ch <- p
		}
	}
	l.subs[s] = struct{}{}
	return s.ch, whole, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.subs, s)
	}
}

// run counts while somebody watches, until ctx ends.
func (l *live) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
			l.seconds(ctx)
		}
	}
}

// seconds counts by the second as long as it is wanted.
func (l *live) seconds(ctx context.Context) {
	h := l.history
	c := newCursor()
	h.delta(&c)
	l.mu.Lock()
	l.others = nil // from before
	l.mu.Unlock()
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	var asked, counted time.Time
	devices := map[string]Devices{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		over, shows := l.turn(now)
		if over {
			return
		}
		own := l.own(h.delta(&c))
		l.tell(own, shows && now.Sub(asked) >= askEvery, &asked, now)
		if !shows {
			continue
		}
		if now.Sub(counted) >= devicesEvery {
			if all, err := h.scopedDevices(ctx); err == nil {
				devices, counted = all, now
			}
		}
		for scope, d := range devices {
			v := make([]int64, names)
			v[DevicesOnline], v[DevicesRegistered] = d.Online, d.Registered
			merge(own, map[string][]int64{scope: v})
		}
		l.show(now, own)
	}
}

// turn tells whether nobody wants to be told any more, and whether this node has watchers to show to. Without them it forgets what it has heard, which
// would all be of the first second that it shows, and what it has shown, as seconds are missing behind that.
func (l *live) turn(now time.Time) (over, shows bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.subs) > 0 {
		l.until, l.local = now.Add(lingering), now.Add(lingering)
	}
	over, shows = now.After(l.until), !now.After(l.local)
	if !shows {
		l.ring, l.others = nil, nil
	}
	return over, shows
}

// own is what this node has counted, as it is told.
func (l *live) own(ps points) map[string][]int64 {
	own := make(map[string][]int64, len(ps))
	for scope, p := range ps {
		own[scope] = p.n[:]
	}
	return own
}

// tell lets other nodes know what was counted here, and that there are watchers.
func (l *live) tell(own map[string][]int64, ask bool, asked *time.Time, now time.Time) {
	h := l.history
	if h.cfg.Alone {
		return
	}
	var err error
	if ask {
		*asked = now
		err = h.Bus.Publish(watchSubject, []byte(h.cfg.Node))
	}
	b, merr := json.Marshal(wireCount{h.cfg.Node, own})
	if err == nil && merr == nil {
		err = h.Bus.Publish(countSubject, b)
	}
	if err != nil {
		h.Log.Debug("other nodes not told of live counts", "err", err)
	}
}

// show hands a second to the watchers.
func (l *live) show(now time.Time, own map[string][]int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	merge(own, l.others)
	l.others = nil
	p := &LivePoint{ID: now.UnixMilli(), scopes: own}
	l.ring = append(l.ring, p)
	if len(l.ring) > liveRing {
		l.ring = append(l.ring[:0:0], l.ring[1:]...)
	}
	for s := range l.subs {
		for sent := false; !sent; {
			select {
			case s.ch <- p:
				sent = true
			default: // only holders of mu send: after one is taken out there is room
				select {
				case <-s.ch:
				default:
				}
			}
		}
	}
}
