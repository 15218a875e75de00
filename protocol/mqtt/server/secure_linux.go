package server

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// secured is TLS over a sock. Its reads and writes do not wait: crypto/tls is given what the socket has, and a time-out when that is
// nothing, which leaves its reading side as it was. Its writing side survives no error, so a write of ciphertext always succeeds: what the
// socket does not take is kept here, at most about a record, and written by the connection's writer.
type secured struct {
	t       *tls.Conn
	s       *sock
	now     bool // the handshake and CONNECT are over: reads do not wait
	drained bool // TLS holds nothing that a read would give

	mu   sync.Mutex // guards left; taken after conn.mu and those of TLS
	left []byte     // ciphertext to write
}

const (
	// secureSlice is how much plaintext TLS is given at once: one record.
	secureSlice = 16 << 10
	// leftLimit is how many bytes may be left when TLS itself answers, to key updates: a client that sends such without reading is cut off.
	leftLimit = 64 << 10
)

var errNotTaken = errors.New("mqtt server: the client does not read what TLS answers")

// nothingYet is the time-out that TLS gets for an empty socket.
type nothingYet struct{}

func (nothingYet) Error() string   { return "nothing to read yet" }
func (nothingYet) Timeout() bool   { return true }
func (nothingYet) Temporary() bool { return true }

// sockBelow finds the sock under TLS, nil when there is none.
func sockBelow(nc net.Conn) *sock {
	t, ok := nc.(*tls.Conn)
	if !ok {
		return nil
	}
	below := t.NetConn()
	if p, ok := below.(*proxyConn); ok {
		below = p.Conn
	}
	s, _ := below.(*sock)
	return s
}

// tellingBelow is what tells of bytes for a connection that cannot itself.
func tellingBelow(nc net.Conn) telling {
	if s := sockBelow(nc); s != nil {
		return s
	}
	return nil
}

// newSecured returns the non-waiting side of a TLS connection whose handshake is over, nil when it has none.
func newSecured(t *tls.Conn) tryConn {
	s := sockBelow(t)
	if s == nil {
		return nil
	}
	s.above = &secured{t: t, s: s}
	return s.above
}

// fill implements tryConn.
func (e *secured) fill(c *conn) (int, error) {
	if !c.parks() {
		return c.readWaiting()
	}
	n, err := e.fillNow(c)
	if n == 0 && err == nil {
		c.dropIdleChunk()
		return 0, errIdle
	}
	return n, err
}

// fillNow implements tryConn.
func (e *secured) fillNow(c *conn) (int, error) {
	e.now = true
	if e.drained && !c.readable() {
		return 0, nil
	}
	n, err := e.t.Read(c.room())
	e.drained = errors.Is(err, nothingYet{})
	if e.drained {
		err = nil
	}
	return n, err
}

// read gives TLS the ciphertext that there is.
func (e *secured) read(b []byte) (int, error) {
	n, err := e.s.readReady(e.s.c.Load(), b)
	if errors.Is(err, syscall.EAGAIN) {
		err = nothingYet{}
	}
	return n, err
}

// tryWrite implements tryConn.
func (e *secured) tryWrite(b []byte) (n int, err error) {
	for n < len(b) && !e.lags() {
		m, err := e.t.Write(b[n:min(len(b), n+secureSlice)])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// write takes ciphertext from TLS.
func (e *secured) write(b []byte) (n int, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.left) == 0 {
		n, err = e.s.writeNow(b)
		if err != nil && !errors.Is(err, syscall.EAGAIN) {
			return n, err
		}
	}
	if len(e.left) > leftLimit {
		return n, errNotTaken
	}
	e.left = append(e.left, b[n:]...)
	return len(b), nil
}

// lags implements lagging.
func (e *secured) lags() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.left) > 0
}

// flush implements lagging.
func (e *secured) flush(by time.Time) error {
	for {
		full, err := e.flushNow()
		if err != nil || !full {
			return err
		}
		e.s.writeBy.Store(nanoseconds(by))
		if err := e.s.waitWritable(); err != nil {
			return err
		}
	}
}

// flushNow writes what the socket takes; full tells that something is left.
func (e *secured) flushNow() (full bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.left) > 0 {
		n, err := e.s.writeNow(e.left)
		if errors.Is(err, syscall.EAGAIN) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		e.left = e.left[n:]
	}
	e.left = nil
	return false, nil
}
