package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet/packettest"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// plain is an owner that makes a broker of the engine: everybody gets what he has subscribed to, and what is retained.
type plain struct {
	owner
	server.RetainedStore
	s       *server.Server
	welcome server.Welcome
}

func (b *plain) Connect(_ context.Context, c *server.Connect) (server.Welcome, error) {
	if b.connect != nil {
		return b.connect(c)
	}
	w := b.welcome
	w.Routed, w.QueueOffline = true, true
	return w, nil
}

func (b *plain) Publish(s *server.Session, p *server.Publish) {
	if strings.HasPrefix(p.Topic, "denied/") {
		p.Done(&server.Rejection{Code: packet.Unauthorized, Reason: "not yours"})
		return
	}
	m := p.Message()
	if p.Retain {
		_ = b.Keep(&m)
	}
	b.s.Route(m)
	p.Done(nil)
}

func startPlain(t testing.TB, cfg server.Config, w server.Welcome) (*plain, dialer) {
	b := &plain{welcome: w}
	var ln dialer
	b.s, ln = start(t, cfg, b)
	return b, ln
}

// hello5 connects with 5.0.
func (c *client) hello5(p *packet.Connect) (present bool, code packet.Code, props packet.Properties) {
	c.t.Helper()
	p.Level = packet.V5
	c.send(packet.AppendConnect(nil, p))
	_, body := c.want(packet.CONNACK)
	present, code, props, err := packet.DecodeConnack5(body)
	if err != nil {
		c.t.Fatal(err)
	}
	return present, code, props
}

func login5(t testing.TB, ln dialer, id string, clean bool, props packet.Properties) (c *client, present bool) {
	t.Helper()
	c = dial(t, ln)
	present, code, _ := c.hello5(&packet.Connect{ClientID: []byte(id), Clean: clean, Properties: props})
	if code != packet.Success {
		t.Fatalf("connect refused: %s", code)
	}
	return c, present
}

func number(id packet.PropertyID, v uint32) packet.Properties { return packet.AppendInt(nil, id, v) }

// subscribe5 subscribes with options and returns the code.
func (c *client) subscribe5(filter string, o packet.Options, props packet.Properties) packet.Code {
	c.t.Helper()
	c.send(packet.AppendSubscribe5(nil, 9, props, []packet.Filter{{Filter: filter, QoS: byte(o)}}))
	_, body := c.want(packet.SUBACK)
	_, _, codes, err := packet.DecodeSuback5(packet.SUBACK, body)
	if err != nil || len(codes) != 1 {
		c.t.Fatalf("suback % x: %v", body, err)
	}
	return packet.Code(codes[0])
}

func (c *client) wantPublish5() packet.Publish {
	c.t.Helper()
	h, body := c.want(packet.PUBLISH)
	var p packet.Publish
	if err := packet.DecodePublish5(h.Flags, body, &p); err != nil {
		c.t.Fatal(err)
	}
	return p
}

func (c *client) wantAck5(typ packet.Type, id uint16) packet.Code {
	c.t.Helper()
	_, body := c.want(typ)
	got, code, _, err := packet.DecodeAck5(typ, body)
	if err != nil || got != id {
		c.t.Fatalf("%s of %d: %v, want %d", typ, got, err, id)
	}
	return code
}

// wantDisconnect reads the server's DISCONNECT and the end.
func (c *client) wantDisconnect(want packet.Code) {
	c.t.Helper()
	_, body := c.want(packet.DISCONNECT)
	code, _, err := packet.DecodeReason5(packet.DISCONNECT, body)
	if err != nil || code != want {
		c.t.Errorf("DISCONNECT %s, %v, want %s", code, err, want)
	}
	c.wantClosed()
}

// pub5 encodes a PUBLISH of 5.0.
func pub5(topic, payload string, qos byte, id uint16, props packet.Properties) []byte {
	return packet.AppendPublish5(nil, topic, []byte(payload), qos, id, false, false, props)
}

func retained5(topic, payload string, props packet.Properties) []byte {
	return packet.AppendPublish5(nil, topic, []byte(payload), 1, 1, false, true, props)
}

func TestConnack5(t *testing.T) {
	_, ln := startPlain(t, server.Config{KeepAliveMin: 30, KeepAliveMax: 100, Window: 7, TopicAliasMax: 5, SessionExpiryMax: 1000},
		server.Welcome{Limits: server.Limits{NoQoS2: true, NoRetain: true}, ResponseInfo: "reply/here"})
	c := dial(t, ln)
	props := packet.AppendInt(number(packet.SessionExpiry, 5000), packet.RequestResponseInfo, 1)
	_, code, got := c.hello5(&packet.Connect{KeepAlive: 10, Properties: props})
	if code != packet.Success {
		t.Fatal(code)
	}
	for id, want := range map[packet.PropertyID]uint32{packet.ServerKeepAlive: 30, packet.ReceiveMax: 7, packet.TopicAliasMax: 5,
		packet.SessionExpiry: 1000, packet.MaxQoS: 1, packet.RetainAvailable: 0, packet.MaxPacketSize: 256 << 10} {
		if v, ok := got.Int(id); !ok || v != want {
			t.Errorf("property %#x is %d, %v, want %d", id, v, ok, want)
		}
	}
	if id, ok := got.Bytes(packet.AssignedClientID); !ok || len(id) < 10 {
		t.Errorf("assigned client id %q", id)
	}
	if info, ok := got.Bytes(packet.ResponseInfo); !ok || string(info) != "reply/here" {
		t.Errorf("response information %q", info)
	}
	c.send(pub5("a", "x", 2, 1, nil))
	c.wantDisconnect(packet.QoSNotSupported)
	c, _ = login5(t, ln, "r", true, nil)
	c.send(retained5("a", "x", nil))
	c.wantDisconnect(packet.RetainNotSupported)
	old := dial(t, ln)
	old.connect(&packet.Connect{ClientID: []byte("3"), Clean: true, KeepAlive: 30})
	old.send(pub("a", "x", 2, 1))
	old.wantClosed()
}

func TestConnectRefused5(t *testing.T) {
	o := &owner{connect: func(c *server.Connect) (server.Welcome, error) {
		switch c.UserName {
		case "banned":
			return server.Welcome{}, &server.Refusal{Code5: packet.Banned, Reason: "test"}
		case "bad":
			return server.Welcome{}, &server.Refusal{Code: packet.BadCredentials, Reason: "test"}
		}
		return server.Welcome{}, errors.New("down")
	}}
	_, ln := start(t, server.Config{}, o)
	for user, want := range map[string]packet.Code{"banned": packet.Banned, "bad": packet.BadUserNameOrPassword, "": packet.Unavailable} {
		c := dial(t, ln)
		if _, code, _ := c.hello5(&packet.Connect{ClientID: []byte("c"), HasUserName: true, UserName: []byte(user)}); code != want {
			t.Errorf("%q: %s, want %s", user, code, want)
		}
		c.wantClosed()
	}
	c := dial(t, ln)
	if _, code, _ := c.hello5(&packet.Connect{ClientID: []byte("c"), Properties: packet.AppendBytes(nil, packet.AuthMethod, "m")}); code != packet.BadAuthMethod {
		t.Errorf("enhanced authentication with an owner that knows none: %s", code)
	}
}

// TestMalformed5: a client of 5.0 is told what is wrong with what it sent.
func TestMalformed5(t *testing.T) {
	s, ln := start(t, server.Config{}, &owner{})
	for _, g := range packettest.Golden() {
		if !g.Malformed || g.Version != packet.V5 || g.Direction == packettest.ToClient {
			continue
		}
		t.Run(g.Name, func(t *testing.T) {
			if g.Bytes[0] == 0x10 {
				c := dial(t, ln)
				c.send(g.Bytes)
				_, body := c.want(packet.CONNACK)
				if _, code, _, err := packet.DecodeConnack5(body); err != nil || code != g.Reason.Code() {
					t.Errorf("CONNACK %s, %v, want %s", code, err, g.Reason.Code())
				}
				c.wantClosed()
				return
			}
			c, _ := login5(t, ln, "m", true, nil)
			c.send(g.Bytes)
			c.wantDisconnect(g.Reason.Code())
		})
	}
	eventually(t, "all closed", func() bool { return s.Connections() == 0 })
}

func TestProtocolErrors5(t *testing.T) {
	_, ln := startPlain(t, server.Config{MaxPacket: 1000, TopicAliasMax: 2, Window: 4}, server.Welcome{})
	sub := number(packet.SubscriptionID, 1)
	for _, c := range []struct {
		name  string
		bytes []byte
		want  packet.Code
	}{
		{"second connect", packet.AppendConnect(nil, &packet.Connect{Level: packet.V5, ClientID: []byte("p")}), packet.ProtocolError},
		{"connack", packet.AppendConnack5(nil, false, 0, nil), packet.ProtocolError},
		{"too large", pub5("a", string(make([]byte, 1000)), 0, 0, nil), packet.TooLarge},
		{"alias out of range", pub5("a", "x", 0, 0, number(packet.TopicAlias, 3)), packet.AliasInvalid},
		{"alias not set", pub5("", "x", 0, 0, number(packet.TopicAlias, 1)), packet.ProtocolError},
		{"subscription id", pub5("a", "x", 0, 0, sub), packet.ProtocolError},
		{"auth", packet.AppendReason5(nil, packet.AUTH, packet.Reauthenticate, packet.AppendBytes(nil, packet.AuthMethod, "m")), packet.ProtocolError},
		{"session expiry at the end", packet.AppendReason5(nil, packet.DISCONNECT, 0, number(packet.SessionExpiry, 1)), packet.ProtocolError},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl, _ := login5(t, ln, "p", true, nil)
			cl.send(c.bytes)
			cl.wantDisconnect(c.want)
		})
	}
}

// TestReceiveMaximum: a client that sends more than it was allowed is cut off; quota comes back with PUBACK, PUBCOMP and a failing PUBREC.
func TestReceiveMaximum(t *testing.T) {
	var mu sync.Mutex
	var held []*server.Publish
	o := &owner{publish: func(_ *server.Session, p *server.Publish) {
		mu.Lock()
		held = append(held, p)
		mu.Unlock()
	}}
	_, ln := start(t, server.Config{Window: 3}, o)
	take := func(n int) (got []*server.Publish) {
		eventually(t, "with the owner", func() bool { mu.Lock(); defer mu.Unlock(); return len(held) >= n })
		mu.Lock()
		defer mu.Unlock()
		got, held = held, nil
		return got
	}
	c, _ := login5(t, ln, "d", true, nil)
	c.send(pub5("a", "", 1, 1, nil), pub5("a", "", 2, 2, nil), pub5("a", "", 2, 3, nil))
	got := take(3)
	got[0].Done(nil)
	got[1].Done(&server.Rejection{Code: packet.Unauthorized})
	got[2].Done(nil)
	c.wantAck5(packet.PUBACK, 1)
	if code := c.wantAck5(packet.PUBREC, 2); code != packet.Unauthorized {
		t.Errorf("PUBREC %s", code)
	}
	c.wantAck5(packet.PUBREC, 3)
	c.send(pub5("a", "", 1, 4, nil), pub5("a", "", 2, 2, nil)) // 3 counts until PUBREL
	for _, p := range take(2) {
		p.Done(nil)
	}
	c.wantAck5(packet.PUBACK, 4)
	c.wantAck5(packet.PUBREC, 2)
	c.send(packet.AppendID(nil, packet.PUBREL, 3))
	c.wantAck5(packet.PUBCOMP, 3)
	for id := uint16(10); id < 13; id++ { // 2 is still unreleased
		c.send(pub5("a", "", 1, id, nil))
	}
	for _, p := range take(2) {
		defer p.Done(nil)
	}
	c.wantDisconnect(packet.ReceiveMaxExceeded)
}

// TestRepeatsBeyondReceiveMaximum: a client that repeats more than it was allowed after a reconnect is held back and served, with what it
// sends behind; one that goes on so with new messages is cut off.
func TestRepeatsBeyondReceiveMaximum(t *testing.T) {
	const window, repeats = 3, 40
	held := make(chan *server.Publish, 2*repeats)
	o := &owner{publish: func(_ *server.Session, p *server.Publish) { held <- p }}
	_, ln := start(t, server.Config{Window: window}, o)
	c, _ := login5(t, ln, "d", false, packet.AppendInt(nil, packet.SessionExpiry, server.NoExpiry))
	var all []byte
	for id := range uint16(repeats) {
		all = packet.AppendPublish5(all, "a", nil, byte(1+id%2), id+1, true, false, nil)
	}
	for id := range uint16(window) {
		all = append(all, pub5("a", "", 1, 100+id, nil)...)
	}
	c.send(all)
	for n := range repeats + window {
		p := <-held
		if len(held) >= window {
			t.Fatalf("%d with the owner, window %d", len(held)+1, window)
		}
		id := p.PacketID
		if want := uint16(n + 1); n < repeats && id != want {
			t.Fatalf("id %d, want %d", id, want)
		}
		kind := packet.PUBACK
		if p.QoS == 2 {
			kind = packet.PUBREC
		}
		p.Done(nil)
		c.wantAck5(kind, id)
	}
	c.send(packet.AppendEmpty(nil, packet.PINGREQ))
	c.want(packet.PINGRESP)
	c.send(pub5("a", "", 1, 200, nil)) // the unreleased ids of QoS 2 are more than the window, and what came behind them was another one
	c.wantDisconnect(packet.ReceiveMaxExceeded)
	for len(held) > 0 {
		(<-held).Done(nil)
	}
}

// TestExcessAfterResume: fresh messages of a client that has just come back are not held to the Receive Maximum either.
func TestExcessAfterResume(t *testing.T) {
	_, ln := startPlain(t, server.Config{Window: 3}, server.Welcome{})
	forever := number(packet.SessionExpiry, server.NoExpiry)
	c, _ := login5(t, ln, "d", true, forever)
	c.disconnect()
	c, present := login5(t, ln, "d", false, forever)
	if !present {
		t.Fatal("the session is gone")
	}
	for id := uint16(1); id <= 6; id++ {
		c.send(pub5("a", "", 2, id, nil))
		c.wantAck5(packet.PUBREC, id)
	}
}

// TestSendQuota: no more unacknowledged messages than the client's Receive Maximum, over a reconnect with a smaller one too.
func TestSendQuota(t *testing.T) {
	b, ln := startPlain(t, server.Config{}, server.Welcome{})
	forever := number(packet.SessionExpiry, server.NoExpiry)
	c, _ := login5(t, ln, "d", true, packet.AppendInt(forever, packet.ReceiveMax, 3))
	c.subscribe5("#", 2, nil)
	for i := range 8 {
		b.s.Route(server.Message{Topic: "t", Payload: []byte(fmt.Sprint(i)), QoS: 1 + byte(i%2)})
	}
	var first []packet.Publish
	for range 3 {
		first = append(first, c.wantPublish5())
	}
	c.ping()                                                                              // no fourth
	c.send(packet.AppendAck5(nil, packet.PUBREC, first[1].ID, packet.QuotaExceeded, nil)) // gives quota back, without PUBREL
	if p := c.wantPublish5(); string(p.Payload) != "3" {
		t.Fatalf("%q after a failing PUBREC", p.Payload)
	}
	c.send(packet.AppendID(nil, packet.PUBACK, first[0].ID))
	if p := c.wantPublish5(); string(p.Payload) != "4" {
		t.Fatalf("%q after PUBACK", p.Payload)
	}
	_ = c.nc.Close()
	eventually(t, "offline", func() bool { return !mustSession(b.s, "d").Online() })
	c, present := login5(t, ln, "d", false, packet.AppendInt(forever, packet.ReceiveMax, 2))
	if !present {
		t.Fatal("session not present")
	}
	two, three := c.wantPublish5(), c.wantPublish5()
	c.ping() // and no third
	got := []packet.Publish{two, three}
	answer := func(p packet.Publish) {
		typ := packet.PUBACK
		if p.QoS == 2 {
			typ = packet.PUBREC
		}
		c.send(packet.AppendID(nil, typ, p.ID))
	}
	answer(two)
	answer(three)
	for len(got) < 6 {
		h, body, err := c.read()
		if err != nil {
			t.Fatal(err)
		}
		if h.Type == packet.PUBREL {
			id, _ := packet.DecodeID(body)
			c.send(packet.AppendID(nil, packet.PUBCOMP, id))
			continue
		}
		var p packet.Publish
		if err := packet.DecodePublish5(h.Flags, body, &p); err != nil {
			t.Fatal(err)
		}
		got = append(got, p)
		answer(p)
	}
	for i, p := range got {
		if want := fmt.Sprint(i + 2); string(p.Payload) != want || p.Dup != (want < "5") {
			t.Errorf("message %d is %q, dup %v, want %s", i, p.Payload, p.Dup, want)
		}
	}
}

func TestTopicAliases(t *testing.T) {
	b, ln := startPlain(t, server.Config{TopicAliasMax: 2}, server.Welcome{})
	c, _ := login5(t, ln, "d", true, number(packet.TopicAliasMax, 10))
	c.subscribe5("#", 1, nil)
	alias := number(packet.TopicAlias, 1)
	c.send(pub5("first/topic", "1", 0, 0, alias), pub5("", "2", 0, 0, alias), pub5("second", "3", 0, 0, alias), pub5("", "4", 0, 0, alias))
	names := map[uint32]string{}
	var got []string
	for range 4 {
		p := c.wantPublish5()
		n, ok := p.Properties.Int(packet.TopicAlias)
		if !ok || n > 2 {
			t.Errorf("alias %d, %v", n, ok)
		}
		if len(p.Topic) > 0 {
			names[n] = string(p.Topic)
		}
		got = append(got, names[n]+"="+string(p.Payload))
	}
	if want := []string{"first/topic=1", "first/topic=2", "second=3", "second=4"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	b.s.Route(server.Message{Topic: "third", QoS: 1}) // both aliases are taken
	if p := c.wantPublish5(); string(p.Topic) != "third" || len(p.Properties) != 0 {
		t.Errorf("third topic: %+v", p)
	}
	_ = c.nc.Close() // aliases end with the connection
	c, _ = login5(t, ln, "e", true, nil)
	c.send(pub5("", "x", 0, 0, alias))
	c.wantDisconnect(packet.ProtocolError)
}

func TestSubscriptionOptions(t *testing.T) {
	_, ln := startPlain(t, server.Config{}, server.Welcome{})
	c, _ := login5(t, ln, "c", true, nil)
	other, _ := login5(t, ln, "o", true, nil)
	c.subscribe5("t/#", 1|packet.NoLocal, number(packet.SubscriptionID, 7))
	c.subscribe5("t/+", 0|packet.RetainAsPublished|packet.NoLocal, number(packet.SubscriptionID, 300))
	c.send(pub5("t/a", "own", 1, 1, nil))
	c.wantAck5(packet.PUBACK, 1)
	other.send(retained5("t/a", "theirs", packet.AppendPair(number(packet.PayloadFormat, 1), "k", "v")))
	p := c.wantPublish5()
	if string(p.Payload) != "theirs" || p.QoS != 1 || !p.Retain {
		t.Errorf("got %+v", p)
	}
	want := packet.AppendInt(packet.AppendInt(packet.AppendPair(number(packet.PayloadFormat, 1), "k", "v"), packet.SubscriptionID, 7), packet.SubscriptionID, 300)
	if !bytes.Equal(p.Properties, want) {
		t.Errorf("properties % x, want % x", p.Properties, want)
	}
	c.send(packet.AppendUnsubscribe5(nil, 3, nil, []string{"t/#", "no"}))
	_, body := c.want(packet.UNSUBACK)
	if _, _, codes, err := packet.DecodeSuback5(packet.UNSUBACK, body); err != nil || !slices.Equal(codes, []byte{0, 0x11}) {
		t.Errorf("unsuback %v, %v", codes, err)
	}
}

func TestRetained(t *testing.T) {
	b, ln := startPlain(t, server.Config{}, server.Welcome{})
	c, _ := login5(t, ln, "c", true, nil)
	c.send(retained5("r/1", "one", number(packet.MessageExpiry, 100)))
	c.wantAck5(packet.PUBACK, 1)
	c.send(retained5("r/2", "two", nil))
	c.wantAck5(packet.PUBACK, 1)
	got := func(o packet.Options) (all []string) {
		c.subscribe5("r/#", o, number(packet.SubscriptionID, 5))
		c.send(packet.AppendEmpty(nil, packet.PINGREQ))
		for {
			h, body, err := c.read()
			if err != nil || h.Type == packet.PINGRESP {
				slices.Sort(all)
				return all
			}
			var p packet.Publish
			if err := packet.DecodePublish5(h.Flags, body, &p); err != nil {
				t.Fatal(err)
			}
			if id, _ := p.Properties.Int(packet.SubscriptionID); id != 5 || !p.Retain {
				t.Errorf("retained message %+v", p)
			}
			all = append(all, string(p.Payload))
		}
	}
	both := []string{"one", "two"}
	for _, step := range []struct {
		o    packet.Options
		want []string
	}{{0, both}, {0, both}, {packet.RetainIfNew, nil}, {packet.RetainNever, nil}} {
		if all := got(step.o); !slices.Equal(all, step.want) {
			t.Errorf("options %#x: got %q, want %q", step.o, all, step.want)
		}
	}
	old, _ := login(t, ln, "old", true)
	old.subscribe(1, "r/+", 0)
	for range 2 {
		if p := old.wantPublish(); !p.Retain {
			t.Errorf("3.1.1: %+v", p)
		}
	}
	c.send(retained5("r/1", "", nil))
	eventually(t, "removed", func() bool { return b.Len() == 1 })
	if p := old.wantPublish(); p.Retain || len(p.Payload) != 0 {
		t.Errorf("established subscription got %+v", p)
	}
}

func TestRetainedStore(t *testing.T) {
	r := &server.RetainedStore{Max: 2, MaxBytes: 30}
	keep := func(topic, payload string, expiry time.Time) error {
		return r.Keep(&server.Message{Topic: topic, Payload: []byte(payload), Expiry: expiry})
	}
	now := time.Now()
	for _, err := range []error{keep("a", "1", time.Time{}), keep("b", "2", now.Add(-time.Second)), keep("a", "3", time.Time{})} {
		if err != nil {
			t.Error(err)
		}
	}
	if err := keep("c", "4", time.Time{}); !errors.Is(err, server.ErrRetainedFull) {
		t.Errorf("third topic: %v", err)
	}
	if err := keep("a", strings.Repeat("x", 40), time.Time{}); !errors.Is(err, server.ErrRetainedFull) {
		t.Errorf("too many bytes: %v", err)
	}
	var got []string
	r.Each("#", func(m *server.Message) { got = append(got, m.Topic+string(m.Payload)) })
	if !slices.Equal(got, []string{"a3"}) {
		t.Errorf("kept %q", got)
	}
	if n := r.Trim(now); n != 1 || r.Len() != 1 {
		t.Errorf("trimmed %d, %d left", n, r.Len())
	}
}

func TestMessageExpiry(t *testing.T) {
	t.Parallel()
	b, ln := startPlain(t, server.Config{}, server.Welcome{})
	forever := number(packet.SessionExpiry, server.NoExpiry)
	c, _ := login5(t, ln, "d", true, forever)
	c.subscribe5("t", 1, nil)
	c.send(packet.AppendEmpty(nil, packet.DISCONNECT))
	c.wantClosed()
	p, _ := login5(t, ln, "p", true, nil)
	p.send(pub5("t", "long", 1, 1, number(packet.MessageExpiry, 1000)), pub5("t", "short", 1, 2, number(packet.MessageExpiry, 1)))
	p.wantAck5(packet.PUBACK, 1)
	p.wantAck5(packet.PUBACK, 2)
	begin := time.Now()
	eventually(t, "a second has passed", func() bool { return time.Since(begin) > 1100*time.Millisecond })
	c, _ = login5(t, ln, "d", false, forever)
	got := c.wantPublish5()
	if left, ok := got.Properties.Int(packet.MessageExpiry); string(got.Payload) != "long" || !ok || left > 999 || left < 900 {
		t.Errorf("got %q with %d s left", got.Payload, left)
	}
	c.ping()
	if n := b.s.Stats().Dropped[server.DropExpired]; n != 1 {
		t.Errorf("%d expired", n)
	}
}

func TestMaxPacketSize(t *testing.T) {
	b, ln := startPlain(t, server.Config{}, server.Welcome{})
	c, _ := login5(t, ln, "d", true, number(packet.MaxPacketSize, 50))
	c.subscribe5("t", 1, nil)
	s := session(t, b.s, "d")
	if err := s.Send(server.Message{Topic: "t", Payload: make([]byte, 50), QoS: 1}); !errors.Is(err, server.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	if err := s.Send(server.Message{Topic: "t", Payload: make([]byte, 50), QoS: 1, Tag: 4}); err != nil || !slices.Equal(b.tags(), []uint64{4}) {
		t.Errorf("too large with a tag: %v, delivered %v", err, b.tags())
	}
	if err := s.Send(server.Message{Topic: "t", Payload: make([]byte, 40), QoS: 1}); err != nil {
		t.Error(err)
	}
	c.wantPublish5()
}

func TestRejected(t *testing.T) {
	_, ln := startPlain(t, server.Config{}, server.Welcome{})
	c, _ := login5(t, ln, "c", true, nil)
	c.send(pub5("denied/x", "", 1, 1, nil))
	_, body := c.want(packet.PUBACK)
	if _, code, p, err := packet.DecodeAck5(packet.PUBACK, body); err != nil || code != packet.Unauthorized {
		t.Errorf("%s, %v", code, err)
	} else if words, _ := p.Bytes(packet.ReasonString); string(words) != "not yours" {
		t.Errorf("reason %q", words)
	}
	quiet, _ := login5(t, ln, "q", true, number(packet.RequestProblemInfo, 0))
	quiet.send(pub5("denied/x", "", 2, 1, nil))
	_, body = quiet.want(packet.PUBREC)
	if _, code, p, err := packet.DecodeAck5(packet.PUBREC, body); err != nil || code != packet.Unauthorized || p != nil {
		t.Errorf("%s, % x, %v", code, p, err)
	}
	quiet.send(packet.AppendID(nil, packet.PUBREL, 1))
	if code := quiet.wantAck5(packet.PUBCOMP, 1); code != packet.IDNotFound {
		t.Errorf("PUBCOMP %s", code)
	}
	quiet.send(packet.AppendID(nil, packet.PUBREC, 77))
	if code := quiet.wantAck5(packet.PUBREL, 77); code != packet.IDNotFound {
		t.Errorf("PUBREL %s", code)
	}
	old, _ := login(t, ln, "old", true)
	old.send(pub("denied/x", "", 1, 1))
	old.wantID(packet.PUBACK, 1)
}

// TestTold: who is cut off by the server is told why, on transports that can write at once and on those that cannot.
func TestTold(t *testing.T) {
	d := openDoors(t)
	hello := &packet.Connect{ClientID: []byte("k"), HasUserName: true, UserName: []byte("user"), HasPassword: true, Password: []byte("secret")}
	for _, door := range []string{"mem", "tls"} {
		t.Run(door, func(t *testing.T) {
			open := func() *client {
				if door == "mem" {
					return dial(t, d.mem)
				}
				return newClient(t, d.dialTLS(t))
			}
			c := open()
			c.hello5(hello)
			second := open()
			second.hello5(hello)
			c.wantDisconnect(packet.TakenOver)
			d.s.Kick("k", server.CauseKicked)
			second.wantDisconnect(packet.AdministrativeAction)
		})
	}
}

func TestShutdownTold(t *testing.T) {
	s, ln := start(t, server.Config{}, &owner{})
	c, _ := login5(t, ln, "c", true, nil)
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	c.wantDisconnect(packet.ShuttingDown)
}
