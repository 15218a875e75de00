package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// polled runs a server whose TCP connections have no goroutine while idle, whatever the way of this run.
func polled(t testing.TB, cfg server.Config, o server.Owner) (*server.Server, tcpDialer) {
	t.Helper()
	once(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := server.New(cfg, o, slog.New(slog.DiscardHandler))
	serve(t, s, ln, "tcp")
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s, tcpDialer{ln}
}

// goroutinesIn counts the goroutines whose stack has a function.
func goroutinesIn(function string) int {
	buf := make([]byte, 4<<20)
	buf = buf[:runtime.Stack(buf, true)]
	return strings.Count(string(buf), function)
}

// TestIdleHasNoGoroutine: connections that have nothing to say have none, also in the middle of a packet; all are served still, and
// told of the end.
func TestIdleHasNoGoroutine(t *testing.T) {
	s, ln := polled(t, server.DefaultConfig(), &owner{})
	var all []*client
	for i := range 50 {
		c, _ := login(t, ln, fmt.Sprint("d", i), true)
		c.send(pub("t", "half", 1, 7)[:5])
		all = append(all, c)
	}
	eventually(t, "no goroutine in a connection", func() bool { return goroutinesIn("server.(*conn).") == 0 })
	for _, c := range all {
		c.send(pub("t", "half", 1, 7)[5:])
		c.wantID(packet.PUBACK, 7)
		c.ping()
	}
	eventually(t, "idle again", func() bool { return goroutinesIn("server.(*conn).") == 0 })
	if err := s.Close(context.Background()); err != nil {
		t.Error(err)
	}
	for _, c := range all {
		c.wantClosed()
	}
	if got := s.Stats().Closed[server.CauseShutdown]; got != 50 {
		t.Errorf("closed by shutdown: %d, want 50", got)
	}
}

// TestSilentHasNoGoroutine: who has connected and says nothing has none either, is served when it speaks at last, and is cut off when
// it does not.
func TestSilentHasNoGoroutine(t *testing.T) {
	cfg := server.DefaultConfig()
	cfg.ConnectTimeout = 15 * time.Second // in which ten of them have to speak
	s, ln := polled(t, cfg, &owner{})
	var all []net.Conn
	for range 50 {
		nc, err := ln.Dial()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = nc.Close() }()
		all = append(all, nc)
	}
	eventually(t, "all are accepted", func() bool { return s.Connections() == 50 })
	eventually(t, "no goroutine in a connection", func() bool { return goroutinesIn("server.(*conn).") == 0 })
	for i, nc := range all[:10] {
		if _, err := nc.Write(packet.AppendConnect(nil, &packet.Connect{Level: packet.V311, ClientID: fmt.Appendf(nil, "d%d", i), Clean: true, KeepAlive: 60})); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(nc, make([]byte, 4)); err != nil { // CONNACK
			t.Errorf("%d: %v", i, err)
		}
	}
	eventually(t, "the others are cut off", func() bool { return s.Stats().Closed[server.CauseConnectTimeout] == 40 })
}

// TestSocketEnds: a half-closed connection, with and without bytes before its end, and one that is reset are over at once.
func TestSocketEnds(t *testing.T) {
	o := &owner{}
	s, ln := polled(t, server.DefaultConfig(), o)
	for i, end := range []func(c *client, tcp *net.TCPConn){
		func(_ *client, tcp *net.TCPConn) { _ = tcp.CloseWrite() },
		func(c *client, tcp *net.TCPConn) {
			c.send(pub("t", "x", 1, 3))
			_ = tcp.CloseWrite()
			c.wantID(packet.PUBACK, 3)
		},
		func(_ *client, tcp *net.TCPConn) { _ = tcp.SetLinger(0); _ = tcp.Close() },
		func(_ *client, _ *net.TCPConn) { s.Kick("d3", server.CauseKicked) },
	} {
		c, _ := login(t, ln, fmt.Sprint("d", i), true)
		c.ping()
		end(c, c.nc.(*net.TCPConn))
		eventually(t, fmt.Sprint("over: ", i), func() bool { return s.Connections() == 0 })
	}
	st := s.Stats()
	if st.Closed[server.CauseEOF] != 2 || st.Closed[server.CauseNetwork] != 1 || st.Closed[server.CauseKicked] != 1 {
		t.Errorf("closed %v", st.Closed)
	}
}

// TestDescriptorsReused: connections come and go so fast that each descriptor is many connections' in turn; none hears another's events.
func TestDescriptorsReused(t *testing.T) {
	o := &owner{}
	s, ln := polled(t, server.DefaultConfig(), o)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 100 {
				nc, err := ln.Dial()
				if err != nil {
					t.Error(err)
					return
				}
				c := &client{t: t, nc: nc}
				id := fmt.Sprintf("w%d-%d", w, i)
				_, _ = nc.Write(packet.AppendConnect(nil, &packet.Connect{Level: packet.V311, ClientID: []byte(id), Clean: true}))
				if i%3 == 0 {
					_ = nc.Close() // whatever the server is at
					continue
				}
				_, _ = nc.Write(pub("t", id, 1, uint16(i+1)))
				for _, want := range []packet.Type{packet.CONNACK, packet.PUBACK} {
					if h, _, err := c.read(); err != nil || h.Type != want {
						t.Errorf("%s: got %s, %v, want %s", id, h.Type, err, want)
						break
					}
				}
				if i%3 == 1 {
					s.Kick(id, server.CauseKicked)
				}
				_ = nc.Close()
			}
		})
	}
	wg.Wait()
	eventually(t, "all gone", func() bool { return s.Connections() == 0 && s.Stats().Sessions == 0 })
}

// TestDeadlines: a connection of Poll is a net.Conn like others, for what wraps it.
func TestDeadlines(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := server.Poll(inner)
	t.Cleanup(func() { _ = ln.Close() })
	peer, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = peer.Close() })
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	if got, want := nc.RemoteAddr().String(), peer.LocalAddr().String(); got != want {
		t.Errorf("remote address %s, want %s", got, want)
	}
	if got, want := nc.LocalAddr().String(), peer.RemoteAddr().String(); got != want {
		t.Errorf("local address %s, want %s", got, want)
	}
	timeout := func(what string, err error) {
		t.Helper()
		var n net.Error
		if !errors.As(err, &n) || !n.Timeout() {
			t.Errorf("%s: %v, want a timeout", what, err)
		}
	}
	buf := make([]byte, 1<<20)
	_ = nc.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	_, err = nc.Read(buf)
	timeout("read", err)
	_ = nc.SetReadDeadline(time.Time{})
	time.AfterFunc(20*time.Millisecond, func() { _ = nc.SetReadDeadline(time.Unix(1, 0)) })
	_, err = nc.Read(buf)
	timeout("read, deadline set meanwhile", err)
	_ = nc.SetDeadline(time.Now().Add(50 * time.Millisecond))
	for err = nil; err == nil; { // until the peer's buffers are full
		_, err = nc.Write(buf)
	}
	timeout("write", err)
	_ = nc.SetDeadline(time.Time{})
	time.AfterFunc(20*time.Millisecond, func() { _ = nc.Close() })
	if _, err = nc.Read(buf); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read: %v, want net.ErrClosed", err)
	}
	if _, err = nc.Write(buf); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write: %v, want net.ErrClosed", err)
	}
}

// TestNoDescriptorsLeft: Accept fails and goes on when the process may open files again.
func TestNoDescriptorsLeft(t *testing.T) {
	s, ln := polled(t, server.DefaultConfig(), &owner{})
	c, _ := login(t, ln, "before", true)
	var clients []int
	for range 8 {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, fd)
	}
	release := exhaust(t)
	before, used := s.Stats().AcceptErrors, 0
	to := &syscall.SockaddrInet4{Port: ln.Addr().(*net.TCPAddr).Port, Addr: [4]byte{127, 0, 0, 1}}
	eventually(t, "accept failed", func() bool {
		if used < len(clients) && s.Connections() == used+1 { // what earlier tests left behind has given descriptors back
			if err := syscall.Connect(clients[used], to); err != nil {
				t.Fatal(err)
			}
			used++
		}
		return s.Stats().AcceptErrors > before
	})
	c.ping()
	release()
	eventually(t, "accepted", func() bool { return s.Connections() == 1+used })
	for _, fd := range clients {
		_ = syscall.Close(fd)
	}
	eventually(t, "closed", func() bool { return s.Connections() == 1 })
}

// TestIdleBudget holds idle TCP connections, whose clients weigh nothing, to the engine's budget, new and after reconnecting.
func TestIdleBudget(t *testing.T) {
	const conns = 3000
	budget := 1700
	s, ln := polled(t, server.DefaultConfig(), &quiet{})
	port := ln.Addr().(*net.TCPAddr).Port
	before := memory()
	for round := range 3 {
		fds := make([]int, conns)
		for i := range fds {
			fd, err := rawClient(port, i)
			if err != nil {
				t.Fatal(err)
			}
			fds[i] = fd
		}
		eventually(t, "no goroutine in a connection", func() bool { return goroutinesIn("server.(*conn).") == 0 })
		each := int(memory()-before) / conns
		t.Logf("round %d: %d bytes an idle connection", round, each)
		if each > budget {
			t.Errorf("round %d: %d bytes an idle connection, budget %d", round, each, budget)
		}
		budget = 2 << 10
		for _, fd := range fds {
			_ = syscall.Close(fd)
		}
		eventually(t, "all closed", func() bool { return s.Connections() == 0 })
	}
}
