package server

import (
	"errors"
	"io"
	"math"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// sock is a TCP connection that is registered with a poller of ours and not with the Go runtime's. It is a net.Conn whose calls
// wait, as others do; the engine reads and writes it without waiting and is told by conn.ready when there may be bytes.
type sock struct {
	fd    int
	gen   uint32      // tells sockets apart that have had the same descriptor
	early atomic.Bool // there was an event while c was not set
	p     *poller
	peer  peer
	users atomic.Int32         // calls that use fd; sockClosed is added at Close, and the last one closes fd
	over  atomic.Bool          // the peer has ended its side, or the connection failed: a short read does not mean that all was read
	c     atomic.Pointer[conn] // whom to tell
	above *secured             // TLS, once its handshake is over

	rwait, wwait atomic.Pointer[waiter] // who waits in Read, in Write
	readBy       atomic.Int64           // deadlines in Unix nanoseconds, 0 = none
	writeBy      atomic.Int64
}

const sockClosed = math.MinInt32

// peer is an address in 24 bytes.
type peer struct {
	ip   [16]byte
	zone uint32
	port uint16
	four bool
}

func newPeer(sa syscall.Sockaddr) (p peer) {
	switch a := sa.(type) {
	case *syscall.SockaddrInet4:
		copy(p.ip[:], a.Addr[:])
		p.port, p.four = uint16(a.Port), true
	case *syscall.SockaddrInet6:
		p.ip, p.port, p.zone = a.Addr, uint16(a.Port), a.ZoneId
	}
	return p
}

// addr is p as others know it; an IPv4 address stays one when it came by an IPv6 socket.
func (p peer) addr() *net.TCPAddr {
	a := netip.AddrFrom16(p.ip).Unmap()
	if p.four {
		a = netip.AddrFrom4([4]byte(p.ip[:4]))
	}
	t := net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, p.port))
	if p.zone != 0 {
		t.Zone = zone(p.zone)
	}
	return t
}

// zone names the interface of a link-local address.
func zone(index uint32) string {
	if i, err := net.InterfaceByIndex(int(index)); err == nil {
		return i.Name
	}
	return ""
}

// use keeps fd open until done; it returns false after Close.
func (s *sock) use() bool {
	for {
		n := s.users.Load()
		if n < 0 {
			return false
		}
		if s.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (s *sock) done() {
	if s.users.Add(-1) == sockClosed {
		s.p.remove(s)
	}
}

// Close ends the connection and wakes who waits.
func (s *sock) Close() error {
	for {
		n := s.users.Load()
		if n < 0 {
			return net.ErrClosed
		}
		if !s.users.CompareAndSwap(n, n+sockClosed) {
			continue
		}
		wake(&s.rwait)
		wake(&s.wwait)
		if n == 0 {
			s.p.remove(s)
		}
		return nil
	}
}

// event is told by the poller what has happened.
func (s *sock) event(events uint32) {
	if events&(syscall.EPOLLRDHUP|syscall.EPOLLHUP|syscall.EPOLLERR) != 0 {
		s.over.Store(true)
	}
	if events&^syscall.EPOLLOUT != 0 {
		wake(&s.rwait)
		c := s.c.Load()
		if c == nil {
			s.early.Store(true)
			c = s.c.Load() // tell may have looked at early before
		}
		if c != nil {
			c.ready()
		}
	}
	if events&(syscall.EPOLLOUT|syscall.EPOLLHUP|syscall.EPOLLERR) != 0 {
		wake(&s.wwait)
	}
}

// readNow reads what there is; syscall.EAGAIN when there is nothing.
func (s *sock) readNow(b []byte) (int, error) {
	if !s.use() {
		return 0, net.ErrClosed
	}
	defer s.done()
	for {
		n, err := syscall.Read(s.fd, b)
		switch {
		case err == nil && n == 0 && len(b) > 0:
			return 0, io.EOF
		case err == nil:
			return n, nil
		case err == syscall.EINTR: //nolint:errorlint // a bare number
		case err == syscall.EAGAIN: //nolint:errorlint // a bare number
			return 0, err
		default:
			return 0, os.NewSyscallError("read", err)
		}
	}
}

// writeNow writes what the socket takes; syscall.EAGAIN when that is nothing.
func (s *sock) writeNow(b []byte) (int, error) {
	if !s.use() {
		return 0, net.ErrClosed
	}
	defer s.done()
	for {
		n, err := syscall.Write(s.fd, b)
		switch err { //nolint:errorlint // a bare number
		case nil:
			return n, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, err
		default:
			return 0, os.NewSyscallError("write", err)
		}
	}
}

// Read waits for bytes.
func (s *sock) Read(b []byte) (int, error) {
	if s.above != nil && s.above.now {
		return s.above.read(b)
	}
	n, err := s.readNow(b)
	if !errors.Is(err, syscall.EAGAIN) {
		return n, err
	}
	w := arm(&s.rwait)
	defer disarm(&s.rwait, w)
	for {
		n, err = s.readNow(b) // again: what came before w was armed woke nobody
		if !errors.Is(err, syscall.EAGAIN) {
			return n, err
		}
		if err := w.wait(s.readBy.Load()); err != nil {
			return 0, err
		}
	}
}

// Write waits until all of b is written.
func (s *sock) Write(b []byte) (n int, err error) {
	if s.above != nil {
		return s.above.write(b)
	}
	for n < len(b) {
		m, err := s.writeNow(b[n:])
		n += m
		switch {
		case errors.Is(err, syscall.EAGAIN):
			if err := s.waitWritable(); err != nil {
				return n, err
			}
		case err != nil:
			return n, err
		}
	}
	return n, nil
}

// waitWritable returns when the socket takes bytes again.
func (s *sock) waitWritable() error {
	w := arm(&s.wwait)
	defer disarm(&s.wwait, w)
	// Registering tells at once when the socket is writable already; nothing that happens after w was armed is missed.
	if !s.use() {
		return net.ErrClosed
	}
	err := s.p.watchWrites(s)
	s.done()
	if err != nil {
		return err
	}
	return w.wait(s.writeBy.Load())
}

// SetReadDeadline bounds Read, one that waits included.
func (s *sock) SetReadDeadline(t time.Time) error {
	s.readBy.Store(nanoseconds(t))
	wake(&s.rwait)
	return nil
}

// SetWriteDeadline bounds Write, one that waits included.
func (s *sock) SetWriteDeadline(t time.Time) error {
	s.writeBy.Store(nanoseconds(t))
	wake(&s.wwait)
	return nil
}

// SetDeadline bounds both.
func (s *sock) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

func nanoseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// RemoteAddr is the peer's address.
func (s *sock) RemoteAddr() net.Addr { return s.peer.addr() }

// LocalAddr is our end's address.
func (s *sock) LocalAddr() net.Addr {
	if !s.use() {
		return &net.TCPAddr{}
	}
	defer s.done()
	sa, err := syscall.Getsockname(s.fd)
	if err != nil {
		return &net.TCPAddr{}
	}
	return newPeer(sa).addr()
}

// waiter is a place to wait at. It is pooled, so a late wake may reach its next user: waiting ends early at times.
type waiter struct{ woken chan struct{} }

var waiters = sync.Pool{New: func() any { return &waiter{make(chan struct{}, 1)} }}

// arm makes a waiter the one of at.
func arm(at *atomic.Pointer[waiter]) *waiter {
	w := waiters.Get().(*waiter)
	select {
	case <-w.woken:
	default:
	}
	at.Store(w)
	return w
}

func disarm(at *atomic.Pointer[waiter], w *waiter) {
	at.CompareAndSwap(w, nil)
	waiters.Put(w)
}

func wake(at *atomic.Pointer[waiter]) {
	if w := at.Load(); w != nil {
		select {
		case w.woken <- struct{}{}:
		default:
		}
	}
}

// wait returns when it is woken, or with os.ErrDeadlineExceeded at a time in Unix nanoseconds that is not 0.
func (w *waiter) wait(by int64) error {
	if by == 0 {
		<-w.woken
		return nil
	}
	left := time.Duration(by - time.Now().UnixNano())
	if left <= 0 {
		return os.ErrDeadlineExceeded
	}
	t := time.NewTimer(left)
	defer t.Stop()
	select {
	case <-w.woken:
		return nil
	case <-t.C:
		return os.ErrDeadlineExceeded
	}
}

// tell implements telling.
func (s *sock) tell(c *conn) bool {
	s.c.Store(c)
	return s.early.Load()
}

// fill implements tryConn. A connection that parks is left idle when its socket is empty.
func (s *sock) fill(c *conn) (int, error) {
	if !c.parks() {
		return s.fillWaiting(c)
	}
	n, err := s.fillNow(c)
	if n == 0 && err == nil {
		c.dropIdleChunk()
		return 0, errIdle
	}
	return n, err
}

// fillNow implements tryConn. A read that leaves room in the chunk has emptied the socket, and the poller tells of what comes
// afterwards: so none is made that would only find that out.
func (s *sock) fillNow(c *conn) (int, error) {
	if !c.readable() {
		return 0, nil
	}
	n, err := s.readReady(c, c.room())
	if errors.Is(err, syscall.EAGAIN) {
		err = nil
	}
	return n, err
}

// readReady reads what there is, syscall.EAGAIN when there is nothing, and notes whether a further read is worth trying.
func (s *sock) readReady(c *conn, b []byte) (int, error) {
	for c.readable() {
		n, err := s.readNow(b)
		if errors.Is(err, syscall.EAGAIN) {
			c.more = false
			continue
		}
		c.more = n == len(b) || s.over.Load()
		return n, err
	}
	return 0, syscall.EAGAIN
}

// fillWaiting waits for bytes without holding a chunk.
func (s *sock) fillWaiting(c *conn) (int, error) {
	n, err := s.readNow(c.room())
	if !errors.Is(err, syscall.EAGAIN) {
		return n, err
	}
	w := arm(&s.rwait)
	defer disarm(&s.rwait, w)
	for {
		n, err := s.readNow(c.room())
		if !errors.Is(err, syscall.EAGAIN) {
			return n, err
		}
		c.dropIdleChunk()
		if err := w.wait(s.readBy.Load()); err != nil {
			return 0, err
		}
	}
}

// tryWrite implements tryConn.
func (s *sock) tryWrite(b []byte) (int, error) {
	n, err := s.writeNow(b)
	if errors.Is(err, syscall.EAGAIN) {
		return 0, nil
	}
	return n, err
}
