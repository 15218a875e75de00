package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/edge-agent/gateway"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// upstream takes messages and lets the test decide when they are durable.
type upstream struct {
	forwarded chan func(error)

	mu     sync.Mutex
	events []string
	wanted []server.Subscription
	qos    byte // of the last message
}

func (u *upstream) Forward(d ident.Device, name string, payload []byte, qos byte, done func(error)) {
	u.mu.Lock()
	u.qos = qos
	u.mu.Unlock()
	u.forwarded <- done
}
func (u *upstream) Local(name string, payload []byte, qos byte, done func(error)) {
	u.note("local " + name)
	done(nil)
}
func (u *upstream) Found(d ident.Device)                         { u.note("found " + d.SN) }
func (u *upstream) Admitted(d ident.Device, _ credential.Secret) { u.note("admitted " + d.SN) }
func (u *upstream) Attached(d ident.Device)                      { u.note("attached") }
func (u *upstream) Detached(d ident.Device)                      { u.note("detached") }
func (u *upstream) Wanted(d ident.Device, subs []server.Subscription) {
	u.mu.Lock()
	u.wanted = subs
	u.mu.Unlock()
}

func (u *upstream) note(s string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.events = append(u.events, s)
}

// until polls a condition under the lock.
func (u *upstream) until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		u.mu.Lock()
		ok := cond()
		u.mu.Unlock()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v, %v", what, u.events, u.wanted)
		}
		time.Sleep(time.Millisecond)
	}
}

var (
	meter  = ident.Device{Product: "abcdefghij012345", SN: "meter-1"}
	secret = credential.Secret("0123456789abcdef")
)

// start runs a gateway and a connected sub-device.
func start(t *testing.T, engine server.Config) (*gateway.Gateway, *upstream, *link.Link, func()) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	up := &upstream{forwarded: make(chan func(error), 100)}
	g, err := gateway.New(gateway.Config{
		Listen: "127.0.0.1:0", Subdevices: []gateway.Subdevice{{Device: meter, Secret: secret}}, Engine: engine,
	}, up, log)
	if err != nil {
		t.Fatal(err)
	}
	l, err := link.New(link.Config{
		Server: "tcp://" + g.Addr().String(), Device: meter, Secret: secret,
		BackoffMin: 10 * time.Millisecond, BackoffMax: 20 * time.Millisecond, KeepTrying: true,
	}, log)
	if err != nil {
		t.Fatal(err)
	}
	gwCtx, stopGateway := context.WithCancel(context.Background())
	lCtx, stopLink := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := g.Run(gwCtx); err != nil {
			t.Errorf("gateway: %v", err)
		}
	})
	wg.Go(func() { _ = l.Run(lCtx) })
	t.Cleanup(func() {
		stopLink()
		stopGateway()
		wg.Wait()
	})
	if err := l.WaitConnected(deadline(t)); err != nil {
		t.Fatal(err)
	}
	return g, up, l, stopGateway
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func send(t *testing.T, l *link.Link) link.Receipt {
	t.Helper()
	r, err := l.Send(deadline(t), link.Message{Topic: topic.Name(meter, "upload"), Payload: []byte("x"), QoS: 1})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAcknowledgedOnlyWhenDurable(t *testing.T) {
	_, up, l, _ := start(t, server.Config{})
	r := send(t, l)
	done := <-up.forwarded
	select {
	case <-r.Done():
		t.Fatal("acknowledged before it was durable")
	case <-time.After(50 * time.Millisecond):
	}
	done(nil)
	if err := r.Wait(deadline(t)); err != nil {
		t.Fatal(err)
	}
}

func TestWhatCannotBeStoredIsNotAcknowledged(t *testing.T) {
	_, up, l, _ := start(t, server.Config{StoreTimeout: 50 * time.Millisecond})
	r := send(t, l)
	(<-up.forwarded)(fmt.Errorf("%w: disk full", server.ErrUnavailable))
	if err := r.Wait(deadline(t)); !errors.Is(err, link.ErrConnectionLost) {
		t.Errorf("receipt = %v, want the connection to be lost", err)
	}
	up.until(t, "the sub-device comes back", func() bool {
		return fmt.Sprint(up.events) == "[attached detached attached]"
	})
}

func TestStopAcknowledgesWhatIsInHand(t *testing.T) {
	_, up, l, stop := start(t, server.Config{})
	r := send(t, l)
	done := <-up.forwarded
	stop()
	done(nil)
	if err := r.Wait(deadline(t)); err != nil {
		t.Errorf("receipt = %v, want an acknowledgement although the gateway stops", err)
	}
}

func TestDeliverAndWanted(t *testing.T) {
	g, up, l, _ := start(t, server.Config{})
	name := topic.Name(meter, "set")
	if err := g.Deliver(meter, name, []byte("x"), 1); !errors.Is(err, server.ErrNotSubscribed) {
		t.Errorf("Deliver = %v, want ErrNotSubscribed", err)
	}
	got := make(chan link.Message, 1)
	if err := l.Subscribe(deadline(t), name, 1, func(_ context.Context, m link.Message) { got <- m }); err != nil {
		t.Fatal(err)
	}
	up.until(t, "wanted", func() bool { return len(up.wanted) == 1 && up.wanted[0].Filter == name })
	if err := g.Deliver(meter, name, []byte("x"), 1); err != nil {
		t.Fatal(err)
	}
	if m := <-got; m.Topic != name {
		t.Errorf("got %+v", m)
	}
	if err := l.Unsubscribe(deadline(t), name); err != nil {
		t.Fatal(err)
	}
	up.until(t, "wanted no more", func() bool { return len(up.wanted) == 0 })
	other := ident.Device{Product: meter.Product, SN: "meter-2"}
	if err := g.Deliver(other, topic.Name(other, "set"), nil, 1); !errors.Is(err, server.ErrOffline) {
		t.Errorf("Deliver to a stranger = %v, want ErrOffline", err)
	}
}

func TestNewRefuses(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for name, subs := range map[string][]gateway.Subdevice{
		"bad id":    {{Device: ident.Device{Product: "x", SN: "y"}, Secret: secret}},
		"no secret": {{Device: meter}},
		"twice":     {{Device: meter, Secret: secret}, {Device: meter, Secret: secret}},
	} {
		if _, err := gateway.New(gateway.Config{Listen: "127.0.0.1:0", Subdevices: subs}, &upstream{}, log); err == nil {
			t.Errorf("%s: New took it", name)
		}
	}
}
