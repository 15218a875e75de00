package scenario

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/device"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// TestGatewayConsent: the SDK's gateway, which is the agent's, gets a sub-device of a product that wants consent only when an operator gives it,
// and then hears on its topics.
func TestGatewayConsent(t *testing.T) {
	hub := harness.StartHub(t, harness.HubOptions{Args: []string{"--durability", "process"}})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	call := func(method, path string, body, out any) {
		t.Helper()
		if err := hub.Call(method, path, body, out); err != nil {
			t.Fatal(err)
		}
	}
	create := func(product map[string]any, sn string) (string, credential.Secret) {
		var p struct{ ProductSN string }
		call("POST", "/v1/products", product, &p)
		var d struct{ DeviceSecret string }
		call("POST", "/v1/products/"+p.ProductSN+"/devices", map[string]any{"deviceSN": sn}, &d)
		return p.ProductSN, credential.Secret(d.DeviceSecret)
	}
	gw, secret := create(map[string]any{"name": "gateway", "kind": "gateway"}, "gateway-1")
	sub, subSecret := create(map[string]any{"name": "meter", "kind": "subdevice", "settings": map[string]any{"subdeviceConsent": true}}, "meter-1")
	g, err := device.NewGateway(device.Config{Server: "tcp://" + hub.MQTT, Product: gw, SN: "gateway-1", Secret: secret}, slog.New(slog.DiscardHandler))
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
	if err := g.WaitConnected(ctx); err != nil {
		t.Fatal(err)
	}
	meter := device.Subdevice{Product: sub, SN: "meter-1", Secret: subSecret}
	for name, ask := range map[string]func(context.Context, ...device.Subdevice) error{"add": g.Add, "login": g.Login} {
		if err := ask(ctx, meter); err == nil || !strings.Contains(err.Error(), "100075") {
			t.Fatalf("%s without consent: %v", name, err)
		}
	}
	if list, err := g.Subdevices(ctx); err != nil || len(list) != 0 {
		t.Errorf("topology without consent: %v, %v", list, err)
	}
	if err := g.Add(ctx, meter); err == nil { // the request waits, whichever came first
		t.Fatal("added without consent")
	}
	call("POST", "/v1/products/"+gw+"/devices/gateway-1/topology-requests/"+sub+"/meter-1/accept", nil, nil)
	if err := g.Login(ctx, meter); err != nil {
		t.Fatalf("login after consent: %v", err)
	}
	heard := make(chan string, 1)
	if err := g.SubscribeFor(ctx, meter, "set", func(_ context.Context, m device.Message) { heard <- string(m.Payload) }); err != nil {
		t.Fatal(err)
	}
	call("POST", "/v1/products/"+sub+"/devices/meter-1/publish", map[string]any{"topic": "set", "payload": "hello"}, nil)
	select {
	case got := <-heard:
		if got != "hello" {
			t.Errorf("heard %q", got)
		}
	case <-ctx.Done():
		t.Fatal("nothing came")
	}
}
