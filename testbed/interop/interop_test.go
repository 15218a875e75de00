package interop

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// TestMain lets all clients run at once: most of the time they wait for the next cut.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err)
	}
	code := m.Run()
	harness.RemoveBinaries()
	if goWorker.dir != "" {
		_ = os.RemoveAll(goWorker.dir)
	}
	os.Exit(code)
}

// client is a client library in one version of the protocol.
type client struct {
	name    string
	version int
	command func(t *testing.T) []string
}

var clients = []client{
	{"node mqtt", 4, func(t *testing.T) []string { return []string{"node", source(t, "node/worker.mjs")} }},
	{"python paho", 4, func(t *testing.T) []string { return []string{"/usr/bin/python3", source(t, "python/worker.py")} }},
	{"paho.mqtt.golang", 4, golang},
	{"node mqtt", 5, func(t *testing.T) []string { return []string{"node", source(t, "node/worker.mjs")} }},
	{"python paho", 5, func(t *testing.T) []string { return []string{"/usr/bin/python3", source(t, "python/worker.py")} }},
	{"paho.golang", 5, golang},
}

func source(t *testing.T, name string) string {
	return filepath.Join(harness.Root(t), "testbed/interop", name)
}

var goWorker struct {
	sync.Mutex
	dir string
}

// golang builds the Go worker once.
func golang(t *testing.T) []string {
	t.Helper()
	goWorker.Lock()
	defer goWorker.Unlock()
	bin := filepath.Join(goWorker.dir, "worker")
	if goWorker.dir == "" {
		dir, err := os.MkdirTemp("", "hawser-interop-")
		if err != nil {
			t.Fatal(err)
		}
		bin = filepath.Join(dir, "worker")
		cmd := exec.Command("go", "build", "-o", bin, "./testbed/interop/golang")
		cmd.Dir = harness.Root(t)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build the worker: %v\n%s", err, out)
		}
		goWorker.dir = dir
	}
	return []string{bin}
}

// site is a hub with a product, and a sink that gets what its devices upload.
type site struct {
	hub     *harness.Hub
	sink    *harness.Receiver
	product string
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{hub: harness.StartHub(t, harness.HubOptions{Args: []string{"--rule-allow-local", "--publish-rate", "0"}}), sink: harness.StartReceiver(t)}
	s.product = s.hub.Product(map[string]any{"name": "interop", "kind": "device"})
	err := s.hub.Call("POST", "/v1/rules", map[string]any{
		"name": "interop", "enabled": true, "sql": "SELECT n, deviceSN() AS sn FROM '/" + s.product + "/+/upload'",
		"actions": []any{map[string]any{"kind": "http", "url": s.sink.URL}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *site) device() harness.Credentials { return s.hub.Devices(s.product, 1)[0] }

// arrived counts what a device uploaded, by number. A message that the hub delivered again with the same key is one.
func (s *site) arrived(d harness.Credentials) map[int]int {
	got := map[int]int{}
	for _, b := range s.sink.Distinct() {
		var row struct {
			N  int
			SN string
		}
		if json.Unmarshal(b, &row) == nil && row.SN == d.DeviceSN {
			got[row.N]++
		}
	}
	return got
}

// send has an application publish to a device.
func (s *site) send(t *testing.T, d harness.Credentials, payload string) {
	t.Helper()
	in := map[string]any{"topic": d.Topic("set"), "payload": payload, "qos": 1}
	if err := s.hub.Call("POST", "/v1/products/"+d.ProductSN+"/devices/"+d.DeviceSN+"/publish", in, nil); err != nil {
		t.Fatal(err)
	}
}

// TestClients takes every client through both doors: publishing at each QoS, receiving, and coming back to its session.
func TestClients(t *testing.T) {
	s := newSite(t)
	for _, c := range clients {
		for _, door := range []struct {
			name, addr string
			tls        bool
		}{{"tcp", s.hub.MQTT, false}, {"tls", s.hub.MQTTS, true}} {
			t.Run(fmt.Sprintf("%s v%d %s", c.name, c.version, door.name), func(t *testing.T) {
				t.Parallel()
				visit(t, s, c, door.addr, door.tls)
			})
		}
	}
}

func visit(t *testing.T, s *site, c client, addr string, overTLS bool) {
	d := s.device()
	j := jobFor(s.hub, d, addr, overTLS, c.version)
	for qos := range 3 {
		j.QoS, j.Count = qos, 10
		if qos > 0 {
			j.Subscribe = "" // there is a session
		}
		w := work(t, c, j)
		w.until(time.Minute, "all is acknowledged", func() bool { return w.subscribed && len(w.acked) == j.Count })
		if qos > 0 && !w.present {
			t.Errorf("QoS %d: the session was not kept", qos)
		}
		harness.Eventually(t, time.Minute, "the sink has all", func() bool { return len(s.arrived(d)) == j.Count && s.arrived(d)[1] > qos })
		note := fmt.Sprintf(`{"note":%d}`, qos)
		s.send(t, d, note)
		w.until(time.Minute, "an application's message", func() bool { return w.got[note] == 1 })
		w.leave()
		s.send(t, d, `{"offline":true}`)
	}
	j.Count = 0
	w := work(t, c, j)
	w.until(time.Minute, "the message that waited", func() bool { return w.got[`{"offline":true}`] > 0 })
	w.leave()
	for n, times := range s.arrived(d) {
		if times != 3 {
			t.Errorf("message %d arrived %d times, was sent once at each of three QoS", n, times)
		}
	}
}

// TestReconnects cuts every client off 50 times in mid-flight. What it saw acknowledged is with the sink, at QoS 2 exactly
// once for each message that it sent (witness), and it gets everything that an application sent.
func TestReconnects(t *testing.T) {
	s := newSite(t)
	for _, c := range clients {
		for qos := 1; qos <= 2; qos++ {
			t.Run(fmt.Sprintf("%s v%d QoS %d", c.name, c.version, qos), func(t *testing.T) {
				t.Parallel()
				survive(t, s, c, qos)
			})
		}
	}
}

// keeps is how many messages an application has on their way to a device at most.
const keeps = 80

func survive(t *testing.T, s *site, c client, qos int) {
	const cuts = 50
	d := s.device()
	proxy := cut(t, s.hub.MQTT, cuts, 60*time.Millisecond)
	j := jobFor(s.hub, d, proxy.addr, false, c.version)
	j.QoS, j.Count, j.Pause = qos, 1500, 2
	w := work(t, c, j)
	w.until(time.Minute, "the client is subscribed", func() bool { return w.subscribed })
	proxy.arm()
	notes := 0
	for proxy.cuts() < cuts {
		notes++
		s.send(t, d, fmt.Sprint(notes))
		<-time.After(20 * time.Millisecond) // the pace of the application
		// The hub keeps a hundred messages for a client that is away; who comes back slowly is waited for.
		w.until(time.Minute, fmt.Sprintf("the client takes what waits for it, after %d cuts", proxy.cuts()), func() bool { return notes-len(w.got) < keeps })
	}
	w.settle(j.Count, 10*time.Second)
	acked := w.acknowledged()
	if len(acked) < j.Count*9/10 {
		t.Errorf("%d of %d messages were acknowledged", len(acked), j.Count)
	}
	harness.Eventually(t, 3*time.Minute, "the sink has what was acknowledged", func() bool {
		got := s.arrived(d)
		return !slices.ContainsFunc(acked, func(n int) bool { return got[n] == 0 })
	})
	w.until(time.Minute, "everything that was sent", func() bool { return len(w.got) == notes })
	w.leave()
	repeats, own, again := 0, 0, []int(nil)
	for n, times := range s.arrived(d) {
		sent := max(1, proxy.seen.times(n)) // some libraries make two messages of one when they are cut off behind its PUBREL
		own += sent - 1
		if times > sent {
			repeats, again = repeats+times-sent, append(again, n)
		}
	}
	t.Logf("%d messages up, %d acknowledged, %d repeats, %d sent as new ones by the client; %d down; %d cuts", j.Count, len(acked), repeats, own, notes, proxy.cuts())
	if qos == 2 && repeats > 0 {
		t.Errorf("messages of QoS 2 arrived more often than the client sent them: %v", again)
	}
}
