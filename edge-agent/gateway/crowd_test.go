package gateway

import (
	"context"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
)

// TestCrowd: programs that open connections and say nothing get so many, at either door; a sub-device gets in when one of them is gone.
func TestCrowd(t *testing.T) {
	g, err := New(Config{Listen: "127.0.0.1:0", HTTP: HTTP{Listen: "127.0.0.1:0", Token: "token"},
		Subdevices: []Subdevice{{Device: fuzzMeter, Secret: "0123456789abcdef"}}}, &strict{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	g.spare, g.web.most = 3, 5
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	const most = 5 // spare, and two of the sub-device's
	login := packet.AppendConnect(nil, &packet.Connect{Level: packet.V311, ClientID: []byte(fuzzMeter.ClientID()), UserName: []byte("abcdefghij012345|meter-1|1"),
		HasUserName: true, Password: []byte("0123456789abcdef"), HasPassword: true, Clean: true})
	for name, door := range map[string]struct {
		addr  net.Addr
		open  func() int
		hello []byte
	}{
		"MQTT": {g.Addr(), g.engine.Connections, login},
		"HTTP": {g.AddrHTTP(), func() int { return int(g.web.conns.Load()) }, []byte("GET / HTTP/1.0\r\n\r\n")},
	} {
		var idle []net.Conn
		for range most {
			idle = append(idle, dialDoor(t, door.addr))
		}
		poll(t, name+": all are in", func() bool { return door.open() == most })
		late := dialDoor(t, door.addr)
		if _, err := late.Read(make([]byte, 1)); err == nil {
			t.Errorf("%s: one too many is served", name)
		}
		_ = idle[0].Close()
		poll(t, name+": one has left", func() bool { return door.open() < most })
		c := dialDoor(t, door.addr)
		if _, err := c.Write(door.hello); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
			t.Errorf("%s: no answer: %v", name, err)
		}
	}
	if g.Turned() != 2 {
		t.Errorf("%d were turned away", g.Turned())
	}
}

func dialDoor(t *testing.T, a net.Addr) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", a.String())
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func poll(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}
