package device_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/device"
	"github.com/hawser-iot/hawser/device-sdk/devicetest"
)

// TestGateway: sub-devices are added, logged in, heard and spoken for, also over the connection after a lost one.
func TestGateway(t *testing.T) {
	hub, ctx := devicetest.New(t), deadline(t)
	id := hub.AddDevice(devicetest.Device{Kind: devicetest.Gateway})
	sub := hub.AddDevice(devicetest.Device{Kind: devicetest.Subdevice})
	g, err := device.NewGateway(device.Config{Server: hub.URL(), Product: id.Product, SN: id.SN, Secret: hub.Secret(id), ReconnectMin: 1, RequestTimeout: time.Minute}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	run, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(run) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(g.WaitConnected(ctx))
	s := device.Subdevice{Product: sub.Product, SN: sub.SN, Secret: hub.Secret(sub)}
	if err := g.Login(ctx, s); err == nil {
		t.Fatal("a sub-device is logged in that was not added")
	}
	must(g.Add(ctx, s))
	must(g.Login(ctx, s))
	if list, err := g.Subdevices(ctx); err != nil || len(list) != 1 || list[0].SN != sub.SN {
		t.Errorf("Subdevices: %v, %v", list, err)
	}
	heard := make(chan string, 4)
	must(g.SubscribeFor(ctx, s, "set", func(_ context.Context, m device.Message) { heard <- m.Path + " " + string(m.Payload) }))
	for _, up := range []string{"up", "up again"} {
		must(hub.WaitOnline(ctx, sub, true))
		must(g.PublishFor(ctx, s, "upload", []byte(up)))
		_, err = hub.WaitMessage(ctx, func(m devicetest.Message) bool { return m.From == sub && m.By == id && string(m.Payload) == up })
		must(err)
		for hub.Publish(sub, "set", []byte("down")) != nil { // not subscribed again yet
			must(ctx.Err())
		}
		if got := <-heard; got != "set down" {
			t.Errorf("heard %s", got)
		}
		hub.Drop(id)
	}
	must(hub.WaitOnline(ctx, sub, true))
	must(g.Logout(ctx, s))
	must(hub.WaitOnline(ctx, sub, false))
}
