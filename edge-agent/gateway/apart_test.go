package gateway_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/edge-agent/gateway"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

var pump = ident.Device{Product: meter.Product, SN: "pump-1"}

// pair runs a gateway for meter and pump, and connects the sub-devices given. The links try once.
func pair(t *testing.T) (g *gateway.Gateway, dial func(ident.Device) (*link.Link, chan error)) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	up := &upstream{forwarded: make(chan func(error), 100)}
	g, err := gateway.New(gateway.Config{Listen: "127.0.0.1:0",
		Subdevices: []gateway.Subdevice{{Device: meter, Secret: secret}, {Device: pump, Secret: secret}}}, up, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := g.Run(ctx); err != nil {
			t.Errorf("gateway: %v", err)
		}
	})
	t.Cleanup(func() { stop(); wg.Wait() })
	return g, func(d ident.Device) (*link.Link, chan error) {
		t.Helper()
		l, err := link.New(link.Config{Server: "tcp://" + g.Addr().String(), Device: d, Secret: secret,
			BackoffMin: 10 * time.Millisecond, BackoffMax: 20 * time.Millisecond}, log)
		if err != nil {
			t.Fatal(err)
		}
		end := make(chan error, 1)
		wg.Go(func() { end <- l.Run(ctx) })
		return l, end
	}
}

// TestFiltersStayApart: no filter of a sub-device reaches into another's topics, whatever its wildcards, though both have one
// product and one listener; and what a wildcard is granted brings its owner's messages only.
func TestFiltersStayApart(t *testing.T) {
	g, dial := pair(t)
	m, _ := dial(meter)
	p, _ := dial(pump)
	for _, l := range []*link.Link{m, p} {
		if err := l.WaitConnected(deadline(t)); err != nil {
			t.Fatal(err)
		}
	}
	got := make(chan string, 100)
	take := func(_ context.Context, m link.Message) { got <- m.Topic }
	own, others := "/"+meter.Product+"/"+meter.SN, "/"+pump.Product+"/"+pump.SN
	for filter, granted := range map[string]bool{
		own + "/#": true, own + "/+": true, own + "/+/x": true, "/$system" + own + "/#": true, "/" + meter.Product + "/$broadcast/#": true,
		"#": false, "/#": false, "+/#": false, "/+/#": false, "/+/+/set": false, "/" + meter.Product + "/#": false, "/" + meter.Product + "/+/set": false,
		"/+/" + pump.SN + "/#": false, "/+/" + meter.SN + "/#": false, others + "/#": false, others + "/set": false,
		"/$system/#": false, "/$system/+/+/#": false, "/$system/" + meter.Product + "/+/#": false, "/$system" + others + "/#": false,
		"$share/g" + others + "/#": false, "/" + meter.Product + "/" + meter.SN + "x/#": false,
	} {
		err := m.Subscribe(deadline(t), filter, 1, take)
		if refused := (*link.SubscribeError)(nil); err != nil && !errors.As(err, &refused) || (err == nil) != granted {
			t.Errorf("subscribe %q: %v, want granted %v", filter, err, granted)
		}
	}
	if err := p.Subscribe(deadline(t), others+"/#", 1, func(context.Context, link.Message) {}); err != nil {
		t.Fatal(err)
	}
	if err := g.Deliver(pump, others+"/set", []byte("for the pump"), 1); err != nil {
		t.Fatal(err)
	}
	if err := g.Deliver(meter, others+"/set", []byte("misled"), 1); !errors.Is(err, server.ErrNotSubscribed) {
		t.Errorf("another's message on this connection: %v, want ErrNotSubscribed", err)
	}
	name := topic.Name(meter, "set")
	if err := g.Deliver(meter, name, []byte("x"), 1); err != nil {
		t.Fatal(err)
	}
	if first := <-got; first != name { // the pump's would have come before
		t.Errorf("the meter got %s", first)
	}
}

// TestConsent: the gateway serves the sub-devices that its owner listed while the hub has them enabled, and nobody else.
func TestConsent(t *testing.T) {
	g, dial := pair(t)
	_, end := dial(ident.Device{Product: meter.Product, SN: "stranger"})
	if err := <-end; !errors.Is(err, link.ErrBadCredentials) {
		t.Errorf("a stranger: %v, want ErrBadCredentials", err)
	}
	l, _ := dial(meter)
	if err := l.WaitConnected(deadline(t)); err != nil {
		t.Fatal(err)
	}
	g.Notice(topic.SubdevDisable, []message.Subdev{message.NewSubdev(meter)})
	if _, end := dial(meter); !errors.Is(<-end, link.ErrNotAuthorized) {
		t.Error("cut off by the hub, it logs in")
	}
	if err := g.Deliver(meter, topic.Name(meter, "set"), []byte("x"), 1); !errors.Is(err, server.ErrOffline) {
		t.Errorf("Deliver to it: %v, want ErrOffline", err)
	}
	g.Notice(topic.SubdevEnable, []message.Subdev{message.NewSubdev(meter)})
	if err := l.WaitConnected(deadline(t)); err != nil {
		t.Errorf("admitted again, it does not connect: %v", err)
	}
}
