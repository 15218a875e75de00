package server_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// served checks that an ordinary client is served while something else goes on.
func served(t *testing.T, ln dialer) {
	t.Helper()
	c, _ := login(t, ln, "ordinary", true)
	c.subscribe(1, "a", 1)
	c.send(pub("b", "x", 1, 1))
	c.wantID(packet.PUBACK, 1)
	c.disconnect()
}

// TestHalfOpen: thousands of connections that say nothing, or half of a CONNECT, end by themselves.
func TestHalfOpen(t *testing.T) {
	t.Parallel()
	const each = 1000
	s, ln := start(t, server.Config{ConnectTimeout: 2 * time.Second}, &owner{})
	other, _ := login(t, ln, "other", true)
	con := packet.AppendConnect(nil, &packet.Connect{Level: packet.V5, ClientID: []byte("half"), Clean: true})
	for i := range 2 * each {
		nc, err := ln.Dial()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = nc.Close() }() // and not when it is collected
		if i%2 == 0 {
			_, _ = nc.Write(con[:len(con)/2]) // it may be over already, on a busy machine
		}
	}
	other.subscribe(1, "a", 1)
	other.send(pub("b", "x", 1, 1))
	other.wantID(packet.PUBACK, 1)
	eventually(t, "all ended", func() bool { return s.Connections() == 1 })
	if n := s.Stats().Closed[server.CauseConnectTimeout]; n != 2*each {
		t.Errorf("%d ended by the time-out, want %d", n, 2*each)
	}
}

// TestByteAtATime: packets that come a byte at a time are handled when they are whole, and nobody else waits.
func TestByteAtATime(t *testing.T) {
	t.Parallel()
	_, ln := startPlain(t, server.Config{}, server.Welcome{})
	c, _ := login5(t, ln, "slow", true, nil)
	var all []byte
	all = packet.AppendSubscribe5(all, 1, nil, []packet.Filter{{Filter: "t", QoS: 2}})
	all = append(all, pub5("t", "x", 2, 1, nil)...)
	for i, b := range all {
		c.send([]byte{b})
		if i%8 == 0 {
			served(t, ln)
		}
	}
	c.want(packet.SUBACK)
	c.wantPublish5()
	c.wantAck5(packet.PUBREC, 1)
}

// TestMillionSubscribes: filters beyond the limit are refused and leave nothing behind: of 20,000, of 1,000,000 with HAWSER_TEST_LONG.
func TestMillionSubscribes(t *testing.T) {
	t.Parallel()
	total := 20_000
	if os.Getenv("HAWSER_TEST_LONG") != "" && on == ways[0] { // once is enough
		total = 1_000_000
	}
	b, ln := startPlain(t, server.Config{}, server.Welcome{})
	c, _ := login5(t, ln, "many", true, nil)
	go func() {
		var out []byte
		for i := range total {
			out = packet.AppendSubscribe5(out, uint16(i%65_535+1), nil, []packet.Filter{{Filter: fmt.Sprintf("t/%d", i), QoS: 1}})
			if len(out) > 32<<10 || i == total-1 {
				if _, err := c.nc.Write(out); err != nil {
					t.Error(err)
					return
				}
				out = out[:0]
			}
		}
	}()
	refused, reads := 0, 0
	in := make([]byte, 6*4096)
	for left := 6 * total; left > 0; {
		_ = c.nc.SetReadDeadline(time.Now().Add(limit))
		n, err := io.ReadFull(c.nc, in[:min(left, len(in))])
		if err != nil {
			t.Fatalf("%d bytes left: %v", left, err)
		}
		for at := 5; at < n; at += 6 {
			if packet.Code(in[at]) == packet.QuotaExceeded {
				refused++
			}
		}
		left -= n
		if reads++; reads%25 == 1 {
			served(t, ln)
		}
	}
	if refused != total-100 {
		t.Errorf("%d refused, want all but 100 of %d", refused, total)
	}
	if n := len(session(t, b.s, "many").Subscriptions()); n != 100 {
		t.Errorf("%d subscriptions", n)
	}
}

// TestLargestTopics: topics and filters as long, and as deep, as MQTT can say.
func TestLargestTopics(t *testing.T) {
	t.Parallel()
	b, ln := startPlain(t, server.Config{}, server.Welcome{})
	for _, long := range []string{strings.Repeat("a", 65_535), strings.Repeat("/", 65_535), strings.Repeat("a/", 32_767)} {
		c, _ := login5(t, ln, "long", true, nil)
		deep := strings.Contains(long, "/")
		if code := c.subscribe5(long, 1, nil); code.Failed() != deep {
			t.Errorf("filter %.5s…: %s", long, code)
		}
		c.subscribe5("#", 1|packet.RetainNever, nil)
		c.send(retained5(long, "x", nil))
		if got := c.wantPublish5(); string(got.Topic) != long {
			t.Errorf("topic of %d bytes came as one of %d", len(long), len(got.Topic))
		}
		c.wantAck5(packet.PUBACK, 1)
		_ = c.nc.Close()
	}
	if n := b.Len(); n != 1 {
		t.Errorf("%d retained, want that of one level", n)
	}
	c, _ := login5(t, ln, "large", true, nil)
	_, _ = c.nc.Write(pub5("t", string(make([]byte, 256<<10)), 0, 0, nil)) // which is not read to its end
	c.wantDisconnect(packet.TooLarge)
	served(t, ln)
}

// TestWrongOrder: acknowledgements that nobody waits for, and ids used twice, do not disturb a session.
func TestWrongOrder(t *testing.T) {
	t.Parallel()
	_, ln := startPlain(t, server.Config{}, server.Welcome{})
	c, _ := login(t, ln, "w", true)
	c.send(packet.AppendID(nil, packet.PUBACK, 7), packet.AppendID(nil, packet.PUBCOMP, 7))
	c.send(packet.AppendID(nil, packet.PUBREL, 7), packet.AppendID(nil, packet.PUBREC, 7))
	c.wantID(packet.PUBCOMP, 7)
	c.wantID(packet.PUBREL, 7)
	c.send(pub("t", "1", 1, 5), pub("t", "2", 1, 5), pub("t", "3", 2, 5), pub("t", "4", 2, 5))
	c.send(packet.AppendSubscribe(nil, 5, []packet.Filter{{Filter: "t", QoS: 1}}), packet.AppendUnsubscribe(nil, 5, []string{"t", "t"}))
	c.wantID(packet.PUBACK, 5)
	c.wantID(packet.PUBACK, 5)
	c.wantID(packet.PUBREC, 5)
	c.wantID(packet.PUBREC, 5)
	c.want(packet.SUBACK)
	c.wantID(packet.UNSUBACK, 5)
	c.send(packet.AppendID(nil, packet.PUBREL, 5), packet.AppendID(nil, packet.PUBREL, 5))
	c.wantID(packet.PUBCOMP, 5)
	c.wantID(packet.PUBCOMP, 5)
	c.subscribe(6, "u", 2)
	c.send(pub("u", "x", 2, 1))
	p := c.wantPublish()
	c.wantID(packet.PUBREC, 1)
	c.send(packet.AppendID(nil, packet.PUBACK, p.ID), packet.AppendID(nil, packet.PUBCOMP, p.ID)) // the wrong ones
	c.ping()
	c.send(packet.AppendID(nil, packet.PUBREC, p.ID))
	c.wantID(packet.PUBREL, p.ID)
	c.send(packet.AppendID(nil, packet.PUBREC, p.ID)) // once more
	c.wantID(packet.PUBREL, p.ID)
	c.send(packet.AppendID(nil, packet.PUBCOMP, p.ID))
	c.ping()
}

// TestResets: connections that are reset anywhere in a QoS 2 exchange neither lose nor double a message.
func TestResets(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := map[string]int{}
	o := &owner{publish: func(_ *server.Session, p *server.Publish) {
		mu.Lock()
		seen[string(p.Payload)]++
		mu.Unlock()
		go p.Done(nil)
	}}
	s, _ := start(t, server.Config{}, o)
	ln := listen(t)
	serve(t, s, ln, "tcp")
	const devices, messages = 4, 100
	var resets atomic.Int32
	var wg sync.WaitGroup
	for i := range devices {
		wg.Go(func() {
			e := exactly{t: t, addr: ln.Addr().String(), id: fmt.Sprintf("d%d", i), resets: &resets}
			for n := range messages {
				e.publish(uint16(n+1), fmt.Sprintf("%s/%d", e.id, n))
			}
		})
	}
	wg.Wait()
	if len(seen) != devices*messages {
		t.Errorf("%d messages arrived, want %d", len(seen), devices*messages)
	}
	for payload, n := range seen {
		if n != 1 {
			t.Errorf("%s arrived %d times", payload, n)
		}
	}
	t.Logf("%d resets", resets.Load())
}

// exactly is a client that brings each message to its end, over as many connections as it takes.
type exactly struct {
	t      *testing.T
	addr   string
	id     string
	c      *client
	steps  int
	resets *atomic.Int32
}

// publish sends until PUBREC, then PUBREL until PUBCOMP; every few steps the connection is reset.
func (e *exactly) publish(id uint16, payload string) {
	for tries := 0; !e.step(packet.PUBREC, id, packet.AppendPublish(nil, "t", []byte(payload), 2, id, tries > 0, false)); tries++ {
		if tries > 100 {
			e.t.Errorf("%s: no PUBREC", payload)
			return
		}
	}
	for tries := 0; !e.step(packet.PUBCOMP, id, packet.AppendID(nil, packet.PUBREL, id)); tries++ {
		if tries > 100 {
			e.t.Errorf("%s: no PUBCOMP", payload)
			return
		}
	}
}

func (e *exactly) step(want packet.Type, id uint16, send []byte) bool {
	if e.c == nil {
		nc, err := net.Dial("tcp", e.addr)
		if err != nil {
			e.t.Error(err)
			return false
		}
		e.c = newClient(e.t, nc)
		e.c.connect(&packet.Connect{ClientID: []byte(e.id)})
	}
	if _, err := e.c.nc.Write(send); err != nil {
		e.c = nil
		return false
	}
	if e.steps++; e.steps%5 == 0 {
		_ = e.c.nc.(*net.TCPConn).SetLinger(0)
		_ = e.c.nc.Close()
		e.c = nil
		e.resets.Add(1)
		return false
	}
	for {
		h, body, err := e.c.read()
		if err != nil {
			e.c = nil
			return false
		}
		if got, err := packet.DecodeID(body); h.Type == want && err == nil && got == id {
			return true
		}
	}
}
