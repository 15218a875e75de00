package uplink_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/devicetest"
	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/edge-agent/buffer"
	"github.com/hawser-iot/hawser/edge-agent/uplink"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// TestAThousand: as many sub-devices as a gateway may have are in at the hub again soon after a connection, with few requests and with what they
// listen to.
func TestAThousand(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	hub := devicetest.New(t)
	gw := hub.AddDevice(devicetest.Device{Kind: devicetest.Gateway})
	product := ident.NewProductSN()
	var subs []ident.Device
	for i := range 1000 {
		subs = append(subs, hub.AddDevice(devicetest.Device{ID: ident.Device{Product: product, SN: fmt.Sprintf("sub-%d", i)}, Kind: devicetest.Subdevice}))
	}
	buf, err := buffer.Open(buffer.Config{Dir: filepath.Join(t.TempDir(), "b")}, log)
	if err != nil {
		t.Fatal(err)
	}
	up, err := uplink.New(uplink.Config{
		Link:       link.Config{Server: hub.URL(), Device: gw, Secret: hub.Secret(gw), KeepTrying: true, BackoffMin: 10 * time.Millisecond, BackoffMax: 20 * time.Millisecond},
		Subdevices: subs,
	}, buf.Stream(buffer.DefaultStream), log)
	if err != nil {
		t.Fatal(err)
	}
	if err := up.Serve(nowhere{}); err != nil {
		t.Fatal(err)
	}
	for _, d := range subs {
		up.Attached(d)
		up.Wanted(d, []server.Subscription{{Filter: topic.Name(d, "set"), QoS: 1}})
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = buf.Run(ctx) })
	wg.Go(func() { _ = up.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		buf.Close()
	})
	soon, done := context.WithTimeout(t.Context(), time.Minute)
	defer done()
	for range 2 {
		began := time.Now()
		for _, d := range subs {
			if err := hub.WaitOnline(soon, d, true); err != nil {
				t.Fatalf("%s: %v", d, err)
			}
		}
		t.Logf("all in after %s", time.Since(began))
		hub.Drop(gw)
	}
	logins := 0
	for _, m := range hub.Messages() {
		if m.Topic.Kind == topic.SubdevLogin {
			logins++
		}
	}
	if logins > 3*1000/20 {
		t.Errorf("%d requests", logins)
	}
}
