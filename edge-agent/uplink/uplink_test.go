package uplink_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hawser-iot/hawser/device-sdk/devicetest"
	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/edge-agent/buffer"
	"github.com/hawser-iot/hawser/edge-agent/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// nowhere is a Downlink without sub-devices.
type nowhere struct{}

func (nowhere) Deliver(ident.Device, string, []byte, byte) error { return server.ErrOffline }
func (nowhere) Notice(topic.Kind, []message.Subdev)              {}
func (nowhere) Carries(ident.Device) bool                        { return true }

// rig is an uplink between a buffer and a test hub.
type rig struct {
	hub  *devicetest.Hub
	gw   ident.Device
	sub  ident.Device
	late ident.Device // configured, but unknown to the hub at first
	buf  *buffer.Stream
	up   *uplink.Uplink
}

func newRig(t *testing.T, change ...func(*uplink.Config)) *rig {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	r := &rig{hub: devicetest.New(t)}
	r.gw = r.hub.AddDevice(devicetest.Device{Kind: devicetest.Gateway})
	r.sub = r.hub.AddDevice(devicetest.Device{Kind: devicetest.Subdevice})
	r.late = ident.Device{Product: r.sub.Product, SN: "late"}
	buf, err := buffer.Open(buffer.Config{
		Dir: filepath.Join(t.TempDir(), "b"), Streams: []buffer.StreamConfig{{Name: "messages", CommitEvery: 5 * time.Millisecond}},
	}, log)
	if err != nil {
		t.Fatal(err)
	}
	r.buf = buf.Stream("messages")
	cfg := uplink.Config{
		Link: link.Config{
			Server: r.hub.URL(), Device: r.gw, Secret: r.hub.Secret(r.gw), KeepTrying: true, Persistent: true,
			BackoffMin: 10 * time.Millisecond, BackoffMax: 20 * time.Millisecond, Window: 8,
		},
		Subdevices:   []ident.Device{r.sub, r.late},
		Secrets:      map[ident.Device]credential.Secret{r.sub: r.hub.Secret(r.sub)},
		RetryRefused: 50 * time.Millisecond,
	}
	for _, f := range change {
		f(&cfg)
	}
	if r.up, err = uplink.New(cfg, r.buf, log); err != nil {
		t.Fatal(err)
	}
	if err := r.up.Serve(nowhere{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = buf.Run(ctx) })
	wg.Go(func() {
		if err := r.up.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		buf.Close()
	})
	return r
}

func (r *rig) forward(t *testing.T, d ident.Device, payload string) {
	t.Helper()
	done := make(chan error, 1)
	r.up.Forward(d, topic.Name(d, "upload"), []byte(payload), 1, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func (r *rig) wait(t *testing.T, payload string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := r.hub.WaitMessage(ctx, func(m devicetest.Message) bool { return string(m.Payload) == payload })
	if err != nil {
		t.Fatalf("%q did not arrive: %v", payload, err)
	}
}

// empty waits until the buffer is.
func (r *rig) empty(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		recs, err := r.buf.Read(0, 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(recs) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still buffered: %s", recs[0].Payload)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestProof: the gateway signs for the sub-devices whose secret it knows, where the hub may ask for it.
func TestProof(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	secret := r.hub.Secret(r.sub)
	for _, kind := range []topic.Kind{topic.TopoAdd, topic.SubdevLogin} {
		if kind == topic.SubdevLogin {
			r.forward(t, r.sub, "x")
		}
		_, err := r.hub.WaitMessage(ctx, func(m devicetest.Message) bool {
			var req message.SubdevRequest
			if m.Topic.Kind != kind || codec.Unmarshal(m.Payload, &req) != nil {
				return false
			}
			return slices.ContainsFunc(req.Params, func(p message.Subdev) bool {
				return p.Device() == r.sub && credential.VerifySubdev(secret, r.sub, p.Sign)
			})
		})
		if err != nil {
			t.Errorf("%s without proof: %v", kind, err)
		}
	}
}

// TestOutAndInAgain: a sub-device that the hub lets in, of whom the agent has not seen that it was out, is logged in anew: the hub takes nothing of it before.
func TestOutAndInAgain(t *testing.T) {
	r := newRig(t)
	r.up.Attached(r.sub)
	r.forward(t, r.sub, "x")
	r.wait(t, "x")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	body, err := codec.Marshal(codec.JSON, message.SubdevRequest{RequestID: "1", Params: []message.Subdev{message.NewSubdev(r.sub)}})
	if err == nil {
		err = r.hub.SendRaw(r.gw, topic.SubdevEnable, body)
	}
	if err != nil {
		t.Fatal(err)
	}
	logins := 0
	if _, err := r.hub.WaitMessage(ctx, func(m devicetest.Message) bool {
		if m.Topic.Kind == topic.SubdevLogin {
			logins++
		}
		return logins == 2
	}); err != nil {
		t.Fatalf("%d logins, %v", logins, err)
	}
}

func TestConnectionsBreakAndOrderHolds(t *testing.T) {
	r := newRig(t)
	const n = 400
	for i := range n {
		r.forward(t, r.sub, fmt.Sprint(i))
		if i%100 == 50 {
			r.hub.Drop(r.gw)
		}
	}
	r.wait(t, fmt.Sprint(n-1))
	r.empty(t)
	next := 0
	for _, m := range r.hub.Messages() {
		if m.From != r.sub {
			continue
		}
		var i int
		fmt.Sscan(string(m.Payload), &i)
		if i > next {
			t.Fatalf("number %d came when %d was due", i, next)
		}
		if i == next {
			next++
		}
	}
	if next != n {
		t.Errorf("%d of %d arrived", next, n)
	}
}

func TestRefusedIsTriedAgainByItself(t *testing.T) {
	r := newRig(t)
	// The hub does not know this one yet, though the gateway is configured for it.
	r.forward(t, r.late, "early")
	r.forward(t, r.sub, "known")
	r.wait(t, "known")
	r.hub.AddDevice(devicetest.Device{ID: r.late, Kind: devicetest.Subdevice})
	r.wait(t, "early")
	// One that no gateway has added any more is added again.
	r.hub.Pause()
	r.hub.AddDevice(devicetest.Device{ID: r.sub, Kind: devicetest.Subdevice})
	r.forward(t, r.sub, "orphaned")
	if err := r.hub.Resume(); err != nil {
		t.Fatal(err)
	}
	r.wait(t, "orphaned")
	r.empty(t)
}

// TestUnansweredIsNoRefusal: a sub-device whose login the hub did not answer is asked for again soon, not after the time of a refusal.
func TestUnansweredIsNoRefusal(t *testing.T) {
	r := newRig(t, func(c *uplink.Config) {
		c.Plain, c.ReplyTimeout, c.RetryRefused, c.RetryBusy = true, 50*time.Millisecond, time.Hour, 20*time.Millisecond
	})
	r.hub.Mute(r.gw, true)
	r.forward(t, r.sub, "patient")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for logins := range 2 {
		_, err := r.hub.WaitMessage(ctx, func(m devicetest.Message) bool {
			if m.Topic.Kind == topic.SubdevLogin {
				logins--
			}
			return logins < 0
		})
		if err != nil {
			t.Fatalf("the login is not asked for again: %v", err)
		}
	}
	r.hub.Mute(r.gw, false)
	r.wait(t, "patient")
	r.empty(t)
}

func TestStrangersMessageStaysInTheBuffer(t *testing.T) {
	r := newRig(t)
	stranger := ident.Device{Product: ident.NewProductSN(), SN: "stranger"}
	r.forward(t, stranger, "waits")
	for i := range 3 {
		r.forward(t, r.sub, fmt.Sprint("passes ", i))
		r.wait(t, fmt.Sprint("passes ", i))
	}
	recs, err := r.buf.Read(0, 10)
	if err != nil || len(recs) == 0 || string(recs[0].Payload) != "waits" {
		t.Errorf("buffered: %v, %v", recs, err)
	}
}

func TestUnparsableTopicDoesNotHoldUpOthers(t *testing.T) {
	r := newRig(t)
	done := make(chan error, 1)
	r.buf.Append(buffer.Record{Topic: "nonsense", Payload: []byte("x"), QoS: 1}, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	r.forward(t, r.sub, "behind")
	r.wait(t, "behind")
	r.empty(t)
}

func TestClosedBufferIsUnavailable(t *testing.T) {
	var r *rig
	t.Run("", func(t *testing.T) { r = newRig(t) })
	done := make(chan error, 1)
	r.up.Forward(r.sub, topic.Name(r.sub, "upload"), nil, 1, func(err error) { done <- err })
	if err := <-done; !errors.Is(err, server.ErrUnavailable) {
		t.Errorf("Forward = %v, want ErrUnavailable", err)
	}
}
