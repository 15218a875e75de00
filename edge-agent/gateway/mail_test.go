package gateway_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/edge-agent/gateway"
	"github.com/hawser-iot/hawser/edge-agent/state"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// house is a gateway with a state on the disk, started again at will.
type house struct {
	t    *testing.T
	cfg  gateway.Config
	up   *upstream
	g    *gateway.Gateway
	stop func()
}

func newHouse(t *testing.T, cfg gateway.Config) *house {
	t.Helper()
	kept, err := state.Open(filepath.Join(t.TempDir(), "state"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := kept.Close(); err != nil {
			t.Error(err)
		}
	})
	cfg.State = kept.Bucket("gateway")
	h := &house{t: t, cfg: cfg}
	h.start()
	return h
}

func (h *house) start() {
	h.t.Helper()
	h.up = &upstream{forwarded: make(chan func(error), 100)}
	g, err := gateway.New(h.cfg, h.up, slog.New(slog.DiscardHandler))
	if err != nil {
		h.t.Fatal(err)
	}
	h.g = g
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	h.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			h.t.Error(err)
		}
	})
	h.t.Cleanup(h.stop)
}

// meet connects a sub-device with a persistent session and hands its messages of "set" and "#" to got.
func (h *house) meet(d ident.Device, got chan string) (leave func()) {
	h.t.Helper()
	l, err := link.New(link.Config{Server: "tcp://" + h.g.Addr().String(), Device: d, Secret: secret, Persistent: true}, slog.New(slog.DiscardHandler))
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	take := func(_ context.Context, m link.Message) { got <- string(m.Payload) }
	if err := l.Subscribe(ctx, topic.Name(d, "set"), 1, take); err != nil {
		h.t.Fatal(err)
	}
	go func() { ended <- l.Run(ctx) }()
	if err := l.WaitConnected(deadline(h.t)); err != nil {
		h.t.Fatal(err)
	}
	return func() {
		cancel()
		if err := <-ended; err != nil {
			h.t.Error(err)
		}
	}
}

// waiting counts the letters on the disk.
func (h *house) waiting() (n int) {
	for _, k := range h.cfg.State.Keys() {
		if strings.HasPrefix(k, "mail/") {
			n++
		}
	}
	return n
}

func next(t *testing.T, got chan string) string {
	t.Helper()
	select {
	case s := <-got:
		return s
	case <-time.After(time.Minute):
		t.Fatal("nothing came")
		return ""
	}
}

// TestWhatWaitsOutlivesTheAgent: what comes down for a sub-device that is away is delivered when it comes back, in order and once, though the
// agent was started anew; what is of no use later, is too much, or is not for it is not.
func TestWhatWaitsOutlivesTheAgent(t *testing.T) {
	h := newHouse(t, gateway.Config{Listen: "127.0.0.1:0", Subdevices: []gateway.Subdevice{{Device: meter, Secret: secret, Sleep: time.Hour}}})
	got := make(chan string, 200)
	leave := h.meet(meter, got)
	name := topic.Name(meter, "set")
	if err := h.g.Deliver(meter, name, []byte("there"), 1); err != nil || next(t, got) != "there" {
		t.Fatalf("Deliver to one that is there: %v", err)
	}
	leave()
	h.up.until(t, "attached", func() bool { return len(h.up.events) == 1 })
	for !slices.Contains([]error{server.ErrOffline}, h.g.Deliver(meter, name, []byte("qos 0"), 0)) {
		time.Sleep(time.Millisecond) // until the gateway has seen it go
	}
	for i := range 105 {
		if err := h.g.Deliver(meter, name, fmt.Append(nil, i), 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.g.Deliver(meter, topic.System(meter, topic.PropertySet), []byte("{}"), 1); err == nil {
		t.Error("a property that is set waits")
	}
	if err := h.g.Deliver(meter, topic.Name(meter, "other"), nil, 1); err == nil {
		t.Error("what it is not subscribed to waits")
	}
	h.stop()
	if got := fmt.Sprint(h.up.events); got != "[attached]" {
		t.Errorf("events %s: one that sleeps has not left", got)
	}
	h.start()
	h.up.until(t, "still online at the hub", func() bool { return len(h.up.events) == 1 && len(h.up.wanted) == 1 })
	leave = h.meet(meter, got)
	for i := 5; i < 105; i++ {
		if s := next(t, got); s != fmt.Sprint(i) {
			t.Fatalf("got %s, want %d", s, i)
		}
	}
	h.up.until(t, "nothing waits", func() bool { return h.waiting() == 0 })
	leave()
	h.stop()
	h.start()
	leave = h.meet(meter, got)
	if err := h.g.Deliver(meter, name, []byte("last"), 1); err != nil {
		t.Fatal(err)
	}
	if s := next(t, got); s != "last" {
		t.Errorf("%s came again", s)
	}
	leave()
}

func TestSleepEnds(t *testing.T) {
	h := newHouse(t, gateway.Config{Listen: "127.0.0.1:0", Subdevices: []gateway.Subdevice{{Device: meter, Secret: secret, Sleep: 20 * time.Millisecond}}})
	leave := h.meet(meter, make(chan string, 1))
	leave()
	h.up.until(t, "it has left", func() bool { return fmt.Sprint(h.up.events) == "[attached detached]" })
}

// TestTheHubsWordLasts: who the hub has added, disabled and deleted is known after a restart, without the hub.
func TestTheHubsWordLasts(t *testing.T) {
	h := newHouse(t, gateway.Config{Listen: "127.0.0.1:0", Learn: true, Subdevices: []gateway.Subdevice{{Device: meter, Secret: secret}, {Device: pump, Secret: secret}}})
	fan := ident.Device{Product: meter.Product, SN: "fan-1"}
	notice := func(k topic.Kind, d ident.Device) {
		sub := message.NewSubdev(d)
		sub.DeviceSecret = secret.Reveal()
		h.g.Notice(k, []message.Subdev{sub})
	}
	notice(topic.TopoNotifyAdd, fan)
	notice(topic.SubdevDelete, pump)
	notice(topic.SubdevDisable, meter)
	h.stop()
	h.start()
	h.up.until(t, "admitted", func() bool { return fmt.Sprint(h.up.events) == "[admitted fan-1]" })
	may := func(d ident.Device) bool {
		l, err := link.New(link.Config{Server: "tcp://" + h.g.Addr().String(), Device: d, Secret: secret}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx) }()
		err = l.WaitConnected(deadline(t))
		cancel()
		<-ended
		return err == nil
	}
	if !may(fan) || may(pump) || may(meter) {
		t.Error("after a restart the hub's word is forgotten")
	}
	if h.g.Carries(pump) || !h.g.Carries(meter) {
		t.Error("one that was deleted is put behind the gateway again, or one that is disabled is not")
	}
	notice(topic.SubdevEnable, meter)
	notice(topic.TopoNotifyAdd, pump)
	if !may(pump) || !may(meter) {
		t.Error("admitted again, they do not get in")
	}
}

func TestApplications(t *testing.T) {
	h := newHouse(t, gateway.Config{Listen: "127.0.0.1:0", Subdevices: []gateway.Subdevice{{Device: meter, Secret: secret}},
		Applications: []gateway.Application{{Name: "watch", Secret: "pass", Publish: []string{topic.Name(meter, "upload")}, Subscribe: []string{"/" + meter.Product + "/+/upload"}}}})
	a := newRaw(t, h.g.Addr().String(), "app|watch", "pass")
	for filter, granted := range map[string]bool{
		"local/#": true, "local/x/+": true, "/" + meter.Product + "/+/upload": true, topic.Name(meter, "upload"): true,
		"#": false, "+/#": false, "/" + meter.Product + "/#": false, "/+/+/upload": false, topic.Name(meter, "set"): false, "local": true, "loca": false,
	} {
		if got := a.subscribe(filter); got != granted {
			t.Errorf("subscribe %s: %v", filter, got)
		}
	}
	a = newRaw(t, h.g.Addr().String(), "app|watch", "pass")
	a.subscribe("local/#")
	a.subscribe("/" + meter.Product + "/+/upload")
	go func() { (<-h.up.forwarded)(nil) }()
	a.publish(topic.Name(meter, "upload"), "seen")
	if got := a.read(); got != topic.Name(meter, "upload")+" seen" {
		t.Errorf("read %s", got)
	}
	a.publish("local/hello", "you")
	if got := a.read(); got != "local/hello you" {
		t.Errorf("read %s", got)
	}
	if _, err := dialRaw(h.g.Addr().String(), "app|watch", "wrong"); err == nil {
		t.Error("a wrong secret is let in")
	}
}
