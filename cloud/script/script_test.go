package script_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hawser-iot/hawser/cloud/broker/brokertest"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/script"
	"github.com/hawser-iot/hawser/cloud/script/worker"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/topic"
	"github.com/hawser-iot/hawser/testbed/harness"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "script-worker" {
		os.Exit(worker.Main(os.Stdin, os.Stdout, os.Exit))
	}
	os.Exit(m.Run())
}

// logged is a log that a test reads.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// node is a stack with parse scripts.
type node struct {
	*brokertest.Stack
	*script.Scripts
	log     logged
	metrics *prometheus.Registry
}

func start(t testing.TB, c brokertest.Config, change func(*script.Config)) *node {
	t.Helper()
	n := &node{metrics: prometheus.NewRegistry()}
	c.Parser = func(s *brokertest.Stack) uplink.Parser {
		cfg := script.DefaultConfig()
		cfg.Pool.Command = []string{os.Args[0], "script-worker"}
		cfg.Pool.Wall = 20 * time.Second // the machine may be busy
		if change != nil {
			change(&cfg)
		}
		n.Scripts = script.New(cfg, script.Deps{Store: s.Store, Registry: s.Registry, Bus: s.Bus,
			Log: slog.New(slog.NewTextHandler(&n.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Metrics: n.metrics})
		return n.Scripts
	}
	n.Stack = brokertest.New(t, c)
	ctx, cancel := context.WithCancel(context.Background())
	end := make(chan error, 1)
	go func() { end <- n.Run(ctx) }()
	t.Cleanup(func() {
		n.Stop()
		cancel()
		if err := <-end; err != nil {
			t.Error(err)
		}
	})
	return n
}

// counted is hawser_script_messages_total of a result.
func (n *node) counted(t testing.TB, result string) float64 {
	t.Helper()
	families, err := n.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "hawser_script_messages_total" && m.GetLabel()[0].GetValue() == result {
				return m.GetCounter().GetValue()
			}
		}
	}
	return -1
}

// set stores a script.
func (n *node) set(t testing.TB, product, source string) *script.Script {
	t.Helper()
	s, err := n.Set(t.Context(), product, script.Change{Source: source, By: "user:1"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const meter = `// Two registers of a Modbus reply: temperature in tenths, humidity in percent.
function rawDataToJSON(topic, raw) {
  if (raw.length !== 5) {
    throw new Error('want 5 bytes, got ' + raw.length)
  }
  var t = raw[1] << 8 | raw[2]
  if (t > 32767) t -= 65536
  return {n: raw[0], temperature: t / 10, humidity: raw[3] << 8 | raw[4]}
}`

// TestParsed: raw bytes go up as JSON, on the topic without the suffix, in their place among the device's messages, and what the script
// does not take is acknowledged, logged with the line, and not passed on.
func TestParsed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, brokertest.Config{Store: db}, nil)
		d := n.New(t)
		n.set(t, d.Identity.Product, meter)
		c := n.MustDial(t, brokertest.Of(d))
		name := topic.Name(d.Identity, "upload")
		c.Publish(name+"?parse=true", "\x01\x00\xd7\x00\x37")
		c.Publish(name, `{"n":2}`)
		c.Publish(name+"?parse=true", "\x03\xff\xf6\x00\x37")
		c.Publish(name+"?parse=true", "short")
		c.Publish(name+"?parse=true", "\x04")
		c.Publish(name, `{"n":5}`)
		want := []string{`{"n":1,"temperature":21.5,"humidity":55}`, `{"n":2}`, `{"n":3,"temperature":-1,"humidity":55}`, `{"n":115,"temperature":2673.5,"humidity":29300}`, `{"n":5}`}
		got := n.Rules.Of(name)
		if len(got) != len(want) {
			t.Fatalf("rules saw %+v", got)
		}
		for i := range want {
			if got[i].Payload != want[i] || i > 0 && got[i].ID <= got[i-1].ID {
				t.Errorf("message %d: %+v, want %s", i, got[i], want[i])
			}
		}
		if raw := n.Rules.Of(name + "?parse=true"); len(raw) != 0 {
			t.Errorf("passed on raw: %+v", raw)
		}
		if text := n.log.String(); !strings.Contains(text, "line=4") || !strings.Contains(text, "want 5 bytes, got 1") || !strings.Contains(text, "device=dev-0001") {
			t.Errorf("log: %s", text)
		}
		for result, want := range map[string]float64{"encoded": 0, "failed": 1, "parsed": 3, "refused": 0} {
			if got := n.counted(t, result); got != want {
				t.Errorf("%v messages were %s, want %v", got, result, want)
			}
		}
	})
}

// TestStored: versions, conditions, and what is refused.
func TestStored(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, brokertest.Config{Store: db}, nil)
		p := n.Product(t, registry.NewProduct{}).SN
		ctx := t.Context()
		if _, err := n.Get(ctx, p); !errors.Is(err, script.ErrNotFound) {
			t.Errorf("none: %v", err)
		}
		if _, err := n.Set(ctx, "nosuchproduct123", script.Change{Source: meter}); !errors.Is(err, registry.ErrProductNotFound) {
			t.Errorf("no product: %v", err)
		}
		var fault *script.Fault
		if _, err := n.Set(ctx, p, script.Change{Source: "function rawDataToJSON() {\n  return 1 2\n}"}); !errors.As(err, &fault) || fault.Line != 2 || fault.Kind != "syntax" {
			t.Errorf("syntax: %v", err)
		}
		if _, err := n.Set(ctx, p, script.Change{Source: "\nfor (;;) { p() }"}); !errors.As(err, &fault) || fault.Line != 2 {
			t.Errorf("throws: %v", err)
		}
		var invalid *script.InvalidError
		for name, source := range map[string]string{"empty": "", "large": strings.Repeat("x", script.MaxSource+1), "nothing": "var x = 1", "zero": "\x00", "no text": "\xff"} {
			if _, err := n.Set(ctx, p, script.Change{Source: source}); !errors.As(err, &invalid) || invalid.Field != "source" {
				t.Errorf("%s: %v", name, err)
			}
		}
		first := n.set(t, p, meter)
		if got, err := n.Get(ctx, p); err != nil || got.Source != meter || got.Revision != 1 || !got.Up || got.Down || got.By != "user:1" {
			t.Errorf("%+v, %v", got, err)
		}
		stale := first.Revision - 1
		if _, err := n.Set(ctx, p, script.Change{Source: meter, IfRevision: &stale}); !errors.Is(err, script.ErrRevision) {
			t.Errorf("stale: %v", err)
		}
		for i := range script.MaxVersions + 3 {
			n.set(t, p, fmt.Sprintf("// %d\n%s", i, meter))
		}
		list, err := n.Versions(ctx, p)
		if err != nil || len(list) != script.MaxVersions || list[0].Revision != script.MaxVersions+4 || list[0].Source != "" {
			t.Errorf("%d versions, %v", len(list), err)
		}
		if v, err := n.Version(ctx, p, list[1].Revision); err != nil || !strings.HasPrefix(v.Source, fmt.Sprintf("// %d\n", script.MaxVersions+1)) {
			t.Errorf("%+v, %v", v, err)
		}
		if _, err := n.Version(ctx, p, 1); !errors.Is(err, script.ErrVersionNotFound) {
			t.Errorf("an old one: %v", err)
		}
		if err := n.Delete(ctx, p, script.Change{IfRevision: &stale}); !errors.Is(err, script.ErrRevision) {
			t.Errorf("stale: %v", err)
		}
		if err := n.Delete(ctx, p, script.Change{By: "user:2"}); err != nil {
			t.Error(err)
		}
		if _, err := n.Get(ctx, p); !errors.Is(err, script.ErrNotFound) {
			t.Errorf("deleted: %v", err)
		}
		if err := n.Delete(ctx, p, script.Change{}); !errors.Is(err, script.ErrNotFound) {
			t.Errorf("again: %v", err)
		}
		if again := n.set(t, p, meter); again.Revision != script.MaxVersions+6 {
			t.Errorf("back with revision %d", again.Revision)
		}
		if err := n.Registry.DeleteProduct(ctx, p); err != nil {
			t.Error(err)
		}
		if list, err := n.Versions(ctx, p); err != nil || len(list) != 0 {
			t.Errorf("after the product: %d versions, %v", len(list), err)
		}
	})
}

// TestChanged: a change counts for the next message, on this node and, told over the bus, on another.
func TestChanged(t *testing.T) {
	db := storetest.SQLite(t)
	a := start(t, brokertest.Config{Store: db}, nil)
	b := start(t, brokertest.Config{Store: db, Bus: a.Bus, Node: "b", Number: 2}, nil)
	d := a.New(t)
	c := b.MustDial(t, brokertest.Of(d))
	name := topic.Name(d.Identity, "upload")
	last := func() string {
		seen := b.Rules.Of(name)
		if len(seen) == 0 {
			return ""
		}
		return seen[len(seen)-1].Payload
	}
	c.Publish(name+"?parse=true", "x")
	if got := last(); got != "" {
		t.Errorf("without a script: %s", got)
	}
	for i := range 3 {
		a.set(t, d.Identity.Product, fmt.Sprintf("function rawDataToJSON() { return {v: %d} }", i))
		want := fmt.Sprintf(`{"v":%d}`, i)
		brokertest.Eventually(t, want, func() bool {
			c.Publish(name+"?parse=true", "x")
			return last() == want
		})
	}
	if err := a.Delete(t.Context(), d.Identity.Product, script.Change{}); err != nil {
		t.Fatal(err)
	}
	brokertest.Eventually(t, "no script", func() bool {
		before := len(b.Rules.Of(name))
		c.Publish(name+"?parse=true", "x")
		return len(b.Rules.Of(name)) == before
	})
}

func TestEncode(t *testing.T) {
	n := start(t, brokertest.Config{Store: storetest.SQLite(t)}, nil)
	p := n.Product(t, registry.NewProduct{}).SN
	if b, ok, err := n.Encode(t.Context(), p, "/t", []byte(`{"a":1}`)); err != nil || ok || string(b) != `{"a":1}` {
		t.Errorf("without a script: %q, %v, %v", b, ok, err)
	}
	n.set(t, p, "function jsonToRawData(topic, o) {\n  if (o.a > 255) throw new Error('too much')\n  return [topic.length, o.a]\n}")
	if b, ok, err := n.Encode(t.Context(), p, "/t", []byte(`{"a":7}`)); err != nil || !ok || string(b) != "\x02\x07" {
		t.Errorf("%q, %v, %v", b, ok, err)
	}
	var fault *script.Fault
	if _, _, err := n.Encode(t.Context(), p, "/t", []byte(`{"a":256}`)); !errors.As(err, &fault) || fault.Line != 2 || fault.Kind != "thrown" {
		t.Errorf("%v", err)
	}
}

func TestTry(t *testing.T) {
	n := start(t, brokertest.Config{Store: storetest.SQLite(t)}, nil)
	p := n.Product(t, registry.NewProduct{}).SN
	if _, err := n.Try(t.Context(), p, script.Trial{}); !errors.Is(err, script.ErrNotFound) {
		t.Errorf("nothing to try: %v", err)
	}
	draft := "function rawDataToJSON(t, r) { console.log('got', r.length); return {t: t} }\nfunction jsonToRawData(t, o) { return [o.x] }"
	o, err := n.Try(t.Context(), p, script.Trial{Source: &draft, Topic: "/a", Payload: []byte("xy")})
	if err != nil || o.Fault != nil || string(o.Result) != `{"t":"/a"}` || o.Console != "got 2\n" || o.Wall <= 0 || o.Memory <= 0 {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err = n.Try(t.Context(), p, script.Trial{Source: &draft, Down: true, Payload: []byte(`{"x":9}`)}); err != nil || string(o.Result) != "\x09" {
		t.Errorf("%+v, %v", o, err)
	}
	n.set(t, p, meter)
	if o, err = n.Try(t.Context(), p, script.Trial{Payload: []byte("x")}); err != nil || o.Fault == nil || o.Fault.Line != 4 || o.Fault.Kind != "thrown" {
		t.Errorf("%+v, %v", o, err)
	}
}

// TestRetained: what is retained of a parsed message is what it was parsed to.
func TestRetained(t *testing.T) {
	n := start(t, brokertest.Config{Store: storetest.SQLite(t)}, nil)
	p := n.Product(t, registry.NewProduct{Topics: []topic.Template{{Path: "upload", Perm: topic.PubSub}}})
	d := n.Device(t, p, "dev-0001")
	n.set(t, p.SN, meter)
	c := n.MustDial(t, brokertest.Of(d))
	name := topic.Name(d.Identity, "upload")
	c.Retain(name+"?parse=true", "\x01\x00\xd7\x00\x37")
	c.Subscribe(name)
	if m := c.Message(); m.Topic != name || m.Payload != `{"n":1,"temperature":21.5,"humidity":55}` || !m.Retain {
		t.Errorf("%+v", m)
	}
}

// workers are the script workers of this process.
func workers(t testing.TB) (pids []int) {
	t.Helper()
	out, err := exec.Command("ps", "--ppid", strconv.Itoa(os.Getpid()), "-o", "pid=,args=").Output()
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(out)) {
		if pid, err := strconv.Atoi(strings.Fields(line)[0]); err == nil && strings.Contains(line, "script-worker") {
			pids = append(pids, pid)
		}
	}
	return pids
}

// TestKilled: workers are killed under load; every message that is acknowledged has reached the rules, once, and in order.
func TestKilled(t *testing.T) {
	n := start(t, brokertest.Config{Store: storetest.SQLite(t)}, nil)
	p := n.Product(t, registry.NewProduct{})
	n.set(t, p.SN, "function rawDataToJSON(t, raw) { return {n: raw[0] << 8 | raw[1]} }")
	const devices, window = 8, 16
	stop := make(chan struct{})
	var all sync.WaitGroup
	var acknowledged atomic.Int64
	sent := make([]int, devices)
	for i := range devices {
		d := n.Device(t, p, fmt.Sprintf("dev-%04d", i))
		c := n.MustDial(t, brokertest.Of(d))
		name := topic.Name(d.Identity, "upload") + "?parse=true"
		all.Go(func() {
			send := func() {
				c.Send(name, string([]byte{byte(sent[i] >> 8), byte(sent[i])}))
				sent[i]++
			}
			for range window {
				send()
			}
			for acked := 1; ; acked++ {
				if got := c.Next(); got.Type != packet.PUBACK {
					t.Errorf("%+v", got)
					return
				}
				acknowledged.Add(1)
				select {
				case <-stop:
					if acked == sent[i] {
						return
					}
				default:
					send()
				}
			}
		})
	}
	kills := 0
	for range 12 {
		// Workers that are killed before they are up are started ever later, until messages have waited too long.
		before := acknowledged.Load()
		harness.Eventually(t, time.Minute, "workers work", func() bool { return acknowledged.Load() > before+devices*window || t.Failed() })
		for _, pid := range workers(t) {
			if process, err := os.FindProcess(pid); err == nil && process.Kill() == nil {
				kills++
			}
		}
	}
	close(stop)
	all.Wait()
	total := 0
	for i := range devices {
		seen := n.Rules.Of(fmt.Sprintf("/%s/dev-%04d/upload", p.SN, i))
		if len(seen) != sent[i] {
			t.Errorf("device %d: %d of %d reached the rules", i, len(seen), sent[i])
		}
		for k := range seen {
			if want := fmt.Sprintf(`{"n":%d}`, k&0xffff); seen[k].Payload != want {
				t.Fatalf("device %d, message %d: %s", i, k, seen[k].Payload)
			}
		}
		total += sent[i]
	}
	if kills < 4 {
		t.Errorf("only %d workers were killed", kills)
	}
	t.Logf("%d messages, %d workers killed", total, kills)
}

// TestNoWorker: while no worker can be had, nothing is acknowledged.
func TestNoWorker(t *testing.T) {
	n := start(t, brokertest.Config{Store: storetest.SQLite(t)}, func(c *script.Config) { c.Pool.Command = []string{"/bin/false"} })
	d := n.New(t)
	insert(t, n.Store, d.Identity.Product, meter)
	c := n.MustDial(t, brokertest.Of(d))
	c.Send(topic.Name(d.Identity, "upload")+"?parse=true", "x")
	c.Quiet()
	if _, err := n.Set(t.Context(), d.Identity.Product, script.Change{Source: meter}); !errors.Is(err, script.ErrBusy) {
		t.Errorf("Set: %v", err)
	}
}

// insert stores a script that was not checked.
func insert(t testing.TB, db *store.DB, product, source string) {
	t.Helper()
	err := db.Update(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO script (product, revision, source, up, down, changed_at) VALUES (?, 1, ?, 1, 0, 0)`, product, source)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
