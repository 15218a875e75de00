package hub

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/testbed/harness"
	"github.com/hawser-iot/hawser/testbed/harness/leak"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

// settings are those of a hub of its own, with what a test changes.
func settings(t *testing.T, change map[string]string) *Config {
	t.Helper()
	dir := t.TempDir()
	flags := map[string]string{"data": filepath.Join(dir, "data"), "mqtt-addr": "127.0.0.1:0", "mqtts-addr": "127.0.0.1:0",
		"http-addr": "127.0.0.1:0", "https-addr": "127.0.0.1:0", "bootstrap-key-file": filepath.Join(dir, "key"), "durability": "process"}
	for k, v := range change {
		flags[k] = v
	}
	c, _, err := Load("", noEnv, flags)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// lines is a log that can be waited for.
type lines struct {
	mu   sync.Mutex // guards all
	all  []string
	more chan struct{}
}

func newLines() *lines { return &lines{more: make(chan struct{}, 1)} }

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(b))
	select {
	case l.more <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.all, "")
}

// wait returns the first line with part in it.
func (l *lines) wait(t *testing.T, part string) string {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		for line := range strings.Lines(l.text()) {
			if strings.Contains(line, part) {
				return line
			}
		}
		select {
		case <-l.more:
		case <-deadline:
			t.Fatalf("no %q in the log:\n%s", part, l.text())
		}
	}
}

// running is a hub in this process.
type running struct {
	t    *testing.T
	log  *lines
	addr map[string]string
	stop context.CancelFunc
	end  chan error
}

func run(t *testing.T, c *Config) *running {
	t.Helper()
	r := &running{t: t, log: newLines(), addr: map[string]string{}, end: make(chan error, 1)}
	h, err := New(t.Context(), c, "test", slog.New(slog.NewTextHandler(r.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	go func() { r.end <- h.Run(ctx) }()
	t.Cleanup(func() { r.halt() })
	for _, f := range strings.Fields(r.log.wait(t, "msg=ready")) {
		if k, v, ok := strings.Cut(f, "="); ok {
			r.addr[k] = v
		}
	}
	return r
}

// halt stops the hub once and returns what Run returned.
func (r *running) halt() error {
	r.stop()
	select {
	case err, ok := <-r.end:
		if ok {
			close(r.end)
		}
		return err
	case <-time.After(time.Minute):
		r.t.Error("the hub did not stop")
		return nil
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestFaces(t *testing.T) {
	r := run(t, settings(t, nil))
	base := "http://" + r.addr["http"]
	for _, tt := range []struct {
		path   string
		status int
		want   string
	}{
		{"/healthz", 200, "ok"},
		{"/readyz", 200, "ready"},
		{"/", 200, "/openapi.yaml"},
		{"/nothing", 404, "not found"},
		{"/openapi.yaml", 200, "openapi: 3.1"},
		{"/v1/info", 401, "unauthorized"},
		{"/metrics", 200, "hawser_mqtt_connections"},
		{"/auth", 404, "POST"},
	} {
		if status, body := get(t, base+tt.path); status != tt.status || !strings.Contains(body, tt.want) {
			t.Errorf("%s: %d %.200s, want %d and %q", tt.path, status, body, tt.status, tt.want)
		}
	}
	// A path with two slashes reaches the device face as it is, without a redirect.
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Post(base+"/topic//p/d/upload", "", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if b, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || !strings.Contains(string(b), "RetCode") || resp.Request.URL.Path != "/topic//p/d/upload" {
		t.Errorf("/topic//…: %d %s", resp.StatusCode, b)
	}
}

func TestFirstStart(t *testing.T) {
	c := settings(t, nil)
	r := run(t, c)
	key, err := os.ReadFile(c.BootstrapKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^hwk_[a-z0-9]+_[A-Za-z0-9_-]{43}\n$`).Match(key) {
		t.Errorf("key file holds %q", key)
	}
	for path, want := range map[string]os.FileMode{c.BootstrapKeyFile: 0o600, c.Data: 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want mode %o", path, info.Mode(), err, want)
		}
	}
	if strings.Contains(r.log.text(), string(key[:len(key)-1])) {
		t.Error("the key is in the log")
	}
	if err := r.halt(); err != nil {
		t.Fatal(err)
	}
	// The second start makes no other key, and leaves the file alone.
	run(t, c)
	if again, err := os.ReadFile(c.BootstrapKeyFile); err != nil || string(again) != string(key) {
		t.Errorf("after the second start: %q, %v", again, err)
	}
}

func TestCannotStart(t *testing.T) {
	c := settings(t, nil)
	r := run(t, c)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change map[string]string
		want   string
	}{
		{"port in use", map[string]string{"mqtts-addr": taken.Addr().String()}, "--mqtts-addr " + taken.Addr().String() + ": the port is in use"},
		{"own port in use", map[string]string{"http-addr": r.addr["http"]}, "--http-addr"},
		{"data folder in use", map[string]string{"data": c.Data}, fmt.Sprintf("in use by process %d", os.Getpid())},
		{"data folder is a file", map[string]string{"data": file}, "--data"},
		{"no such folder for the key", map[string]string{"bootstrap-key-file": "/nonexistent/key"}, "--bootstrap-key-file"},
		{"blob folder is a file", map[string]string{"blob-url": "file://" + file}, "--blob-url"},
		{"no NATS there", map[string]string{"nats-url": "nats://u:hush@127.0.0.1:1"}, "NATS"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(t.Context(), settings(t, tt.change), "test", slog.New(slog.DiscardHandler))
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hush") {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestDoorsOff(t *testing.T) {
	r := run(t, settings(t, map[string]string{"mqtt-addr": "off", "mqtts-addr": "", "https-addr": "off"}))
	if r.addr["mqtt"] != "off" || r.addr["mqtts"] != "off" || r.addr["https"] != "off" || r.addr["http"] == "off" {
		t.Errorf("addresses: %v", r.addr)
	}
}

func TestStopEndsEverything(t *testing.T) {
	c := settings(t, nil)
	r := run(t, c)
	key, err := os.ReadFile(c.BootstrapKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	// An event stream, and a connection that has said nothing yet, hold nobody up.
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+r.addr["http"]+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(key)))
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if line, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil || line != ": connected\n" {
		t.Fatalf("first line of the stream: %q, %v", line, err)
	}
	silent, err := net.Dial("tcp", r.addr["mqtt"])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	began := time.Now()
	if err := r.halt(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > harness.Promised(3*time.Second) {
		t.Errorf("the stop took %v", took)
	}
	r.log.wait(t, "msg=stopped")
}

func TestMessageNumbersGoOn(t *testing.T) {
	dir := t.TempDir()
	open := func() *store.DB {
		db, err := store.Open(t.Context(), store.Config{Dir: dir, Durability: store.DurabilityProcess}, slog.New(slog.DiscardHandler), nil)
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	number := func(db *store.DB) *numbers {
		n, err := openNumbers(t.Context(), db, 7, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	db := open()
	n := number(db)
	// A clock that is far ahead, and put right while the hub is down.
	n.IDs = message.NewIDs(7, message.ID(time.Now().Add(time.Hour).UnixMilli()-1_420_070_400_000)<<22, time.Now)
	last := n.Next()
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open()
	defer func() { _ = db.Close() }()
	if next := number(db).Next(); next <= last {
		t.Errorf("after a restart %s, before it %s", next, last)
	}
}
