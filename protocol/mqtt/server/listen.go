package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
)

// Serve accepts connections from ln until ctx ends or the server is closed, then closes ln and returns nil. Connections
// live on until Close. transport names the listener in Connect and logs: "tcp", "tls" (ln does the TLS), "mem".
// TCP is taken over by Poll where there is one. A failing Accept (no file descriptors left, say) is logged, counted and tried again with growing pauses of up to one second.
func (s *Server) Serve(ctx context.Context, ln net.Listener, transport string) error {
	if s.cfg.Driver == DriverAuto {
		ln = Poll(ln)
	}
	if !s.track(ln) {
		return ErrClosed
	}
	defer s.untrack(ln)
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	pause := time.Duration(0)
	for {
		nc, err := ln.Accept()
		if err == nil {
			pause = 0
			s.serveConn(nc, &transport)
			continue
		}
		if ctx.Err() != nil || s.base.Err() != nil || s.isClosing() {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("accept on %s: %w", ln.Addr(), err)
		}
		s.stats.acceptErrors.Add(1)
		if pause == 0 {
			s.log.Error("accept failed, trying again", "addr", ln.Addr().String(), "err", err)
		}
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		select {
		case <-ctx.Done():
		case <-s.base.Done():
		case <-time.After(pause):
		}
	}
}

func (s *Server) track(ln net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		_ = ln.Close()
		return false
	}
	s.listeners[ln] = struct{}{}
	return true
}

func (s *Server) untrack(ln net.Listener) {
	s.mu.Lock()
	delete(s.listeners, ln)
	s.mu.Unlock()
	_ = ln.Close()
}

func (s *Server) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// serveConn starts the connection's goroutine, or closes nc when the server is closing.
func (s *Server) serveConn(nc net.Conn, transport *string) {
	c := newConn(s, nc, transport)
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		_ = nc.Close()
		return
	}
	s.conns[c] = struct{}{}
	s.wg.Add(1)
	s.mu.Unlock()
	s.open.Add(1)
	s.stats.accepted.Add(1)
	s.wheel.add(&c.timed, s.wheel.after(s.cfg.ConnectTimeout))
	c.start()
}

// Close stops accepting, stops reading, lets acknowledgements in hand finish for at most Config.DrainTimeout or
// until ctx ends, and closes all connections with CauseShutdown. It returns after all goroutines of
// connections ended; its error is ctx's when that cut the wait short.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	for ln := range s.listeners {
		_ = ln.Close()
	}
	open := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		open = append(open, c)
	}
	s.mu.Unlock()
	s.cancel()
	for _, c := range open {
		c.drain()
	}
	ended := make(chan struct{})
	go func() { s.wg.Wait(); close(ended) }()
	timeout := time.NewTimer(s.cfg.DrainTimeout)
	defer timeout.Stop()
	var err error
	select {
	case <-ended:
	case <-timeout.C:
	case <-ctx.Done():
		err = fmt.Errorf("close mqtt server: %w", ctx.Err())
	}
	for _, c := range open {
		c.close(CauseShutdown)
	}
	<-ended
	s.wheel.stop()
	s.workers.close()
	return err
}

// abort closes a connection without waiting for the peer: a TLS close would first write an alert.
func abort(nc net.Conn) {
	if w, ok := nc.(*wsConn); ok {
		nc = w.ws.NetConn()
	}
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	_ = nc.Close()
}
