package console

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/account/oidc/oidctest"
	"github.com/hawser-iot/hawser/device-sdk/device"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// world is a hub with a product of pumps, three of which are connected, and enough further devices for a second page.
type world struct {
	t       *testing.T
	hub     *harness.Hub
	idp     *oidctest.Provider
	product string
	pumps   map[string]*pump
}

// pump is a device that can be switched off.
type pump struct {
	harness.Credentials
	end  context.CancelFunc
	done chan struct{}
	dev  *device.Device
}

func newWorld(t *testing.T) *world {
	t.Helper()
	// The provider is another site than the hub: its name is another.
	idp := oidctest.New(t)
	idp.Issuer = strings.Replace(idp.Issuer, "127.0.0.1", "localhost", 1)
	addr := harness.FreeAddr(t)
	w := &world{t: t, idp: idp, pumps: map[string]*pump{}, hub: harness.StartHub(t, harness.HubOptions{Env: []string{"HAWSER_OIDC_CLIENT_SECRET=" + oidctest.Secret},
		Args: []string{"--rule-allow-local", "--http-addr", addr, "--oidc-issuer", idp.Issuer, "--oidc-client-id", oidctest.Client, "--oidc-role", "viewer",
			"--oidc-redirect", "http://" + addr + "/v1/login/oidc/callback"}})}
	w.product = w.hub.Product(map[string]any{"name": "Pump"})
	w.call("PUT", "/v1/products/"+w.product+"/thing-model", json.RawMessage(model), nil)
	w.call("POST", "/v1/products/"+w.product+"/devices", map[string]any{"deviceSN": "script-1", "name": script, "tags": map[string]string{"site": "</td><b>x"}}, nil)
	for i := range 3 {
		p := &pump{}
		w.call("POST", "/v1/products/"+w.product+"/devices", map[string]any{"deviceSN": fmt.Sprintf("pump-%d", i+1), "tags": map[string]string{"site": "north"}}, &p.Credentials)
		w.pumps[p.DeviceSN] = p
		w.on(p)
	}
	w.hub.Devices(w.product, 60)
	t.Cleanup(func() {
		for _, p := range w.pumps {
			p.off()
		}
	})
	return w
}

func (w *world) call(method, path string, in, out any) {
	w.t.Helper()
	if err := w.hub.Call(method, path, in, out); err != nil {
		w.t.Fatal(err)
	}
}

// on connects a pump and has it post until it is switched off.
func (w *world) on(p *pump) {
	w.t.Helper()
	dev, err := device.New(device.Config{Server: "tcp://" + w.hub.MQTT, Product: p.ProductSN, SN: p.DeviceSN, Secret: credential.Secret(p.DeviceSecret),
		ReconnectMin: 100 * time.Millisecond, ReconnectMax: time.Second, KeepTrying: true}, slog.New(slog.DiscardHandler))
	if err != nil {
		w.t.Fatal(err)
	}
	if err := dev.HandleCommand("rinse", rinse); err != nil {
		w.t.Fatal(err)
	}
	if err := dev.OnPropertySet(func(context.Context, device.Properties) error { return nil }); err != nil {
		w.t.Fatal(err)
	}
	if err := dev.Shadow().OnDesired(func(_ context.Context, want device.Properties) (device.Properties, error) { return want, nil }); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.dev, p.end, p.done = dev, cancel, make(chan struct{})
	go func() {
		defer close(p.done)
		var wg sync.WaitGroup
		wg.Go(func() { post(ctx, dev) })
		_ = dev.Run(ctx)
		wg.Wait()
	}()
	wait, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	if err := dev.WaitConnected(wait); err != nil {
		w.t.Errorf("%s: %v", p.DeviceSN, err)
	}
	// What is asked on set is said again on upload.
	if err := dev.Subscribe(wait, "set", func(ctx context.Context, m device.Message) { _ = dev.Publish(ctx, "upload", m.Payload) }); err != nil {
		w.t.Errorf("%s: %v", p.DeviceSN, err)
	}
}

func (p *pump) off() {
	p.end()
	<-p.done
}

// post reports the pressure every half second, and once a label that would be a script elsewhere, and a leak.
func post(ctx context.Context, dev *device.Device) {
	for _, once := range []func() error{
		func() error { return dev.PostProperties(ctx, device.Properties{"label": script, "on": true}) },
		func() error { return dev.PostEvent(ctx, "leak", map[string]any{"where": script}) },
		func() error { return dev.Shadow().Update(ctx, device.Properties{"firmware": "1.2.3", "note": script}) },
	} {
		for once() != nil && ctx.Err() == nil { // it was lost with a connection, or its answer came too late
			_ = dev.WaitConnected(ctx)
		}
	}
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = dev.PostProperties(ctx, device.Properties{"pressure": 5 + float64(n%20)/10}) // what is lost on a cut is lost
		}
	}
}

func rinse(_ context.Context, c *device.Command) (any, error) {
	var in struct{ Seconds float64 }
	if err := c.Decode(&in); err != nil {
		return nil, err
	}
	return map[string]any{"used": in.Seconds / 2}, nil
}

// application sends pump-1 a message as the application "board" with an API key, whose secret is the body.
func (w *world) application(rw http.ResponseWriter, r *http.Request) {
	key, err := io.ReadAll(r.Body)
	host, port, _ := net.SplitHostPort(w.hub.MQTT)
	if err == nil {
		err = exec.CommandContext(r.Context(), "mosquitto_pub", "-h", host, "-p", port, "-i", "board", "-u", "app|"+r.PathValue("id"), "-P", string(key),
			"-q", "1", "-t", w.pumps["pump-1"].Topic("set"), "-m", `{"from":"the board"}`).Run()
	}
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadGateway)
	}
}

// control is how the scripts have something done on this side: stop, start, device/NAME/on, device/NAME/off, application/KEY,
// oidc/login with the claims of who is logged in at the identity provider, What rules post to hook/STATUS is answered with that status.
func (w *world) control() *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /stop", func(rw http.ResponseWriter, _ *http.Request) {
		if err := w.hub.Stop(); err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("POST /oidc/login", func(rw http.ResponseWriter, r *http.Request) {
		var claims map[string]any
		if err := json.NewDecoder(r.Body).Decode(&claims); err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		w.idp.Login(claims)
	})
	mux.HandleFunc("/hook/{status}", func(rw http.ResponseWriter, r *http.Request) {
		status, err := strconv.Atoi(r.PathValue("status"))
		if err != nil {
			status = http.StatusNotFound
		}
		rw.WriteHeader(status)
	})
	w.fleetHandlers(mux)
	w.gatewayHandlers(mux)
	w.releaseHandlers(mux)
	w.uploadHandlers(mux)
	mux.HandleFunc("POST /application/{id}", w.application)
	mux.HandleFunc("POST /start", func(http.ResponseWriter, *http.Request) { w.hub.Start() })
	mux.HandleFunc("POST /device/{name}/{do}", func(rw http.ResponseWriter, r *http.Request) {
		p := w.pumps[r.PathValue("name")]
		switch do := r.PathValue("do"); {
		case p == nil:
			http.Error(rw, "no such device", http.StatusNotFound)
		case do == "off":
			p.off()
		case do == "on":
			w.on(p)
		case do == "publish": // a message to a topic of its own: the first line is the topic, the rest the payload
			b, _ := io.ReadAll(r.Body)
			path, payload, _ := strings.Cut(string(b), "\n")
			if err := p.dev.Publish(r.Context(), path, []byte(payload)); err != nil {
				http.Error(rw, err.Error(), http.StatusBadGateway)
			}
		}
	})
	return httptest.NewServer(mux)
}
