package uplink

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// laneMax bounds the messages of one device that wait behind one that is handled anew. More are not acknowledged, so that
// the door stops reading from that device.
const laneMax = 256

// lanes keeps the order of a device's messages when a unit met a conflict (an application changed the same state at
// the same moment). Such a message is handled anew from a lane of its own; what the device sends in the meantime queues behind it.
// Most of the time there is no lane, and a message only reads one atomic.
type lanes struct {
	path    *Path
	open    atomic.Int32
	running sync.WaitGroup

	mu  sync.Mutex // guards the fields below and every lane's waiting
	all map[int64]*lane
}

// lane is one device's queue, ordered by MessageID; one goroutine works it off and ends when it is empty.
type lane struct {
	lanes   *lanes
	device  int64
	waiting []*Message
	turn    chan struct{} // the message at work has ended, or has come back
}

// join queues m when its device has a lane.
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
	full := len(l.waiting) >= laneMax
	if !full {
		l.putLocked(m)
	}
	ls.mu.Unlock()
	if full {
		ls.path.unavailable(m, server.ErrUnavailable)
	}
	return true
}

// retry queues a message that met a conflict, at its old place. It does not block.
func (ls *lanes) retry(m *Message) {
	mine := m.lane
	m.Reset()
	m.unit.Out = m.unit.Out[:0]
	m.refused = nil
	ls.mu.Lock()
	l := ls.all[m.DeviceID]
	if l == nil {
		l = &lane{lanes: ls, device: m.DeviceID, turn: make(chan struct{}, 1)}
		if ls.all == nil {
			ls.all = map[int64]*lane{}
		}
		ls.all[m.DeviceID] = l
		ls.open.Add(1)
		ls.running.Go(l.work)
	}
	l.putLocked(m)
	ls.mu.Unlock()
	if mine != nil {
		mine.next()
	}
}

func (l *lane) putLocked(m *Message) {
	i, _ := slices.BinarySearchFunc(l.waiting, m, func(a, b *Message) int { return int(min(max(a.ID-b.ID, -1), 1)) })
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

// take returns the oldest message, or closes the lane when there is none.
func (l *lane) take() *Message {
	l.lanes.mu.Lock()
	defer l.lanes.mu.Unlock()
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
