package natssink

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/outbound"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/testbed/harness/leak"
)

func TestMain(m *testing.M) {
	leak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*Server).updateServerUsage"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/internal/ocsp.Init"))
}

const product = "0123456789abcdef"

// serve starts a NATS server of the real kind, with JetStream.
func serve(t testing.TB, o server.Options) *server.Server {
	t.Helper()
	o.Host, o.NoLog, o.NoSigs, o.JetStream, o.StoreDir = "127.0.0.1", true, true, true, t.TempDir()
	if o.Port == 0 {
		o.Port = server.RANDOM_PORT
	}
	s, err := server.NewServer(&o)
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("NATS server not ready within a minute")
	}
	return s
}

type handle struct {
	conn   rules.Connection
	config string
}

func (h handle) Use(f func(rules.Connection) error) error { return f(h.conn) }
func (h handle) Info() (string, json.RawMessage)          { return "plant", json.RawMessage(h.config) }

func env(t testing.TB, config string) rules.Env {
	t.Helper()
	conn, err := ConnectorKind().Open(json.RawMessage(config), outbound.New(outbound.Options{AllowLocal: true}))
	if err != nil {
		t.Fatalf("connector: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // never fails
	return rules.Env{Connector: func(kind, id string) (rules.Handle, error) {
		if kind != Kind || id != "c1" {
			return nil, fmt.Errorf("no connector %s of kind %s", id, kind)
		}
		return handle{conn, config}, nil
	}}
}

func connection(t testing.TB, e rules.Env) rules.Connection {
	t.Helper()
	h, err := e.Connector(Kind, "c1")
	if err != nil {
		t.Fatal(err)
	}
	return h.(handle).conn
}

func open(t testing.TB, e rules.Env, config string) *Sink {
	t.Helper()
	s, err := New(json.RawMessage(config), e)
	if err != nil {
		t.Fatalf("New(%s): %v", config, err)
	}
	return s.(*Sink)
}

func config(s *server.Server, more ...string) string {
	return `{"servers":["` + s.ClientURL() + `"],"timeoutSeconds":2` + strings.Join(append([]string{""}, more...), ",") + `}`
}

func record(device string, i int, result string) rules.Record {
	return rules.Record{Action: 5, MessageID: message.ID(1000 + i), Device: ident.Device{Product: product, SN: device}, Topic: "/" + product + "/" + device + "/up",
		Time: time.UnixMilli(1764000000000 + int64(i)).UTC(), Result: []byte(result)}
}

func meant(err error) string {
	switch {
	case err == nil:
		return "delivered"
	case errors.Is(err, rules.ErrPermanent) && errors.Is(err, rules.ErrUnavailable):
		return "both"
	case errors.Is(err, rules.ErrPermanent):
		return "permanent"
	case errors.Is(err, rules.ErrUnavailable):
		return "unavailable"
	}
	return "tried a few times"
}

func client(t testing.TB, s *server.Server, o ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL(), o...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func stream(t testing.TB, nc *nats.Conn, c jetstream.StreamConfig) jetstream.Stream {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	st, err := js.CreateStream(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// texts are the stream's messages, in order.
func texts(t testing.TB, st jetstream.Stream) []string {
	t.Helper()
	info, err := st.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for n := uint64(1); n <= info.State.LastSeq; n++ {
		m, err := st.GetMsg(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, string(m.Data))
	}
	return list
}

// Without JetStream it is there for who listens.
func TestPublish(t *testing.T) {
	srv := serve(t, server.Options{})
	e := env(t, config(srv))
	nc := client(t, srv)
	sub, err := nc.SubscribeSync("plant.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	s := open(t, e, `{"connector":"c1","subject":"plant.${room}.${deviceSN}","headers":{"X-Room":"${room}"},"value":"${v} of ${topic}"}`)
	if err := s.Send(t.Context(), []rules.Record{record("dev1", 0, `{"room":"r1","v":1}`), record("dev2", 1, `{"room":7,"v":[]}`)}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct{ subject, data, key, id, room string }{
		{"plant.r1.dev1", "1 of /" + product + "/dev1/up", "1000:5", "1000", "r1"}, {"plant.7.dev2", "[] of /" + product + "/dev2/up", "1001:5", "1001", "7"},
	} {
		m, err := sub.NextMsg(time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if m.Subject != want.subject || string(m.Data) != want.data || m.Header.Get(nats.MsgIdHdr) != want.key || m.Header.Get(messageIDHeader) != want.id || m.Header.Get("X-Room") != want.room {
			t.Errorf("got %s: %s, %v", m.Subject, m.Data, m.Header)
		}
	}
	bytes := open(t, e, `{"connector":"c1","subject":"plant.x"}`)
	if err := bytes.Send(t.Context(), []rules.Record{record("dev1", 2, "\x00\xff{")}); err != nil {
		t.Fatal(err)
	}
	if m, err := sub.NextMsg(time.Minute); err != nil || string(m.Data) != "\x00\xff{" {
		t.Errorf("bytes: %v, %v", m, err)
	}
	for _, bad := range []string{`{"room":"a.b"}`, `{"room":"*"}`, `{"room":""}`, `{"room":1.5}`, `{"v":1}`, `{"room":null}`} {
		if err := s.Send(t.Context(), []rules.Record{record("dev1", 3, `{"room":"r","v":1}`), record("dev1", 4, bad)}); meant(err) != "permanent" {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if n, _, _ := sub.Pending(); n != 0 {
		t.Errorf("%d messages went out with one that could not", n)
	}
	if err := open(t, e, `{"connector":"c1","subject":"plant.x","headers":{"a":"${v}"}}`).Send(t.Context(), []rules.Record{record("dev1", 5, `{"v":"x\r\nNats-Msg-Id: 1"}`)}); meant(err) != "permanent" {
		t.Errorf("a header of two lines: %v", err)
	}
}

func TestJetStream(t *testing.T) {
	srv := serve(t, server.Options{})
	nc := client(t, srv)
	st := stream(t, nc, jetstream.StreamConfig{Name: "plant", Subjects: []string{"plant.>"}})
	s := open(t, env(t, config(srv)), `{"connector":"c1","subject":"plant.${deviceSN}","jetstream":true}`)
	var batch []rules.Record
	for i := range 90 {
		batch = append(batch, record("dev"+strconv.Itoa(i%3), i, strconv.Itoa(i)))
	}
	for range 2 { // what comes again is stored once
		if err := s.Send(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	last := map[int]int{}
	got := texts(t, st)
	for _, text := range got {
		n, _ := strconv.Atoi(text) // it was made so
		if before, ok := last[n%3]; ok && n != before+3 {
			t.Errorf("%d follows %d", n, before)
		}
		last[n%3] = n
	}
	if len(got) != len(batch) {
		t.Errorf("%d messages, want %d", len(got), len(batch))
	}
}

// A server hangs up on a subject that is too long: it would be tried for ever, and all who share the connection with it.
func TestLongSubject(t *testing.T) {
	srv := serve(t, server.Options{})
	s := open(t, env(t, config(srv)), `{"connector":"c1","subject":"plant.${name}"}`)
	for n, want := range map[int]string{1: "delivered", 3994: "delivered", 3995: "permanent", 100_000: "permanent"} {
		if err := s.Send(t.Context(), []rules.Record{record("dev1", 1, `{"name":"`+strings.Repeat("x", n)+`"}`)}); meant(err) != want {
			t.Errorf("%d bytes: %s, want %s: %.200v", n, meant(err), want, err)
		}
	}
	if m, err := s.message(&rules.Record{Result: []byte(`{"name":18446744073709551615}`)}); err != nil || m.Subject != "plant.18446744073709551615" {
		t.Errorf("a number: %+v, %v", m, err)
	}
}

func TestJetStreamRefuses(t *testing.T) {
	srv := serve(t, server.Options{MaxPayload: 4096})
	nc := client(t, srv)
	stream(t, nc, jetstream.StreamConfig{Name: "full", Subjects: []string{"full.x"}, MaxMsgs: 2, Discard: jetstream.DiscardNew})
	stream(t, nc, jetstream.StreamConfig{Name: "small", Subjects: []string{"small.x"}, MaxMsgSize: 300})
	e := env(t, config(srv))
	sink := func(subject string) *Sink {
		return open(t, e, `{"connector":"c1","subject":"`+subject+`","jetstream":true}`)
	}
	large := func(n int) rules.Record { return record("dev1", 100+n, `"`+strings.Repeat("x", n)+`"`) }
	for _, tt := range []struct {
		name    string
		sink    *Sink
		records []rules.Record
		want    string
	}{
		{"no stream", sink("nowhere"), []rules.Record{record("dev1", 0, `{}`)}, "unavailable"},
		{"no stream, by a field", sink("${where}"), []rules.Record{record("dev1", 0, `{"where":"nowhere"}`)}, "tried a few times"},
		{"room for two of three", sink("full.x"), []rules.Record{record("dev1", 1, `1`), record("dev1", 2, `2`), record("dev1", 3, `3`)}, "unavailable"},
		{"too large for the stream", sink("small.x"), []rules.Record{large(1000)}, "permanent"},
		{"too large for the server", sink("small.x"), []rules.Record{large(10), large(5000)}, "permanent"},
		{"just right", sink("small.x"), []rules.Record{large(20)}, "delivered"},
	} {
		if err := tt.sink.Send(t.Context(), tt.records); meant(err) != tt.want {
			t.Errorf("%s: %s, want %s: %v", tt.name, meant(err), tt.want, err)
		}
	}
	// When there is room again the third follows the second, which is known by its id.
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	st, err := js.UpdateStream(t.Context(), jetstream.StreamConfig{Name: "full", Subjects: []string{"full.x"}, MaxMsgs: 20, Discard: jetstream.DiscardNew})
	if err != nil {
		t.Fatal(err)
	}
	if err := sink("full.x").Send(t.Context(), []rules.Record{record("dev1", 1, `1`), record("dev1", 2, `2`), record("dev1", 3, `3`)}); err != nil {
		t.Fatal(err)
	}
	if got := texts(t, st); !reflect.DeepEqual(got, []string{"1", "2", "3"}) {
		t.Errorf("got %v", got)
	}
}

func TestPreview(t *testing.T) {
	e := env(t, `{"servers":["n1","n2:4223"],"token":"geheim"}`)
	r := record("dev1", 0, `{"v":1}`)
	got, err := open(t, e, `{"connector":"c1","subject":"a.${v}","headers":{"b":"${v}"},"jetstream":true}`).Preview(&r)
	want := rules.Preview{Target: "JetStream plant (n1,n2:4223), subject a.1", Statement: `{"v":1}`, Headers: []string{"Nats-Msg-Id: 1000:5", "Hawser-Message-Id: 1000", "b: 1"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	r.Result = []byte(`{}`)
	if _, err := open(t, e, `{"connector":"c1","subject":"a.${v}"}`).Preview(&r); meant(err) != "permanent" {
		t.Errorf("a field that is missing: %v", err)
	}
}

func TestConfig(t *testing.T) {
	e := env(t, `{"servers":["n1"]}`)
	for _, bad := range []string{``, `[]`, `{}`, `{"connector":"c2","subject":"a"}`, `{"connector":"c1","subject":""}`, `{"connector":"c1","subject":"a b"}`, `{"connector":"c1","subject":"a.>"}`,
		`{"connector":"c1","subject":"a..b"}`, `{"connector":"c1","subject":"$JS.API.STREAM.DELETE.x"}`, `{"connector":"c1","subject":"a.${"}`, `{"connector":"c1","subject":"a","colour":1}`,
		`{"connector":"c1","subject":"a","batchSize":-1}`, `{"connector":"c1","subject":"a","lingerMillis":-1}`, `{"connector":"c1","subject":"a","headers":{"nats-msg-id":"x"}}`,
		`{"connector":"c1","subject":"a","headers":{"hawser-x":"x"}}`, `{"connector":"c1","subject":"a","headers":{"a: b":"x"}}`, `{"connector":"c1","subject":"a","value":"${"}`} {
		if _, err := New(json.RawMessage(bad), e); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}
