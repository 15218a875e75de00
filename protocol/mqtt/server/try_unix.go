//go:build unix

package server

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// rawConn reads and writes a TCP socket without ever blocking on it, so that an idle connection waits for
// bytes without a buffer to put them into.
type rawConn struct {
	rc syscall.RawConn

	// Arguments and results of readFn and writeFn, which are made once so that calling them allocates nothing.
	c       *conn
	now     bool // readFn must not wait
	rn      int
	rerr    error
	readFn  func(fd uintptr) bool
	wbuf    []byte // guarded by c.mu, as is the result
	wn      int
	werr    error
	writeFn func(fd uintptr) bool
}

// newTryConn returns nc's non-blocking side, nil when it has none.
func newTryConn(nc net.Conn) tryConn {
	if t, ok := nc.(tryConn); ok {
		return t
	}
	t, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	rc, err := t.SyscallConn()
	if err != nil {
		return nil
	}
	r := &rawConn{rc: rc}
	r.readFn, r.writeFn = r.tryRead, r.tryWriteFD
	return r
}

func (r *rawConn) fill(c *conn) (int, error) {
	r.c, r.now = c, false
	if err := r.rc.Read(r.readFn); err != nil {
		return 0, err
	}
	if r.rn == 0 && r.rerr == nil {
		return 0, io.EOF
	}
	return r.rn, r.rerr
}

func (r *rawConn) fillNow(c *conn) (int, error) {
	r.c, r.now = c, true
	if err := r.rc.Read(r.readFn); err != nil {
		return 0, err
	}
	return r.rn, r.rerr
}

// tryRead reads once; false makes the runtime wait until the socket is readable and call it again.
func (r *rawConn) tryRead(fd uintptr) bool {
	for {
		n, err := syscall.Read(int(fd), r.c.room())
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN) && !r.now:
			r.c.dropIdleChunk()
			return false
		case errors.Is(err, syscall.EAGAIN):
			n, err = 0, nil
		case err != nil:
			n, err = 0, os.NewSyscallError("read", err)
		}
		r.rn, r.rerr = n, err
		return true
	}
}

func (r *rawConn) tryWrite(b []byte) (int, error) {
	r.wbuf = b
	err := r.rc.Write(r.writeFn)
	r.wbuf = nil
	if err != nil {
		return 0, err
	}
	return r.wn, r.werr
}

func (r *rawConn) tryWriteFD(fd uintptr) bool {
	for {
		n, err := syscall.Write(int(fd), r.wbuf)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			n, err = 0, nil
		case err != nil:
			n, err = 0, os.NewSyscallError("write", err)
		}
		r.wn, r.werr = n, err
		return true
	}
}
