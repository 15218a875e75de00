package server_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// topicOf is the nth topic of a full store, in order.
func topicOf(n int) string { return fmt.Sprintf("r/%05d", n) }

// fill retains n messages of the given quality of service.
func fill(t testing.TB, b *plain, n int, qos byte) {
	t.Helper()
	for i := range n {
		if err := b.Keep(&server.Message{Topic: topicOf(i), Payload: fmt.Append(nil, i), QoS: qos}); err != nil {
			t.Fatal(err)
		}
	}
}

// takes reads publishes and acknowledges them as a good client does until n have come that are retained; it returns those that are not.
func (c *client) takes(n int, got func(p *packet.Publish)) {
	c.t.Helper()
	for n > 0 {
		h, body, err := c.read()
		if err != nil {
			c.t.Fatalf("%d to come: %v", n, err)
		}
		switch h.Type {
		case packet.PUBLISH:
			var p packet.Publish
			if err := packet.DecodePublish(h.Flags, body, &p); err != nil {
				c.t.Fatal(err)
			}
			if p.QoS > 0 {
				c.send(packet.AppendID(nil, packet.PUBACK+packet.Type(p.QoS-1), p.ID))
			}
			if got(&p); p.Retain {
				n--
			}
		case packet.PUBREL:
			id, _ := packet.DecodeID(body)
			c.send(packet.AppendID(nil, packet.PUBCOMP, id))
		default:
			c.t.Fatalf("got %s", h.Type)
		}
	}
}

// TestManyRetained: more retained messages for one SUBSCRIBE than any queue holds come all, in order, each once, while others are published.
func TestManyRetained(t *testing.T) {
	t.Parallel()
	for qos := range byte(3) {
		t.Run(fmt.Sprint("qos", qos), func(t *testing.T) {
			t.Parallel()
			const total = 3_000
			b, ln := startPlain(t, server.Config{}, server.Welcome{})
			fill(t, b, total, qos)
			c, _ := login(t, ln, "c", true)
			other, _ := login(t, ln, "other", true)
			c.subscribe(1, "r/#", qos)
			next, live := 0, 0
			c.takes(total, func(p *packet.Publish) {
				if !p.Retain {
					live++
					return
				}
				if string(p.Topic) != topicOf(next) || string(p.Payload) != fmt.Sprint(next) || p.QoS != qos {
					t.Fatalf("message %d is %s %s at QoS %d", next, p.Topic, p.Payload, p.QoS)
				}
				if next++; next%100 == 0 {
					other.send(pub("r/live", "x", qos, uint16(next)))
				}
			})
			if live == 0 {
				t.Error("nothing that was published meanwhile came before the end")
			}
			if d := b.s.Stats().Dropped; len(d) != 0 {
				t.Errorf("dropped: %v", d)
			}
		})
	}
}

// TestRetainedOverReconnects: a persistent session gets the rest of what was retained when it comes back; a clean one does not.
func TestRetainedOverReconnects(t *testing.T) {
	t.Parallel()
	for _, clean := range []bool{false, true} {
		const total = 2000
		b, ln := startPlain(t, server.Config{}, server.Welcome{})
		fill(t, b, total, 1)
		c, _ := login(t, ln, "c", clean)
		c.subscribe(1, "r/#", 1)
		got := map[string]bool{}
		count := func(p *packet.Publish) { got[string(p.Topic)] = true }
		for range 4 {
			c.takes(100, count)
			_ = c.nc.Close()
			c, _ = login(t, ln, "c", clean)
			if clean {
				c.ping()
				return
			}
		}
		for len(got) < total {
			c.takes(1, count)
		}
	}
}

// TestRetainedUnread: a client that reads nothing keeps no messages of what is retained, whatever it subscribes to.
func TestRetainedUnread(t *testing.T) {
	b, ln := startPlain(t, server.Config{MaxSubscriptions: 10}, server.Welcome{})
	for i := range 10_000 {
		if err := b.Keep(&server.Message{Topic: topicOf(i), Payload: make([]byte, 1000)}); err != nil {
			t.Fatal(err)
		}
	}
	before := heapNow()
	c, _ := login(t, ln, "c", true)
	for i := range 50 {
		filter := strings.Repeat("+/", i%10) + "#"
		if i%10 < 2 {
			filter = []string{"r/#", "r/+"}[i%10]
		}
		c.send(packet.AppendSubscribe(nil, uint16(i+1), []packet.Filter{{Filter: filter, QoS: 0}}))
	}
	eventually(t, "it is held back", func() bool { return b.s.Stats().PublishOut[0] > 10 })
	if grown := int64(heapNow()) - int64(before); grown > 2<<20 {
		t.Errorf("%d KB for it", grown>>10)
	}
	c.patience = limit
	other, _ := login(t, ln, "other", true)
	other.ping()
	_ = c.nc.Close()
	eventually(t, "it is gone", func() bool { return b.s.Connections() == 1 })
}

func heapNow() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// slow is a store of retained messages that is changed while it is read.
type slow struct {
	plain
	during func(page []server.Message)
}

func (o *slow) Retained(s *server.Session, sub server.Subscription, after string, most int) ([]server.Message, error) {
	page, err := o.plain.Retained(s, sub, after, most)
	o.during(page)
	return page, err
}

// TestRetainedOvertaken: what a page has of a topic does not come behind a newer message of it.
func TestRetainedOvertaken(t *testing.T) {
	t.Parallel()
	for _, changed := range []int{1, 200} {
		o := &slow{}
		o.welcome.Routed = true
		var ln dialer
		o.s, ln = start(t, server.Config{}, o)
		fill(t, &o.plain, 300, 1)
		left := 1
		o.during = func(page []server.Message) {
			if left--; left < 0 {
				return
			}
			for i := range changed {
				m := server.Message{Topic: topicOf(i + 20), Payload: []byte("new"), QoS: 1, Retain: true}
				_ = o.Keep(&m)
				o.s.Route(m)
			}
		}
		c, _ := login(t, ln, "c", true)
		c.subscribe(1, "r/#", 1)
		last := map[string]string{}
		c.takes(300, func(p *packet.Publish) { last[string(p.Topic)] = string(p.Payload) })
		for i := range changed {
			if got := last[topicOf(i+20)]; got != "new" {
				t.Errorf("%d changed: the last of %s is %q", changed, topicOf(i+20), got)
			}
		}
		if got := last[topicOf(299)]; got != "299" {
			t.Errorf("the last one is %q", got)
		}
	}
}

// TestRetainedAgain: subscribing once more has everything sent once more, unsubscribing ends it.
func TestRetainedAgain(t *testing.T) {
	t.Parallel()
	b, ln := startPlain(t, server.Config{}, server.Welcome{})
	fill(t, b, 1000, 1)
	c, _ := login(t, ln, "c", true)
	c.subscribe(1, "r/#", 1)
	c.takes(100, func(*packet.Publish) {})
	c.send(packet.AppendSubscribe(nil, 2, []packet.Filter{{Filter: "r/#", QoS: 1}}))
	seen := map[string]int{}
	deadline := time.Now().Add(limit)
	for suback := false; seen[topicOf(999)] < 1 || !suback; {
		if time.Now().After(deadline) {
			t.Fatal("not all came again")
		}
		h, body, err := c.read()
		if err != nil {
			t.Fatal(err)
		}
		if h.Type == packet.SUBACK {
			suback = true
			clear(seen)
			continue
		}
		var p packet.Publish
		if err := packet.DecodePublish(h.Flags, body, &p); err != nil {
			t.Fatal(err)
		}
		seen[string(p.Topic)]++
		c.send(packet.AppendID(nil, packet.PUBACK, p.ID))
	}
	if len(seen) != 1000 {
		t.Errorf("%d topics after the second SUBSCRIBE", len(seen))
	}
	c.subscribe(3, "other", 1)
	c.send(packet.AppendUnsubscribe(nil, 4, []string{"r/#"}))
	c.want(packet.UNSUBACK)
	c.ping()
}
