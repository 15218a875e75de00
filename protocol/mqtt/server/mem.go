package server

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// MemListener is a net.Listener whose connections are made in memory by Dial: for tests, for benchmarks with more
// sessions than a process has file descriptors, and for clients in the server's own process.
type MemListener struct {
	accept chan net.Conn
	once   sync.Once
	closed chan struct{}
	bufs   sync.Pool
}

// NewMemListener returns an open listener.
func NewMemListener() *MemListener {
	return &MemListener{accept: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept waits for a Dial.
func (l *MemListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close makes Accept and Dial fail; connections live on.
func (l *MemListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr returns an address of network "mem".
func (l *MemListener) Addr() net.Addr { return memAddr{} }

// Dial connects; it waits until the connection is accepted.
func (l *MemListener) Dial() (net.Conn, error) {
	up, down := newMemPipe(&l.bufs), newMemPipe(&l.bufs)
	select {
	case l.accept <- &memConn{in: up, out: down}:
		return &memConn{in: down, out: up}, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

type memAddr struct{}

func (memAddr) Network() string { return "mem" }
func (memAddr) String() string  { return "mem" }

// memConn is one end of a connection in memory.
type memConn struct{ in, out *memPipe }

func (m *memConn) Read(b []byte) (int, error)        { return m.in.read(b, nil) }
func (m *memConn) Write(b []byte) (int, error)       { return m.out.write(b) }
func (m *memConn) LocalAddr() net.Addr               { return memAddr{} }
func (m *memConn) RemoteAddr() net.Addr              { return memAddr{} }
func (m *memConn) SetReadDeadline(t time.Time) error { m.in.setDeadline(&m.in.readBy, t); return nil }
func (m *memConn) SetWriteDeadline(t time.Time) error {
	m.out.setDeadline(&m.out.writeBy, t)
	return nil
}

func (m *memConn) SetDeadline(t time.Time) error {
	_ = m.SetReadDeadline(t)
	return m.SetWriteDeadline(t)
}

// Close ends both directions: the peer reads what was written and then io.EOF.
func (m *memConn) Close() error {
	m.in.close(true)
	m.out.close(false)
	return nil
}

// CloseWrite ends the outgoing direction only.
func (m *memConn) CloseWrite() error {
	m.out.close(false)
	return nil
}

func (m *memConn) tell(c *conn) bool {
	m.in.mu.Lock()
	m.in.reader = c
	m.in.mu.Unlock()
	return true
}

func (m *memConn) fill(c *conn) (int, error) {
	c.readable() // what comes after the look is seen by the next one
	return m.in.read(nil, c)
}

func (m *memConn) fillNow(c *conn) (int, error)   { return m.in.readNow(c) }
func (m *memConn) tryWrite(b []byte) (int, error) { return m.out.tryWrite(b) }

// memPipe is one direction. Its buffer is pooled and held only while there are bytes in it.
type memPipe struct {
	pool *sync.Pool

	mu      sync.Mutex // guards the fields below
	changed sync.Cond
	buf     *outbuf
	at      int   // bytes of buf already read
	ended   bool  // the writer closed
	broken  bool  // the reader closed
	reader  *conn // to be told of bytes
	readBy  memDeadline
	writeBy memDeadline
}

// memDeadline is a deadline and the timer that wakes who waits for it.
type memDeadline struct {
	at    time.Time
	timer *time.Timer
}

// memLimit is how many bytes one direction holds before writing blocks.
const memLimit = 64 << 10

func newMemPipe(pool *sync.Pool) *memPipe {
	p := &memPipe{pool: pool}
	p.changed.L = &p.mu
	return p
}

// read copies into b or, for the server's side, into c's chunk, which is let go while there is nothing to read.
func (p *memPipe) read(b []byte, c *conn) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.buf == nil {
		switch {
		case p.broken:
			return 0, net.ErrClosed
		case p.ended:
			return 0, io.EOF
		case p.readBy.passed():
			return 0, os.ErrDeadlineExceeded
		}
		if c != nil {
			c.dropIdleChunk()
			if c.parks() {
				return 0, errIdle
			}
		}
		p.changed.Wait()
	}
	if p.broken {
		return 0, net.ErrClosed
	}
	if c != nil {
		b = c.room()
	}
	return p.takeLocked(b), nil
}

// readNow reads into c's chunk what there is.
func (p *memPipe) readNow(c *conn) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.buf == nil {
		return 0, nil
	}
	return p.takeLocked(c.room()), nil
}

func (p *memPipe) takeLocked(b []byte) int {
	n := copy(b, p.buf.b[p.at:])
	p.at += n
	if p.at == len(p.buf.b) {
		p.buf.b = p.buf.b[:0]
		p.pool.Put(p.buf)
		p.buf, p.at = nil, 0
	}
	p.changed.Broadcast()
	return n
}

func (p *memPipe) write(b []byte) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.broken || p.ended:
			return n, io.ErrClosedPipe
		case p.writeBy.passed():
			return n, os.ErrDeadlineExceeded
		}
		n += p.appendLocked(b[n:])
		if n == len(b) {
			return n, nil
		}
		p.changed.Wait()
	}
}

func (p *memPipe) tryWrite(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken || p.ended {
		return 0, io.ErrClosedPipe
	}
	return p.appendLocked(b), nil
}

func (p *memPipe) appendLocked(b []byte) int {
	held := 0
	if p.buf != nil {
		held = len(p.buf.b) - p.at
	}
	n := min(len(b), memLimit-held)
	if n <= 0 {
		return 0
	}
	if p.buf == nil {
		o, ok := p.pool.Get().(*outbuf)
		if !ok {
			o = &outbuf{b: make([]byte, 0, 512)}
		}
		p.buf = o
	}
	if p.at > 0 && len(p.buf.b)+n > cap(p.buf.b) {
		p.buf.b = append(p.buf.b[:0], p.buf.b[p.at:]...)
		p.at = 0
	}
	p.buf.b = append(p.buf.b, b[:n]...)
	p.tellLocked()
	return n
}

func (p *memPipe) close(reader bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if reader {
		p.broken = true
	} else {
		p.ended = true
	}
	for _, d := range []*memDeadline{&p.readBy, &p.writeBy} {
		if d.timer != nil {
			d.timer.Stop()
		}
	}
	p.tellLocked()
	if reader {
		p.reader = nil
	}
}

// tellLocked wakes who waits on either side.
func (p *memPipe) tellLocked() {
	p.changed.Broadcast()
	if p.reader != nil {
		p.reader.ready()
	}
}

func (p *memPipe) setDeadline(d *memDeadline, t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d.at = t
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if wait := time.Until(t); !t.IsZero() && wait > 0 {
		d.timer = time.AfterFunc(wait, func() {
			p.mu.Lock()
			p.changed.Broadcast()
			p.mu.Unlock()
		})
	}
	p.changed.Broadcast()
}

func (d *memDeadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }
