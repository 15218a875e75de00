package server_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// TestManySessions holds many sessions in one process, 1,000,000 with HAWSER_TEST_LONG: each connects, subscribes, gets a message
// and acknowledges it.
func TestManySessions(t *testing.T) {
	once(t)
	total := 5_000
	if os.Getenv("HAWSER_TEST_LONG") != "" {
		total = 1_000_000
	}
	o := &owner{}
	s, _ := start(t, server.DefaultConfig(), o)
	ln := server.NewMemListener() // TCP has no descriptors for so many
	serve(t, s, ln, "mem")
	before, begin := memory(), time.Now()
	conns := make([]net.Conn, total)
	const workers = 8
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < total; i += workers {
				if conns[i] = many(t, ln, i); conns[i] == nil {
					return
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	if n := s.Connections(); n != total {
		t.Fatalf("%d connections, want %d", n, total)
	}
	t.Logf("%d sessions: %d a second, %d bytes each with both ends", total, int(float64(total)/time.Since(begin).Seconds()), (memory()-before)/uint64(total))
	begin = time.Now()
	s.Each(func(to *server.Session) bool {
		if err := to.Send(server.Message{Topic: "/p/" + to.Identity() + "/set", Payload: []byte("x"), QoS: 1, Tag: 1}); err != nil {
			t.Errorf("Send: %v", err)
		}
		return !t.Failed()
	})
	buf := make([]byte, 64)
	for _, nc := range conns {
		n, err := io.ReadAtLeast(nc, buf, 8)
		if err != nil {
			t.Fatal(err)
		}
		at := 4 + int(buf[3])
		if _, err := nc.Write([]byte{byte(packet.PUBACK) << 4, 2, buf[at], buf[at+1]}); err != nil || n != at+3 {
			t.Fatalf("% x: %v", buf[:n], err)
		}
	}
	eventually(t, "all delivered", func() bool { return len(o.tags()) == total })
	t.Logf("%d messages a second down and acknowledged", int(float64(total)/time.Since(begin).Seconds()))
	for _, nc := range conns {
		_ = nc.Close()
	}
	eventually(t, "all closed", func() bool { return s.Connections() == 0 })
}

// many connects and subscribes device i.
func many(t *testing.T, ln *server.MemListener, i int) net.Conn {
	nc, err := ln.Dial()
	if err != nil {
		t.Error(err)
		return nil
	}
	id := fmt.Sprintf("d%d", i)
	out := packet.AppendConnect(nil, &packet.Connect{Level: packet.V311, ClientID: []byte(id), Clean: true, KeepAlive: 1200})
	out = packet.AppendSubscribe(out, 1, []packet.Filter{{Filter: "/p/" + id + "/set", QoS: 1}})
	if _, err := nc.Write(out); err != nil {
		t.Error(err)
		return nil
	}
	var in [9]byte // CONNACK and SUBACK
	if _, err := io.ReadFull(nc, in[:]); err != nil || in[3] != 0 || in[8] != 1 {
		t.Errorf("% x: %v", in, err)
		return nil
	}
	return nc
}
