package server

import (
	"sync"
	"sync/atomic"
	"time"
)

// wheel is one coarse clock for all connections, and for sessions that end some time after theirs: time is counted in ticks, and each stands in the
// slot of the tick at which its deadline is to be looked at. A packet only stores the current tick in its connection,
// so a connection costs one look per keep-alive period, and no timer. The wheel turns only while there is something in it.
//
// On a machine that is held up it turns late, and what happened meanwhile was noted under a tick that was over. So nothing is closed early because of it:
// deadlines are counted from the tick that it would have been (after), and what was noted under the last tick counts as of the one that is caught up with (late).
type wheel struct {
	tick    time.Duration
	now     atomic.Int64 // the current tick; starts at 1, so that 0 can mean "no deadline"
	mu      sync.Mutex   // guards the fields below and those of what stands in it
	slots   [wheelSlots]*timed
	count   int
	turning bool
	turned  time.Time // when now was right last; while turning
	stopped chan struct{}
	last    chan struct{} // closed when the turning goroutine ended
}

const wheelSlots = 256

// timed is a place in the wheel; it is part of what has a deadline.
type timed struct {
	what interface {
		// checkDeadline is called when the deadline could have come; it returns the tick of the next look, 0 for none.
		checkDeadline(now int64) (next int64)
		// late is called when the tick from was over long before now.
		late(from, now int64)
	}
	next, prev *timed
	slot       int32
	in, off    bool
}

// init chooses the tick: a second, or finer when a short time-out needs it.
func (w *wheel) init(cfg Config) {
	w.tick = max(min(time.Second, cfg.ConnectTimeout/8, cfg.StoreTimeout/8), 5*time.Millisecond)
	w.now.Store(1)
	w.stopped = make(chan struct{})
}

// after returns the tick at which d has certainly passed.
func (w *wheel) after(d time.Duration) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := w.now.Load() + w.ticks(d) + 1
	if w.turning {
		at += int64(time.Since(w.turned) / w.tick)
	}
	return at
}

func (w *wheel) ticks(d time.Duration) int64 { return int64((d + w.tick - 1) / w.tick) }

// add puts t under the given tick; one that stands elsewhere is moved. It does nothing for one that was taken off for good.
func (w *wheel) add(t *timed, at int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t.off {
		return
	}
	w.unlinkLocked(t)
	// A deadline beyond one turn is looked at, too early, after a turn.
	at = max(min(at, w.now.Load()+wheelSlots-1), w.now.Load()+1)
	t.slot = int32(at % wheelSlots)
	head := &w.slots[t.slot]
	t.next, t.prev = *head, nil
	if *head != nil {
		(*head).prev = t
	}
	*head = t
	t.in = true
	w.count++
	if !w.turning {
		w.turning, w.turned = true, time.Now()
		w.last = make(chan struct{})
		go w.turn(w.last)
	}
}

// remove takes t off for good.
func (w *wheel) remove(t *timed) {
	w.mu.Lock()
	w.unlinkLocked(t)
	t.off = true
	w.mu.Unlock()
}

func (w *wheel) unlinkLocked(t *timed) {
	if !t.in {
		return
	}
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		w.slots[t.slot] = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
	t.next, t.prev, t.in = nil, nil, false
	w.count--
}

// turn advances the clock until nothing is left in the wheel or it is stopped.
func (w *wheel) turn(last chan struct{}) {
	defer close(last)
	t := time.NewTicker(w.tick)
	defer t.Stop()
	for {
		select {
		case <-w.stopped:
			return
		case <-t.C:
		}
		w.catchUp()
		w.mu.Lock()
		if w.count == 0 {
			w.turning = false
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
	}
}

// catchUp moves to the tick that it is: a ticker drops ticks when the process is held up, and the clock must not lose them.
func (w *wheel) catchUp() {
	w.mu.Lock()
	steps := int64(time.Since(w.turned) / w.tick)
	w.turned = w.turned.Add(time.Duration(steps) * w.tick)
	from := w.now.Load()
	w.now.Store(from + steps)
	if steps > 1 {
		w.lateLocked(from, from+steps)
	}
	w.mu.Unlock()
	for at := from + 1; at <= from+steps; at++ {
		w.look(at, from+steps)
	}
}

// lateLocked has what was noted under the tick from, which lasted too long, count as of now.
func (w *wheel) lateLocked(from, now int64) {
	for _, head := range w.slots {
		for t := head; t != nil; t = t.next {
			t.what.late(from, now)
		}
	}
}

// look looks at what stands under the tick at.
func (w *wheel) look(at, now int64) {
	w.mu.Lock()
	var due []*timed
	for t := w.slots[at%wheelSlots]; t != nil; t = w.slots[at%wheelSlots] {
		w.unlinkLocked(t)
		due = append(due, t)
	}
	w.mu.Unlock()
	for _, t := range due {
		if next := t.what.checkDeadline(now); next != 0 {
			w.add(t, next)
		}
	}
}

// stop ends the turning; the wheel is not used afterwards.
func (w *wheel) stop() {
	w.mu.Lock()
	select {
	case <-w.stopped:
	default:
		close(w.stopped)
	}
	last := w.last
	w.mu.Unlock()
	if last != nil {
		<-last
	}
}
