package store

import "sync"

// queue holds the units that wait for the committer. put blocks while it is full; the committer takes whole slices, so
// that its share of the lock does not grow with the rate.
type queue struct {
	max  int
	wake chan struct{} // holds a token while units may be waiting or the queue was closed
	done chan struct{} // closed by close

	mu     sync.Mutex
	space  sync.Cond // signalled when mu's units were taken
	units  []*Unit   // guarded by mu
	closed bool      // guarded by mu
}

func newQueue(max int) *queue {
	q := &queue{max: max, wake: make(chan struct{}, 1), done: make(chan struct{})}
	q.space.L = &q.mu
	return q
}

// put appends u, waiting for space; false when the queue is closed.
func (q *queue) put(u *Unit) bool {
	q.mu.Lock()
	for len(q.units) >= q.max && !q.closed {
		q.space.Wait()
	}
	if q.closed {
		q.mu.Unlock()
		return false
	}
	q.units = append(q.units, u)
	first := len(q.units) == 1
	q.mu.Unlock()
	if first {
		q.signal()
	}
	return true
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take moves up to n units to the end of dst; open is false once the queue is closed and empty.
func (q *queue) take(dst []*Unit, n int) (units []*Unit, open bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n = min(n, len(q.units))
	dst = append(dst, q.units[:n]...)
	rest := copy(q.units, q.units[n:])
	clear(q.units[rest:])
	q.units = q.units[:rest]
	if n > 0 {
		q.space.Broadcast()
	}
	return dst, rest > 0 || !q.closed
}

// depth is the number of waiting units.
func (q *queue) depth() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.units)
}

// close makes put refuse; what is queued can still be taken. It is called once.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	close(q.done)
	q.space.Broadcast()
	q.mu.Unlock()
	q.signal()
}
