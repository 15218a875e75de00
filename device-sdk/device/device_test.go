package device_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hawser-iot/hawser/device-sdk/device"
	"github.com/hawser-iot/hawser/device-sdk/devicetest"
	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/shadowdoc"
	"github.com/hawser-iot/hawser/protocol/topic"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// start makes a device that the hub knows, lets setup register handlers, and
// runs it until the test ends.
func start(t *testing.T, hub *devicetest.Hub, cfg device.Config, setup func(*device.Device)) *device.Device {
	t.Helper()
	id := hub.AddDevice(devicetest.Device{})
	cfg.Server, cfg.Product, cfg.SN, cfg.Secret = hub.URL(), id.Product, id.SN, hub.Secret(id)
	if cfg.RequestTimeout == 0 {
		cfg.RequestTimeout = time.Minute
	}
	d, err := device.New(cfg, slog.New(slog.DiscardHandler))
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
			t.Error(err)
		}
	})
	if err := d.WaitConnected(deadline(t)); err != nil {
		t.Fatal(err)
	}
	return d
}

// formats runs a test with JSON and with CBOR.
func formats(t *testing.T, f func(t *testing.T, hub *devicetest.Hub, cfg device.Config)) {
	for _, c := range []bool{false, true} {
		t.Run(map[bool]string{false: "JSON", true: "CBOR"}[c], func(t *testing.T) {
			f(t, devicetest.New(t), device.Config{CBOR: c})
		})
	}
}

func TestPostProperties(t *testing.T) {
	formats(t, func(t *testing.T, hub *devicetest.Hub, cfg device.Config) {
		ctx := deadline(t)
		d := start(t, hub, cfg, nil)
		at := time.UnixMilli(1700000000123)
		err := d.PostProperties(ctx, device.Properties{
			"temperature": 21.5, "on": true, "name": `a "b" <c>`, "late": device.Sample{Value: 3, Time: at},
			"struct": struct {
				X int `json:"X"`
			}{7},
			"list": []any{true, 2},
		})
		if err != nil {
			t.Fatal(err)
		}
		got := hub.Reported(d.Identity())
		want := map[string]string{
			"temperature": "21.5", "on": "1", "name": `"a \"b\" <c>"`, "late": "3", "struct": `{"X":7}`, "list": "[1,2]",
		}
		for k, v := range want {
			if string(got[k]) != v {
				t.Errorf("%s = %s, want %s", k, got[k], v)
			}
		}
		last, err := d.LastReported(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if !last["late"].Time.Equal(at) || last["temperature"].Value != 21.5 {
			t.Errorf("LastReported = %v", last)
		}
		if cfg.CBOR != (codec.Detect(hub.Messages()[0].Payload) == codec.CBOR) {
			t.Error("the payload has the wrong format")
		}
	})
}

func TestUnencodableValueIsAnError(t *testing.T) {
	d := start(t, devicetest.New(t), device.Config{}, nil)
	if err := d.PostProperties(deadline(t), device.Properties{"x": make(chan int)}); err == nil {
		t.Error("a channel was posted")
	}
}

func TestEventAndDesired(t *testing.T) {
	formats(t, func(t *testing.T, hub *devicetest.Hub, cfg device.Config) {
		ctx := deadline(t)
		d := start(t, hub, cfg, nil)
		if err := d.PostEvent(ctx, "alarm", map[string]any{"code": 3, "on": false}); err != nil {
			t.Fatal(err)
		}
		if err := d.PostEvent(ctx, "restarted", nil); err != nil {
			t.Fatal(err)
		}
		var e message.EventPost
		if err := codec.Unmarshal(hub.Messages()[0].Payload, &e); err != nil {
			t.Fatal(err)
		}
		if e.Identifier != "alarm" || string(e.Output) != `{"code":3,"on":0}` || e.Time == 0 {
			t.Errorf("event = %+v with output %s", e, e.Output)
		}
		if vals, err := d.DesiredProperties(ctx, "t"); err != nil || len(vals) != 0 {
			t.Errorf("DesiredProperties = %v, %v", vals, err)
		}
		if err := d.ClearDesired(ctx, map[string]device.Desired{"t": {Version: 2}}); err != nil {
			t.Error(err)
		}
		if got := string(hub.Messages()[3].Payload); !cfg.CBOR && !strings.Contains(got, `"Delete":{"t":{"Version":2}}`) {
			t.Errorf("desired/delete = %s", got)
		}
	})
}

func TestCommands(t *testing.T) {
	formats(t, func(t *testing.T, hub *devicetest.Hub, cfg device.Config) {
		ctx := deadline(t)
		d := start(t, hub, cfg, func(d *device.Device) {
			must(t, d.HandleCommand("add", func(_ context.Context, c *device.Command) (any, error) {
				var in struct{ A, B int }
				if err := c.Decode(&in); err != nil {
					return nil, err
				}
				return map[string]any{"sum": in.A + in.B}, nil
			}))
			must(t, d.HandleCommand("fail", func(context.Context, *device.Command) (any, error) {
				return nil, errors.New("no")
			}))
			must(t, d.HandleCommand("range", func(context.Context, *device.Command) (any, error) {
				return nil, &device.ReplyError{Code: message.CodeRange}
			}))
			must(t, d.HandleCommand("code", func(context.Context, *device.Command) (any, error) {
				return nil, fmt.Errorf("wrapped: %w", message.CodeMissing)
			}))
			must(t, d.HandleCommand("bad", func(context.Context, *device.Command) (any, error) { return func() {}, nil }))
			must(t, d.HandleCommand("empty", func(_ context.Context, c *device.Command) (any, error) {
				if c.Input == nil || c.Decode(&struct{}{}) != nil {
					return nil, errors.New("no input")
				}
				return nil, nil
			}))
		})
		for _, tt := range []struct {
			name   string
			input  any
			code   message.Code
			output string
		}{
			{"add", map[string]int{"A": 2, "B": 3}, message.CodeOK, `{"sum":5}`},
			{"empty", nil, message.CodeOK, `{}`},
			{"fail", nil, message.CodeInternal, `{}`},
			{"range", nil, message.CodeRange, `{}`},
			{"code", nil, message.CodeMissing, `{}`},
			{"bad", nil, message.CodeInternal, `{}`},
			{"nobody", nil, message.CodeNoSuchCommand, `{}`},
		} {
			r, err := hub.Command(ctx, d.Identity(), tt.name, tt.input)
			if err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
			if r.RetCode != tt.code || string(r.Output) != tt.output || r.Identifier != tt.name {
				t.Errorf("%s: answered %d %s %s, want %d %s", tt.name, r.RetCode, r.Identifier, r.Output, tt.code, tt.output)
			}
		}
	})
}

func TestRepeatedCommandRunsOnce(t *testing.T) {
	hub, ctx := devicetest.New(t), deadline(t)
	var runs atomic.Int64
	d := start(t, hub, device.Config{}, func(d *device.Device) {
		must(t, d.HandleCommand("count", func(context.Context, *device.Command) (any, error) {
			return map[string]any{"n": runs.Add(1)}, nil
		}))
	})
	for i := range 3 {
		must(t, hub.SendRaw(d.Identity(), topic.Command, []byte(`{"RequestID":"77","Identifier":"count","Input":{}}`)))
		n := 0
		_, err := hub.WaitMessage(ctx, func(m devicetest.Message) bool {
			if m.Topic.Kind == topic.CommandReply {
				n++
			}
			return n == i+1
		})
		must(t, err)
	}
	for _, m := range hub.Messages() {
		if !strings.Contains(string(m.Payload), `"n":1`) {
			t.Errorf("answer %s", m.Payload)
		}
	}
}

func TestFloodOfCommandsIsRefused(t *testing.T) {
	hub, ctx := devicetest.New(t), deadline(t)
	release := make(chan struct{})
	free := sync.OnceFunc(func() { close(release) })
	d := start(t, hub, device.Config{}, func(d *device.Device) {
		must(t, d.HandleCommand("slow", func(context.Context, *device.Command) (any, error) { <-release; return nil, nil }))
	})
	t.Cleanup(free) // the device does not end before
	for i := range 20 {
		must(t, hub.SendRaw(d.Identity(), topic.Command, fmt.Appendf(nil, `{"RequestID":"%d","Identifier":"slow"}`, i)))
	}
	count := func(part string, n int) {
		t.Helper()
		seen := 0
		_, err := hub.WaitMessage(ctx, func(m devicetest.Message) bool {
			if strings.Contains(string(m.Payload), part) {
				seen++
			}
			return seen == n
		})
		if err != nil {
			t.Fatalf("%d answers with %s, want %d", seen, part, n)
		}
	}
	count(`"RetCode":130`, 4)
	free()
	count(`"RetCode":0`, 16)
}

func TestPropertySet(t *testing.T) {
	formats(t, func(t *testing.T, hub *devicetest.Hub, cfg device.Config) {
		ctx := deadline(t)
		var mu sync.Mutex
		var got device.Properties
		d := start(t, hub, cfg, func(d *device.Device) {
			must(t, d.OnPropertySet(func(_ context.Context, set device.Properties) error {
				mu.Lock()
				defer mu.Unlock()
				got = set
				if set["t"] == 99.0 {
					return &device.ReplyError{Code: message.CodeRange}
				}
				return nil
			}))
		})
		code, err := hub.SetProperties(ctx, d.Identity(), map[string]any{"t": 20, "s": "x"})
		if err != nil || code != message.CodeOK {
			t.Fatalf("SetProperties = %d, %v", code, err)
		}
		mu.Lock()
		if want := (device.Properties{"t": 20.0, "s": "x"}); !reflect.DeepEqual(got, want) {
			t.Errorf("set to %v, want %v", got, want)
		}
		mu.Unlock()
		if code, err := hub.SetProperties(ctx, d.Identity(), map[string]any{"t": 99}); err != nil || code != message.CodeRange {
			t.Errorf("SetProperties = %d, %v, want code %d", code, err, message.CodeRange)
		}
	})
}

func TestMalformedDownlinkIsIgnored(t *testing.T) {
	hub, ctx := devicetest.New(t), deadline(t)
	d := start(t, hub, device.Config{}, func(d *device.Device) {
		must(t, d.HandleCommand("x", func(context.Context, *device.Command) (any, error) { return nil, nil }))
		must(t, d.OnPropertySet(func(context.Context, device.Properties) error { return nil }))
		must(t, d.Shadow().OnDesired(func(context.Context, device.Properties) (device.Properties, error) { return nil, nil }))
	})
	must(t, d.PostProperties(ctx, device.Properties{"a": 1}))
	for _, k := range []topic.Kind{topic.Command, topic.PropertySet, topic.PropertyPostReply, topic.ShadowDownstream, topic.ShadowGetReply} {
		for _, bad := range []string{"", "{", "[]", `"x"`, "\xa1", `{"RequestID":{}}`, `{"Input":3,"Property":4,"Payload":5,"State":6}`} {
			must(t, hub.SendRaw(d.Identity(), k, []byte(bad)))
		}
	}
	must(t, d.PostProperties(ctx, device.Properties{"a": 2}))
}

func TestNoReply(t *testing.T) {
	hub := devicetest.New(t)
	d := start(t, hub, device.Config{RequestTimeout: 50 * time.Millisecond}, nil)
	hub.Mute(d.Identity(), true)
	if err := d.PostProperties(deadline(t), device.Properties{"a": 1}); !errors.Is(err, device.ErrNoReply) {
		t.Errorf("PostProperties = %v, want ErrNoReply", err)
	}
	if _, err := d.Shadow().Get(deadline(t)); !errors.Is(err, device.ErrNoReply) {
		t.Errorf("Get = %v, want ErrNoReply", err)
	}
	hub.Mute(d.Identity(), false)
	err, ctx := device.ErrNoReply, deadline(t)
	for errors.Is(err, device.ErrNoReply) && ctx.Err() == nil { // which may take longer than the time-out
		err = d.PostProperties(ctx, device.Properties{"a": 1})
	}
	must(t, err)
}

func TestShadowUpdateAndConflict(t *testing.T) {
	formats(t, func(t *testing.T, hub *devicetest.Hub, cfg device.Config) {
		ctx := deadline(t)
		d := start(t, hub, cfg, nil)
		s := d.Shadow()
		must(t, s.Update(ctx, device.Properties{"mode": "eco", "on": true}))
		// An application changes the version behind the device's back.
		must(t, hub.Desire(d.Identity(), map[string]any{"speed": 3}))
		must(t, s.Update(ctx, device.Properties{"mode": "full"}))
		doc, err := s.Get(ctx)
		must(t, err)
		if want := (device.Properties{"mode": "full", "on": 1.0}); !reflect.DeepEqual(doc.Reported, want) {
			t.Errorf("reported %v, want %v", doc.Reported, want)
		}
		if want := (device.Properties{"speed": 3.0}); !reflect.DeepEqual(doc.Desired, want) || doc.Version != 3 {
			t.Errorf("desired %v at version %d, want %v at 3", doc.Desired, doc.Version, want)
		}
		must(t, s.Delete(ctx, "mode"))
		if doc, err = s.Get(ctx); err != nil || len(doc.Reported) != 1 {
			t.Errorf("after Delete: %v, %v", doc, err)
		}
		must(t, s.Delete(ctx))
		if doc, err = s.Get(ctx); err != nil || len(doc.Reported) != 0 {
			t.Errorf("after Delete of all: %v, %v", doc, err)
		}
	})
}

func TestConcurrentShadowUpdates(t *testing.T) {
	hub, ctx := devicetest.New(t), deadline(t)
	d := start(t, hub, device.Config{}, nil)
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			if err := d.Shadow().Update(ctx, device.Properties{fmt.Sprint("k", i): i}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if v := hub.Shadow(d.Identity()).Version; v != 10 {
		t.Errorf("version %d after 10 updates", v)
	}
}

func TestDesiredIsAppliedAndCleared(t *testing.T) {
	formats(t, func(t *testing.T, hub *devicetest.Hub, cfg device.Config) {
		ctx := deadline(t)
		var calls atomic.Int64
		fail := atomic.Bool{}
		d := start(t, hub, cfg, func(d *device.Device) {
			must(t, d.Shadow().OnDesired(func(_ context.Context, desired device.Properties) (device.Properties, error) {
				calls.Add(1)
				if fail.Load() {
					return nil, errors.New("jammed")
				}
				if _, ok := desired["speed"]; ok {
					return device.Properties{"speed": 5}, nil // as fast as it can
				}
				return nil, nil
			}))
		})
		id := d.Identity()
		must(t, hub.Desire(id, map[string]any{"speed": 9, "on": 1}))
		cleared := func(s *shadowdoc.Document) bool { return !s.HasDesired() }
		must(t, hub.WaitShadow(ctx, id, func(s *shadowdoc.Document) bool { _, ok := s.Reported("speed"); return ok && cleared(s) }))
		if speed, _ := hub.Shadow(id).Reported("speed"); speed != "5" {
			t.Errorf("speed reported as %s, want 5", speed)
		}
		if on, _ := hub.Shadow(id).Reported("on"); on != "1" {
			t.Errorf("on reported as %s, want 1", on)
		}
		// A handler's error leaves the desired values, and they come again.
		fail.Store(true)
		before := calls.Load()
		must(t, hub.Desire(id, map[string]any{"mode": "x"}))
		for calls.Load() == before && ctx.Err() == nil {
			_, _ = d.Shadow().Get(ctx)
		}
		if cleared(hub.Shadow(id)) {
			t.Error("desired was cleared although the handler failed")
		}
		fail.Store(false)
		hub.Drop(id)
		must(t, hub.WaitShadow(ctx, id, cleared))
	})
}

func TestCustomTopics(t *testing.T) {
	hub, ctx := devicetest.New(t), deadline(t)
	got := make(chan device.Message, 1)
	d := start(t, hub, device.Config{Persistent: true}, func(d *device.Device) {
		must(t, d.Subscribe(ctx, "set", func(_ context.Context, m device.Message) { got <- m }))
	})
	must(t, d.Publish(ctx, "upload", []byte("one")))
	must(t, d.PublishQoS0(ctx, "upload/event", []byte("two")))
	m, err := hub.WaitMessage(ctx, func(m devicetest.Message) bool { return string(m.Payload) == "two" })
	if err != nil || m.Topic.Tail != "upload/event" || m.QoS != 0 {
		t.Fatalf("got %+v, %v", m, err)
	}
	must(t, hub.Publish(d.Identity(), "set", []byte("down")))
	if m := <-got; m.Path != "set" || string(m.Payload) != "down" {
		t.Errorf("got %+v", m)
	}
	var refused *link.SubscribeError
	err = d.Subscribe(ctx, "nothing", func(context.Context, device.Message) {})
	if !errors.As(err, &refused) {
		t.Errorf("Subscribe = %v, want a refusal", err)
	}
}

func TestBroadcastAndUnsubscribe(t *testing.T) {
	hub, ctx := devicetest.New(t), deadline(t)
	got := make(chan device.Message, 1)
	take := func(_ context.Context, m device.Message) { got <- m }
	d := start(t, hub, device.Config{}, nil)
	must(t, d.SubscribeBroadcast(ctx, "news/+", take))
	if n := hub.Broadcast(d.Identity().Product, "news/today", []byte("all")); n != 1 {
		t.Fatalf("the broadcast reached %d devices", n)
	}
	if m := <-got; m.Path != "news/today" || string(m.Payload) != "all" {
		t.Errorf("got %+v", m)
	}
	must(t, d.Subscribe(ctx, "set", take))
	must(t, d.Unsubscribe(ctx, "set"))
	if err := hub.Publish(d.Identity(), "set", nil); err == nil {
		t.Error("the hub still knows the subscription")
	}
}

func TestRegister(t *testing.T) {
	hub, ctx := devicetest.New(t), deadline(t)
	id := hub.AddDevice(devicetest.Device{ProductSecret: "productsecret123"})
	cfg := device.Config{Server: hub.URL(), Product: id.Product, SN: id.SN, Secret: "productsecret123"}
	log := slog.New(slog.DiscardHandler)
	secret, err := device.Register(ctx, cfg, log)
	if err != nil || !hub.Secret(id).Equal(secret.Reveal()) {
		t.Fatalf("Register = %v", err)
	}
	cfg.Secret = "wrong"
	short, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if _, err := device.Register(short, cfg, log); !errors.Is(err, link.ErrBadCredentials) {
		t.Errorf("Register with a wrong secret = %v, want ErrBadCredentials", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
