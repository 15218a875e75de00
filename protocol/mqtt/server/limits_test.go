package server_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// TestSlowLoris: neither silence nor a byte at a time holds a connection open before CONNECT.
func TestSlowLoris(t *testing.T) {
	t.Parallel()
	s, ln := start(t, server.Config{ConnectTimeout: 150 * time.Millisecond}, &owner{})
	silent, drip := dial(t, ln), dial(t, ln)
	con := packet.AppendConnect(nil, &packet.Connect{Level: packet.V311, ClientID: make([]byte, 60_000), Clean: true})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for _, b := range con {
			if _, err := drip.nc.Write([]byte{b}); err != nil {
				return
			}
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	silent.wantClosed()
	drip.wantClosed()
	close(stop)
	wg.Wait()
	eventually(t, "counted", func() bool { return s.Stats().Closed[server.CauseConnectTimeout] == 2 })
}

func TestKeepAlive(t *testing.T) {
	t.Parallel()
	s, ln := start(t, server.Config{StoreTimeout: 400 * time.Millisecond}, &owner{}) // a tick of 50 ms
	for closed := uint64(1); ; closed++ {
		c := dial(t, ln)
		begin := time.Now()
		c.connect(&packet.Connect{ClientID: []byte("k"), Clean: true, KeepAlive: 2})
		<-time.After(700 * time.Millisecond)
		_, _ = c.nc.Write(packet.AppendEmpty(nil, packet.PINGREQ))
		if h, _, err := c.read(); err != nil && time.Since(begin) > 2800*time.Millisecond {
			continue // the ping was late, on a busy machine
		} else if err != nil || h.Type != packet.PINGRESP {
			t.Fatalf("got %s, %v, want PINGRESP", h.Type, err)
		}
		c.wantClosed()
		// 3.7 s, less two ticks of the server's clock.
		if d := time.Since(begin); d < 3600*time.Millisecond {
			t.Errorf("closed after %s, want 3 s after the ping at 0.7 s", d)
		}
		eventually(t, "counted", func() bool { return s.Stats().Closed[server.CauseKeepAlive] == closed })
		return
	}
}

// TestLongestKeepAlive: 1.5 times 65,535 s does not overflow into a short time.
func TestLongestKeepAlive(t *testing.T) {
	t.Parallel()
	_, ln := start(t, server.Config{StoreTimeout: 40 * time.Millisecond}, &owner{})
	c := dial(t, ln)
	c.connect(&packet.Connect{ClientID: []byte("k"), Clean: true, KeepAlive: 65_535})
	<-time.After(1600 * time.Millisecond) // more than a whole turn of the wheel at this tick
	c.ping()
}

// TestSlowReader: a client that does not read costs a bounded queue, drops are counted, and others are served.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	o := &owner{}
	s, ln := startMem(t, server.Config{OutQueue: 10, WriteTimeout: 5 * time.Second}, o) // and the fast one must make it
	slow, _ := login(t, ln, "slow", false)
	slow.subscribe(1, "#", 1)
	fast, _ := login(t, ln, "fast", true)
	fast.subscribe(1, "#", 1)
	target, other := session(t, s, "slow"), session(t, s, "fast")
	payload := make([]byte, 20_000)
	late := uint64(0) // sent after the slow reader was closed, on a busy machine
	for i := range 200 {
		switch err := target.Send(server.Message{Topic: "t", Payload: payload}); {
		case errors.Is(err, server.ErrOffline):
			late++
		case err != nil:
			t.Fatal(err)
		}
		if i%50 == 0 {
			if err := other.Send(server.Message{Topic: "t", Payload: payload}); err != nil {
				t.Fatal(err)
			}
			fast.wantPublish()
		}
	}
	if got := s.Stats().Dropped[server.DropQueueFull]; got == 0 {
		t.Error("nothing dropped")
	}
	eventually(t, "slow reader closed", func() bool { return s.Stats().Closed[server.CauseSlowReader] == 1 })
	eventually(t, "all written or counted as dropped", func() bool {
		st := s.Stats()
		return st.PublishOut[0]+st.Dropped[server.DropQueueFull]+st.Dropped[server.DropConnection]+late >= 200
	})
}

// TestAnswersDoNotPileUp: a client that asks and does not read is no longer read.
func TestAnswersDoNotPileUp(t *testing.T) {
	t.Parallel()
	s, ln := startMem(t, server.Config{WriteTimeout: 300 * time.Millisecond}, &owner{})
	c, _ := login(t, ln, "d", true)
	flood := make([]byte, 0, 2000)
	for range 1000 {
		flood = packet.AppendEmpty(flood, packet.PINGREQ)
	}
	_ = c.nc.SetWriteDeadline(time.Now().Add(limit))
	var err error
	for n := 0; err == nil && n < 10_000; n++ {
		_, err = c.nc.Write(flood)
	}
	if err == nil {
		t.Fatal("20 MB of pings were read without their answers being taken")
	}
	eventually(t, "closed", func() bool { return s.Stats().Closed[server.CauseSlowReader] == 1 })
}

// TestQueueBehindWindow: messages beyond those in flight wait, QoS 0 passes, and acknowledgements let them go in order.
func TestQueueBehindWindow(t *testing.T) {
	s, ln := start(t, server.Config{InFlight: 2, OutQueue: 4}, &owner{})
	c, _ := login(t, ln, "d", false)
	c.subscribe(1, "#", 1)
	d := session(t, s, "d")
	for i := range 8 {
		if err := d.Send(server.Message{Topic: "t", Payload: []byte{byte('0' + i)}, QoS: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Send(server.Message{Topic: "t", Payload: []byte("now")}); err != nil {
		t.Fatal(err)
	}
	if err := d.Send(server.Message{Topic: "t", Payload: []byte("late"), QoS: 1, Expiry: time.Now().Add(-time.Second)}); !errors.Is(err, server.ErrExpired) {
		t.Errorf("expired: %v", err)
	}
	var got []string
	for len(got) < 7 {
		p := c.wantPublish()
		got = append(got, string(p.Payload))
		if p.QoS == 1 && len(got) > 2 || len(got) == 3 {
			c.send(packet.AppendID(nil, packet.PUBACK, uint16(len(got)-2)))
		}
	}
	// 0 and 1 in flight; 2 and 3 were dropped for 6 and 7.
	if want := []string{"0", "1", "now", "4", "5", "6", "7"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if n := s.Stats().Dropped[server.DropQueueFull]; n != 2 {
		t.Errorf("dropped %d, want 2", n)
	}
}

// TestOrderBehindFullSocket: what waits for room in the socket keeps its order, though the socket is emptied while it is gone through.
func TestOrderBehindFullSocket(t *testing.T) {
	t.Parallel()
	const total = 3000
	s, ln := start(t, server.Config{InFlight: total, OutQueue: total, OutBytes: 1 << 30}, &owner{})
	c, _ := login(t, ln, "d", true)
	c.subscribe(1, "#", 1)
	d, payload := session(t, s, "d"), make([]byte, 2000)
	for i := range total {
		if err := d.Send(server.Message{Topic: strconv.Itoa(i), Payload: payload, QoS: 1}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range total {
		p := c.wantPublish()
		if string(p.Topic) != strconv.Itoa(i) {
			t.Fatalf("message %d is %s", i, p.Topic)
		}
		c.send(packet.AppendID(nil, packet.PUBACK, p.ID))
	}
}

// TestQuotaComesBack: small clients acknowledge one at a time, thousands of times.
func TestQuotaComesBack(t *testing.T) {
	s, ln := start(t, server.Config{InFlight: 3, OutQueue: 4}, &owner{})
	c, _ := login(t, ln, "d", false)
	c.subscribe(1, "#", 2)
	d := session(t, s, "d")
	for i := range 4000 {
		qos := byte(1 + i%2)
		if err := d.Send(server.Message{Topic: "t", QoS: qos, Tag: uint64(i + 1)}); err != nil {
			t.Fatal(err)
		}
		p := c.wantPublish()
		if qos == 1 {
			c.send(packet.AppendID(nil, packet.PUBACK, p.ID))
			continue
		}
		c.send(packet.AppendID(nil, packet.PUBREC, p.ID))
		c.wantID(packet.PUBREL, p.ID)
		c.send(packet.AppendID(nil, packet.PUBCOMP, p.ID))
	}
	if n := s.Stats().Dropped[server.DropQueueFull]; n != 0 {
		t.Errorf("%d dropped", n)
	}
}

func TestRate(t *testing.T) {
	t.Parallel()
	s, ln := start(t, server.Config{Rate: 50}, &owner{})
	c, _ := login(t, ln, "d", true)
	var all []byte
	for i := range uint16(75) {
		all = append(all, pub("t", "x", 1, i+1)...)
	}
	for begin := time.Now(); s.Stats().Paused == 0; { // the first time, on a machine that takes them within half a second
		if time.Since(begin) > limit {
			t.Fatal("pauses not counted")
		}
		round := time.Now()
		c.send(all)
		for i := range uint16(75) {
			c.wantID(packet.PUBACK, i+1)
		}
		// 50 at once, then 25 at 50/s.
		if d := time.Since(round); d < 450*time.Millisecond {
			t.Errorf("took %s, want 0.5 s", d)
		}
	}
}

// TestPingWhileHeldBack: a ping behind publishes that wait for the owner is answered.
func TestPingWhileHeldBack(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var held []*server.Publish
	o := &owner{publish: func(_ *server.Session, p *server.Publish) {
		mu.Lock()
		held = append(held, p)
		mu.Unlock()
	}}
	_, ln := start(t, server.Config{Window: 2}, o)
	c, _ := login(t, ln, "d", true)
	var all []byte
	for i := range uint16(200) {
		all = append(all, pub("t", string(make([]byte, 100)), 1, i+1)...)
	}
	c.send(all)
	c.ping()
	c.send(all)
	c.ping()
	mu.Lock()
	if len(held) != 2 {
		t.Errorf("%d with the owner, window 2", len(held))
	}
	mu.Unlock()
	for acked := 0; acked < 400; {
		mu.Lock()
		for _, p := range held {
			p.Done(nil)
		}
		n := len(held)
		held = nil
		mu.Unlock()
		for range n {
			c.want(packet.PUBACK)
		}
		acked += n
	}
	c.ping()
}

// failing is a listener whose Accept fails some times first, as with too many open files.
type failing struct {
	*server.MemListener
	left int
}

func (f *failing) Accept() (net.Conn, error) {
	if f.left > 0 {
		f.left--
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}
	}
	return f.MemListener.Accept()
}

func TestAcceptErrorsPass(t *testing.T) {
	s, _ := start(t, server.Config{}, &owner{})
	ln := &failing{MemListener: server.NewMemListener(), left: 4}
	serve(t, s, ln, "mem")
	c, _ := login(t, ln.MemListener, "d", true)
	c.ping()
	if got := s.Stats().AcceptErrors; got != 4 {
		t.Errorf("accept errors %d, want 4", got)
	}
}

// TestDrain: Close lets acknowledgements in hand go out.
func TestDrain(t *testing.T) {
	taken := make(chan *server.Publish, 1)
	o := &owner{publish: func(_ *server.Session, p *server.Publish) { taken <- p }}
	cfg := server.DefaultConfig()
	cfg.Driver, cfg.DrainTimeout = on.driver, limit
	s := server.New(cfg, o, slog.New(slog.DiscardHandler))
	ln := server.NewMemListener()
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), ln, "mem") }()
	c, _ := login(t, ln, "d", true)
	idle, _ := login(t, ln, "idle", true)
	shy := dial(t, ln)
	eventually(t, "three connections", func() bool { return s.Connections() == 3 })
	c.send(pub("t", "x", 1, 9))
	p := <-taken
	closed := make(chan error, 1)
	go func() { closed <- s.Close(context.Background()) }()
	idle.wantClosed()
	shy.wantClosed()
	p.Done(nil)
	c.wantID(packet.PUBACK, 9)
	c.wantClosed()
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if err := s.Serve(context.Background(), server.NewMemListener(), "mem"); !errors.Is(err, server.ErrClosed) {
		t.Errorf("Serve after Close: %v", err)
	}
	if got := s.Stats().Closed[server.CauseShutdown]; got != 3 {
		t.Errorf("closed by shutdown: %d, want 3", got)
	}
}

// TestDrainTimeout: an owner that never answers does not hold Close up.
func TestDrainTimeout(t *testing.T) {
	taken := make(chan *server.Publish, 1)
	o := &owner{publish: func(_ *server.Session, p *server.Publish) { taken <- p }}
	s := server.New(server.Config{Driver: on.driver, DrainTimeout: 50 * time.Millisecond}, o, slog.New(slog.DiscardHandler))
	ln := server.NewMemListener()
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), ln, "mem") }()
	c, _ := login(t, ln, "d", true)
	c.send(pub("t", "x", 1, 9))
	p := <-taken
	if err := s.Close(context.Background()); err != nil {
		t.Errorf("Close: %v", err)
	}
	c.wantClosed()
	p.Done(nil)
	<-served
}

// TestFlood: thousands of connections of garbage leave nothing behind.
func TestFlood(t *testing.T) {
	s, ln := start(t, server.Config{}, &owner{})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 300 {
				nc, err := ln.Dial()
				if err != nil {
					t.Error(err)
					return
				}
				junk := []byte{byte(i), byte(w), 0xff, 0xff, 0x7f, byte(i), byte(i >> 4)}
				_, _ = nc.Write(junk)
				_ = nc.Close()
			}
		})
	}
	wg.Wait()
	eventually(t, "all closed", func() bool { return s.Stats().Accepted == 1200 && s.Connections() == 0 })
	st := s.Stats()
	sum := uint64(0)
	for _, n := range st.Closed {
		sum += n
	}
	if st.Accepted != 1200 || sum != 1200 {
		t.Errorf("accepted %d, closed %d by cause, want 1200", st.Accepted, sum)
	}
	c, _ := login(t, ln, "after", true)
	c.ping()
}
