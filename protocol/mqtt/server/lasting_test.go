package server_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

func TestSessionExpiry(t *testing.T) {
	t.Parallel()
	cfg := server.Config{StoreTimeout: 400 * time.Millisecond} // a tick of 50 ms
	b, ln := startPlain(t, cfg, server.Welcome{})
	c, _ := login5(t, ln, "d", true, number(packet.SessionExpiry, 100))
	c.subscribe5("t", 1, nil)
	c.send(packet.AppendEmpty(nil, packet.DISCONNECT))
	c.wantClosed()
	c, present := login5(t, ln, "d", false, number(packet.SessionExpiry, 1))
	if !present {
		t.Error("session not present within its expiry")
	}
	c.send(packet.AppendEmpty(nil, packet.DISCONNECT))
	c.wantClosed()
	eventually(t, "session gone", func() bool { _, ok := b.s.Session("d"); return !ok })
	eventually(t, "counted", func() bool { return b.s.Stats().Expired == 1 })
	if b.s.Route(server.Message{Topic: "t", QoS: 1}) != 0 {
		t.Error("somebody took a message for a session that is over")
	}
	c, present = login5(t, ln, "d", false, number(packet.SessionExpiry, 100))
	if present {
		t.Error("session present after its expiry")
	}
	c.send(packet.AppendReason5(nil, packet.DISCONNECT, 0, number(packet.SessionExpiry, 0))) // changes its mind
	c.wantClosed()
	eventually(t, "session gone at once", func() bool { _, ok := b.s.Session("d"); return !ok })
}

// wills notes what is published as a will.
func wills(b *plain) func() []string {
	var mu sync.Mutex
	var got []string
	b.connect = func(*server.Connect) (server.Welcome, error) { return server.Welcome{}, nil }
	b.publish = func(_ *server.Session, p *server.Publish) {
		if p.Will {
			mu.Lock()
			got = append(got, string(p.Payload))
			mu.Unlock()
		}
		p.Done(nil)
	}
	return func() []string { mu.Lock(); defer mu.Unlock(); return slices.Clone(got) }
}

func TestWillDelay(t *testing.T) {
	t.Parallel()
	b := &plain{}
	got := wills(b)
	s, ln := start(t, server.Config{StoreTimeout: 400 * time.Millisecond}, &b.owner)
	connect := func(name string, clean bool, delay, expiry uint32) *client {
		c := dial(t, ln)
		c.hello5(&packet.Connect{ClientID: []byte(name), Clean: clean, HasWill: true, WillTopic: []byte("w"), WillPayload: []byte(name),
			WillProperties: number(packet.WillDelay, delay), Properties: number(packet.SessionExpiry, expiry)})
		return c
	}
	drop := func(c *client, name string) {
		_ = c.nc.Close()
		eventually(t, name+" offline", func() bool { one, ok := s.Session(name); return !ok || !one.Online() })
	}
	late := 0
	for { // once it was quick enough
		name := fmt.Sprint("back in time ", late)
		begin := time.Now()
		drop(connect(name, true, 1, 100), name)
		connect(name, false, 1, 100)
		if time.Since(begin) < time.Second {
			break
		}
		late++
	}
	drop(connect("clean start", true, 100, 100), "clean start")
	connect("clean start", true, 1, 100)
	drop(connect("no session", true, 100, 0), "no session")
	drop(connect("delayed", true, 1, 100), "delayed")
	drop(connect("session ends first", true, 100, 1), "session ends first")
	normal := connect("normal", true, 0, 0)
	normal.send(packet.AppendEmpty(nil, packet.DISCONNECT))
	normal.wantClosed()
	with := connect("with will", true, 0, 0)
	with.send(packet.AppendReason5(nil, packet.DISCONNECT, packet.DisconnectWithWill, nil))
	with.wantClosed()
	want := []string{"clean start", "no session", "delayed", "session ends first", "with will"}
	slices.Sort(want)
	eventually(t, fmt.Sprintf("wills %q", want), func() bool {
		all := slices.DeleteFunc(got(), func(name string) bool {
			var n int
			_, err := fmt.Sscanf(name, "back in time %d", &n)
			return err == nil && n < late
		})
		slices.Sort(all)
		return slices.Equal(all, want)
	})
}

// TestShared: members take turns, who is offline is passed over, and what a member that goes has not acknowledged goes to another.
func TestShared(t *testing.T) {
	b, ln := startPlain(t, server.Config{}, server.Welcome{})
	members := map[string]*client{}
	for _, id := range []string{"a", "b", "c"} {
		members[id], _ = login5(t, ln, id, true, nil)
		if code := members[id].subscribe5("$share/g/t/+", 1, nil); code != 1 {
			t.Fatalf("granted %s", code)
		}
	}
	single, _ := login(t, ln, "single", true)
	single.subscribe(1, "t/#", 0)
	for i := range 6 {
		if n := b.s.Route(server.Message{Topic: "t/x", Payload: []byte(fmt.Sprint(i)), QoS: 1}); n != 2 {
			t.Errorf("%d took message %d, want 2", n, i)
		}
	}
	for range 6 {
		single.wantPublish()
	}
	seen := map[string]bool{}
	for id, c := range members {
		for range 2 {
			p := c.wantPublish5()
			seen[string(p.Payload)] = true
			if id != "a" {
				c.send(packet.AppendID(nil, packet.PUBACK, p.ID))
			}
		}
	}
	if len(seen) != 6 {
		t.Errorf("seen %v", seen)
	}
	members["b"].ping()
	members["c"].ping()
	_ = members["a"].nc.Close() // with two unacknowledged
	for _, id := range []string{"b", "c"} {
		p := members[id].wantPublish5()
		members[id].send(packet.AppendID(nil, packet.PUBACK, p.ID))
	}
	_ = members["b"].nc.Close()
	eventually(t, "b gone", func() bool { _, ok := b.s.Session("b"); return !ok })
	for range 3 {
		if b.s.Route(server.Message{Topic: "t/y", QoS: 1}) != 2 {
			t.Error("nobody took it")
		}
		members["c"].wantPublish5()
	}
	members["c"].send(packet.AppendUnsubscribe5(nil, 1, nil, []string{"$share/g/t/+"}))
	members["c"].want(packet.UNSUBACK)
	if n := b.s.Route(server.Message{Topic: "t/y", QoS: 1}); n != 1 {
		t.Errorf("%d took it, want the single one", n)
	}
}

// TestVersionChange: a session that was begun with one version goes on with another.
func TestVersionChange(t *testing.T) {
	b, ln := startPlain(t, server.Config{}, server.Welcome{})
	c, _ := login5(t, ln, "d", true, number(packet.SessionExpiry, server.NoExpiry))
	c.subscribe5("t", 1, number(packet.SubscriptionID, 3))
	b.s.Route(server.Message{Topic: "t", Payload: []byte("flight"), QoS: 1})
	c.wantPublish5()
	_ = c.nc.Close()
	eventually(t, "offline", func() bool { return !mustSession(b.s, "d").Online() })
	b.s.Route(server.Message{Topic: "t", Payload: []byte("queue"), QoS: 1})
	old, present := login(t, ln, "d", false)
	if !present {
		t.Error("not present")
	}
	if p := old.wantPublish(); string(p.Payload) != "flight" || !p.Dup {
		t.Errorf("got %+v", p)
	}
	if p := old.wantPublish(); string(p.Payload) != "queue" || p.Dup {
		t.Errorf("got %+v", p)
	}
	_ = old.nc.Close()
	eventually(t, "offline", func() bool { return !mustSession(b.s, "d").Online() })
	c, _ = login5(t, ln, "d", false, number(packet.SessionExpiry, server.NoExpiry))
	for _, want := range []string{"flight", "queue"} {
		if p := c.wantPublish5(); string(p.Payload) != want || !p.Dup {
			t.Errorf("got %+v", p)
		}
	}
}

// TestQoS2OverReconnect: a publish that is with the owner when its connection ends is not handed over twice; the repeat is
// acknowledged when the owner has it.
func TestQoS2OverReconnect(t *testing.T) {
	var mu sync.Mutex
	var held []*server.Publish
	o := &owner{publish: func(_ *server.Session, p *server.Publish) {
		mu.Lock()
		held = append(held, p)
		mu.Unlock()
	}}
	s, ln := start(t, server.Config{}, o)
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(held) }
	for _, done := range []error{nil, fmt.Errorf("disk: %w", server.ErrUnavailable)} {
		c, _ := login(t, ln, "d", false)
		c.send(pub("t", "x", 2, 5))
		eventually(t, "with the owner", func() bool { return count() == 1 })
		_ = c.nc.Close()
		eventually(t, "offline", func() bool { return !mustSession(s, "d").Online() })
		c, _ = login(t, ln, "d", false)
		c.send(packet.AppendPublish(nil, "t", []byte("x"), 2, 5, true, false))
		c.ping()
		if count() != 1 {
			t.Fatalf("the owner got it %d times", count())
		}
		held[0].Done(done)
		held = nil
		if done != nil {
			_ = c.nc.Close()
			eventually(t, "offline", func() bool { return !mustSession(s, "d").Online() })
			c, _ = login(t, ln, "d", false)
			c.send(packet.AppendPublish(nil, "t", []byte("x"), 2, 5, true, false)) // forgotten, so it is new
			eventually(t, "with the owner again", func() bool { return count() == 1 })
			held[0].Done(nil)
		}
		c.wantID(packet.PUBREC, 5)
		c.send(packet.AppendID(nil, packet.PUBREL, 5))
		c.wantID(packet.PUBCOMP, 5)
		c.disconnect()
	}
}

// keeper is an owner with a store for QoS 2, whose commits wait for commit.
type keeper struct {
	owner
	mu      sync.Mutex
	waiting []func(error)
}

func (k *keeper) Released(_ *server.Session, id uint16, done func(error)) {
	k.note("released %d", id)
	k.later(done)
}

func (k *keeper) Received(_ *server.Session, tag uint64, done func(error)) {
	k.note("received %d", tag)
	k.later(done)
}

func (k *keeper) later(done func(error)) {
	k.mu.Lock()
	k.waiting = append(k.waiting, done)
	k.mu.Unlock()
}

func (k *keeper) commit(t *testing.T, err error) {
	t.Helper()
	eventually(t, "something to commit", func() bool { k.mu.Lock(); defer k.mu.Unlock(); return len(k.waiting) > 0 })
	k.mu.Lock()
	list := k.waiting
	k.waiting = nil
	k.mu.Unlock()
	for _, done := range list {
		done(err)
	}
}

// TestKeeper: what ends the exactly-once state of a message is safe before the client hears of it.
func TestKeeper(t *testing.T) {
	k := &keeper{}
	k.connect = func(*server.Connect) (server.Welcome, error) {
		return server.Welcome{Present: true, Received: []uint16{9}, Subscriptions: []server.Subscription{{Filter: "#", QoS: 2}}}, nil
	}
	n := 0
	k.publish = func(_ *server.Session, p *server.Publish) { n++; p.Done(nil) }
	s, ln := start(t, server.Config{}, k)
	c, _ := login(t, ln, "d", false)
	c.send(packet.AppendPublish(nil, "t", nil, 2, 9, true, false)) // known from before
	c.wantID(packet.PUBREC, 9)
	c.send(packet.AppendID(nil, packet.PUBREL, 9))
	c.ping() // no PUBCOMP yet
	k.commit(t, nil)
	c.wantID(packet.PUBCOMP, 9)
	if n != 0 {
		t.Errorf("the owner got %d messages", n)
	}
	d := session(t, s, "d")
	send := func(m server.Message) {
		m.Topic, m.QoS = "t", 2
		if err := d.Send(m); err != nil {
			t.Fatal(err)
		}
	}
	send(server.Message{Tag: 3, PacketID: 700})
	send(server.Message{Tag: 4, PacketID: 700}) // waits for the id
	send(server.Message{Tag: 5, PacketID: 701, Released: true})
	if p := c.wantPublish(); p.ID != 700 {
		t.Errorf("id %d", p.ID)
	}
	c.wantID(packet.PUBREL, 701)
	c.send(packet.AppendID(nil, packet.PUBREC, 700))
	c.ping()
	k.commit(t, nil)
	c.wantID(packet.PUBREL, 700)
	c.send(packet.AppendID(nil, packet.PUBCOMP, 700), packet.AppendID(nil, packet.PUBCOMP, 701))
	if p := c.wantPublish(); p.ID != 700 {
		t.Errorf("second message has id %d", p.ID)
	}
	eventually(t, "delivered", func() bool { return slices.Equal(k.tags(), []uint64{3, 5}) })
	c.send(packet.AppendID(nil, packet.PUBREC, 700))
	k.commit(t, errors.New("disk"))
	c.patience = 100 * time.Millisecond
	if h, _, err := c.read(); err == nil {
		t.Errorf("%s after a commit that failed", h.Type)
	}
}

// steps is an owner that authenticates in two steps.
type steps struct{ owner }

func (*steps) Authenticate(_ context.Context, x *server.Exchange, data []byte) ([]byte, bool, error) {
	switch {
	case string(data) == "hello" || string(data) == "again":
		x.State = "asked"
		return []byte("challenge"), true, nil
	case string(data) == "right" && x.State == "asked":
		return []byte("fine"), false, nil
	}
	return nil, false, &server.Refusal{Code: packet.NotAuthorized, Reason: "wrong answer"}
}

func TestEnhancedAuthentication(t *testing.T) {
	o := &steps{}
	o.connect = func(c *server.Connect) (server.Welcome, error) {
		if c.AuthMethod != "m" || c.Auth == nil || c.Auth.State != "asked" {
			t.Errorf("Connect with method %q", c.AuthMethod)
		}
		return server.Welcome{}, nil
	}
	_, ln := start(t, server.Config{}, o)
	auth := func(data string) packet.Properties {
		return packet.AppendBytes(packet.AppendBytes(nil, packet.AuthMethod, "m"), packet.AuthData, data)
	}
	step := func(c *client, code packet.Code, data string) {
		c.send(packet.AppendReason5(nil, packet.AUTH, code, auth(data)))
	}
	wantAuth := func(c *client, want packet.Code, data string) {
		t.Helper()
		_, body := c.want(packet.AUTH)
		code, p, err := packet.DecodeReason5(packet.AUTH, body)
		if got, _ := p.Bytes(packet.AuthData); err != nil || code != want || string(got) != data {
			t.Fatalf("AUTH %s %q, %v", code, got, err)
		}
	}
	begin := func() *client {
		c := dial(t, ln)
		c.send(packet.AppendConnect(nil, &packet.Connect{Level: packet.V5, ClientID: []byte("d"), Clean: true, Properties: auth("hello")}))
		wantAuth(c, packet.ContinueAuthentication, "challenge")
		return c
	}
	c := begin()
	step(c, packet.ContinueAuthentication, "wrong")
	_, body := c.want(packet.CONNACK)
	if _, code, _, err := packet.DecodeConnack5(body); err != nil || code != packet.Unauthorized {
		t.Errorf("CONNACK %s, %v", code, err)
	}
	c.wantClosed()
	c = begin()
	step(c, packet.ContinueAuthentication, "right")
	_, body = c.want(packet.CONNACK)
	if _, code, p, err := packet.DecodeConnack5(body); err != nil || code != packet.Success {
		t.Errorf("CONNACK %s, %v", code, err)
	} else if data, _ := p.Bytes(packet.AuthData); string(data) != "fine" {
		t.Errorf("CONNACK with %q", data)
	}
	step(c, packet.Reauthenticate, "again")
	wantAuth(c, packet.ContinueAuthentication, "challenge")
	c.ping() // goes on meanwhile
	step(c, packet.ContinueAuthentication, "right")
	wantAuth(c, packet.Success, "fine")
	step(c, packet.Reauthenticate, "again")
	wantAuth(c, packet.ContinueAuthentication, "challenge")
	step(c, packet.ContinueAuthentication, "wrong")
	c.wantDisconnect(packet.Unauthorized)
}
