package server

import (
	"errors"
	"sync"
)

// Driver chooses how connections wait for bytes.
type Driver uint8

const (
	// DriverAuto gives idle connections no goroutine where the transport can tell that bytes have come: in memory everywhere,
	// TCP on Linux, and TLS over a listener from Poll there. Others have a goroutine each.
	DriverAuto Driver = iota
	// DriverGoroutine gives each connection a goroutine for its life.
	DriverGoroutine
)

// errIdle ends a step for which there is nothing to read: the connection may give its goroutine up.
var errIdle = errors.New("mqtt server: nothing to read")

// The states of a connection whose transport calls ready.
const (
	stateRunning uint32 = iota // a goroutine is at work
	stateAgain                 // and there may be bytes that its last look did not see
	stateParked                // none is: ready starts one
)

// parks tells whether the connection may be without a goroutine from now on; it is asked by its goroutine alone.
func (c *conn) parks() bool { return c.begun && c.driven }

// drive is a worker's turn on a connection: from its beginning, or from where it was parked, until it is idle or over.
func (c *conn) drive() {
	c.more = true
	var err error
	if !c.begun {
		err = c.handshake()
		c.begun = true
	}
	if err == nil && !c.served {
		c.served = true
		err = c.attached()
	}
	for err == nil {
		err = c.step()
		if errors.Is(err, errIdle) {
			if c.state.CompareAndSwap(stateRunning, stateParked) {
				return // from here on the connection may be another worker's
			}
			err = nil
		}
	}
	c.end(err)
}

// ready has a worker look at the connection: the transport calls it when bytes have come or reading has failed, and who closes
// or drains the connection.
func (c *conn) ready() {
	for {
		switch c.state.Load() {
		case stateAgain:
			return
		case stateRunning:
			if c.state.CompareAndSwap(stateRunning, stateAgain) {
				return
			}
		case stateParked:
			if c.state.CompareAndSwap(stateParked, stateRunning) {
				c.srv.workers.run(c)
				return
			}
		}
	}
}

// readable tells whether a read is worth trying: the last one filled its room, or ready was called since. It comes before the read,
// so that what arrives during it is seen by the next call.
func (c *conn) readable() bool {
	if c.state.Load() == stateAgain && c.state.CompareAndSwap(stateAgain, stateRunning) {
		c.more = true
	}
	return c.more
}

// workers are the goroutines of connections that are not idle. Some stay when they have nothing to do: their stacks have grown to
// what the owner needs, which a new goroutine would have to do again for each packet.
type workers struct {
	mu     sync.Mutex // guards the fields below
	idle   *worker    // the one that worked last first
	count  int        // of idle
	closed bool
}

type worker struct {
	next *worker
	jobs chan *conn
}

// idleWorkers is how many workers may wait for work.
const idleWorkers = 64

// run gives c to a worker.
func (w *workers) run(c *conn) {
	w.mu.Lock()
	one := w.idle
	if one == nil {
		w.mu.Unlock()
		go w.work(&worker{}, c)
		return
	}
	w.idle = one.next
	w.count--
	w.mu.Unlock()
	one.jobs <- c // has room: an idle worker has no job
}

func (w *workers) work(one *worker, c *conn) {
	for ok := true; ok; {
		c.drive()
		if !w.rest(one) {
			return
		}
		c, ok = <-one.jobs
	}
}

// rest puts a worker among the idle ones; it returns false when there are enough.
func (w *workers) rest(one *worker) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.count >= idleWorkers {
		return false
	}
	if one.jobs == nil {
		one.jobs = make(chan *conn, 1)
	}
	one.next = w.idle
	w.idle = one
	w.count++
	return true
}

// close ends the idle workers; those at work end after it.
func (w *workers) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for one := w.idle; one != nil; one = one.next {
		close(one.jobs)
	}
	w.idle, w.count = nil, 0
}
