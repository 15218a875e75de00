package messagelog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/bus"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/segment"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
	"github.com/hawser-iot/hawser/testbed/harness/leak"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

var dev = ident.Device{Product: "0123456789abcdef", SN: "dev-0001"}

// world is what logs stand on.
type world struct {
	t   testing.TB
	db  *store.DB
	reg *registry.Registry
	bus *bus.Bus
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, db: storetest.SQLite(t)}
	var err error
	if w.reg, err = registry.New(t.Context(), w.db, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if w.bus, err = bus.Open(context.Background(), bus.Config{Name: "test"}, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.bus.Close() })
	return w
}

// open starts a node's log; stop ends it.
func (w *world) open(node string, change func(*Config)) (l *Log, stop func()) {
	w.t.Helper()
	cfg := DefaultConfig(w.t.TempDir())
	cfg.Node = node
	if change != nil {
		change(&cfg)
	}
	l, err := New(cfg, Deps{Store: w.db, Registry: w.reg, Bus: w.bus, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("run: %v", err)
		}
	}
	w.t.Cleanup(stop)
	eventually(w.t, "node "+node+" is announced", func() bool {
		var n int
		return w.db.QueryRow(w.t.Context(), `SELECT COUNT(*) FROM message_log_node WHERE node = ?`, node).Scan(&n) == nil && n == 1
	})
	return l, stop
}

func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !cond(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

func full() *Record {
	return &Record{At: time.UnixMicro(1764240000123456).UTC(), Kind: KindUplink, Result: uplink.Refused, Product: dev.Product, Device: dev.SN,
		Action: "x", Topic: "/a/b", QoS: 1, Payload: []byte(`{"a":1}`), Size: 7, Took: 1500 * time.Microsecond, More: 2, LeftOut: 3,
		Hops: []uplink.Hop{{Name: "topic", Result: uplink.OK}, {Name: "model", Result: uplink.Refused, Code: message.CodeRange,
			Reason: "t is too large", Detail: "d", Took: time.Millisecond}}}
}

func TestRecordRoundTrip(t *testing.T) {
	byApp := full()
	byApp.Application, byApp.Project = "3fk2m9wq:dashboard", "default"
	for name, r := range map[string]*Record{"full": full(), "of an application": byApp, "empty": {At: time.UnixMicro(0).UTC(), Payload: []byte{}}} {
		got, err := parse(r.append(nil, 1024))
		if err != nil || !reflect.DeepEqual(&got, r) {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, r)
		}
	}
	got, err := parse(full().append(nil, 3))
	if err != nil || !got.Truncated || string(got.Payload) != `{"a` || got.Size != 7 {
		t.Errorf("truncated: got %+v, %v", got, err)
	}
	b := full().append(nil, 1024)
	for i := range b {
		if _, err := parse(b[:i]); err == nil {
			t.Fatalf("the first %d of %d bytes were read", i, len(b))
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(full().append(nil, 1024))
	f.Add((&Record{Application: "key:client", Project: "default"}).append(nil, 0))
	f.Add((&Record{Kind: KindLeftOut, LeftOut: 1 << 60}).append(nil, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parse(b)
		if err != nil {
			return
		}
		again, err := parse(r.append(nil, len(b)))
		if err != nil || again.Kind != r.Kind[:min(len(r.Kind), maxText)] || again.LeftOut != r.LeftOut {
			t.Errorf("round trip: %+v, %v, want %+v", again, err, r)
		}
	})
}

// numbered adds records 0 to n-1, whose message ids are 1000 and up.
func numbered(l *Log, from, to int) {
	for i := from; i < to; i++ {
		r := &Record{At: time.Now(), Kind: KindUplink, Result: uplink.OK, ID: message.ID(1000 + i), Product: dev.Product,
			Device: fmt.Sprintf("dev-%04d", i%3), Topic: "/t", Payload: fmt.Appendf(nil, `{"n":%d}`, i)}
		if i%10 == 9 {
			r.Result = uplink.Failed
		}
		if i%5 == 0 {
			r.Kind = KindDownlink
		}
		l.Add(context.Background(), r)
	}
}

// collect reads page after page and returns the numbers of the records.
func collect(t testing.TB, l *Log, f Filter, limit int, backward bool) (got []int) {
	t.Helper()
	var c Cursor
	for range 1000 {
		p, err := l.List(t.Context(), f, c, limit, backward)
		if err != nil || len(p.Records) > limit {
			t.Fatalf("list: %d records, %v", len(p.Records), err)
		}
		for i := range p.Records {
			got = append(got, int(p.Records[i].ID)-1000)
		}
		if !p.More {
			return got
		}
		if c, err = ParseCursor(p.Next.String()); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("no end of pages")
	return nil
}

func upTo(n int, keep func(int) bool) (s []int) {
	for i := range n {
		if keep(i) {
			s = append(s, i)
		}
	}
	return s
}

func every(int) bool { return true }

func TestList(t *testing.T) {
	w := newWorld(t)
	l, _ := w.open("n1", nil)
	const n = 137
	numbered(l, 0, n)
	want := func(f Filter, keep func(int) bool) {
		t.Helper()
		if got := collect(t, l, f, 10, false); !slices.Equal(got, upTo(n, keep)) {
			t.Errorf("%+v: got %v, want %v", f, got, upTo(n, keep))
		}
		back := upTo(n, keep)
		slices.Reverse(back)
		if got := collect(t, l, f, 7, true); !slices.Equal(got, back) {
			t.Errorf("%+v backward: got %v, want %v", f, got, back)
		}
	}
	want(Filter{}, every)
	want(Filter{Product: dev.Product}, every)
	want(Filter{Product: "another"}, func(int) bool { return false })
	want(Filter{Product: dev.Product, Device: "dev-0001"}, func(i int) bool { return i%3 == 1 })
	want(Filter{Kinds: []string{KindDownlink}}, func(i int) bool { return i%5 == 0 })
	want(Filter{Results: []uplink.Result{uplink.Failed}}, func(i int) bool { return i%10 == 9 })
	want(Filter{ID: 1042}, func(i int) bool { return i == 42 })
	want(Filter{Contains: `"n":13}`}, func(i int) bool { return i == 13 })
	want(Filter{To: time.Now().Add(-time.Hour)}, func(int) bool { return false })
	want(Filter{From: time.Now().Add(-time.Hour)}, every)
}

// From a cursor at the end on, each record is seen once, in order, over restarts too.
func TestFollow(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	l, stop := w.open("n1", func(c *Config) { c.Segment = segment.DefaultConfig(dir) })
	numbered(l, 0, 20)
	c := l.End()
	next := 20
	follow := func(to int) {
		t.Helper()
		numbered(l, next, to)
		for next < to {
			p, err := l.List(t.Context(), Filter{}, c, 100, false)
			if err != nil {
				t.Fatal(err)
			}
			for i := range p.Records {
				if int(p.Records[i].ID) != 1000+next {
					t.Fatalf("got %d, want %d", p.Records[i].ID-1000, next)
				}
				next++
			}
			c = p.Next
		}
	}
	follow(25)
	follow(60)
	stop()
	l, _ = w.open("n1", func(c *Config) { c.Segment = segment.DefaultConfig(dir) })
	follow(70)
}

// TestByApplication: a key's records, those of one of its clients, and those of no other, of whichever node is asked.
func TestByApplication(t *testing.T) {
	w := newWorld(t)
	a, _ := w.open("n1", nil)
	b, _ := w.open("n2", nil)
	for i, name := range []string{"key", "key:x", "key:xy", "keys:x", "", "key:x:1"} {
		b.Add(t.Context(), &Record{At: time.Now(), Kind: KindConnection, Result: uplink.OK, ID: message.ID(1000 + i), Application: name, Project: "default"})
	}
	for filter, want := range map[string][]int{"key": {0, 1, 2, 5}, "key:x": {1}, "key:x:1": {5}, "keys": {3}, "ke": nil, "": {0, 1, 2, 3, 4, 5}} {
		for _, l := range []*Log{a, b} {
			if got := collect(t, l, Filter{Application: filter}, 10, false); !slices.Equal(got, want) {
				t.Errorf("%q at %s: got %v, want %v", filter, l.cfg.Node, got, want)
			}
		}
	}
}

func TestTwoNodes(t *testing.T) {
	w := newWorld(t)
	a, _ := w.open("n1", nil)
	b, stopB := w.open("n2", nil)
	const n = 60
	for i := range n {
		numbered([]*Log{a, b}[i%2], i, i+1)
		<-time.After(2 * time.Microsecond) // times differ
	}
	for _, l := range []*Log{a, b} {
		if got := collect(t, l, Filter{}, 7, false); !slices.Equal(got, upTo(n, every)) {
			t.Errorf("asked %s: got %v", l.cfg.Node, got)
		}
		got := collect(t, l, Filter{}, 7, true)
		slices.Reverse(got)
		if !slices.Equal(got, upTo(n, every)) {
			t.Errorf("asked %s backward: got %v", l.cfg.Node, got)
		}
	}
	p, err := a.Message(t.Context(), 1001)
	if err != nil || len(p.Records) != 1 || p.Records[0].Node != "n2" || string(p.Records[0].Payload) != `{"n":1}` {
		t.Errorf("a message of the other node: %+v, %v", p, err)
	}
	stopB()
	p, err = a.List(t.Context(), Filter{}, nil, 100, true)
	if err != nil || !slices.Equal(p.Missing, []string{"n2"}) || len(p.Records) != n/2 {
		t.Errorf("without n2: %d records, missing %v, %v", len(p.Records), p.Missing, err)
	}
}

// A node whose answer was cut short must not be overtaken by what others have behind it.
func TestMergeWaitsForWhoHasMore(t *testing.T) {
	rec := func(node string, at int64) Record { return Record{Node: node, Logged: time.UnixMicro(at)} }
	answers := map[string]answer{
		"a": {records: []Record{rec("a", 10), rec("a", 20)}, end: 20, more: true},
		"b": {records: []Record{rec("b", 15), rec("b", 25)}, end: 99},
		"c": {end: 18, more: true}, // found nothing yet
	}
	p := merge(answers, Cursor{"gone": 5}, 10, false)
	if len(p.Records) != 2 || !p.More || p.Next["a"] != 10 || p.Next["b"] != 15 || p.Next["c"] != 18 || p.Next["gone"] != 5 {
		t.Errorf("got %+v", p)
	}
}

func TestLevels(t *testing.T) {
	w := newWorld(t)
	p, err := w.reg.CreateProduct(t.Context(), registry.NewProduct{Name: "p", Settings: registry.Settings{MessageLog: ptr("errors")}})
	if err != nil {
		t.Fatal(err)
	}
	l, _ := w.open("n1", nil)
	off, _ := w.open("n2", func(c *Config) { c.Level = uplink.LevelOff })
	if l.Level(nil) != uplink.LevelAll || l.Level(p) != uplink.LevelErrors || off.Level(p) != uplink.LevelOff {
		t.Error("levels")
	}
	for _, r := range []uplink.Result{uplink.OK, uplink.Failed, uplink.Refused, uplink.Waiting} {
		l.Add(t.Context(), &Record{Kind: KindDownlink, Result: r, Product: p.SN})
		off.Add(t.Context(), &Record{Kind: KindDownlink, Result: r, Product: p.SN})
	}
	list, err := l.List(t.Context(), Filter{}, nil, 10, false)
	if err != nil || len(list.Records) != 2 || list.Records[0].Result != uplink.Failed || list.Records[1].Result != uplink.Refused {
		t.Errorf("got %+v, %v", list, err)
	}
	if _, err := w.reg.CreateProduct(t.Context(), registry.NewProduct{Name: "q", Settings: registry.Settings{MessageLog: ptr("loud")}}); err == nil {
		t.Error("a level that there is not was taken")
	}
}

func ptr[T any](v T) *T { return &v }

// What does not fit is left out, good messages before bad ones, and the log says how many.
func TestLeftOut(t *testing.T) {
	w := newWorld(t)
	cfg := DefaultConfig(t.TempDir())
	cfg.Segment.QueueBytes = 8 << 10
	l, err := New(cfg, Deps{Store: w.db, Registry: w.reg, Bus: w.bus, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	numbered(l, 0, 150) // nobody writes yet
	for i := range 3 {
		l.Add(t.Context(), &Record{Kind: KindUplink, Result: uplink.Failed, ID: message.ID(5000 + i), Product: dev.Product})
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	var p Page
	eventually(t, "the log says what it left out", func() bool {
		p, err = l.List(t.Context(), Filter{Kinds: []string{KindLeftOut}}, nil, 10, false)
		return err == nil && len(p.Records) > 0
	})
	all := collect(t, l, Filter{Kinds: []string{KindUplink, KindDownlink}}, 500, false)
	if p.Records[0].LeftOut == 0 || len(all)+int(p.Records[0].LeftOut) != 153 {
		t.Errorf("%d records and %d left out, want 153 together", len(all), p.Records[0].LeftOut)
	}
	if !slices.Contains(all, 4000) {
		t.Error("a failure was left out where good messages were kept")
	}
}

func TestMask(t *testing.T) {
	for in, want := range map[string]string{
		`{"Params":[{"ProductSN":"p","ProductSecret":"hunter2","n":[1,{"password":"x"}]}]}`: `{"Params":[{"ProductSN":"p","ProductSecret":"***","n":[1,{"password":"***"}]}]}`,
		`not json`: ``,
	} {
		if got, _ := Mask(topic.TopoFound, []byte(in)); string(got) != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got, masked := Mask(topic.Custom, []byte(`{"Password":"x"}`)); masked || string(got) != `{"Password":"x"}` {
		t.Errorf("custom: %s", got)
	}
}

func TestCursorsOfOthersAreRefused(t *testing.T) {
	for _, s := range []string{"!", "bm9wZQ", "eD09"} {
		if _, err := ParseCursor(s); !errors.Is(err, ErrCursor) {
			t.Errorf("%q: got %v, want ErrCursor", s, err)
		}
	}
	c := Cursor{"n1": 5, "n2": 1 << 50}
	if got, err := ParseCursor(c.String()); err != nil || !reflect.DeepEqual(got, c) {
		t.Errorf("got %v, %v", got, err)
	}
}

// fixed is a store whose units end well.
type fixed struct{}

func (fixed) Submit(u *store.Unit) { u.Done(nil) }

func newPath(t testing.TB, l *Log, handlers map[topic.Kind]uplink.Handler) *uplink.Path {
	t.Helper()
	c := uplink.Config{Store: fixed{}, IDs: message.NewIDs(1, 0, time.Now), Handlers: handlers, Log: slog.New(slog.DiscardHandler), Rules: none{}}
	if l != nil {
		c.Journal = l
	}
	return uplink.New(c)
}

// none is a set of rules that looks at the payload and matches nothing.
type none struct{}

func (none) Match(_ *uplink.Message, _ string, payload func() (codec.Value, error), out [][]byte) [][]byte {
	_, _ = payload()
	return out
}

func TestDeviceLines(t *testing.T) {
	w := newWorld(t)
	l, _ := w.open("n1", nil)
	p := newPath(t, l, map[topic.Kind]uplink.Handler{topic.LogPost: l})
	post := func(payload string) error {
		return p.Do(t.Context(), &uplink.Message{Device: dev, DeviceID: 7, Topic: topic.Topic{Kind: topic.LogPost, Device: dev},
			Name: topic.System(dev, topic.LogPost), Payload: []byte(payload)})
	}
	at := time.Now().Add(-time.Minute).Truncate(time.Millisecond)
	for payload, ok := range map[string]bool{
		fmt.Sprintf(`{"Lines":[{"Time":%d,"Level":"Warn","Text":"hot"},{"Text":"plain"},{"Level":"odd","Text":"o"}]}`, at.UnixMilli()): true,
		`it is warm in here`:           true,
		`"a string"`:                   true,
		`{"Lines":[{"Level":"info"}]}`: false,
		`{"Lines":5}`:                  false,
		`{}`:                           false,
		"\xff\xfe":                     false,
		`{"Lines":[` + strings.Repeat(`{"Text":"x"},`, MaxLines) + `{"Text":"x"}]}`: false,
	} {
		if err := post(payload); ok != (err == nil) {
			t.Errorf("%.40s: got %v", payload, err)
		}
	}
	list, err := l.List(t.Context(), Filter{Kinds: []string{KindDevice}, Product: dev.Product, Device: dev.SN}, nil, 100, false)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range list.Records {
		got = append(got, r.Action+" "+string(r.Payload))
		if r.Action == "warning" && !r.At.Equal(at) {
			t.Errorf("time %v, want %v", r.At, at)
		}
	}
	slices.Sort(got)
	if want := []string{"info a string", "info it is warm in here", "info o", "info plain", "warning hot"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	refused, err := l.List(t.Context(), Filter{Results: []uplink.Result{uplink.Refused}}, nil, 100, false)
	if err != nil || len(refused.Records) != 5 {
		t.Errorf("%d refused, %v, want 5", len(refused.Records), err)
	}
}

func TestUplinkHops(t *testing.T) {
	w := newWorld(t)
	l, _ := w.open("n1", nil)
	refuse := handlerFunc(func(context.Context, *uplink.Message) error { return uplink.Refuse(message.CodeRange, "t: over 80") })
	p := newPath(t, l, map[topic.Kind]uplink.Handler{topic.PropertyPost: refuse})
	m := &uplink.Message{Device: dev, DeviceID: 7, Topic: topic.Topic{Kind: topic.PropertyPost, Device: dev},
		Name: topic.System(dev, topic.PropertyPost), Payload: bytes.Repeat([]byte(" "), 2000)}
	if err := p.Do(t.Context(), m); err == nil {
		t.Fatal("not refused")
	}
	page, err := l.Message(t.Context(), m.ID)
	if err != nil || len(page.Records) != 1 {
		t.Fatalf("got %+v, %v", page, err)
	}
	r := page.Records[0]
	if r.Result != uplink.Refused || !r.Truncated || r.Size != 2000 || len(r.Payload) != 1024 || r.ID != m.ID || r.Kind != KindUplink {
		t.Errorf("got %+v", r)
	}
	var names []string
	for _, h := range r.Hops {
		names = append(names, h.Name+" "+string(h.Result)+" "+h.Reason)
	}
	want := []string{"topic ok ", "model refused t: over 80", "store ok ", "answer ok "}
	if !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
}

type handlerFunc func(context.Context, *uplink.Message) error

func (f handlerFunc) Handle(ctx context.Context, m *uplink.Message) error { return f(ctx, m) }

// free is an Ack for benchmarks.
type free struct{ ch chan struct{} }

func (f free) Done(error) { f.ch <- struct{}{} }

// TestPathAllocates: the log costs a message no allocation on the path.
func TestPathAllocates(t *testing.T) {
	w := newWorld(t)
	l, _ := w.open("n1", nil)
	p := newPath(t, l, nil)
	payload, name := []byte(`{"temperature":21.5}`), topic.Name(dev, "upload")
	ack := free{make(chan struct{}, 1)}
	got := math.Inf(1)
	for range 5 { // the least: the log's writer allocates beside it, the more the longer that takes
		got = min(got, testing.AllocsPerRun(2000, func() {
			m := p.New()
			m.Device, m.DeviceID, m.Topic, m.Name, m.Payload = dev, 7, topic.Topic{Kind: topic.Custom, Device: dev}, name, payload
			p.Take(context.Background(), m, ack)
			<-ack.ch
		}))
	}
	if got >= 1 && !raceDetector {
		t.Errorf("%v allocations a message", got)
	}
}
