package server

import (
	"sync"
	"sync/atomic"
	"time"
)

// wheel is one coarse clock for all connections, and for sessions that end some time after theirs: time is counted in ticks, and each stands in the
// slot of the tick at which its deadline is to be looked at. A packet only stores the current tick in its connection,
// so a connection costs one look per keep-alive period, and no timer. The wheel turns only while there is something in it.
type wheel struct {
	tick    time.Duration
	now     atomic.Int64 // the current tick; starts at 1, so that 0 can mean "no deadline"
	mu      sync.Mutex   // guards the fields below and those of what stands in it
	slots   [wheelSlots]*timed
	count   int
	turning bool
	stopped chan struct{}
	last    chan struct{} // closed when the turning goroutine ended
}

const wheelSlots = 256

// timed is a place in the wheel; it is part of what has a deadline.
type timed struct {
	what interface {
		// checkDeadline is called when the deadline could have come; it returns the tick of the next look, 0 for none.
		checkDeadline(now int64) (next int64)
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
func (w *wheel) after(d time.Duration) int64 { return w.now.Load() + w.ticks(d) + 1 }

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
		w.turning = true
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
	before := time.Now()
	for {
		select {
		case <-w.stopped:
			return
		case <-t.C:
		}
		// A ticker drops ticks when the process is held up; the clock must not lose them.
		steps := int64(time.Since(before) / w.tick)
		before = before.Add(time.Duration(steps) * w.tick)
		for range steps {
			w.step()
		}
		w.mu.Lock()
		if w.count == 0 {
			w.turning = false
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
	}
}

// step moves to the next tick and looks at what stands under it.
func (w *wheel) step() {
	now := w.now.Add(1)
	w.mu.Lock()
	var due []*timed
	for t := w.slots[now%wheelSlots]; t != nil; t = w.slots[now%wheelSlots] {
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
