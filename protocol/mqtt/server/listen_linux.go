package server

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// Poll returns a listener on ln's socket whose connections need no goroutine while they are idle; closing it closes ln. It returns ln
// itself where that is not possible. Serve does it by itself for TCP; for TLS it goes between the two: tls.NewListener(server.Poll(ln), config).
func Poll(ln net.Listener) net.Listener {
	if l, ok := ln.(*proxyListener); ok {
		return &proxyListener{Listener: Poll(l.Listener), trusted: l.trusted, wait: l.wait}
	}
	t, ok := ln.(*net.TCPListener)
	if !ok {
		return ln
	}
	file, err := t.File()
	if err != nil {
		return ln
	}
	rc, err := file.SyscallConn()
	var p *poller
	if err == nil {
		p, err = newPoller()
	}
	if err != nil {
		_ = file.Close()
		return ln
	}
	l := &pollListener{ln: ln, file: file, rc: rc, p: p}
	_ = rc.Control(func(fd uintptr) { l.inherits = inherits(int(fd)) }) // else each connection is set
	return l
}

// pollListener accepts past the Go runtime, which would register each connection with its own poller.
type pollListener struct {
	ln   net.Listener
	file *os.File
	rc   syscall.RawConn
	p    *poller
	// inherits: connections have the options that setOptions has set on the listener, which saves each five calls.
	inherits bool
}

// ipprotoMPTCP is what the net package's listeners are, unless they are asked not to be.
const ipprotoMPTCP = 262

// inherits sets a listener's options and tells whether its connections have them. Those of an MPTCP listener inherit the value that
// getsockopt shows, and not the effect.
func inherits(fd int) bool {
	proto, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_PROTOCOL)
	return err == nil && proto != ipprotoMPTCP && setOptions(fd) == nil
}

// setOptions sets what the net package sets on each connection.
func setOptions(fd int) (err error) {
	for _, o := range [...]struct{ level, name, value int }{
		{syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1},
		{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 15},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, 15},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, 9},
	} {
		err = errors.Join(err, os.NewSyscallError("setsockopt", syscall.SetsockoptInt(fd, o.level, o.name, o.value)))
	}
	return err
}

// Accept waits for a connection and registers it.
func (l *pollListener) Accept() (net.Conn, error) {
	var fd int
	var sa syscall.Sockaddr
	var err error
	closed := l.rc.Read(func(ln uintptr) bool {
		for {
			fd, sa, err = syscall.Accept4(int(ln), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
			if !errors.Is(err, syscall.EINTR) && !errors.Is(err, syscall.ECONNABORTED) {
				return !errors.Is(err, syscall.EAGAIN)
			}
		}
	})
	switch {
	case closed != nil:
		return nil, l.failed(net.ErrClosed)
	case err != nil:
		return nil, l.failed(os.NewSyscallError("accept4", err))
	}
	if !l.inherits {
		if err := setOptions(fd); err != nil {
			_ = syscall.Close(fd)
			return nil, l.failed(err)
		}
	}
	s := &sock{fd: fd, p: l.p, peer: newPeer(sa)}
	if err := l.p.add(s); err != nil {
		_ = syscall.Close(fd)
		return nil, l.failed(err)
	}
	return s, nil
}

func (l *pollListener) failed(err error) error {
	return &net.OpError{Op: "accept", Net: "tcp", Addr: l.ln.Addr(), Err: err}
}

// Close ends Accept; connections live on.
func (l *pollListener) Close() error {
	if err := l.file.Close(); err != nil {
		return net.ErrClosed
	}
	l.p.leave()
	return l.ln.Close()
}

// Addr is the listener's address.
func (l *pollListener) Addr() net.Addr { return l.ln.Addr() }
