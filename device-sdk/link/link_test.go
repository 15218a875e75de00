package link_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hawser-iot/hawser/device-sdk/devicetest"
	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/topic"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// config is for a device that the hub knows, with short pauses.
func config(hub *devicetest.Hub) link.Config {
	id := hub.AddDevice(devicetest.Device{})
	return link.Config{
		Server: hub.URL(), Device: id, Secret: hub.Secret(id),
		BackoffMin: 10 * time.Millisecond, BackoffMax: 50 * time.Millisecond,
	}
}

// start runs a link until the test ends or stop is called.
func start(t *testing.T, cfg link.Config, before ...func(*link.Link)) (l *link.Link, stop func() error) {
	t.Helper()
	l, err := link.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range before {
		f(l)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { _ = stop() })
	return l, stop
}

func upload(id ident.Device, payload string) link.Message {
	return link.Message{Topic: topic.Name(id, "upload"), Payload: []byte(payload), QoS: 1}
}

func TestPublishAndReceive(t *testing.T) {
	hub, ctx := devicetest.New(t), deadline(t)
	for _, tt := range []struct {
		name   string
		change func(*link.Config)
	}{
		{"tcp", func(c *link.Config) {}},
		{"persistent", func(c *link.Config) { c.Persistent = true }},
		{"tls with CA", func(c *link.Config) { c.Server, c.TLS.CA = hub.TLSURL(), hub.CA() }},
		{"tls with pin", func(c *link.Config) { c.Server, c.TLS.Pins = hub.TLSURL(), [][]byte{hub.Pin()} }},
		{"tls with CA and pin", func(c *link.Config) {
			c.Server, c.TLS.CA, c.TLS.Pins = hub.TLSURL(), hub.CA(), [][]byte{hub.Pin()}
		}},
		{"cbor option", func(c *link.Config) { c.Options.CBOR = true }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config(hub)
			tt.change(&cfg)
			l, stop := start(t, cfg)
			got := make(chan link.Message, 1)
			handle := func(_ context.Context, m link.Message) { got <- m }
			if err := l.Subscribe(ctx, topic.Name(cfg.Device, "set"), 1, handle); err != nil {
				t.Fatal(err)
			}
			if err := l.Publish(ctx, upload(cfg.Device, "up")); err != nil {
				t.Fatal(err)
			}
			if _, err := hub.WaitMessage(ctx, func(m devicetest.Message) bool {
				return m.From == cfg.Device && string(m.Payload) == "up"
			}); err != nil {
				t.Fatal(err)
			}
			if err := hub.Publish(cfg.Device, "set", []byte("down")); err != nil {
				t.Fatal(err)
			}
			if m := <-got; string(m.Payload) != "down" || m.Topic != topic.Name(cfg.Device, "set") {
				t.Errorf("received %q on %s", m.Payload, m.Topic)
			}
			if err := stop(); err != nil {
				t.Errorf("Run = %v, want nil after the end of ctx", err)
			}
			if err := l.Publish(ctx, upload(cfg.Device, "late")); !errors.Is(err, link.ErrStopped) {
				t.Errorf("Publish after the end = %v, want ErrStopped", err)
			}
		})
	}
}

func TestRefusedLogin(t *testing.T) {
	hub := devicetest.New(t)
	disabled := hub.AddDevice(devicetest.Device{})
	hub.SetEnabled(disabled, false)
	for _, tt := range []struct {
		name   string
		change func(*link.Config)
		want   error
	}{
		{"wrong secret", func(c *link.Config) { c.Secret = "wrong" }, link.ErrBadCredentials},
		{"unknown device", func(c *link.Config) { c.Device.SN = "nobody" }, link.ErrBadCredentials},
		{"disabled", func(c *link.Config) { c.Device, c.Secret = disabled, hub.Secret(disabled) }, link.ErrNotAuthorized},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config(hub)
			tt.change(&cfg)
			l, err := link.New(cfg, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Run(deadline(t)); !errors.Is(err, tt.want) || !link.Refused(err) {
				t.Errorf("Run = %v, want %v", err, tt.want)
			}
			if err := l.WaitConnected(deadline(t)); !errors.Is(err, link.ErrStopped) || !errors.Is(err, tt.want) {
				t.Errorf("WaitConnected = %v, want ErrStopped with the reason", err)
			}
		})
	}
}

func TestKeepTryingHealsWhenTheHubChangesItsMind(t *testing.T) {
	hub := devicetest.New(t)
	cfg := config(hub)
	cfg.KeepTrying = true
	hub.SetEnabled(cfg.Device, false)
	l, _ := start(t, cfg)
	short, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := l.WaitConnected(short); err == nil {
		t.Fatal("a disabled device got in")
	}
	hub.SetEnabled(cfg.Device, true)
	if err := l.WaitConnected(deadline(t)); err != nil {
		t.Fatal(err)
	}
}

func TestUntrustedCertificateIsRefused(t *testing.T) {
	hub, other := devicetest.New(t), devicetest.New(t)
	for name, tls := range map[string]link.TLS{
		"other CA": {CA: other.CA()}, "other pin": {Pins: [][]byte{other.Pin()}}, "system authorities": {},
		"right CA, other pin": {CA: hub.CA(), Pins: [][]byte{other.Pin()}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(hub)
			cfg.Server, cfg.TLS = hub.TLSURL(), tls
			l, _ := start(t, cfg)
			short, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
			defer cancel()
			if err := l.WaitConnected(short); err == nil {
				t.Error("connected to a hub that should not be trusted")
			}
		})
	}
}

func TestReconnectBringsSubscriptionsBack(t *testing.T) {
	hub, ctx := devicetest.New(t), deadline(t)
	cfg := config(hub)
	got := make(chan string, 10)
	ups := make(chan struct{}, 10)
	l, _ := start(t, cfg, func(l *link.Link) {
		l.OnUp(func(context.Context) { ups <- struct{}{} })
		for i := range 30 { // more than one SUBSCRIBE
			name := topic.Name(cfg.Device, fmt.Sprintf("cfg%d", i))
			_ = l.Subscribe(ctx, name, 1, func(context.Context, link.Message) {})
		}
		_ = l.Subscribe(ctx, topic.Name(cfg.Device, "set"), 1, func(_ context.Context, m link.Message) { got <- string(m.Payload) })
	})
	for round := range 3 {
		<-ups
		want := fmt.Sprint("message ", round)
		if err := hub.Publish(cfg.Device, "set", []byte(want)); err != nil {
			t.Fatal(err)
		}
		if m := <-got; m != want {
			t.Fatalf("got %q, want %q", m, want)
		}
		if !hub.Drop(cfg.Device) {
			t.Fatal("nothing to drop")
		}
	}
	<-ups
	if n := l.Stats().Connects; n != 4 {
		t.Errorf("Connects = %d, want 4", n)
	}
}

func TestPublishSurvivesOutage(t *testing.T) {
	hub, ctx := devicetest.New(t), deadline(t)
	cfg := config(hub)
	l, _ := start(t, cfg)
	if err := l.WaitConnected(ctx); err != nil {
		t.Fatal(err)
	}
	hub.Pause()
	if _, err := l.Send(ctx, upload(cfg.Device, "x")); err == nil {
		// The link may not have noticed yet; then the receipt tells.
		t.Log("Send was early")
	}
	ended := make(chan error, 1)
	go func() { ended <- l.Publish(ctx, upload(cfg.Device, "through")) }()
	if err := hub.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if _, err := hub.WaitMessage(ctx, func(m devicetest.Message) bool { return string(m.Payload) == "through" }); err != nil {
		t.Fatal(err)
	}
}

func TestWindowBoundsWhatIsUnacknowledged(t *testing.T) {
	hub, ctx := devicetest.New(t), deadline(t)
	cfg := config(hub)
	cfg.Window = 4
	l, _ := start(t, cfg)
	if err := l.WaitConnected(ctx); err != nil {
		t.Fatal(err)
	}
	hub.HoldAcks(true)
	var receipts []link.Receipt
	for i := range 5 { // one more than the window is taken: it waits for a place
		r, err := l.Send(ctx, upload(cfg.Device, fmt.Sprint(i)))
		if err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		receipts = append(receipts, r)
	}
	short, cancel := context.WithTimeout(ctx, 150*time.Millisecond)
	defer cancel()
	if _, err := l.Send(short, upload(cfg.Device, "5")); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a sixth message: %v", err)
	}
	hub.HoldAcks(false)
	for i, r := range receipts {
		if err := r.Wait(ctx); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	for i, m := range hub.Messages() {
		if string(m.Payload) != fmt.Sprint(i) {
			t.Errorf("message %d is %q", i, m.Payload)
		}
	}
}

func TestMissingAcknowledgementEndsTheConnection(t *testing.T) {
	hub, ctx := devicetest.New(t), deadline(t)
	cfg := config(hub)
	cfg.AckTimeout = 100 * time.Millisecond
	l, _ := start(t, cfg)
	hub.HoldAcks(true)
	if err := l.WaitConnected(ctx); err != nil {
		t.Fatal(err)
	}
	r, err := l.Send(ctx, upload(cfg.Device, "x"))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Wait(ctx); !errors.Is(err, link.ErrConnectionLost) {
		t.Errorf("receipt = %v, want ErrConnectionLost", err)
	}
	hub.HoldAcks(false)
	for l.Stats().Connects < 2 && ctx.Err() == nil {
		_ = l.WaitConnected(ctx)
	}
	if err := ctx.Err(); err != nil {
		t.Fatal("no new connection")
	}
}

func TestHandlerMayPublishAcrossAReconnect(t *testing.T) {
	hub, ctx := devicetest.New(t), deadline(t)
	cfg := config(hub)
	answered := make(chan error, 1)
	l, _ := start(t, cfg, func(l *link.Link) {
		_ = l.Subscribe(ctx, topic.Name(cfg.Device, "set"), 1, func(ctx context.Context, m link.Message) {
			hub.Drop(cfg.Device)
			answered <- l.Publish(ctx, upload(cfg.Device, "answer"))
		})
	})
	if err := l.WaitConnected(ctx); err != nil {
		t.Fatal(err)
	}
	if err := hub.Publish(cfg.Device, "set", []byte("question")); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Error(err)
	}
	if _, err := hub.WaitMessage(ctx, func(m devicetest.Message) bool { return string(m.Payload) == "answer" }); err != nil {
		t.Fatal(err)
	}
}

func TestSlowHandlerOverrunsAndIsCounted(t *testing.T) {
	hub, ctx := devicetest.New(t), deadline(t)
	cfg := config(hub)
	cfg.Queue = 2
	release := make(chan struct{})
	l, _ := start(t, cfg, func(l *link.Link) {
		_ = l.Subscribe(ctx, topic.Name(cfg.Device, "set"), 1, func(context.Context, link.Message) { <-release })
	})
	if err := l.WaitConnected(ctx); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if err := hub.Publish(cfg.Device, "set", []byte("x")); err != nil {
			break // the connection ended: that is the point
		}
	}
	for l.Stats().Connects < 2 && ctx.Err() == nil {
		_ = l.WaitConnected(ctx)
	}
	close(release)
	if s := l.Stats(); s.Overruns == 0 {
		t.Errorf("stats %+v, want an overrun", s)
	}
}

func TestRefusedSubscription(t *testing.T) {
	hub, ctx := devicetest.New(t), deadline(t)
	cfg := config(hub)
	l, _ := start(t, cfg)
	if err := l.WaitConnected(ctx); err != nil {
		t.Fatal(err)
	}
	var refused *link.SubscribeError
	none := func(context.Context, link.Message) {}
	if err := l.Subscribe(ctx, "/"+cfg.Device.Product+"/other/set", 1, none); !errors.As(err, &refused) {
		t.Errorf("Subscribe to another's topic = %v, want a SubscribeError", err)
	}
	if err := l.SubscribeOnce(ctx, "/"+cfg.Device.Product+"/other/set", 1); !errors.As(err, &refused) {
		t.Errorf("SubscribeOnce to another's topic = %v, want a SubscribeError", err)
	}
	if err := l.Subscribe(ctx, "a/#/b", 1, none); err == nil {
		t.Error("a malformed filter was taken")
	}
}

func TestUnsubscribeAndRest(t *testing.T) {
	hub, ctx := devicetest.New(t), deadline(t)
	cfg := config(hub)
	var rest atomic.Int64
	got := make(chan string, 4)
	l, _ := start(t, cfg, func(l *link.Link) {
		l.HandleRest(func(_ context.Context, m link.Message) { rest.Add(1); got <- "rest" })
	})
	if err := l.WaitConnected(ctx); err != nil {
		t.Fatal(err)
	}
	name := topic.Name(cfg.Device, "set")
	if err := l.SubscribeOnce(ctx, name, 1); err != nil {
		t.Fatal(err)
	}
	if err := hub.Publish(cfg.Device, "set", nil); err != nil {
		t.Fatal(err)
	}
	if m := <-got; m != "rest" {
		t.Errorf("got %q", m)
	}
	if err := l.Unsubscribe(ctx, name); err != nil {
		t.Fatal(err)
	}
	if err := hub.Publish(cfg.Device, "set", nil); err == nil {
		t.Error("the hub still knows the subscription")
	}
}

func TestStopDuringConnect(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") // accepts and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	l, err := link.New(link.Config{
		Server: "tcp://" + ln.Addr().String(),
		Device: ident.Device{Product: ident.NewProductSN(), SN: "silent"}, Secret: credential.NewSecret(),
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("Run = %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("Run hangs in a handshake")
	}
}

func TestConfigErrors(t *testing.T) {
	good := link.Config{Server: "tcp://h:1", Device: ident.Device{Product: ident.NewProductSN(), SN: "dev1"}, Secret: "s"}
	for name, change := range map[string]func(*link.Config){
		"scheme":    func(c *link.Config) { c.Server = "http://h:1" },
		"no host":   func(c *link.Config) { c.Server = "tcp://" },
		"product":   func(c *link.Config) { c.Device.Product = "P" },
		"device":    func(c *link.Config) { c.Device.SN = "a/b" },
		"no secret": func(c *link.Config) { c.Secret = "" },
		"mode":      func(c *link.Config) { c.Mode = credential.ModeX509 },
		"window":    func(c *link.Config) { c.Window = -1 },
		"CA":        func(c *link.Config) { c.TLS.CA = []byte("x") },
		"pin":       func(c *link.Config) { c.TLS.Pins = [][]byte{{1}} },
		"keepalive": func(c *link.Config) { c.KeepAlive = time.Millisecond },
		"back-off":  func(c *link.Config) { c.BackoffMax = time.Millisecond },
	} {
		cfg := good
		change(&cfg)
		if _, err := link.New(cfg, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%s: New took it", name)
		}
	}
	if _, err := link.New(good, slog.New(slog.DiscardHandler)); err != nil {
		t.Errorf("New = %v", err)
	}
}
