package pool

import (
	"slices"
	"time"

	"github.com/hawser-iot/hawser/cloud/script/wire"
)

// ahead is for how much work a worker is given calls at once.
const ahead = 4 * time.Millisecond

// queue is a product's calls and what is known of its script. Pool.mu guards it.
type queue struct {
	key      Key
	calls    []*Call
	room     chan struct{} // closed, and replaced, when a call goes
	in       *ring         // where it takes its turns; nil while it has no calls
	revision int64         // of the script that the rest is about
	good     int           // calls in a row that ended well, up to Config.provenOnce
	failures int           // calls in a row that crossed a bound
	cost     time.Duration // of a call, on the average
	used     time.Time
	// pausedUntil is when calls are made again. The first one then decides about the next pause.
	pausedUntil time.Time
}

// ring are queues that take turns.
type ring struct{ turn []*queue }

func (r *ring) add(q *queue) {
	q.in = r
	r.turn = append(r.turn, q)
}

// next takes the queue whose turn it is out of the ring.
func (r *ring) next() *queue {
	if len(r.turn) == 0 {
		return nil
	}
	q := r.turn[0]
	r.turn[0] = nil
	r.turn = r.turn[1:]
	q.in = nil
	return q
}

func (r *ring) remove(q *queue) {
	if i := slices.Index(r.turn, q); i >= 0 {
		r.turn = slices.Delete(r.turn, i, i+1)
	}
	q.in = nil
}

func (q *queue) push(c *Call) { q.calls = append(q.calls, c) }

func (q *queue) pop() *Call {
	c := q.calls[0]
	q.calls[0] = nil
	q.calls = q.calls[1:]
	if len(q.calls) == 0 {
		q.calls = nil
	}
	return c
}

// freeLocked wakes those who wait for room.
func (q *queue) freeLocked() {
	close(q.room)
	q.room = make(chan struct{})
}

// queueLocked returns a product's queue. A new revision of the script begins with a clean sheet.
func (p *Pool) queueLocked(k Key) *queue {
	q := p.queues[k.queue()]
	if q == nil {
		q = &queue{key: k.queue(), revision: k.Revision, room: make(chan struct{})}
		p.queues[q.key] = q
	}
	if q.revision < k.Revision {
		q.revision, q.good, q.failures, q.pausedUntil = k.Revision, 0, 0, time.Time{}
		p.readyLocked(q)
	}
	return q
}

// isProven tells whether q's calls may run beside others.
func (p *Pool) isProven(q *queue) bool {
	return q.good >= p.cfg.provenOnce && q.failures == 0 && (len(q.calls) == 0 || !q.calls[0].alone)
}

// readyLocked puts q where its next call belongs.
func (p *Pool) readyLocked(q *queue) {
	want := &p.others
	if p.isProven(q) {
		want = &p.proven
	}
	if len(q.calls) == 0 {
		want = nil
	}
	if q.in != want {
		if q.in != nil {
			q.in.remove(q)
		}
		if want != nil {
			want.add(q)
		}
	}
	if want != nil {
		p.work.Broadcast()
	}
}

// takeLocked takes the next call for w, nil when there is none that it may have now.
func (p *Pool) takeLocked(w *worker) *Call {
	r := &p.proven
	switch {
	case w.alone, len(w.flight) >= p.cfg.Batch, len(w.flight) > 0 && w.load > ahead:
		return nil
	case w.provenOnly && p.cfg.Workers > 1:
	case len(w.flight) == 0 && len(p.others.turn) > 0 && (w.turn || len(p.proven.turn) == 0):
		r = &p.others
	case len(p.others.turn) > 0 && w.turn:
		return nil // what is in hand first, then the other one alone
	}
	q := r.next()
	if q == nil {
		return nil
	}
	c := q.pop()
	p.waiting--
	q.used = time.Now()
	q.freeLocked()
	p.readyLocked(q)
	w.turn = r == &p.proven
	w.alone = r == &p.others
	c.cost = q.cost
	w.load += c.cost
	return c
}

// backLocked puts calls back at the head of their queues, to be run elsewhere.
func (p *Pool) backLocked(calls []*Call) {
	for _, c := range slices.Backward(calls) {
		q := p.queueLocked(c.Script.Key)
		q.calls = slices.Insert(q.calls, 0, c)
		p.waiting++
		p.readyLocked(q)
	}
}

// judgeLocked notes how a call of a script ended. When the product is paused from now on it returns the calls that wait for it, which
// the caller has to end.
func (p *Pool) judgeLocked(k Key, s wire.Status, cpu time.Duration) (pause time.Duration, caught []*Call) {
	q := p.queues[k.queue()]
	if q == nil || k.Draft != 0 || q.revision != k.Revision {
		return 0, nil
	}
	q.used = time.Now()
	q.cost += (cpu - q.cost) / 8
	switch {
	case s == wire.Timeout, s == wire.Memory, s == wire.Recursion, s == Crashed:
		q.good = 0
		q.failures++
	case cpu > p.cfg.Slow:
		q.good, q.failures = 0, 0
	default:
		q.failures = 0
		q.good = min(q.good+1, p.cfg.provenOnce)
	}
	if n := q.failures - p.cfg.Failures; n >= 0 {
		pause = min(p.cfg.PauseMin<<min(n, 20), p.cfg.PauseMax)
		q.pausedUntil = q.used.Add(pause)
		caught, q.calls = q.calls, nil
		p.waiting -= len(caught)
		q.freeLocked()
	}
	p.readyLocked(q)
	return pause, caught
}

// sweepLocked forgets what has had nothing to do for a while.
func (p *Pool) sweepLocked(now time.Time) {
	for k, q := range p.queues {
		if len(q.calls) == 0 && now.Sub(q.used) > time.Hour && now.After(q.pausedUntil) {
			delete(p.queues, k)
		}
	}
}
