package scenario

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/device"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// TestGatewaySDK: the SDK's gateway carries a sub-device at a real hub, and hears what an operator does to it.
func TestGatewaySDK(t *testing.T) {
	hub := harness.StartHub(t, harness.HubOptions{Args: []string{"--durability", "process"}})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	create := func(kind, sn string) (product, secret string) {
		var p struct{ ProductSN string }
		must(hub.Call("POST", "/v1/products", map[string]any{"name": kind, "kind": kind}, &p))
		var d struct{ DeviceSecret string }
		must(hub.Call("POST", "/v1/products/"+p.ProductSN+"/devices", map[string]any{"deviceSN": sn}, &d))
		return p.ProductSN, d.DeviceSecret
	}
	gw, gwSecret := create("gateway", "gateway-1")
	sub, subSecret := create("subdevice", "meter-1")
	g, err := device.NewGateway(device.Config{Server: "tcp://" + hub.MQTT, Product: gw, SN: "gateway-1", Secret: credential.Secret(gwSecret)}, slog.New(slog.DiscardHandler))
	must(err)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	notices, heard := make(chan string, 8), make(chan string, 8)
	must(g.HandleNotices(ctx, func(_ context.Context, n device.Notice) { notices <- n.What + " " + n.Subdevices[0].SN }))
	run, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(run) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	must(g.WaitConnected(ctx))
	s := device.Subdevice{Product: sub, SN: "meter-1", Secret: credential.Secret(subSecret)}
	must(g.Add(ctx, s))
	must(g.Login(ctx, s))
	must(g.SubscribeFor(ctx, s, "set", func(_ context.Context, m device.Message) { heard <- string(m.Payload) }))
	must(g.PublishFor(ctx, s, "upload", []byte(`{"t":1}`)))
	meter := "/v1/products/" + sub + "/devices/meter-1"
	must(hub.Call("POST", meter+"/publish", map[string]any{"topic": "set", "payload": "hello"}, nil))
	wait := func(c chan string, want string) {
		t.Helper()
		select {
		case got := <-c:
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		case <-ctx.Done():
			t.Fatalf("%q did not come", want)
		}
	}
	wait(heard, "hello")
	wait(notices, "add meter-1")
	must(hub.Call("POST", meter+"/disable", nil, nil))
	wait(notices, "disable meter-1")
	must(hub.Call("POST", meter+"/enable", nil, nil))
	wait(notices, "enable meter-1")
	must(g.Login(ctx, s))
	must(hub.Call("DELETE", meter, nil, nil))
	wait(notices, "delete meter-1")
}
