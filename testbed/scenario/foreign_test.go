package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// door is one way into the hub for a foreign client.
type door struct {
	name, scheme string
	tls          bool
	addr         func(*harness.Hub) string
}

var doors = []door{
	{"tcp", "mqtt", false, func(h *harness.Hub) string { return h.MQTT }},
	{"tls", "mqtts", true, func(h *harness.Hub) string { return h.MQTTS }},
	{"ws", "ws", false, func(h *harness.Hub) string { return h.HTTP + "/mqtt" }},
	{"wss", "wss", true, func(h *harness.Hub) string { return h.HTTPS + "/mqtt" }},
	{"ws-root", "ws", false, func(h *harness.Hub) string { return h.HTTP + "/" }},
}

// fleet is a hub with one product and devices of it.
func fleet(t *testing.T, n int, fields map[string]any) (*harness.Hub, []harness.Credentials) {
	t.Helper()
	hub := harness.StartHub(t, harness.HubOptions{Args: []string{"--rule-allow-local", "--publish-rate", "0"}})
	all := map[string]any{"name": t.Name(), "kind": "device", "shadow": true}
	for k, v := range fields {
		all[k] = v
	}
	return hub, hub.Devices(hub.Product(all), n)
}

func caFile(h *harness.Hub) string { return filepath.Join(h.Data, "tls", "ca.pem") }

// mosquitto returns the common arguments of mosquitto's clients.
func mosquitto(h *harness.Hub, d harness.Credentials, overTLS bool) []string {
	addr := h.MQTT
	if overTLS {
		addr = h.MQTTS
	}
	host, port, _ := net.SplitHostPort(addr)
	args := []string{"-h", host, "-p", port, "-i", d.ClientID(), "-u", d.UserName(), "-P", d.DeviceSecret}
	if overTLS {
		args = append(args, "--cafile", caFile(h))
	}
	return args
}

// output is a client's standard output, safe to read while it runs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// start runs a client in the background until the test ends.
func start(t *testing.T, name string, args ...string) *output {
	t.Helper()
	out, _ := startUntil(t, name, args...)
	return out
}

// startUntil is start for a client that ends when end is called, or with t.
func startUntil(t *testing.T, name string, args ...string) (out *output, end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, name, args...)
	out = &output{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end = sync.OnceFunc(func() { cancel(); _ = cmd.Wait() })
	t.Cleanup(end)
	return out, end
}

// run runs a client to its end.
func run(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	return string(out), err
}

func waitFor(t *testing.T, out *output, want string) {
	t.Helper()
	harness.Eventually(t, time.Minute, "output holds "+want, func() bool { return strings.Contains(out.String(), want) })
}

// online waits until the API sees the device online.
func online(t *testing.T, h *harness.Hub, d harness.Credentials) {
	t.Helper()
	harness.Eventually(t, time.Minute, d.ClientID()+" is online", func() bool { return state(t, h, d) == "online" })
}

func state(t *testing.T, h *harness.Hub, d harness.Credentials) string {
	t.Helper()
	var got struct{ State string }
	if err := h.Call("GET", "/v1/products/"+d.ProductSN+"/devices/"+d.DeviceSN, nil, &got); err != nil {
		t.Fatal(err)
	}
	return got.State
}

func TestMosquittoClients(t *testing.T) {
	hub, devices := fleet(t, 2, nil)
	sink := harness.StartReceiver(t)
	rule(t, hub, "SELECT *, deviceSN() AS sn FROM '/"+devices[0].ProductSN+"/+/upload'", sink.URL)
	for i, overTLS := range []bool{false, true} {
		d := devices[i]
		t.Run(map[bool]string{false: "tcp", true: "tls"}[overTLS], func(t *testing.T) {
			if got := state(t, hub, d); got != "inactive" {
				t.Errorf("state before the first login = %q, want inactive", got)
			}
			args := mosquitto(hub, d, overTLS)
			sub, leave := startUntil(t, "mosquitto_sub", append(args, "-v", "-q", "1", "-t", d.Topic("set"), "-t", d.System("shadow/downstream"), "-t", d.System("shadow/get_reply"))...)
			online(t, hub, d)
			subscribed(t, hub, d, sub)

			// what the API sends arrives
			if err := hub.Call("PATCH", shadowPath(d), map[string]any{"desired": map[string]any{"light": "on"}}, nil); err != nil {
				t.Fatal(err)
			}
			waitFor(t, sub, `"Desired":{"light":"on"}`)

			// Not beside mosquitto_sub: a second after it has lost the session to the same identity it would take it back.
			leave()
			out, err := run(t, "mosquitto_pub", append(args, "-q", "1", "-t", d.Topic("upload"), "-m", fmt.Sprintf(`{"n":%d}`, i))...)
			if err != nil {
				t.Fatalf("mosquitto_pub: %v\n%s", err, out)
			}
			want := fmt.Sprintf(`"n":%d`, i)
			harness.Eventually(t, time.Minute, "the rule's sink got "+want, func() bool {
				for _, b := range sink.Bodies() {
					if strings.Contains(string(b), want) && strings.Contains(string(b), d.DeviceSN) {
						return true
					}
				}
				return false
			})
		})
	}
}

// subscribed waits until an API publish to the device's set topic is delivered.
func subscribed(t *testing.T, h *harness.Hub, d harness.Credentials, sub *output) {
	t.Helper()
	harness.Eventually(t, time.Minute, "an application's message arrives", func() bool {
		_ = h.Call("POST", "/v1/products/"+d.ProductSN+"/devices/"+d.DeviceSN+"/publish",
			map[string]any{"topic": d.Topic("set"), "payload": `{"hello":1}`, "qos": 1}, nil)
		return strings.Contains(sub.String(), `{"hello":1}`)
	})
}

func shadowPath(d harness.Credentials) string {
	return "/v1/products/" + d.ProductSN + "/devices/" + d.DeviceSN + "/shadow"
}

// rule makes and enables a rule that posts its results to url.
func rule(t *testing.T, h *harness.Hub, sql, url string) string {
	t.Helper()
	var r struct{ ID string }
	if err := h.Call("POST", "/v1/rules", map[string]any{
		"name": strings.ReplaceAll(t.Name(), "/", "-"), "sql": sql, "enabled": true,
		"actions": []any{map[string]any{"kind": "http", "url": url}},
	}, &r); err != nil {
		t.Fatal(err)
	}
	return r.ID
}

func TestNodeClientOnEveryDoor(t *testing.T) {
	hub, devices := fleet(t, len(doors), nil)
	script := filepath.Join(harness.Root(t), "testbed/interop/node/client.mjs")
	for i, dr := range doors {
		t.Run(dr.name, func(t *testing.T) {
			d := devices[i]
			job := map[string]any{
				"url": dr.scheme + "://" + dr.addr(hub), "clientId": d.ClientID(), "username": d.UserName(), "password": d.DeviceSecret,
				"subscribe": []string{d.System("shadow/downstream"), d.System("shadow/get_reply")},
				"publish": []any{
					map[string]any{"topic": d.Topic("upload"), "payload": `{"t":21}`},
					map[string]any{"topic": d.System("shadow/upstream"), "payload": `{"Method":"update","State":{"Reported":{"t":21}},"Version":0}`},
					map[string]any{"topic": d.System("shadow/get"), "payload": `{}`},
				},
				"expect": 2,
			}
			if dr.tls {
				job["ca"] = caFile(hub)
			}
			arg, err := json.Marshal(job)
			if err != nil {
				t.Fatal(err)
			}
			out, err := run(t, "node", script, string(arg))
			if err != nil {
				t.Fatalf("node: %v\n%s", err, out)
			}
			for _, want := range []string{`\"Method\":\"reply\",\"Payload\":{\"RetCode\":0},\"Version\":1`, `\"Reported\":{\"t\":21}`} {
				if !strings.Contains(out, want) {
					t.Errorf("no %s in\n%s", want, out)
				}
			}
		})
	}
}
