package uplink

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// laneMax bounds the messages of one device that wait behind one that is handled anew. More are not acknowledged, so that
// the door stops reading from that device.
const laneMax = 256

// lanes keeps the order of a device's messages when a unit met a conflict (an application changed the same state at
// the same moment). Such a message is handled anew from a lane of its own; what the device sends in the meantime queues behind it.
// Most of the time there is no lane, and a message only reads one atomic.
//
// The lane opens before the conflict is told to the message's After functions, and every message looks for a lane twice, before and
// after its handler. So a handler that saw the state as it was put back by After finds the lane, and its message cannot
// overtake the one that is being handled anew.
type lanes struct {
	path    *Path
	open    atomic.Int32
	running sync.WaitGroup

	mu  sync.Mutex // guards all and the fields of every lane
	all map[int64]*lane
}

// lane is one device's queue, ordered by MessageID; one goroutine works it off and ends when it is empty.
type lane struct {
	lanes   *lanes
	device  int64
	waiting []*Message
	coming  int           // messages that are being put back, and are not in waiting yet
	more    sync.Cond     // of lanes.mu: waiting or coming has changed
	turn    chan struct{} // the message at work has ended, or has come back
}

// join queues m when its device has a lane. m may have been handled already: then that is taken back.
func (ls *lanes) join(m *Message) bool {
	if ls.open.Load() == 0 {
		return false
	}
	ls.mu.Lock()
	l := ls.all[m.DeviceID]
	if l == nil {
		ls.mu.Unlock()
		return false
	}
	full := len(l.waiting)+l.coming >= laneMax
	l.coming++
	ls.mu.Unlock()
	m.takeBack(store.ErrConflict)
	if !full {
		l.put(m)
		return true
	}
	l.put(nil)
	ls.path.unavailable(m, server.ErrUnavailable)
	return true
}

// retry queues a message that met a conflict, at its old place. It does not block.
func (ls *lanes) retry(m *Message, err error) {
	mine := m.lane
	ls.mu.Lock()
	l := ls.all[m.DeviceID]
	if l == nil {
		l = &lane{lanes: ls, device: m.DeviceID, turn: make(chan struct{}, 1)}
		l.more.L = &ls.mu
		if ls.all == nil {
			ls.all = map[int64]*lane{}
		}
		ls.all[m.DeviceID] = l
		ls.open.Add(1)
		ls.running.Go(l.work)
	}
	l.coming++
	ls.mu.Unlock()
	m.takeBack(err)
	l.put(m)
	if mine != nil {
		mine.next()
	}
}

// takeBack tells the After functions of a handling that it was in vain, and forgets what it left.
func (m *Message) takeBack(err error) {
	for _, f := range m.after {
		f(err)
	}
	m.Reset()
	clear(m.unit.Out)
	m.unit.Out = m.unit.Out[:0]
	m.refused = nil
	m.retrace()
}

// put queues a message that was announced by coming; nil when it does not come after all.
func (l *lane) put(m *Message) {
	l.lanes.mu.Lock()
	defer l.lanes.mu.Unlock()
	l.coming--
	l.more.Signal()
	if m == nil {
		return
	}
	i, _ := slices.BinarySearchFunc(l.waiting, m, func(a, b *Message) int { return cmp.Compare(a.ID, b.ID) })
	l.waiting = slices.Insert(l.waiting, i, m)
}

// work handles the waiting messages one after the other.
func (l *lane) work() {
	for {
		m := l.take()
		if m == nil {
			return
		}
		m.lane = l
		l.lanes.path.run(m)
		<-l.turn
	}
}

// take returns the oldest message, when none older can come any more, or closes the lane when there is none.
func (l *lane) take() *Message {
	l.lanes.mu.Lock()
	defer l.lanes.mu.Unlock()
	for l.coming > 0 {
		l.more.Wait()
	}
	if len(l.waiting) == 0 {
		delete(l.lanes.all, l.device)
		l.lanes.open.Add(-1)
		return nil
	}
	m := l.waiting[0]
	l.waiting = slices.Delete(l.waiting, 0, 1)
	return m
}

func (l *lane) next() { l.turn <- struct{}{} }
