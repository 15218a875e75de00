package uplink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/monitor"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
	"github.com/hawser-iot/hawser/testbed/harness/leak"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

var dev = ident.Device{Product: "0123456789abcdef", SN: "dev-0001"}

// link is a connection that keeps what it is sent.
type link struct {
	mu      sync.Mutex
	sent    []string
	listens map[string]bool
}

func (l *link) Send(m server.Message) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = append(l.sent, string(m.Payload))
	return nil
}
func (l *link) Identity() string { return dev.ClientID() }
func (l *link) Data() any        { return nil }

// Subscribed: it listens to what is in listens.
func (l *link) Subscribed(name string) (byte, bool) { return 1, l.listens[name] }

func (l *link) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string{}, l.sent...)
}

type handlerFunc func(context.Context, *Message) error

func (f handlerFunc) Handle(ctx context.Context, m *Message) error { return f(ctx, m) }

func newPath(t testing.TB, db Store, c Config) *Path {
	t.Helper()
	c.Store, c.IDs, c.Log = db, message.NewIDs(1, 0, time.Now), slog.New(slog.DiscardHandler)
	p := New(c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return p
}

func post(payload string, l Link) *Message {
	return &Message{Device: dev, DeviceID: 7, Topic: topic.Topic{Kind: topic.EventPost, Device: dev}, Name: topic.System(dev, topic.EventPost),
		Payload: []byte(payload), QoS: 1, From: l}
}

var (
	insertDoc = store.NewStmt(`INSERT INTO shadow (device, revision, doc, updated_at) VALUES (?, 0, ?, 0)`)
	nextDoc   = store.NewStmt(`UPDATE shadow SET revision = revision + 1 WHERE device = ? AND revision = ?`)
)

// counter is a handler with a cached revision and a guard. It has one change on its way at a time, as the shadow has.
type counter struct {
	db     *store.DB
	turn   chan struct{}
	cached int64 // -1: read it; belongs to who has the turn
}

func (c *counter) Handle(ctx context.Context, m *Message) error {
	c.turn <- struct{}{}
	if c.cached < 0 {
		if err := c.db.QueryRow(ctx, `SELECT revision FROM shadow WHERE device = 7`).Scan(&c.cached); err != nil {
			<-c.turn
			return err
		}
	}
	m.Stage(store.Op{Stmt: nextDoc, Args: []any{m.DeviceID, c.cached}, Want: 1})
	c.cached++
	m.After(func(err error) {
		if err != nil {
			c.cached = -1
		}
		<-c.turn
	})
	id, _ := m.RequestID()
	return m.Reply(topic.EventPostReply, "", fmt.Appendf(nil, `{"RequestID":%q}`, id))
}

// TestConflictsKeepOrder: somebody else changes the state again and again while a device sends a stream of messages; each is
// counted and answered exactly once, and in order.
func TestConflictsKeepOrder(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		if err := db.Do(t.Context(), &store.Unit{Device: 7, Ops: []store.Op{{Stmt: insertDoc, Args: []any{7, []byte{}}, Want: 1}}}); err != nil {
			t.Fatal(err)
		}
		h := &counter{db: db, turn: make(chan struct{}, 1), cached: -1}
		p := newPath(t, db, Config{Handlers: map[topic.Kind]Handler{topic.EventPost: h}})
		var l link
		const n, others = 400, 20
		var wg sync.WaitGroup
		wg.Add(n)
		go func() {
			for range others {
				_ = db.Update(context.Background(), func(tx *store.Tx) error {
					_, err := tx.Exec(context.Background(), `UPDATE shadow SET revision = revision + 1 WHERE device = 7`)
					return err
				})
			}
		}()
		window := make(chan struct{}, 32) // as the engine bounds what is unacknowledged
		for i := range n {
			window <- struct{}{}
			p.Take(t.Context(), post(fmt.Sprintf(`{"RequestID":"%d"}`, i), &l), AckFunc(func(err error) {
				if err != nil {
					t.Errorf("message %d: %v", i, err)
				}
				<-window
				wg.Done()
			}))
		}
		wg.Wait()
		for i, s := range l.all() {
			if want := fmt.Sprintf(`{"RequestID":"%d"}`, i); s != want {
				t.Fatalf("answer %d is %s", i, s)
			}
		}
		if len(l.all()) != n {
			t.Errorf("%d answers, want %d", len(l.all()), n)
		}
	})
}

// fixed is a store whose units end as told.
type fixed struct{ err error }

func (f fixed) Submit(u *store.Unit) { u.Done(f.err) }

func TestEnds(t *testing.T) {
	stage := handlerFunc(func(_ context.Context, m *Message) error {
		m.Stage(store.Op{Stmt: nextDoc, Want: 1})
		return m.Reply(topic.EventPostReply, "", []byte(`{}`))
	})
	for name, c := range map[string]struct {
		handler Handler
		store   error
		want    error // by errors.Is; a Refusal by its code
		code    message.Code
		replies int
	}{
		"stored":             {handler: stage, replies: 1},
		"store down":         {handler: stage, store: store.ErrUnavailable, want: server.ErrUnavailable},
		"taken over":         {handler: stage, store: store.ErrFenced, want: server.ErrUnavailable},
		"always in conflict": {handler: stage, store: store.ErrConflict, code: message.CodeInternal, replies: 1},
		"bad unit":           {handler: stage, store: errors.New("no such table"), code: message.CodeInternal, replies: 1},
		"refused": {handler: handlerFunc(func(context.Context, *Message) error { return Refuse(message.CodeRange, "") }),
			code: message.CodeRange, replies: 1},
		"store down in handler": {handler: handlerFunc(func(context.Context, *Message) error { return fmt.Errorf("read: %w", store.ErrUnavailable) }),
			want: server.ErrUnavailable},
		"nobody": {code: message.CodeNoPermission, replies: 1},
	} {
		t.Run(name, func(t *testing.T) {
			handlers := map[topic.Kind]Handler{}
			if c.handler != nil {
				handlers[topic.EventPost] = c.handler
			}
			st := Store(fixed{c.store})
			if c.store == nil {
				st = fixed{}
			}
			p := newPath(t, st, Config{Handlers: handlers})
			var l link
			err := p.Do(t.Context(), post(`{"RequestID":"1"}`, &l))
			var r *Refusal
			switch {
			case c.code != 0 && (!errors.As(err, &r) || r.Code != c.code):
				t.Errorf("got %v, want a refusal with %d", err, c.code)
			case c.code == 0 && !errors.Is(err, c.want):
				t.Errorf("got %v, want %v", err, c.want)
			}
			if len(l.all()) != c.replies {
				t.Errorf("answers %q, want %d", l.all(), c.replies)
			}
		})
	}
}

// rules makes one output of every message and sees the derived ones.
type rules struct{ topics []string }

func (r *rules) Match(_ *Message, name string, payload func() (codec.Value, error), out [][]byte) [][]byte {
	r.topics = append(r.topics, name)
	v, err := payload()
	if err != nil {
		return out
	}
	return append(out, v.AppendJSON(nil))
}

func TestDerived(t *testing.T) {
	db := storetest.SQLite(t)
	var r rules
	feed := monitor.New(monitor.DefaultConfig())
	events, cancel := feed.Subscribe(monitor.Filter{})
	defer cancel()
	p := newPath(t, db, Config{Rules: &r, Feed: feed, Handlers: map[topic.Kind]Handler{topic.EventPost: handlerFunc(func(_ context.Context, m *Message) error {
		m.Emit(topic.PropertyDocument, []byte(`{"all":1}`))
		return nil
	})}})
	if err := p.Do(t.Context(), post(`{"RequestID":"1"}`, nil)); err != nil {
		t.Fatal(err)
	}
	rows, err := db.Outbox().Read(t.Context(), 7, 0, 10)
	if err != nil || len(rows) != 1 || len(rows[0].Records) != 2 || string(rows[0].Records[1]) != `{"all":1}` {
		t.Errorf("outbox %v, %v", rows, err)
	}
	if len(r.topics) != 2 || r.topics[1] != topic.System(dev, topic.PropertyDocument) {
		t.Errorf("rules saw %q", r.topics)
	}
	if e := <-events; string(e.Data) != `{"qos":1,"payload":{"RequestID":"1"}}` || e.MessageID == 0 {
		t.Errorf("event %+v %s", e, e.Data)
	}
}

func TestEventOfBytes(t *testing.T) {
	m := post("\xff\xfe", nil)
	if got := string(m.event(m.Name, m.Payload).Data); got != `{"qos":1,"payloadBase64":"//4="}` {
		t.Errorf("got %s", got)
	}
}

func TestPayloadLimit(t *testing.T) {
	if got := PayloadLimit(0, "/a"); got != 2048-1-2-2-2-2 {
		t.Errorf("got %d", got)
	}
}

// free is an Ack for benchmarks.
type free struct{ ch chan struct{} }

func (f free) Done(error) { f.ch <- struct{}{} }

// BenchmarkCustom is a message on a custom topic that one rule of ten looks into and none matches: the floor of the path.
func BenchmarkCustom(b *testing.B) {
	p := newPath(b, fixed{}, Config{Rules: none{}})
	payload := []byte(`{"temperature":21.5,"humidity":40,"status":"ok"}`)
	name := topic.Name(dev, "upload")
	ack := free{make(chan struct{}, 1)}
	b.ReportAllocs()
	for b.Loop() {
		m := p.New()
		m.Device, m.DeviceID, m.Topic, m.Name, m.Payload = dev, 7, topic.Topic{Kind: topic.Custom, Device: dev}, name, payload
		p.Take(context.Background(), m, ack)
		<-ack.ch
	}
}

// none is a set of rules that looks at the payload and matches nothing.
type none struct{}

func (none) Match(_ *Message, _ string, payload func() (codec.Value, error), out [][]byte) [][]byte {
	_, _ = payload()
	return out
}

// TestPathAllocates: a message that causes nothing costs no allocation on the path.
func TestPathAllocates(t *testing.T) {
	p := newPath(t, fixed{}, Config{Rules: none{}})
	payload, name := []byte(`{"temperature":21.5}`), topic.Name(dev, "upload")
	ack := free{make(chan struct{}, 1)}
	got := testing.AllocsPerRun(1000, func() {
		m := p.New()
		m.Device, m.DeviceID, m.Topic, m.Name, m.Payload = dev, 7, topic.Topic{Kind: topic.Custom, Device: dev}, name, payload
		p.Take(context.Background(), m, ack)
		<-ack.ch
	})
	if got >= 1 && !raceDetector {
		t.Errorf("%v allocations a message", got)
	}
}

// units keeps what it is given.
type units []*store.Unit

func (s *units) Submit(u *store.Unit) {
	*s = append(*s, &store.Unit{Patient: u.Patient})
	u.Done(nil)
}

// TestPatient: a commit may take its time for a property post at QoS 0, unless the sender listens to the answer.
func TestPatient(t *testing.T) {
	reply := handlerFunc(func(_ context.Context, m *Message) error {
		return m.Reply(topic.PropertyPostReply, "", []byte(`{}`))
	})
	answers := &link{listens: map[string]bool{topic.System(dev, topic.PropertyPostReply): true}}
	for _, test := range []struct {
		kind topic.Kind
		qos  byte
		from Link
		want bool
	}{
		{topic.PropertyPost, 0, &link{}, true},
		{topic.PropertyPost, 0, answers, false},
		{topic.PropertyPost, 0, nil, false}, // over HTTP
		{topic.PropertyPost, 1, &link{}, false},
		{topic.EventPost, 0, &link{}, false},
	} {
		var got units
		p := newPath(t, &got, Config{Handlers: map[topic.Kind]Handler{topic.PropertyPost: reply, topic.EventPost: reply}})
		m := post(`{}`, test.from)
		m.Topic.Kind, m.QoS = test.kind, test.qos
		if err := p.Do(t.Context(), m); err != nil || len(got) != 1 || got[0].Patient != test.want {
			t.Errorf("%v at QoS %d from %v: %d units, %v, want patient %v", test.kind, test.qos, test.from, len(got), err, test.want)
		}
	}
}

// TestOriginAllocates: what notes a publish for its repeat costs a message of a persistent session no more than its arguments.
func TestOriginAllocates(t *testing.T) {
	payload, name := []byte(`{"temperature":21.5}`), topic.Name(dev, "upload")
	got := testing.AllocsPerRun(1000, func() {
		o := OriginOf(7_000_000, 9_000, name, payload)
		_ = o.note(1574647125789118464)
	})
	if got > 4 && !raceDetector {
		t.Errorf("%v allocations a message", got)
	}
}
