package server_test

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet/packettest"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

func TestConnectPublishSubscribe(t *testing.T) {
	var got []string
	o := &owner{publish: func(s *server.Session, p *server.Publish) {
		got = append(got, fmt.Sprintf("%s %s %s %d %d", s.Identity(), p.Topic, p.Payload, p.QoS, p.PacketID))
		_ = s.Send(server.Message{Topic: "echo/" + p.Topic, Payload: p.Payload, QoS: p.QoS})
		p.Done(nil)
	}}
	s, ln := start(t, server.Config{}, o)
	c, present := login(t, ln, "d1", true)
	if present {
		t.Error("session present on a clean connect")
	}
	c.ping()
	c.subscribe(1, "echo/#", 1)
	c.send(pub("a", "zero", 0, 0), pub("b", "one", 1, 7))
	if p := c.wantPublish(); string(p.Topic) != "echo/a" || p.QoS != 0 {
		t.Errorf("echo %+v", p)
	}
	p := c.wantPublish()
	if string(p.Topic) != "echo/b" || p.QoS != 1 || p.ID == 0 {
		t.Errorf("echo %+v", p)
	}
	c.wantID(packet.PUBACK, 7)
	c.send(packet.AppendID(nil, packet.PUBACK, p.ID), packet.AppendUnsubscribe(nil, 9, []string{"echo/#"}))
	c.wantID(packet.UNSUBACK, 9)
	if err := session(t, s, "d1").Send(server.Message{Topic: "echo/x"}); !errors.Is(err, server.ErrNotSubscribed) {
		t.Errorf("Send after UNSUBSCRIBE: %v", err)
	}
	c.disconnect()
	eventually(t, "session gone", func() bool { _, ok := s.Session("d1"); return !ok })
	if want := []string{"d1 a zero 0 0", "d1 b one 1 7"}; !slices.Equal(got, want) {
		t.Errorf("owner got %q, want %q", got, want)
	}
	if want := []string{"disconnect d1 disconnect"}; !slices.Equal(o.noted(), want) {
		t.Errorf("owner was told %q, want %q", o.noted(), want)
	}
}

func TestMalformedCloses(t *testing.T) {
	o := &owner{}
	s, ln := start(t, server.Config{}, o)
	want := map[string]uint64{}
	for _, g := range packettest.Golden() {
		if !g.Malformed || g.Version != packet.V311 || g.Direction == packettest.ToClient || g.Reason == packet.BadProtocolLevel {
			continue
		}
		isConnect := g.Bytes[0] == 0x10
		c := dial(t, ln)
		if !isConnect {
			c.connect(&packet.Connect{ClientID: []byte("m"), Clean: true})
		}
		c.send(g.Bytes)
		c.wantClosed()
		want[g.Reason.String()]++
	}
	eventually(t, "all closed", func() bool { return s.Connections() == 0 })
	for reason, n := range want {
		if got := s.Stats().Broken[reason]; got != n {
			t.Errorf("broken[%s] = %d, want %d", reason, got, n)
		}
	}
}

func TestProtocolErrors(t *testing.T) {
	_, ln := start(t, server.Config{MaxPacket: 1000}, &owner{})
	con := packet.AppendConnect(nil, &packet.Connect{Level: packet.V311, ClientID: []byte("p"), Clean: true})
	for _, c := range []struct {
		name  string
		first bool
		bytes []byte
	}{
		{"publish before connect", true, pub("a", "", 0, 0)},
		{"second connect", false, con},
		{"connack", false, packet.AppendConnack(nil, false, 0)},
		{"suback", false, packet.AppendSuback(nil, 1, []byte{0})},
		{"pingresp", false, packet.AppendEmpty(nil, packet.PINGRESP)},
		{"too large", false, pub("a", string(make([]byte, 1000)), 0, 0)},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := dial(t, ln)
			if !c.first {
				cl.connect(&packet.Connect{ClientID: []byte("p"), Clean: true})
			}
			cl.send(c.bytes)
			cl.wantClosed()
		})
	}
}

func TestConnectRefusals(t *testing.T) {
	o := &owner{connect: func(c *server.Connect) (server.Welcome, error) {
		switch c.UserName {
		case "bad":
			return server.Welcome{}, fmt.Errorf("login: %w", &server.Refusal{Code: packet.BadCredentials, Reason: "wrong password"})
		case "down":
			return server.Welcome{}, errors.New("store is down")
		}
		return server.Welcome{Identity: c.ClientID}, nil
	}}
	s, ln := start(t, server.Config{KeepAliveMin: 30, KeepAliveMax: 1200}, o)
	for _, c := range []struct {
		name    string
		connect packet.Connect
		want    packet.ConnackCode
	}{
		{"fine", packet.Connect{ClientID: []byte("a"), Clean: true, KeepAlive: 30}, packet.Accepted},
		{"3.1", packet.Connect{Level: packet.V31, ClientID: []byte("a"), Clean: true, KeepAlive: 1200}, packet.Accepted},
		{"short keep-alive", packet.Connect{ClientID: []byte("a"), Clean: true, KeepAlive: 29}, packet.IdentifierRejected},
		{"long keep-alive", packet.Connect{ClientID: []byte("a"), Clean: true, KeepAlive: 1201}, packet.IdentifierRejected},
		{"no keep-alive", packet.Connect{ClientID: []byte("a"), Clean: true}, packet.IdentifierRejected},
		{"no id, clean", packet.Connect{Clean: true, KeepAlive: 60}, packet.Accepted},
		{"no id, persistent", packet.Connect{KeepAlive: 60}, packet.IdentifierRejected},
		{"credentials", packet.Connect{ClientID: []byte("a"), KeepAlive: 60, HasUserName: true, UserName: []byte("bad")}, packet.BadCredentials},
		{"owner fails", packet.Connect{ClientID: []byte("a"), KeepAlive: 60, HasUserName: true, UserName: []byte("down")}, packet.ServerUnavailable},
		{"level 6", packet.Connect{Level: 6, ClientID: []byte("a"), KeepAlive: 60}, packet.BadVersion},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := dial(t, ln)
			if c.connect.Level == 0 {
				c.connect.Level = packet.V311
			}
			before := s.Stats().Refused[c.want]
			cl.send(packet.AppendConnect(nil, &c.connect))
			if _, code := cl.connack(); code != c.want {
				t.Fatalf("code %s, want %s", code, c.want)
			}
			if c.want == packet.Accepted {
				cl.ping()
				return
			}
			cl.wantClosed()
			if got := s.Stats().Refused[c.want]; got != before+1 {
				t.Errorf("refused[%s] = %d, want %d", c.want, got, before+1)
			}
		})
	}
}

// TestSubackFirst: a client that publishes right behind its SUBSCRIBE gets SUBACK, then the answer.
func TestSubackFirst(t *testing.T) {
	o := &owner{publish: func(s *server.Session, p *server.Publish) {
		if err := s.Send(server.Message{Topic: "reply", QoS: 1}); err != nil {
			t.Errorf("Send: %v", err)
		}
		p.Done(nil)
	}}
	o.subscribe = func(s *server.Session, req []server.Subscription) ([]byte, error) {
		if err := s.Send(server.Message{Topic: "reply"}); !errors.Is(err, server.ErrNotSubscribed) {
			t.Errorf("Send before SUBACK: %v", err)
		}
		return []byte{1, packet.SubackFailure}, nil
	}
	s, ln := start(t, server.Config{MaxSubscriptions: 2}, o)
	c, _ := login(t, ln, "d", true)
	c.send(packet.AppendSubscribe(nil, 1, []packet.Filter{{Filter: "reply", QoS: 2}, {Filter: "no", QoS: 1}, {Filter: "third", QoS: 0}}),
		pub("ask", "", 0, 0))
	_, body := c.want(packet.SUBACK)
	if _, codes, _ := packet.DecodeSuback(body); !slices.Equal(codes, []byte{1, packet.SubackFailure, packet.SubackFailure}) {
		t.Errorf("codes %x", codes)
	}
	if p := c.wantPublish(); p.QoS != 1 {
		t.Errorf("reply at QoS %d", p.QoS)
	}
	if got := s.Stats().Denied; got != 2 {
		t.Errorf("denied %d, want 2", got)
	}
}

// TestAcksInOrder: Done comes from other goroutines in any order; PUBACKs keep that of the publishes.
func TestAcksInOrder(t *testing.T) {
	var mu sync.Mutex
	var held []*server.Publish
	o := &owner{publish: func(_ *server.Session, p *server.Publish) {
		mu.Lock()
		held = append(held, p)
		mu.Unlock()
	}}
	s, ln := start(t, server.DefaultConfig(), o)
	c, _ := login(t, ln, "d", true)
	const n = 50
	for i := range uint16(n) {
		c.send(pub("t", fmt.Sprint(i), 1, i+1))
	}
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(held) }
	eventually(t, "all with the owner", func() bool { return count() == n })
	for i, p := range held {
		if string(p.Payload) != fmt.Sprint(i) || p.Topic != "t" {
			t.Fatalf("publish %d is %q: its buffer was reused", i, p.Payload)
		}
	}
	before := s.Stats().Writes
	for i := n - 1; i >= 0; i-- {
		held[i].Done(nil)
	}
	for i := range uint16(n) {
		c.wantID(packet.PUBACK, i+1)
	}
	if writes := s.Stats().Writes - before; writes > 3 { // 1, unless the machine is too busy to run 50 calls within AckDelay
		t.Errorf("%d writes for one batch of %d acknowledgements, want 1", writes, n)
	}
}

func TestWindowStopsReading(t *testing.T) {
	var mu sync.Mutex
	var held []*server.Publish
	o := &owner{publish: func(_ *server.Session, p *server.Publish) {
		mu.Lock()
		held = append(held, p)
		mu.Unlock()
	}}
	s, ln := start(t, server.Config{Window: 8}, o)
	c, _ := login(t, ln, "d", true)
	for i := range uint16(30) {
		c.send(pub("t", "x", 1, i+1))
	}
	take := func() []*server.Publish { mu.Lock(); defer mu.Unlock(); h := held; held = nil; return h }
	eventually(t, "reading stopped", func() bool { return s.Stats().Paused == 1 })
	var all int
	for all < 30 {
		batch := take()
		if len(batch) > 8 {
			t.Fatalf("%d publishes with the owner, window 8", len(batch))
		}
		all += len(batch)
		for _, p := range batch {
			p.Done(nil)
		}
		if len(batch) == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	for i := range uint16(30) {
		c.wantID(packet.PUBACK, i+1)
	}
}

func TestDoneWithErrors(t *testing.T) {
	o := &owner{publish: func(_ *server.Session, p *server.Publish) {
		switch string(p.Payload) {
		case "refused":
			p.Done(errors.New("not permitted"))
		case "unavailable":
			p.Done(fmt.Errorf("commit: %w", server.ErrUnavailable))
		default:
			p.Done(nil)
		}
	}}
	s, ln := start(t, server.Config{StoreTimeout: 100 * time.Millisecond}, o)
	c, _ := login(t, ln, "d", true)
	c.send(pub("t", "refused", 1, 1))
	c.wantID(packet.PUBACK, 1)
	if got := s.Stats().Dropped[server.DropRefused]; got != 1 {
		t.Errorf("dropped[refused] = %d", got)
	}
	c.send(pub("t", "unavailable", 1, 2), pub("t", "later", 1, 3))
	c.wantClosed()
	eventually(t, "disconnect told", func() bool { return slices.Contains(o.noted(), "disconnect d unavailable") })
}

func TestQoS2Inbound(t *testing.T) {
	var n int
	o := &owner{publish: func(_ *server.Session, p *server.Publish) { n++; p.Done(nil) }}
	_, ln := start(t, server.Config{}, o)
	c, _ := login(t, ln, "d", false)
	c.send(pub("t", "x", 2, 5))
	c.wantID(packet.PUBREC, 5)
	c.send(packet.AppendPublish(nil, "t", []byte("x"), 2, 5, true, false))
	c.wantID(packet.PUBREC, 5)
	c.disconnect()
	c, present := login(t, ln, "d", false)
	if !present {
		t.Error("session not present")
	}
	c.send(packet.AppendPublish(nil, "t", []byte("x"), 2, 5, true, false))
	c.wantID(packet.PUBREC, 5)
	if n != 1 {
		t.Errorf("owner got it %d times, want once", n)
	}
	c.send(packet.AppendID(nil, packet.PUBREL, 5), packet.AppendID(nil, packet.PUBREL, 5))
	c.wantID(packet.PUBCOMP, 5)
	c.wantID(packet.PUBCOMP, 5)
	c.send(pub("t", "y", 2, 5))
	c.wantID(packet.PUBREC, 5)
	if n != 2 {
		t.Errorf("owner got %d messages, want 2", n)
	}
}

func TestQoS2Outbound(t *testing.T) {
	o := &owner{}
	s, ln := start(t, server.Config{}, o)
	c, _ := login(t, ln, "d", false)
	c.subscribe(1, "#", 2)
	send := func(payload string, tag uint64) {
		if err := session(t, s, "d").Send(server.Message{Topic: "t", Payload: []byte(payload), QoS: 2, Tag: tag}); err != nil {
			t.Fatal(err)
		}
	}
	send("1", 11)
	send("2", 12)
	p1, p2 := c.wantPublish(), c.wantPublish()
	c.send(packet.AppendID(nil, packet.PUBREC, p1.ID))
	c.wantID(packet.PUBREL, p1.ID)
	if got := o.tags(); !slices.Equal(got, []uint64{11}) {
		t.Errorf("delivered %v", got)
	}
	_ = c.nc.Close()
	eventually(t, "offline", func() bool { return !mustSession(s, "d").Online() })
	c, _ = login(t, ln, "d", false)
	c.wantID(packet.PUBREL, p1.ID)
	if again := c.wantPublish(); again.ID != p2.ID || !again.Dup {
		t.Errorf("second message came again as %+v", again)
	}
	c.send(packet.AppendID(nil, packet.PUBCOMP, p1.ID), packet.AppendID(nil, packet.PUBREC, p2.ID))
	c.wantID(packet.PUBREL, p2.ID)
	c.send(packet.AppendID(nil, packet.PUBCOMP, p2.ID))
	c.disconnect()
	c, _ = login(t, ln, "d", false)
	c.ping() // and nothing before it
}

// TestReceipts: what the client acknowledged is confirmed once; what it was sent at QoS 0, what did not reach it, and what nobody asks
// for is not.
func TestReceipts(t *testing.T) {
	o := &owner{}
	s, ln := start(t, server.Config{}, o)
	c, _ := login(t, ln, "d", true)
	c.subscribe(1, "#", 2)
	send := func(m server.Message) packet.Publish {
		m.Topic = "t"
		if err := session(t, s, "d").Send(m); err != nil {
			t.Fatal(err)
		}
		return c.wantPublish()
	}
	wanted := func(want ...uint64) {
		t.Helper()
		c.ping()
		if got := o.receipts(); !slices.Equal(got, want) {
			t.Fatalf("confirmed %v, want %v", got, want)
		}
	}
	send(server.Message{Receipt: 1})
	first := send(server.Message{QoS: 1, Receipt: 2, Volatile: true})
	second := send(server.Message{QoS: 2, Receipt: 3})
	unasked := send(server.Message{QoS: 1})
	wanted()
	c.send(packet.AppendID(nil, packet.PUBREC, first.ID), packet.AppendID(nil, packet.PUBACK, second.ID)) // each the other's
	wanted()
	c.send(packet.AppendID(nil, packet.PUBACK, first.ID), packet.AppendID(nil, packet.PUBACK, unasked.ID))
	wanted(2)
	for range 2 {
		c.send(packet.AppendID(nil, packet.PUBREC, second.ID))
		c.wantID(packet.PUBREL, second.ID)
	}
	c.send(packet.AppendID(nil, packet.PUBCOMP, second.ID))
	send(server.Message{QoS: 1, Receipt: 4, Volatile: true})
	c.disconnect()
	c, _ = login(t, ln, "d", true)
	wanted(2, 3)
}

func mustSession(s *server.Server, id string) *server.Session {
	found, _ := s.Session(id)
	return found
}

// TestRedelivery: after a cut, messages in flight come again in order, with DUP and their ids; tags are not sent twice.
func TestRedelivery(t *testing.T) {
	o := &owner{}
	o.attached = func(s *server.Session) { // as an owner with rows in a store does
		for tag := uint64(1); tag <= 4; tag++ {
			if err := s.Send(server.Message{Topic: "q", Payload: []byte(fmt.Sprint(tag)), QoS: 1, Tag: tag}); err != nil && s.Subscriptions() != nil {
				t.Errorf("Send: %v", err)
			}
		}
	}
	s, ln := start(t, server.Config{}, o)
	c, _ := login(t, ln, "d", false)
	c.subscribe(1, "q", 1)
	c.disconnect()
	c, present := login(t, ln, "d", false)
	if !present {
		t.Fatal("session not present")
	}
	var ids []uint16
	for i := range 4 {
		p := c.wantPublish()
		if string(p.Payload) != fmt.Sprint(i+1) || p.Dup {
			t.Errorf("message %d: %+v", i, p)
		}
		ids = append(ids, p.ID)
	}
	// An own publish with the same id must not touch the messages in flight.
	c.send(pub("up", "", 1, ids[1]))
	c.wantID(packet.PUBACK, ids[1])
	c.send(packet.AppendID(nil, packet.PUBACK, ids[2]))
	eventually(t, "delivered", func() bool { return slices.Equal(o.tags(), []uint64{3}) })
	vol := session(t, s, "d")
	if err := vol.Send(server.Message{Topic: "q", Payload: []byte("volatile"), QoS: 1, Volatile: true}); err != nil {
		t.Fatal(err)
	}
	c.wantPublish()
	_ = c.nc.Close()
	eventually(t, "offline", func() bool { return !mustSession(s, "d").Online() })
	if err := mustSession(s, "d").Send(server.Message{Topic: "q"}); !errors.Is(err, server.ErrOffline) {
		t.Errorf("Send offline: %v", err)
	}
	c, _ = login(t, ln, "d", false)
	for _, want := range []int{0, 1, 3} {
		if p := c.wantPublish(); string(p.Payload) != fmt.Sprint(want+1) || !p.Dup || p.ID != ids[want] {
			t.Errorf("again: %+v, want message %d with id %d", p, want+1, ids[want])
		}
	}
	if p := c.wantPublish(); string(p.Payload) != "3" || p.Dup { // its tag is no longer in flight, so the owner may send it again
		t.Errorf("then: %+v", p)
	}
	c.ping()
	if got := s.Stats().Redelivered; got != 3 {
		t.Errorf("redelivered %d, want 3", got)
	}
}

func TestTakeOver(t *testing.T) {
	o := &owner{}
	o.attached = func(s *server.Session) { o.note("attached %v", s.Data()) }
	n := 0
	o.connect = func(c *server.Connect) (server.Welcome, error) {
		n++
		return server.Welcome{Identity: "one", Data: n}, nil
	}
	s, ln := start(t, server.Config{}, o)
	a, _ := login(t, ln, "x", false)
	a.subscribe(1, "t", 1)
	b, present := login(t, ln, "y", false)
	if !present {
		t.Error("state did not move to the new connection")
	}
	a.wantClosed()
	b.ping()
	if err := session(t, s, "one").Send(server.Message{Topic: "t"}); err != nil {
		t.Error(err)
	}
	b.wantPublish()
	want := []string{"attached 1", "disconnect one taken_over", "attached 2"}
	if got := o.noted(); !slices.Equal(got, want) {
		t.Errorf("owner was told %q, want %q", got, want)
	}
	c, present := login(t, ln, "z", true)
	if present {
		t.Error("clean session present")
	}
	if subs := session(t, s, "one").Subscriptions(); len(subs) != 0 {
		t.Errorf("clean session has %v", subs)
	}
	if !s.Kick("one", server.CauseKicked) || s.Kick("two", server.CauseKicked) {
		t.Error("Kick")
	}
	c.wantClosed()
	eventually(t, "gone", func() bool { return s.Stats().Sessions == 0 })
}

// TestTakeOverStorm: many connections of one identity at once end with one, and each Connect with one Disconnect.
func TestTakeOverStorm(t *testing.T) {
	o := &owner{}
	o.attached = func(*server.Session) { o.note("attached") }
	s, ln := start(t, server.Config{}, o)
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			nc, err := ln.Dial()
			if err != nil {
				t.Error(err)
				return
			}
			c := newClient(t, nc)
			c.send(packet.AppendConnect(nil, &packet.Connect{Level: packet.V311, ClientID: []byte("one")}))
			_, _, _ = c.read()
		})
	}
	wg.Wait()
	eventually(t, "one left", func() bool { return s.Connections() == 1 })
	st := s.Stats()
	if st.Connects != 30 || st.Closed[server.CauseTakenOver] != 29 || st.Sessions != 1 {
		t.Errorf("connects %d, taken over %d, sessions %d", st.Connects, st.Closed[server.CauseTakenOver], st.Sessions)
	}
	open := 0
	for _, e := range o.noted() { // Disconnect of the old before Attached of the new
		if e == "attached" {
			open++
		} else if open > 0 {
			open--
		}
		if open > 1 {
			t.Fatal("two sessions attached at once")
		}
	}
}

func TestRestoredByOwner(t *testing.T) {
	o := &owner{connect: func(c *server.Connect) (server.Welcome, error) {
		return server.Welcome{Present: true, Subscriptions: []server.Subscription{{Filter: "t/+", QoS: 1}}}, nil
	}}
	o.attached = func(s *server.Session) {
		if err := s.Send(server.Message{Topic: "t/1", QoS: 1}); err != nil && !s.Clean() {
			t.Error(err)
		}
	}
	s, ln := start(t, server.Config{}, o)
	c, present := login(t, ln, "d", false)
	if !present {
		t.Error("not present")
	}
	c.wantPublish()
	c.disconnect()
	s.Forget("d")
	eventually(t, "forgotten", func() bool { _, ok := s.Session("d"); return !ok })
	if _, present = login(t, ln, "d", true); present {
		t.Error("a clean session is never present")
	}
}

func TestWill(t *testing.T) {
	o := &owner{}
	o.publish = func(s *server.Session, p *server.Publish) {
		o.note("publish %s %s %v online=%v", p.Topic, p.Payload, p.Will, s.Online())
		p.Done(nil)
	}
	_, ln := start(t, server.Config{}, o)
	will := packet.Connect{ClientID: []byte("d"), Clean: true, HasWill: true, WillTopic: []byte("w"), WillPayload: []byte("gone"), WillQoS: 1}
	c := dial(t, ln)
	c.connect(&will)
	c.disconnect()
	c = dial(t, ln)
	c.connect(&will)
	_ = c.nc.Close()
	want := []string{"disconnect d disconnect", "publish w gone true online=false", "disconnect d eof"}
	eventually(t, fmt.Sprintf("events %q", want), func() bool { return slices.Equal(o.noted(), want) })
}

// TestGoodbye: when the socket of who disconnected closes, the owner knows it, and a session that is over is gone.
func TestGoodbye(t *testing.T) {
	var c atomic.Pointer[client]
	told := make(chan error)
	o := &owner{disconnect: func(*server.Session, server.Cause) {
		nc := c.Load().nc
		_ = nc.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
		_, err := nc.Read(make([]byte, 1))
		told <- err
	}}
	s, ln := start(t, server.Config{}, o)
	for n := range 20 {
		c.Store(dial(t, ln))
		c.Load().connect(&packet.Connect{ClientID: []byte("d"), Clean: true})
		c.Load().send(packet.AppendEmpty(nil, packet.DISCONNECT))
		var open net.Error
		if err := <-told; !errors.As(err, &open) || !open.Timeout() {
			t.Errorf("connection %d was closed before the owner knew: %v", n, err)
		}
		c.Load().wantClosed()
		if _, ok := s.Session("d"); ok {
			t.Errorf("session %d is there after its end", n)
		}
	}
}
