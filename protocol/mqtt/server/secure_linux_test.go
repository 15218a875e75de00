package server_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// dribble writes in pieces of a few bytes, so that records come in parts.
type dribble struct {
	net.Conn
	piece int
}

func (d dribble) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = d.Conn.Write(b[n:min(len(b), n+d.piece)])
		n += m
		time.Sleep(50 * time.Microsecond) // so that they are not joined again
	}
	return n, err
}

// secureDialer dials with TLS.
type secureDialer struct {
	net.Listener
	config *tls.Config
	piece  int // bytes a write, 0 = as they are
}

func (d secureDialer) Dial() (net.Conn, error) {
	nc, err := net.Dial("tcp", d.Addr().String())
	if err != nil {
		return nil, err
	}
	if d.piece > 0 {
		nc = dribble{nc, d.piece}
	}
	return tls.Client(nc, d.config), nil
}

func secured(t *testing.T, cfg server.Config, o server.Owner, max uint16) (*server.Server, secureDialer) {
	t.Helper()
	once(t)
	d := &doors{}
	d.certificate(t)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := server.New(cfg, o, slog.New(slog.DiscardHandler))
	ln := tls.NewListener(server.Poll(inner), &tls.Config{Certificates: []tls.Certificate{d.serverSideCert}, MaxVersion: max})
	serve(t, s, ln, "tls")
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s, secureDialer{Listener: ln, config: &tls.Config{RootCAs: d.roots, ServerName: "localhost"}}
}

// TestSecuredIdle: idle TLS connections have no goroutine, also with part of a record in hand, and go on where they were.
func TestSecuredIdle(t *testing.T) {
	for name, version := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			s, ln := secured(t, server.DefaultConfig(), &owner{}, version)
			c, _ := login(t, ln, "d", true)
			c.ping()
			eventually(t, "no goroutine in a connection", func() bool { return goroutinesIn("server.(*conn).") == 0 })
			ln.piece = 3
			slow, _ := login(t, ln, "slow", true)
			for i := range uint16(20) {
				slow.send(pub("t", strings.Repeat("x", int(i)), 1, i+1))
				slow.wantID(packet.PUBACK, i+1)
			}
			eventually(t, "idle again", func() bool { return goroutinesIn("server.(*conn).") == 0 })
			_ = slow.nc.Close()
			c.ping()
			c.disconnect()
			eventually(t, "over", func() bool { return s.Connections() == 0 })
			if st := s.Stats(); st.Closed[server.CauseEOF] != 1 || st.Closed[server.CauseDisconnect] != 1 {
				t.Errorf("closed %v", st.Closed)
			}
		})
	}
}

// TestSecuredBothWays: much goes both ways at once, larger than a record and than the socket takes.
func TestSecuredBothWays(t *testing.T) {
	o := &owner{}
	o.publish = func(s *server.Session, p *server.Publish) {
		if err := s.Send(server.Message{Topic: "back", Payload: p.Payload, QoS: 1}); err != nil {
			t.Errorf("Send: %v", err)
		}
		p.Done(nil)
	}
	cfg := server.DefaultConfig()
	cfg.OutBytes = 16 << 20 // nothing is dropped
	_, ln := secured(t, cfg, o, 0)
	c, _ := login(t, ln, "d", true)
	c.subscribe(1, "back", 1)
	const n = 60
	go func() {
		for i := range uint16(n) {
			_, _ = c.nc.Write(pub("t", string(make([]byte, int(i)*4001)), 1, i+1))
		}
	}()
	acked, got := uint16(0), 0
	for acked < n || got < n {
		h, body, err := c.read()
		if err != nil {
			t.Fatal(err)
		}
		switch h.Type {
		case packet.PUBACK:
			if id, _ := packet.DecodeID(body); id != acked+1 {
				t.Fatalf("PUBACK %d, want %d", id, acked+1)
			}
			acked++
		case packet.PUBLISH:
			var p packet.Publish
			if err := packet.DecodePublish(h.Flags, body, &p); err != nil || len(p.Payload) != got*4001 {
				t.Fatalf("message %d has %d bytes, %v", got, len(p.Payload), err)
			}
			got++
			c.send(packet.AppendID(nil, packet.PUBACK, p.ID))
		}
	}
	c.ping()
}

// TestSecuredSlowReader: a TLS client that does not read is left after WriteTimeout, and costs a bounded queue.
func TestSecuredSlowReader(t *testing.T) {
	s, ln := secured(t, server.Config{OutQueue: 10, WriteTimeout: 2 * time.Second}, &owner{}, 0)
	c, _ := login(t, ln, "slow", true)
	c.subscribe(1, "#", 0)
	target := session(t, s, "slow")
	payload := make([]byte, 100_000)
	deadline := time.Now().Add(limit)
	for s.Stats().Closed[server.CauseSlowReader] == 0 {
		if err := target.Send(server.Message{Topic: "t", Payload: payload}); err != nil && !errors.Is(err, server.ErrOffline) {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatal(fmt.Sprint("still there: ", s.Stats().Closed))
		}
		if s.Stats().Dropped[server.DropQueueFull] > 0 {
			time.Sleep(time.Millisecond) // a rate, not a wait
		}
	}
	if s.Stats().Dropped[server.DropQueueFull] == 0 {
		t.Error("nothing dropped")
	}
}

// TestSecuredPingWhileHeldBack: TLS connections read ahead too.
func TestSecuredPingWhileHeldBack(t *testing.T) {
	held := make(chan *server.Publish, 10)
	_, ln := secured(t, server.Config{Window: 2}, &owner{publish: func(_ *server.Session, p *server.Publish) { held <- p }}, 0)
	c, _ := login(t, ln, "d", true)
	for i := range uint16(4) {
		c.send(pub("t", "x", 1, i+1))
	}
	c.send(packet.AppendEmpty(nil, packet.PINGREQ))
	c.want(packet.PINGRESP)
	for i := range uint16(4) {
		(<-held).Done(nil)
		c.wantID(packet.PUBACK, i+1)
	}
}
