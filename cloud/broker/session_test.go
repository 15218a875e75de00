package broker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/broker/brokertest"
	"github.com/hawser-iot/hawser/cloud/bus"
	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/topic"
)

func rowsQueued(t *testing.T, db *store.DB, device int64) int {
	t.Helper()
	var n int
	if err := db.QueryRow(t.Context(), `SELECT COUNT(*) FROM queue WHERE device = ?`, device).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func send(t *testing.T, s *brokertest.Stack, d *registry.Device, payload string) downlink.Outcome {
	t.Helper()
	out, err := s.Downlink.Send(t.Context(), downlink.Message{Device: d.Identity, Topic: topic.Name(d.Identity, "set"), Payload: []byte(payload), QoS: 1, Queue: true})
	if err != nil {
		t.Fatalf("Send %s: %v", payload, err)
	}
	return out
}

// TestQueue: what is sent to a persistent session that is away comes in order when it is back, also after a restart of the
// hub, and only once when it was acknowledged.
func TestQueue(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := stack(t, brokertest.Config{Store: db, Downlink: func(c *downlink.Config) { c.QueueMax = 20 }})
		d := s.New(t)
		login := brokertest.Of(d)
		login.Persistent = true
		set := topic.Name(d.Identity, "set")
		c := s.MustDial(t, login)
		if _, err := s.Downlink.Send(t.Context(), downlink.Message{Device: d.Identity, Topic: set, QoS: 1, Queue: true}); !errors.Is(err, downlink.ErrNotSubscribed) {
			t.Fatalf("Send without subscription: %v", err)
		}
		c.Subscribe(set)
		if out := send(t, s, d, "live"); out != downlink.Delivered {
			t.Fatalf("live message was %s", out)
		}
		brokertest.Expect(t, c.Message(), set, "live")
		brokertest.Eventually(t, "acknowledged row deleted", func() bool { return rowsQueued(t, db, d.ID) == 0 })
		c.Disconnect()
		for n := range 25 { // five more than are kept
			if out := send(t, s, d, fmt.Sprint(n)); out != downlink.Queued {
				t.Fatalf("message %d was %s", n, out)
			}
		}
		if got := rowsQueued(t, db, d.ID); got != 20 {
			t.Fatalf("%d rows kept, want 20", got)
		}
		s.Stop()

		s = stack(t, brokertest.Config{Store: db})
		c = s.MustDial(t, login)
		if !c.Present {
			t.Error("session not present after a restart")
		}
		for n := 5; n < 25; n++ {
			brokertest.Expect(t, c.Message(), set, fmt.Sprint(n))
		}
		brokertest.Eventually(t, "queue empty", func() bool { return rowsQueued(t, db, d.ID) == 0 })
		c.Quiet()
		c.Unsubscribe(set)
		c.Disconnect()
		if c = s.MustDial(t, login); !c.Present {
			t.Error("session not present")
		}
		if _, err := s.Downlink.Send(t.Context(), downlink.Message{Device: d.Identity, Topic: set, QoS: 1, Queue: true}); !errors.Is(err, downlink.ErrNotSubscribed) {
			t.Errorf("Send after UNSUBSCRIBE: %v", err)
		}
	})
}

// TestUnacknowledgedComesAgain: a message that was sent and not acknowledged is in the store until it is.
func TestUnacknowledgedComesAgain(t *testing.T) {
	db := storetest.SQLite(t)
	s := stack(t, brokertest.Config{Store: db})
	d := s.New(t)
	login := brokertest.Of(d)
	login.Persistent, login.NoAck = true, true
	set := topic.Name(d.Identity, "set")
	c := s.MustDial(t, login)
	c.Subscribe(set)
	send(t, s, d, "one")
	send(t, s, d, "two")
	brokertest.Expect(t, c.Message(), set, "one")
	c.Break()
	brokertest.Eventually(t, "offline", func() bool { return state(t, s, d.Identity) == registry.Offline })
	send(t, s, d, "three")
	s.Stop() // the engine's memory is gone, the rows are not
	s = stack(t, brokertest.Config{Store: db})
	login.NoAck = false
	c = s.MustDial(t, login)
	for _, want := range []string{"one", "two", "three"} {
		brokertest.Expect(t, c.Message(), set, want)
	}
	brokertest.Eventually(t, "queue empty", func() bool { return rowsQueued(t, db, d.ID) == 0 })
	c.Quiet()
}

// TestQueueWhileConnecting: messages that are queued while the device comes back are neither lost, doubled nor out of order.
func TestQueueWhileConnecting(t *testing.T) {
	s := stack(t, brokertest.Config{})
	d := s.New(t)
	login := brokertest.Of(d)
	login.Persistent, login.NoAck = true, true // acknowledged is what the test has taken, not what the client has read
	set := topic.Name(d.Identity, "set")
	c := s.MustDial(t, login)
	c.Subscribe(set)
	const rounds = 8
	sent := make(chan int, 1)
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		n := 0
		for ctx.Err() == nil {
			_, err := s.Downlink.Send(t.Context(), downlink.Message{Device: d.Identity, Topic: set, Payload: []byte(fmt.Sprint(n)), QoS: 1, Queue: true})
			if err != nil {
				t.Errorf("message %d: %v", n, err)
				break
			}
			n++
		}
		sent <- n
	}()
	next := 0
	for range rounds {
		for range 10 {
			next = expectAtMostRepeated(t, c, next)
		}
		c.Disconnect()
		c = s.MustDial(t, login)
	}
	stop()
	for total := <-sent; next < total; {
		next = expectAtMostRepeated(t, c, next)
	}
}

// expectAtMostRepeated takes and acknowledges one message: it is the next one, or one that was under way when the connection ended.
func expectAtMostRepeated(t *testing.T, c *brokertest.Client, next int) int {
	t.Helper()
	var n int
	p := c.Message()
	if _, err := fmt.Sscan(p.Payload, &n); err != nil {
		t.Fatal(err)
	}
	c.Ack(p.ID)
	if n > next {
		t.Fatalf("got message %d, want %d", n, next)
	}
	return max(next, n+1)
}

func TestSizeBound(t *testing.T) {
	s := stack(t, brokertest.Config{})
	d := s.New(t)
	set := topic.Name(d.Identity, "set")
	fit := downlink.Message{Device: d.Identity, Topic: set, QoS: 1, Payload: []byte(strings.Repeat("x", uplink.PayloadLimit(0, set)))}
	over := fit
	over.Payload = append(append([]byte{}, fit.Payload...), 'x')
	c := s.MustDial(t, brokertest.Of(d))
	c.Subscribe(set)
	if _, err := s.Downlink.Send(t.Context(), fit); err != nil {
		t.Errorf("a packet of 2,048 bytes: %v", err)
	}
	c.Message()
	if _, err := s.Downlink.Send(t.Context(), over); !errors.Is(err, downlink.ErrTooLargeForDevice) {
		t.Errorf("a packet of 2,049 bytes: %v", err)
	}
	c.Disconnect()
	login := brokertest.Of(d)
	login.UserName = d.Identity.Product + "|" + d.Identity.SN + "|1|buf=8192"
	c = s.MustDial(t, login)
	c.Subscribe(set)
	if _, err := s.Downlink.Send(t.Context(), over); err != nil {
		t.Errorf("a packet of 2,049 bytes to a device that announced 8,192: %v", err)
	}
}

func TestOffline(t *testing.T) {
	s := stack(t, brokertest.Config{})
	d := s.New(t)
	m := downlink.Message{Device: d.Identity, Topic: topic.Name(d.Identity, "set"), Payload: []byte("x"), QoS: 1, Queue: true}
	if _, err := s.Downlink.Send(t.Context(), m); !errors.Is(err, downlink.ErrOffline) {
		t.Errorf("to a device that was never there: %v", err)
	}
	c := s.MustDial(t, brokertest.Of(d)) // a clean session
	c.Subscribe(m.Topic)
	c.Disconnect()
	brokertest.Eventually(t, "offline", func() bool { return state(t, s, d.Identity) == registry.Offline })
	if _, err := s.Downlink.Send(t.Context(), m); !errors.Is(err, downlink.ErrOffline) {
		t.Errorf("to a clean session that is gone: %v", err)
	}
	m.Device.SN = "nobody"
	if _, err := s.Downlink.Send(t.Context(), m); !errors.Is(err, registry.ErrDeviceNotFound) {
		t.Errorf("to nobody: %v", err)
	}
}

// callHandler gives answers to calls, as the thing model does.
type callHandler struct{ stack **brokertest.Stack }

func (h callHandler) Handle(_ context.Context, m *uplink.Message) error {
	(*h.stack).Downlink.Answer(m.Device, m.Topic.Tail, m.Payload)
	return nil
}

func TestCall(t *testing.T) {
	var s *brokertest.Stack
	s = stack(t, brokertest.Config{Handlers: map[topic.Kind]uplink.Handler{topic.CommandReply: callHandler{&s}}})
	d := s.New(t)
	c := s.MustDial(t, brokertest.Of(d))
	command := topic.System(d.Identity, topic.Command)
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour) // none of these waits
	defer cancel()
	c.Quiet() // attached
	if _, err := s.Downlink.Call(ctx, d.Identity, command, []byte(`{}`), "1"); !errors.Is(err, downlink.ErrNotSubscribed) {
		t.Errorf("call of a device that is not subscribed: %v", err)
	}
	c.Subscribe(command)
	late, unanswered := newOverdue(t.Context()), make(chan error, 1)
	go func() {
		_, err := s.Downlink.Call(late, d.Identity, command, []byte(`{}`), "2")
		unanswered <- err
	}()
	c.Message()
	late.end()
	if err := <-unanswered; !errors.Is(err, downlink.ErrNoAnswer) {
		t.Errorf("call that nobody answers: %v", err)
	}
	if _, err := s.Downlink.Call(ctx, d.Identity, command, nil, "1234567890123456"); !errors.Is(err, downlink.ErrRequestID) {
		t.Errorf("call with 16 digits: %v", err)
	}
	answered(t, s, d, c)
}

// answered makes a call on one node of a device that may be on another.
func answered(t *testing.T, from *brokertest.Stack, d *registry.Device, c *brokertest.Client) {
	t.Helper()
	id := from.Downlink.NextRequestID()
	go func() {
		c.Message()
		c.Send(topic.Topic{Kind: topic.CommandReply, Device: d.Identity, Tail: id}.String(), `{"RetCode":0}`)
	}()
	ctx, cancel := context.WithTimeout(t.Context(), brokertest.Wait)
	defer cancel()
	got, err := from.Downlink.Call(ctx, d.Identity, topic.System(d.Identity, topic.Command), []byte(`{}`), id)
	if err != nil || string(got) != `{"RetCode":0}` {
		t.Errorf("call %s: %s, %v", id, got, err)
	}
}

// TestTwoNodes: one store, one bus, two nodes.
func TestTwoNodes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b, err := bus.Open(t.Context(), bus.Config{}, discard())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close() })
		var one, two *brokertest.Stack
		two = stack(t, brokertest.Config{Store: db, Bus: b, Node: "two", Number: 2, Handlers: map[topic.Kind]uplink.Handler{topic.CommandReply: callHandler{&two}}})
		one = stack(t, brokertest.Config{Store: db, Bus: b, Node: "one", Number: 1, Handlers: map[topic.Kind]uplink.Handler{topic.CommandReply: callHandler{&one}}})
		d := one.New(t)
		login := brokertest.Of(d)
		login.Persistent = true
		set := topic.Name(d.Identity, "set")
		c := two.MustDial(t, login)
		c.Subscribe(set, topic.System(d.Identity, topic.Command))
		if out := send(t, one, d, "over the bus"); out != downlink.Delivered {
			t.Errorf("message over the bus was %s", out)
		}
		brokertest.Expect(t, c.Message(), set, "over the bus")
		answered(t, one, d, c)

		moved := one.MustDial(t, login)
		c.Ended() // the other node was told
		if !moved.Present {
			t.Error("session not present on the other node")
		}
		send(t, two, d, "moved")
		brokertest.Expect(t, moved.Message(), set, "moved")
		moved.Disconnect()
		brokertest.Eventually(t, "offline", func() bool { return stored(t, db, d.ID) == registry.Offline })
		brokertest.Eventually(t, "offline on the other node", func() bool { return state(t, two, d.Identity) == registry.Offline })
		if out := send(t, two, d, "later"); out != downlink.Queued {
			t.Errorf("message to an absent device was %s", out)
		}
		c = two.MustDial(t, login)
		brokertest.Expect(t, c.Message(), set, "later")
		status := topic.System(d.Identity, topic.DeviceStatus)
		if n := len(one.Rules.Of(status)) + len(two.Rules.Of(status)); n != 3 {
			t.Errorf("%d presence events, want Online, Offline, Online", n)
		}
	})
}

func stored(t *testing.T, db *store.DB, device int64) registry.State {
	t.Helper()
	var n int64
	if err := db.QueryRow(t.Context(), `SELECT state FROM device WHERE id = ?`, device).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return registry.State(n)
}

// TestDeadProcess: sessions that a dead process left online end once, unless their devices are back in time.
func TestDeadProcess(t *testing.T) {
	db := storetest.SQLite(t)
	s := stack(t, brokertest.Config{Store: db})
	p := s.Product(t, registry.NewProduct{})
	back, lost := s.Device(t, p, "dev-back"), s.Device(t, p, "dev-lost")
	for _, d := range []*registry.Device{back, lost} {
		s.MustDial(t, brokertest.Of(d))
	}
	s.Stop() // an orderly stop leaves the rows online, as a death does
	for _, d := range []*registry.Device{back, lost} {
		if got := stored(t, db, d.ID); got != registry.Online {
			t.Fatalf("%s is %s after the stop", d.Identity, got)
		}
	}
	err := db.Update(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE session SET keep_alive = 1`) // 1.5 s
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s = stack(t, brokertest.Config{Store: db})
	s.MustDial(t, brokertest.Of(back))
	brokertest.Eventually(t, "lost device offline", func() bool { return state(t, s, lost.Identity) == registry.Offline })
	if seen := s.Rules.Of(topic.System(lost.Identity, topic.DeviceStatus)); len(seen) != 1 {
		t.Errorf("%d events of the lost device, want one Offline", len(seen))
	}
	if got := stored(t, db, back.ID); got != registry.Online {
		t.Errorf("the device that came back is %s", got)
	}
	if seen := s.Rules.Of(topic.System(back.Identity, topic.DeviceStatus)); len(seen) != 0 {
		t.Errorf("events of the device that came back: %+v", seen)
	}
}

// TestQoS2NeedsARow: what is no row of the queue goes to a persistent session at QoS 1 at most.
func TestQoS2NeedsARow(t *testing.T) {
	s := stack(t, brokertest.Config{})
	for persistent, want := range map[bool]byte{false: 2, true: 1} {
		d := s.New(t)
		l := brokertest.Of(d)
		l.Persistent = persistent
		c := s.MustDial(t, l)
		set := topic.Name(d.Identity, "set")
		c.SubscribeAt(2, set)
		if _, err := s.Downlink.Send(t.Context(), downlink.Message{Device: d.Identity, Topic: set, Payload: []byte("x"), QoS: 2}); err != nil {
			t.Fatal(err)
		}
		if got := c.Message(); got.QoS != want {
			t.Errorf("persistent %v: QoS %d, want %d", persistent, got.QoS, want)
		}
	}
}
