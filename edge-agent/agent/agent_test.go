package agent_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hawser-iot/hawser/device-sdk/device"
	"github.com/hawser-iot/hawser/device-sdk/devicetest"
	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/edge-agent/agent"
	"github.com/hawser-iot/hawser/edge-agent/buffer"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
	"github.com/hawser-iot/hawser/testbed/harness/port"
)

// TestMain is also the agent itself, when a test starts this program again.
func TestMain(m *testing.M) {
	if path := os.Getenv("AGENT_TEST_CONFIG"); path != "" {
		os.Exit(child(path))
	}
	if dir := os.Getenv("AGENT_TEST_LAUNCH"); dir != "" {
		fmt.Fprintln(os.Stderr, agent.Launch(context.Background(), dir, []string{"A", "B"}, nil, os.Stderr))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

func child(path string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cfg, err := agent.Load(path)
	if err == nil {
		var a *agent.Agent
		if a, err = agent.New(cfg, cfg.Logger(os.Stderr)); err == nil {
			err = a.Run(ctx)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// site is a hub, a gateway and its sub-devices.
type site struct {
	hub  *devicetest.Hub
	gw   ident.Device
	subs []ident.Device
	file string // the agent's configuration
	data string
	lan  string // where sub-devices log in
}

func newSite(t *testing.T, subs int, extra string) *site {
	t.Helper()
	s := &site{hub: devicetest.New(t), data: t.TempDir(), lan: freeAddr(t)}
	s.gw = s.hub.AddDevice(devicetest.Device{Kind: devicetest.Gateway})
	var b strings.Builder
	fmt.Fprintf(&b, "hub: %s\nproduct: %s\ndevice: %s\nsecret: %s\ndata: %s\nlisten: %s\n%s\nsubdevices:\n",
		s.hub.URL(), s.gw.Product, s.gw.SN, s.hub.Secret(s.gw).Reveal(), s.data, s.lan, extra)
	for range subs {
		id := s.hub.AddDevice(devicetest.Device{Kind: devicetest.Subdevice})
		s.subs = append(s.subs, id)
		fmt.Fprintf(&b, "  - {product: %s, device: %s, secret: %s}\n", id.Product, id.SN, s.hub.Secret(id).Reveal())
	}
	s.file = filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(s.file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func freeAddr(t *testing.T) string {
	t.Helper()
	addr, err := port.Free()
	must(t, err)
	return addr
}

// run starts the agent in this process; stop ends it and is called by the test's
// end at the latest.
func (s *site) run(t *testing.T) (stop func()) {
	t.Helper()
	cfg, err := agent.Load(s.file)
	if err != nil {
		t.Fatal(err)
	}
	a, err := agent.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("agent: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// device starts a sub-device at the agent.
func (s *site) device(t *testing.T, id ident.Device, setup func(*device.Device)) *device.Device {
	t.Helper()
	d, err := device.New(device.Config{
		Server: "tcp://" + s.lan, Product: id.Product, SN: id.SN, Secret: s.hub.Secret(id), KeepTrying: true, RequestTimeout: time.Minute,
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if setup != nil {
		setup(d)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("sub-device: %v", err)
		}
	})
	if err := d.WaitConnected(deadline(t)); err != nil {
		t.Fatal(err)
	}
	return d
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// send sends to a device's custom topic as soon as its subscription, which goes by the agent, has reached the hub.
func (s *site) send(ctx context.Context, t *testing.T, id ident.Device, path, payload string) {
	t.Helper()
	for {
		err := s.hub.Publish(id, path, []byte(payload))
		if !errors.Is(err, server.ErrNotSubscribed) {
			must(t, err)
			return
		}
		must(t, ctx.Err())
		time.Sleep(5 * time.Millisecond)
	}
}

// uploads returns the payloads that a sub-device uploaded, each once, in the
// order of their first arrival.
func (s *site) uploads(id ident.Device) []string {
	var got []string
	seen := make(map[string]bool)
	for _, m := range s.hub.Messages() {
		if m.From == id && m.Topic.Kind == topic.Custom && !seen[string(m.Payload)] {
			seen[string(m.Payload)] = true
			got = append(got, string(m.Payload))
		}
	}
	return got
}

func TestSubdeviceTalksThroughTheAgent(t *testing.T) {
	ctx := deadline(t)
	s := newSite(t, 2, "")
	s.run(t)
	id := s.subs[0]
	sets := make(chan string, 1)
	d := s.device(t, id, func(d *device.Device) {
		must(t, d.HandleCommand("blink", func(_ context.Context, c *device.Command) (any, error) {
			return map[string]any{"times": c.Input["times"]}, nil
		}))
		must(t, d.Subscribe(ctx, "set", func(_ context.Context, m device.Message) { sets <- string(m.Payload) }))
	})
	must(t, d.PostProperties(ctx, device.Properties{"t": 1}))
	if got := string(s.hub.Reported(id)["t"]); got != "1" {
		t.Errorf("t = %s", got)
	}
	for _, m := range s.hub.Messages() {
		if m.From == id && m.By != s.gw {
			t.Errorf("a message of the sub-device came by %s", m.By)
		}
	}
	must(t, s.hub.WaitOnline(ctx, id, true))
	r, err := s.hub.Command(ctx, id, "blink", map[string]int{"times": 3})
	if err != nil || r.RetCode != message.CodeOK || string(r.Output) != `{"times":3}` {
		t.Errorf("command answered %d %s, %v", r.RetCode, r.Output, err)
	}
	s.send(ctx, t, id, "set", "down")
	if got := <-sets; got != "down" {
		t.Errorf("set brought %q", got)
	}
	must(t, d.Shadow().Update(ctx, device.Properties{"mode": "x"}))
	if s.hub.Online(s.subs[1]) {
		t.Error("a sub-device that is not there is online")
	}
}

func TestBroadcastAndUnsubscribeThroughTheAgent(t *testing.T) {
	ctx := deadline(t)
	s := newSite(t, 1, "")
	s.run(t)
	id := s.subs[0]
	got := make(chan device.Message, 10)
	take := func(_ context.Context, m device.Message) { got <- m }
	d := s.device(t, id, func(d *device.Device) {
		must(t, d.SubscribeBroadcast(ctx, "news", take))
		must(t, d.Subscribe(ctx, "set", take))
	})
	must(t, s.hub.WaitOnline(ctx, id, true))
	for s.hub.Broadcast(id.Product, "news", []byte("all")) == 0 { // until the hub has the subscription
		must(t, ctx.Err())
		time.Sleep(5 * time.Millisecond)
	}
	if m := <-got; m.Path != "news" || string(m.Payload) != "all" {
		t.Errorf("got %+v", m)
	}
	s.send(ctx, t, id, "set", "one")
	if m := <-got; string(m.Payload) != "one" {
		t.Errorf("got %+v", m)
	}
	must(t, d.Unsubscribe(ctx, "set"))
	for s.hub.Publish(id, "set", []byte("two")) == nil { // until the hub has forgotten it
		must(t, ctx.Err())
		time.Sleep(5 * time.Millisecond)
	}
}

func TestLeavingSubdeviceIsLoggedOutBehindItsLastMessage(t *testing.T) {
	ctx := deadline(t)
	s := newSite(t, 1, "")
	s.run(t)
	t.Run("", func(t *testing.T) {
		d := s.device(t, s.subs[0], nil)
		must(t, d.Publish(ctx, "upload", []byte("last")))
		must(t, s.hub.WaitOnline(ctx, s.subs[0], true))
	})
	must(t, s.hub.WaitOnline(ctx, s.subs[0], false))
	msgs := s.hub.Messages()
	if last := msgs[len(msgs)-1]; last.Topic.Kind != topic.SubdevLogout {
		t.Errorf("the last message is %s", last.Name)
	}
}

func TestOutageIsBridged(t *testing.T) {
	ctx := deadline(t)
	s := newSite(t, 2, "")
	s.run(t)
	d := s.device(t, s.subs[0], nil)
	must(t, d.Publish(ctx, "upload", []byte("0")))
	s.hub.Pause()
	for i := 1; i <= 20; i++ {
		must(t, d.Publish(ctx, "upload", []byte(fmt.Sprint(i)))) // acknowledged without the hub
	}
	must(t, s.hub.Resume())
	_, err := s.hub.WaitMessage(ctx, func(m devicetest.Message) bool { return string(m.Payload) == "20" })
	must(t, err)
	for i, p := range s.uploads(s.subs[0]) {
		if p != fmt.Sprint(i) {
			t.Fatalf("message %d is %s", i, p)
		}
	}
}

func TestRefusedSubdeviceWaitsAndHoldsUpNobody(t *testing.T) {
	ctx := deadline(t)
	s := newSite(t, 2, "")
	s.run(t)
	bad, good := s.subs[0], s.subs[1]
	d, e := s.device(t, bad, nil), s.device(t, good, nil)
	must(t, d.Publish(ctx, "upload", []byte("before")))
	_, err := s.hub.WaitMessage(ctx, func(m devicetest.Message) bool { return string(m.Payload) == "before" })
	must(t, err)
	s.hub.Pause()
	must(t, d.Publish(ctx, "upload", []byte("held")))
	must(t, e.Publish(ctx, "upload", []byte("passes")))
	s.hub.SetEnabled(bad, false)
	must(t, s.hub.Resume())
	_, err = s.hub.WaitMessage(ctx, func(m devicetest.Message) bool { return string(m.Payload) == "passes" })
	must(t, err)
	if got := s.uploads(bad); len(got) != 1 {
		t.Fatalf("a disabled sub-device's messages arrived: %v", got)
	}
	s.hub.SetEnabled(bad, true)
	_, err = s.hub.WaitMessage(ctx, func(m devicetest.Message) bool { return string(m.Payload) == "held" })
	must(t, err)
}

func TestDisabledSubdeviceIsCutOff(t *testing.T) {
	ctx := deadline(t)
	s := newSite(t, 1, "")
	s.run(t)
	d := s.device(t, s.subs[0], nil)
	must(t, d.PostProperties(ctx, device.Properties{"t": 1}))
	s.hub.SetEnabled(s.subs[0], false)
	for d.Connected() {
		if ctx.Err() != nil {
			t.Fatal("still connected")
		}
		time.Sleep(time.Millisecond)
	}
	s.hub.SetEnabled(s.subs[0], true)
	must(t, d.WaitConnected(ctx))
	must(t, d.PostProperties(ctx, device.Properties{"t": 2}))
}

func TestStrangersAndForeignTopicsAreRefused(t *testing.T) {
	ctx := deadline(t)
	s := newSite(t, 2, "")
	s.run(t)
	log := slog.New(slog.DiscardHandler)
	for name, cfg := range map[string]link.Config{
		"wrong secret": {Device: s.subs[0], Secret: "wrong"},
		"stranger":     {Device: s.gw, Secret: s.hub.Secret(s.gw)},
	} {
		cfg.Server = "tcp://" + s.lan
		l, err := link.New(cfg, log)
		must(t, err)
		if err := l.Run(ctx); !errors.Is(err, link.ErrBadCredentials) {
			t.Errorf("%s: %v, want ErrBadCredentials", name, err)
		}
	}
	cfg := link.Config{Server: "tcp://" + s.lan, Device: s.subs[0], Secret: s.hub.Secret(s.subs[0])}
	l, err := link.New(cfg, log)
	must(t, err)
	runCtx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- l.Run(runCtx) }()
	for _, name := range []string{
		topic.Name(s.subs[1], "upload"), topic.System(s.subs[0], topic.ShadowDownstream),
		topic.System(s.gw, topic.TopoAdd), "nonsense",
	} {
		must(t, l.Publish(ctx, link.Message{Topic: name, Payload: []byte("foreign"), QoS: 1}))
	}
	var refused *link.SubscribeError
	if err := l.Subscribe(ctx, topic.Name(s.subs[1], "#"), 1, nil); !errors.As(err, &refused) {
		t.Errorf("Subscribe to another's topics = %v", err)
	}
	must(t, l.Publish(ctx, link.Message{Topic: topic.Name(s.subs[0], "upload"), Payload: []byte("own"), QoS: 1}))
	_, err = s.hub.WaitMessage(ctx, func(m devicetest.Message) bool { return string(m.Payload) == "own" })
	must(t, err)
	for _, m := range s.hub.Messages() {
		if string(m.Payload) == "foreign" {
			t.Errorf("%s was forwarded", m.Name)
		}
	}
	cancel()
	must(t, <-ended)
}

func TestWhatIsInUseIsSaid(t *testing.T) {
	s := newSite(t, 0, "")
	s.run(t)
	cfg, err := agent.Load(s.file)
	must(t, err)
	if _, err := agent.New(cfg, slog.New(slog.DiscardHandler)); !errors.Is(err, buffer.ErrInUse) {
		t.Errorf("second agent on the folder: %v, want ErrInUse", err)
	}
	cfg.Data = t.TempDir()
	if _, err := agent.New(cfg, slog.New(slog.DiscardHandler)); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("second agent on the port: %v, want EADDRINUSE", err)
	}
	cfg.Listen = freeAddr(t)
	a, err := agent.New(cfg, slog.New(slog.DiscardHandler))
	must(t, err)
	must(t, a.Close())
}

func TestOwnMessagesAreHandedOver(t *testing.T) {
	ctx := deadline(t)
	s := newSite(t, 0, "")
	s.run(t)
	cfg, err := agent.Load(s.file)
	must(t, err)
	for name, payload := range map[string]string{"upload": "hello", topic.Name(s.gw, "upload"): strings.Repeat("x", 200<<10)} {
		must(t, agent.Publish(ctx, cfg, name, []byte(payload)))
		m, err := s.hub.WaitMessage(ctx, func(m devicetest.Message) bool { return string(m.Payload) == payload })
		must(t, err)
		if m.From != s.gw || m.Name != topic.Name(s.gw, "upload") {
			t.Errorf("%s came from %s on %s", name, m.From, m.Name)
		}
	}
	for _, name := range []string{"", "a b", "/x", topic.System(s.gw, topic.SubdevLogin), topic.System(s.gw, topic.Broadcast), topic.Name(ident.Device{Product: s.gw.Product, SN: "other"}, "upload")} {
		if err := agent.Publish(ctx, cfg, name, nil); err == nil || !strings.Contains(err.Error(), "not a topic") {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := agent.Publish(ctx, cfg, "upload", make([]byte, agent.MaxPublish+1)); err == nil {
		t.Error("a message that is too long was taken")
	}
}
