package server

import (
	"sync"
	"sync/atomic"
	"time"
)

// wheel is one coarse clock for all connections: time is counted in ticks, and each connection stands in the
// slot of the tick at which its deadline is to be looked at. A packet only stores the current tick in its connection,
// so a connection costs one look per keep-alive period, and no timer. The wheel turns only while there is something in it.
type wheel struct {
	tick    time.Duration
	now     atomic.Int64 // the current tick; starts at 1, so that 0 can mean "no deadline"
	mu      sync.Mutex   // guards the fields below and the wheel fields of connections
	slots   [wheelSlots]*conn
	count   int
	turning bool
	stopped chan struct{}
	last    chan struct{} // closed when the turning goroutine ended
}

const wheelSlots = 256

// init chooses the tick: a second, or finer when a short time-out needs it.
func (w *wheel) init(cfg Config) {
	w.tick = max(min(time.Second, cfg.ConnectTimeout/8, cfg.StoreTimeout/8), 5*time.Millisecond)
	w.now.Store(1)
	w.stopped = make(chan struct{})
}

// after returns the tick at which d has certainly passed.
func (w *wheel) after(d time.Duration) int64 { return w.now.Load() + w.ticks(d) + 1 }

func (w *wheel) ticks(d time.Duration) int64 { return int64((d + w.tick - 1) / w.tick) }

// add puts c under the given tick; a connection that stands elsewhere is moved. It does nothing for one that was taken off for good.
func (w *wheel) add(c *conn, at int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.wheelOff {
		return
	}
	w.unlinkLocked(c)
	// A deadline beyond one turn is looked at, too early, after a turn.
	at = max(min(at, w.now.Load()+wheelSlots-1), w.now.Load()+1)
	c.wheelSlot = int32(at % wheelSlots)
	head := &w.slots[c.wheelSlot]
	c.wheelNext, c.wheelPrev = *head, nil
	if *head != nil {
		(*head).wheelPrev = c
	}
	*head = c
	c.wheelIn = true
	w.count++
	if !w.turning {
		w.turning = true
		w.last = make(chan struct{})
		go w.turn(w.last)
	}
}

// remove takes c off for good.
func (w *wheel) remove(c *conn) {
	w.mu.Lock()
	w.unlinkLocked(c)
	c.wheelOff = true
	w.mu.Unlock()
}

func (w *wheel) unlinkLocked(c *conn) {
	if !c.wheelIn {
		return
	}
	if c.wheelPrev != nil {
		c.wheelPrev.wheelNext = c.wheelNext
	} else {
		w.slots[c.wheelSlot] = c.wheelNext
	}
	if c.wheelNext != nil {
		c.wheelNext.wheelPrev = c.wheelPrev
	}
	c.wheelNext, c.wheelPrev, c.wheelIn = nil, nil, false
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

// step moves to the next tick and looks at the connections that stand under it.
func (w *wheel) step() {
	now := w.now.Add(1)
	w.mu.Lock()
	var due []*conn
	for c := w.slots[now%wheelSlots]; c != nil; c = w.slots[now%wheelSlots] {
		w.unlinkLocked(c)
		due = append(due, c)
	}
	w.mu.Unlock()
	for _, c := range due {
		if next := c.checkDeadline(now); next != 0 {
			w.add(c, next)
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
