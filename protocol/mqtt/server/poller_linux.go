package server

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
)

// poller tells sockets that they have become readable or writable. It is an epoll of our own, edge-triggered, in which each socket
// is registered once; that it has events is seen by the Go runtime's poller, so that no thread waits in it. It ends with its last user.
type poller struct {
	file *os.File
	fd   int

	mu    sync.Mutex // guards the fields below
	socks []*sock    // by descriptor
	last  uint32     // generation of the newest socket
	users int        // the listener, and sockets
}

// pollBatch is how many events are taken at once.
const pollBatch = 128

// newPoller starts a poller with one user.
func newPoller() (*poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil { // makes os.File give it to the runtime's poller
		_ = syscall.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	p := &poller{file: os.NewFile(uintptr(fd), "epoll"), fd: fd, users: 1}
	rc, err := p.file.SyscallConn()
	if err != nil {
		_ = p.file.Close()
		return nil, err
	}
	go p.run(rc)
	return p, nil
}

// run handles events until the poller is closed.
func (p *poller) run(rc syscall.RawConn) {
	events := make([]syscall.EpollEvent, pollBatch)
	ready := make([]*sock, 0, pollBatch)
	_ = rc.Read(func(fd uintptr) bool {
		for {
			n, err := syscall.EpollWait(int(fd), events, 0)
			if errors.Is(err, syscall.EINTR) {
				continue
			}
			if err != nil {
				return true
			}
			ready = p.find(events[:n], ready)
			for i, s := range ready {
				if s != nil {
					s.event(events[i].Events)
				}
			}
			clear(ready)
			if n < len(events) {
				return false // drained: the next event wakes the runtime's poller
			}
		}
	})
}

// find puts the socket of each event into found: nil for one that was closed meanwhile, even when its descriptor is in use again.
func (p *poller) find(events []syscall.EpollEvent, found []*sock) []*sock {
	found = found[:0]
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range events {
		e := &events[i]
		s := p.socks[e.Fd]
		if s != nil && s.gen != uint32(e.Pad) {
			s = nil
		}
		found = append(found, s)
	}
	return found
}

// readEvents are those of every socket. EPOLLOUT comes with the first write that has to wait.
const readEvents = syscall.EPOLLIN | syscall.EPOLLRDHUP | epollET

// epollET is syscall.EPOLLET, which is negative there.
const epollET = 1 << 31

// add registers s, whose generation it sets.
func (p *poller) add(s *sock) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if grow := s.fd + 1 - len(p.socks); grow > 0 {
		p.socks = append(p.socks, make([]*sock, grow)...)
	}
	p.last++
	s.gen = p.last
	e := syscall.EpollEvent{Events: readEvents, Fd: int32(s.fd), Pad: int32(s.gen)}
	if err := syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_ADD, s.fd, &e); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	p.socks[s.fd] = s
	p.users++
	return nil
}

// watchWrites has s told when it has become writable, and at once when it is.
func (p *poller) watchWrites(s *sock) error {
	e := syscall.EpollEvent{Events: readEvents | syscall.EPOLLOUT, Fd: int32(s.fd), Pad: int32(s.gen)}
	return os.NewSyscallError("epoll_ctl", syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_MOD, s.fd, &e))
}

// remove takes s out, before its descriptor is closed and may be another socket's. Closing ends the registration: nobody has a
// duplicate of the descriptor but a child process between fork and exec, and what is told of a socket that is gone finds another
// generation, or none.
func (p *poller) remove(s *sock) {
	p.mu.Lock()
	p.socks[s.fd] = nil
	p.mu.Unlock()
	_ = syscall.Close(s.fd)
	p.leave()
}

// leave is the end of one use.
func (p *poller) leave() {
	p.mu.Lock()
	p.users--
	over := p.users == 0
	p.mu.Unlock()
	if over {
		_ = p.file.Close()
	}
}
