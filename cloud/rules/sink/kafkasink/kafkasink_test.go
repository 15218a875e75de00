package kafkasink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/outbound"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/testbed/harness/leak"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

const product = "0123456789abcdef"

// handle is a connector that is always there.
type handle struct {
	conn   rules.Connection
	config string
}

func (h handle) Use(f func(rules.Connection) error) error { return f(h.conn) }
func (h handle) Info() (string, json.RawMessage)          { return "plant", json.RawMessage(h.config) }

// env has one connector, whose configuration is config.
func env(t testing.TB, config string) rules.Env {
	t.Helper()
	conn, err := ConnectorKind().Open(json.RawMessage(config), outbound.New(outbound.Options{AllowLocal: true, UserAgent: "hawser-hub/1.2"}))
	if err != nil {
		t.Fatalf("connector %s: %v", config, err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // never fails
	return rules.Env{Connector: func(kind, id string) (rules.Handle, error) {
		if kind != Kind || id != "c1" {
			return nil, fmt.Errorf("no connector %s of kind %s", id, kind)
		}
		return handle{conn, config}, nil
	}}
}

func open(t testing.TB, e rules.Env, config string) *Sink {
	t.Helper()
	s, err := New(json.RawMessage(config), e)
	if err != nil {
		t.Fatalf("New(%s): %v", config, err)
	}
	return s.(*Sink)
}

// brokers is a connector's configuration.
func brokers(addrs []string, more ...string) string {
	b, _ := json.Marshal(addrs) // strings only
	return `{"brokers":` + string(b) + `,"timeoutSeconds":3` + strings.Join(append([]string{""}, more...), ",") + `}`
}

func cluster(t testing.TB, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(3), kfake.SeedTopics(6, "t")}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// record is the i-th output for a device.
func record(device string, i int, result string) rules.Record {
	return rules.Record{Action: 5, MessageID: message.ID(1000 + i), Device: ident.Device{Product: product, SN: device}, Topic: "/" + product + "/" + device + "/up",
		Time: time.UnixMilli(1764000000000 + int64(i)).UTC(), Result: []byte(result)}
}

// read consumes n messages of topics.
func read(t testing.TB, addrs []string, n int, topics ...string) []*kgo.Record {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var list []*kgo.Record
	for len(list) < n {
		f := cl.PollFetches(ctx)
		if err := f.Err0(); err != nil {
			t.Fatalf("%d of %d messages: %v", len(list), n, err)
		}
		list = append(list, f.Records()...)
	}
	return list
}

func headersOf(m *kgo.Record) map[string]string {
	h := map[string]string{}
	for _, x := range m.Headers {
		h[x.Key] = string(x.Value)
	}
	return h
}

func TestSend(t *testing.T) {
	c := cluster(t)
	e := env(t, brokers(c.ListenAddrs()))
	s := open(t, e, `{"connector":"c1","topic":"t","headers":{"place":"${at.room}","from":"${topic}"},"compression":"zstd"}`)
	a, b := record("dev1", 0, `{"v":1,"at":{"room":"r1"}}`), record("dev2", 1, `{"v":2,"at":{"room":7}}`)
	if err := s.Send(t.Context(), []rules.Record{a, b}); err != nil {
		t.Fatal(err)
	}
	got := read(t, c.ListenAddrs(), 2, "t")
	slices.SortFunc(got, func(x, y *kgo.Record) int { return strings.Compare(string(x.Key), string(y.Key)) })
	for i, want := range []struct {
		r    rules.Record
		room string
	}{{a, "r1"}, {b, "7"}} {
		m := got[i]
		if string(m.Key) != want.r.Device.String() || string(m.Value) != string(want.r.Result) || !m.Timestamp.Equal(want.r.Time) {
			t.Errorf("got %s: %s at %v", m.Key, m.Value, m.Timestamp)
		}
		headers := map[string]string{"hawser-key": want.r.Key(), "hawser-message-id": want.r.MessageID.String(), "place": want.room, "from": want.r.Topic}
		if h := headersOf(m); !reflect.DeepEqual(h, headers) {
			t.Errorf("headers %v, want %v", h, headers)
		}
	}
}

func TestTemplates(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, "plant-7"))
	e := env(t, brokers(c.ListenAddrs()))
	s := open(t, e, `{"connector":"c1","topic":"plant-${p}","key":"${p}","value":"${v} at ${timestamp}"}`)
	if err := s.Send(t.Context(), []rules.Record{record("dev1", 0, `{"p":7,"v":1.5}`)}); err != nil {
		t.Fatal(err)
	}
	if m := read(t, c.ListenAddrs(), 1, "plant-7")[0]; string(m.Key) != "7" || string(m.Value) != "1.5 at 1764000000000" {
		t.Errorf("got %s: %s", m.Key, m.Value)
	}
	s = open(t, e, `{"connector":"c1","topic":"t","key":""}`)
	if err := s.Send(t.Context(), []rules.Record{record("dev1", 0, "\x00\xff{")}); err != nil {
		t.Fatal(err)
	}
	if m := read(t, c.ListenAddrs(), 1, "t")[0]; m.Key != nil || string(m.Value) != "\x00\xff{" {
		t.Errorf("bytes without a key: got %q: %q", m.Key, m.Value)
	}
	for topic, result := range map[string]string{"${p}": `{"p":"a b"}`, "x${p}": `{"q":1}`, "${p}${p}": `{"p":"."}`} {
		s := open(t, e, `{"connector":"c1","topic":"`+topic+`"}`)
		// One that makes no message takes the others with it: none may go out before it.
		if err := s.Send(t.Context(), []rules.Record{record("dev1", 0, `{"p":"plant-7"}`), record("dev1", 1, result)}); !errors.Is(err, rules.ErrPermanent) {
			t.Errorf("%s of %s: %v", topic, result, err)
		}
	}
	if got := count(t, c, "plant-7"); got != 1 {
		t.Errorf("plant-7 has %d messages, want 1", got)
	}
}

// count is how many messages a topic has.
func count(t testing.TB, c *kfake.Cluster, topic string) (n int64) {
	t.Helper()
	for _, p := range c.PartitionInfos(topic) {
		n += p.HighWatermark
	}
	return n
}

func TestPreview(t *testing.T) {
	e := env(t, `{"brokers":["k1.example"],"sasl":"PLAIN","user":"u","password":"geheim"}`)
	s := open(t, e, `{"connector":"c1","topic":"p-${v}","headers":{"b":"2","a":"${v}"}}`)
	r := record("dev1", 0, `{"v":1}`)
	got, err := s.Preview(&r)
	want := rules.Preview{Target: "Kafka plant (k1.example), topic p-1", Statement: `{"v":1}`,
		Headers: []string{"key: " + product + "/dev1", "hawser-key: 1000:5", "hawser-message-id: 1000", "a: 1", "b: 2"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	r.Result = []byte(`{}`)
	if _, err := s.Preview(&r); !errors.Is(err, rules.ErrPermanent) {
		t.Errorf("a field that is missing: %v", err)
	}
}

func TestConfig(t *testing.T) {
	e := env(t, `{"brokers":["k1"]}`)
	for _, bad := range []string{``, `[]`, `{}`, `{"connector":"c1"}`, `{"connector":"c2","topic":"t"}`, `{"connector":"c1","topic":"a b"}`, `{"connector":"c1","topic":"${"}`,
		`{"connector":"c1","topic":"t","colour":1}`, `{"connector":"c1","topic":"t","batchSize":-1}`, `{"connector":"c1","topic":"t","batchSize":5001}`,
		`{"connector":"c1","topic":"t","lingerMillis":-1}`, `{"connector":"c1","topic":"t","compression":"rar"}`, `{"connector":"c1","topic":"t","partitioner":"x"}`,
		`{"connector":"c1","topic":"t","headers":{"hawser-key":"x"}}`, `{"connector":"c1","topic":"t","headers":{"":"x"}}`, `{"connector":"c1","topic":"t","headers":{"a":"${}"}}`,
		`{"connector":"c1","topic":"t","key":"${x"}`, `{"connector":"c1","topic":"t","value":"${x"}`} {
		if _, err := New(json.RawMessage(bad), e); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
	s := open(t, e, `{"connector":"c1","topic":"t","batchSize":7,"lingerMillis":0}`)
	if s.MaxBatch() != 7 || s.Linger() != 0 {
		t.Errorf("batches of %d within %v", s.MaxBatch(), s.Linger())
	}
}

func TestConnectorConfig(t *testing.T) {
	out := outbound.New(outbound.Options{})
	for bad, says := range map[string]string{
		``: "read", `{}`: "brokers", `{"brokers":[]}`: "brokers", `{"brokers":["a:b:c"]}`: "a:b:c", `{"brokers":[""]}`: "host:port", `{"brokers":["k"],"colour":1}`: "colour",
		`{"brokers":["127.0.0.1"]}`: "--rule-allow-local", `{"brokers":["[::1]:9092"]}`: "--rule-allow-local",
		`{"brokers":["k"],"user":"u"}`: "sasl", `{"brokers":["k"],"sasl":"PLAIN"}`: "password", `{"brokers":["k"],"sasl":"X","user":"u","password":"p"}`: "SCRAM",
		`{"brokers":["k"],"timeoutSeconds":61}`: "timeoutSeconds", `{"brokers":["k"],"timeoutSeconds":0.5}`: "timeoutSeconds",
		`{"brokers":["k"],"maxMessageBytes":10}`: "maxMessageBytes", `{"brokers":["k"],"ca":"x"}`: "tls: true", `{"brokers":["k"],"tls":true,"ca":"x"}`: "PEM",
		`{"brokers":["k"],"tls":true,"clientCertificate":"x"}`: "go together", `{"brokers":["k"],"tls":true,"clientCertificate":"x","clientKey":"y"}`: "clientCertificate and clientKey",
	} {
		if _, err := ConnectorKind().Open(json.RawMessage(bad), out); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	c, err := parseConnector(json.RawMessage(`{"brokers":["k1","k2:9093","[2001:db8::1]:9094","2001:db8::2"]}`), out)
	if want := []string{"k1:9092", "k2:9093", "[2001:db8::1]:9094", "[2001:db8::2]:9092"}; err != nil || !reflect.DeepEqual(c.Brokers, want) {
		t.Errorf("brokers %v, %v, want %v", c.Brokers, err, want)
	}
}

func TestSoftware(t *testing.T) {
	for agent, want := range map[string][2]string{"hawser-hub/1.2": {"hawser-hub", "1.2"}, "": {"hawser", "0"}, "x y/(dev) +3.": {"x-y", "dev---3"}} {
		if name, version := software(agent); name != want[0] || version != want[1] {
			t.Errorf("%q: %s %s", agent, name, version)
		}
	}
}
