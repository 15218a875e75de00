package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/hawser-iot/hawser/cloud/hub"
	"github.com/hawser-iot/hawser/testbed/harness/leak"
)

// TestMain makes the test's binary a script worker when the hub in it starts one, as the hub's own binary does.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == hub.ScriptWorkerArg {
		os.Exit(hub.ScriptWorker())
	}
	leak.VerifyTestMain(m)
}

// testHub is a real hub in this process, on SQLite and the embedded bus.
type testHub struct {
	t         *testing.T
	url, mqtt string
	key, data string
	client    *http.Client
	log       *logBuffer
}

// start runs a hub until the test ends.
func start(t *testing.T) *testHub {
	t.Helper()
	return startWith(t, nil)
}

// startWith is start with some of the hub's flags.
func startWith(t *testing.T, flags map[string]string) *testHub {
	t.Helper()
	dir := t.TempDir()
	keyFile := filepath.Join(dir, "key")
	all := map[string]string{
		"data": filepath.Join(dir, "data"), "mqtt-addr": "127.0.0.1:0", "mqtts-addr": "off", "http-addr": "127.0.0.1:0", "https-addr": "off",
		"bootstrap-key-file": keyFile, "durability": "process", "max-body": "100000"}
	maps.Copy(all, flags)
	cfg, _, err := hub.Load("", func(string) (string, bool) { return "", false }, all)
	if err != nil {
		t.Fatal(err)
	}
	log := &logBuffer{ready: make(chan map[string]string, 1)}
	h, err := hub.New(t.Context(), cfg, "test", slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	th := &testHub{t: t, data: all["data"], log: log, client: &http.Client{Transport: &http.Transport{}, Timeout: time.Minute}}
	t.Cleanup(func() {
		th.client.CloseIdleConnections()
		stop()
		if err := <-ended; err != nil {
			t.Errorf("hub: %v", err)
		}
	})
	select {
	case at := <-log.ready:
		th.url, th.mqtt = "http://"+at["http"], at["mqtt"]
	case err := <-ended:
		ended <- err
		t.Fatalf("hub ended: %v", err)
	case <-time.After(time.Minute):
		t.Fatal("hub not ready")
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	th.key = strings.TrimSpace(string(key))
	return th
}

// logBuffer waits for the line that says ready.
type logBuffer struct {
	ready chan map[string]string

	mu   sync.Mutex // guards the field below
	text bytes.Buffer
}

// all is what was logged.
func (l *logBuffer) all() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(b)
	if strings.Contains(string(b), "msg=ready") {
		fields := map[string]string{}
		for _, f := range strings.Fields(string(b)) {
			if k, v, ok := strings.Cut(f, "="); ok {
				fields[k] = v
			}
		}
		l.ready <- fields
	}
	return len(b), nil
}

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// get reads a member by its path, as text.
func (a answer) get(path ...string) string {
	var v any
	dec := json.NewDecoder(bytes.NewReader(a.body))
	dec.UseNumber()
	if dec.Decode(&v) != nil {
		return ""
	}
	for _, name := range path {
		switch x := v.(type) {
		case map[string]any:
			v = x[name]
		case []any:
			var i int
			if _, err := fmt.Sscan(name, &i); err != nil || i >= len(x) {
				return ""
			}
			v = x[i]
		}
	}
	if v == nil {
		return ""
	}
	if _, ok := v.(string); !ok {
		b, _ := json.Marshal(v)
		return string(b)
	}
	return v.(string)
}

// do makes a request; head are pairs of header names and values, an empty value removes one.
func (h *testHub) do(method, path, body string, head ...string) answer {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.url+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.key)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(head); i += 2 {
		req.Header.Set(head[i], head[i+1])
		if head[i+1] == "" {
			req.Header.Del(head[i])
		}
	}
	resp, err := h.client.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, b}
}

// must is do for a request that is to succeed.
func (h *testHub) must(method, path, body string, head ...string) answer {
	h.t.Helper()
	a := h.do(method, path, body, head...)
	if a.status/100 != 2 {
		h.t.Fatalf("%s %s: %d %s", method, path, a.status, a.body)
	}
	return a
}

// product makes a product and returns its path.
func (h *testHub) product(body string) string {
	h.t.Helper()
	return "/v1/products/" + h.must("POST", "/v1/products", body).get("productSN")
}

// connect logs the device at path in; handle gets what arrives on filters.
func (h *testHub) connect(path string, handle mqtt.MessageHandler, filters ...string) mqtt.Client {
	h.t.Helper()
	d := h.must("GET", path, "")
	p, sn := d.get("productSN"), d.get("deviceSN")
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + h.mqtt).SetClientID(p + "." + sn).SetUsername(p + "|" + sn + "|1").
		SetPassword(d.get("deviceSecret")).SetKeepAlive(60 * time.Second).SetAutoReconnect(false).SetOrderMatters(false))
	h.token(c.Connect())
	h.t.Cleanup(func() { c.Disconnect(0) })
	for _, f := range filters {
		h.token(c.Subscribe(strings.NewReplacer("P", p, "D", sn).Replace(f), 1, handle))
	}
	return c
}

func (h *testHub) token(tok mqtt.Token) {
	h.t.Helper()
	if !tok.WaitTimeout(time.Minute) || tok.Error() != nil {
		h.t.Fatalf("MQTT: %v", tok.Error())
	}
}

// eventually polls until ok, for at most ten seconds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within a minute: %s", what)
		}
	}
}
