package shadowsync

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hawser-iot/hawser/edge-agent/state"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/shadowdoc"
	"github.com/hawser-iot/hawser/protocol/topic"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var lamp = ident.Device{Product: "abcdefghij012345", SN: "lamp-1"}

// world is the hub, which holds its document by the same functions as the real one, and the device, which hears. Messages for the hub wait
// while the line is down, as in the buffer.
type world struct {
	t  *testing.T
	s  *Syncer
	up bool

	mu     sync.Mutex
	cloud  *shadowdoc.Document
	queue  []func() // what goes up or down next
	heard  []string // by the device
	local  []string // by programs
	wanted []server.Subscription
	refuse error  // what Deliver returns
	disk   memory // as it was when a message was delivered last
}

func newWorld(t *testing.T, cfg Config) *world {
	t.Helper()
	w := &world{t: t, cloud: shadowdoc.New()}
	cfg.Subdevices = true
	if cfg.Store == nil {
		cfg.Store = memory{}
	}
	w.restart(cfg)
	return w
}

func (w *world) restart(cfg Config) {
	w.t.Helper()
	s, err := New(cfg, w, slog.New(slog.DiscardHandler))
	if err != nil {
		w.t.Fatal(err)
	}
	s.Serve(w)
	w.s = s
	s.Attached(lamp)
}

func (w *world) Forward(d ident.Device, name string, payload []byte, _ byte, done func(error)) {
	payload = append([]byte(nil), payload...)
	w.mu.Lock()
	w.queue = append(w.queue, func() { w.hub(name, payload) })
	w.mu.Unlock()
	done(nil)
}

// hub answers as the real one.
func (w *world) hub(name string, payload []byte) {
	t, _ := topic.Parse(name)
	kind, answer := topic.ShadowDownstream, []byte(nil)
	switch t.Kind {
	case topic.ShadowGet:
		kind, answer = topic.ShadowGetReply, w.cloud.AppendGet(nil, 0)
	case topic.ShadowUpstream:
		doc, err := codec.Decode(payload, codec.DefaultLimits())
		if err != nil {
			w.t.Fatalf("the hub got %s", payload)
		}
		out := shadowdoc.Device(w.cloud, doc.Root(), time.Now(), shadowdoc.Options{})
		if out.Code != message.CodeOK && out.Code != message.CodeVersionConflict {
			w.t.Fatalf("the hub refuses %s: %d", payload, out.Code)
		}
		w.cloud = out.Document()
		answer = out.AppendReply(nil, 0)
	}
	w.say(kind, answer)
}

func (w *world) say(k topic.Kind, body []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = append(w.queue, func() {
		if err := w.s.Deliver(lamp, topic.System(lamp, k), body, 1); err != nil {
			w.t.Error(err)
		}
	})
}

// desire is an application at the hub.
func (w *world) desire(text string) {
	w.t.Helper()
	doc, err := codec.Decode([]byte(text), codec.DefaultLimits())
	if err != nil {
		w.t.Fatal(err)
	}
	out := shadowdoc.Desire(w.cloud, doc.Root(), time.Now(), shadowdoc.Options{})
	w.cloud = out.Document()
	if w.up && w.cloud.HasDesired() {
		w.say(topic.ShadowDownstream, w.cloud.AppendControl(nil, 0))
	}
}

// run does what waits, as long as the line is up.
func (w *world) run() {
	for n := 0; w.up; n++ {
		w.mu.Lock()
		if len(w.queue) == 0 {
			w.mu.Unlock()
			return
		}
		next := w.queue[0]
		w.queue = w.queue[1:]
		w.mu.Unlock()
		next()
		if n > 1000 {
			w.t.Fatal("they do not come to an end")
		}
	}
}

// line goes up or down; what was on its way down is lost.
func (w *world) line(up bool) {
	w.up = up
	w.s.setOnline(up)
	if up {
		for _, t := range w.s.all() {
			t.ask()
		}
	}
	w.run()
}

// device sends a request.
func (w *world) device(text string) {
	w.t.Helper()
	got := errors.New("not answered")
	w.s.Forward(lamp, topic.System(lamp, topic.ShadowUpstream), []byte(text), 1, func(err error) { got = err })
	if got != nil {
		w.t.Fatalf("%s: %v", text, got)
	}
	w.run()
}

func (w *world) Deliver(_ ident.Device, name string, payload []byte, _ byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m, ok := w.s.cfg.Store.(memory); ok {
		w.disk = maps.Clone(m)
	}
	if w.refuse != nil {
		return w.refuse
	}
	t, _ := topic.Parse(name)
	w.heard = append(w.heard, t.Kind.String()+" "+string(payload))
	return nil
}
func (w *world) Publish(name string, payload []byte, _ byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.local = append(w.local, name+" "+string(payload))
}
func (w *world) Local(_ string, _ []byte, _ byte, done func(error)) { done(nil) }
func (w *world) Notice(topic.Kind, []message.Subdev)                {}
func (w *world) Carries(d ident.Device) bool                        { return d == lamp }
func (w *world) Attached(ident.Device)                              {}
func (w *world) Detached(ident.Device)                              {}
func (w *world) Found(ident.Device)                                 {}
func (w *world) Admitted(ident.Device, credential.Secret)           {}
func (w *world) Wanted(_ ident.Device, subs []server.Subscription)  { w.wanted = subs }

// memory is a Store that is faster than a disk.
type memory map[string][]byte

func (m memory) PutNow(key string, value []byte) error { m.Put(key, value); return nil }
func (m memory) Put(key string, value []byte)          { m[key] = value }
func (m memory) Get(key string) []byte                 { return m[key] }
func (m memory) Keys() []string                        { return slices.Collect(maps.Keys(m)) }

// last is the last message that the device heard.
func (w *world) last() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.heard) == 0 {
		return ""
	}
	return w.heard[len(w.heard)-1]
}

func (w *world) state(d *shadowdoc.Document) string {
	var doc struct {
		State struct{ Reported, Desired json.RawMessage }
	}
	if err := json.Unmarshal(d.AppendDocument(nil), &doc); err != nil {
		w.t.Fatal(err)
	}
	return string(doc.State.Reported) + " " + string(doc.State.Desired)
}

func (w *world) expect(local, cloud string) {
	w.t.Helper()
	doc, err := w.s.Get(lamp)
	if err != nil {
		w.t.Fatal(err)
	}
	if got := w.state(doc); got != local {
		w.t.Errorf("here %s, want %s", got, local)
	}
	if got := w.state(w.cloud); got != cloud {
		w.t.Errorf("at the hub %s, want %s", got, cloud)
	}
}

// TestOffline: a device is answered while the hub is away, over a restart of the agent, and both sides meet afterwards.
func TestOffline(t *testing.T) {
	store, err := state.Open(filepath.Join(t.TempDir(), "state"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	cfg := Config{Store: store.Bucket("shadow")}
	w := newWorld(t, cfg)
	w.device(`{"Method":"update","State":{"Reported":{"on":0,"level":3}},"Version":0}`)
	if !strings.HasPrefix(w.last(), `shadow/downstream {"Method":"reply","Payload":{"RetCode":0},"Version":1,`) {
		t.Errorf("answered %s", w.last())
	}
	w.device(`{"Method":"update","State":{"Reported":{"level":4}},"Version":0}`)
	if !strings.Contains(w.last(), `"RetCode":100026`) {
		t.Errorf("a stale version is answered %s", w.last())
	}
	w.expect(`{"level":3,"on":0} {}`, "{} {}")
	cfg.Subdevices = true
	w.restart(cfg)
	w.expect(`{"level":3,"on":0} {}`, "{} {}")
	w.line(true)
	w.expect(`{"level":3,"on":0} {}`, `{"level":3,"on":0} {}`)
	w.desire(`{"on":1}`)
	w.run()
	w.expect(`{"level":3,"on":0} {"on":1}`, `{"level":3,"on":0} {"on":1}`)
	if !strings.Contains(w.last(), `"State":{"Desired":{"on":1}}`) {
		t.Errorf("the device heard %s", w.last())
	}
	w.line(false)
	w.device(`{"Method":"update","State":{"Reported":{"on":1},"Desired":null},"Version":2}`)
	w.desire(`{"level":9}`)
	w.expect(`{"level":3,"on":1} {}`, `{"level":3,"on":0} {"level":9,"on":1}`)
	w.line(true)
	w.expect(`{"level":3,"on":1} {"level":9}`, `{"level":3,"on":1} {"level":9}`)
}

// TestOwed: what is desired reaches a device that was away, also when the agent was killed behind the change and before the message, or the message
// could not be kept; and it does so once when nothing went wrong.
func TestOwed(t *testing.T) {
	kill := func(w *world) Config { return Config{Subdevices: true, Store: w.disk} }
	for name, tt := range map[string]struct {
		refuse error
		again  func(w *world) Config
		want   int
	}{
		"killed before the message":   {nil, kill, 2},
		"killed while it is away":     {server.ErrOffline, kill, 1},
		"the letter can't be kept":    {server.ErrUnavailable, func(w *world) Config { return w.s.cfg }, 1},
		"told":                        {nil, func(w *world) Config { return w.s.cfg }, 1},
		"it does not want to be told": {server.ErrNotSubscribed, func(w *world) Config { return w.s.cfg }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, Config{})
			w.line(true)
			w.refuse = tt.refuse
			w.desire(`{"mode":"eco"}`)
			w.run()
			w.refuse = nil
			w.restart(tt.again(w))
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := w.s.Run(ctx); err != nil {
				t.Fatal(err)
			}
			w.line(true)
			if got := strings.Count(strings.Join(w.heard, "\n"), `"Desired":{"mode":"eco"}`); got != tt.want {
				t.Errorf("told %d times, want %d: %q", got, tt.want, w.heard)
			}
		})
	}
}

func TestGetIsAnsweredHere(t *testing.T) {
	w := newWorld(t, Config{})
	w.device(`{"Method":"update","State":{"Reported":{"a":1}}}`)
	w.s.Forward(lamp, topic.System(lamp, topic.ShadowGet), nil, 1, func(error) {})
	if !strings.HasPrefix(w.last(), `shadow/get_reply {"State":{"Reported":{"a":1},"Desired":{}}`) {
		t.Errorf("answered %s", w.last())
	}
	w.device("nonsense")
	if !strings.Contains(w.last(), `"RetCode":230`) {
		t.Errorf("nonsense is answered %s", w.last())
	}
	w.s.Wanted(lamp, []server.Subscription{{Filter: topic.Name(lamp, "set"), QoS: 1}})
	w.s.Attached(lamp) // with a session that is kept
	if len(w.wanted) != 3 {
		t.Errorf("the hub is asked for %v when it comes back", w.wanted)
	}
	w.s.Wanted(lamp, nil)
	if len(w.wanted) != 2 {
		t.Errorf("the hub is asked for %v", w.wanted)
	}
	other := topic.Name(lamp, "upload")
	w.s.Forward(lamp, other, nil, 1, func(error) {})
	if len(w.queue) != 1 {
		t.Error("other topics do not pass")
	}
}

func TestPrograms(t *testing.T) {
	w := newWorld(t, Config{})
	var seen []string
	w.s.Subscribe(func(_ ident.Device, doc *shadowdoc.Document) { seen = append(seen, w.state(doc)) })
	local := func(what, payload string) error {
		var got error
		w.s.Local("local/shadow/"+lamp.Product+"/"+lamp.SN+"/"+what, []byte(payload), 1, func(err error) { got = err })
		return got
	}
	if err := errors.Join(local("desired", `{"a":1}`), local("reported", `{"b":2}`), local("get", "")); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(w.heard[0], `"Desired":{"a":1}`) {
		t.Errorf("the device heard %v", w.heard)
	}
	if want := `[{} {"a":1} {"b":2} {"a":1}]`; fmt.Sprint(seen) != want || len(w.local) != 3 || !strings.HasPrefix(w.local[2], "local/shadow/"+lamp.Product+"/lamp-1/document {") {
		t.Errorf("seen %v, %v", seen, w.local)
	}
	for _, bad := range []error{local("desired", "[]"), local("reported", `{"a"`), local("reported", `{},"x":{}`), local("other", "{}"),
		func() (err error) {
			w.s.Local("local/shadow/abcdefghij012345/nobody/get", nil, 1, func(e error) { err = e })
			return
		}()} {
		if bad == nil {
			t.Error("nonsense was taken")
		}
	}
	// Desired on the gateway it stays there.
	w.line(true)
	w.expect(`{"b":2} {"a":1}`, `{"b":2} {}`)
	for _, tt := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/shadow/abcdefghij012345/lamp-1", "", 200, `"Desired":{"a":1}`},
		{"PATCH", "/shadow/abcdefghij012345/lamp-1", `{"desired":{"a":null},"reported":{"c":3}}`, 200, `"Reported":{"b":2,"c":3},"Desired":{}`},
		{"PATCH", "/shadow/abcdefghij012345/lamp-1", `{"desired":[]}`, 422, "want an object"},
		{"PATCH", "/shadow/abcdefghij012345/lamp-1", `{`, 400, "error"},
		{"PATCH", "/shadow/abcdefghij012345/lamp-1", strings.Repeat("x", 64<<10+1), 413, "error"},
		{"GET", "/shadow/abcdefghij012345/nobody", "", 404, "error"},
		{"GET", "/other", "", 404, "error"},
		{"PUT", "/shadow/abcdefghij012345/lamp-1", "", 405, "error"},
	} {
		rec := httptest.NewRecorder()
		w.s.ServeHTTP(rec, httptest.NewRequest(tt.method, tt.path, strings.NewReader(tt.body)))
		if rec.Code != tt.status || !strings.Contains(rec.Body.String(), tt.want) {
			t.Errorf("%s %s %.40s: %d %s", tt.method, tt.path, tt.body, rec.Code, rec.Body.String())
		}
	}
}

// TestAskedAgain: an answer that does not come is asked for again; one that was lost with a connection is not waited for.
func TestAskedAgain(t *testing.T) {
	w := newWorld(t, Config{AnswerWithin: 20 * time.Millisecond})
	w.device(`{"Method":"update","State":{"Reported":{"a":1}}}`)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	w.up = false // the line is there, and swallows
	go func() { w.s.Connected(ctx); ended <- nil }()
	go func() { ended <- w.s.Run(ctx) }()
	deadline := time.Now().Add(time.Minute)
	for asked := 0; asked < 3; {
		w.mu.Lock()
		asked = len(w.queue)
		w.mu.Unlock()
		if time.Now().After(deadline) {
			t.Fatalf("asked %d times", asked)
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	<-ended
	<-ended
	w.queue = nil
	w.line(true)
	w.expect(`{"a":1} {}`, `{"a":1} {}`)
}

// TestRefused: a hub that keeps no shadow of the device is let be until the next connection; one in trouble is asked again.
func TestRefused(t *testing.T) {
	w := newWorld(t, Config{AnswerWithin: time.Minute})
	w.up = true
	for code, again := range map[message.Code]bool{message.CodeShadowDisabled: false, message.CodeInternal: true} {
		for _, k := range []topic.Kind{topic.ShadowGetReply, topic.ShadowDownstream} {
			w.queue = nil
			w.say(k, w.cloud.AppendReply(nil, code, time.Now()))
			w.run()
			tw := w.s.twin(lamp)
			tw.remind(time.Now().Add(2 * time.Minute))
			if got := len(w.queue) > 0; got != again {
				t.Errorf("%d on %s: asked again %v", code, k, got)
			}
		}
	}
	w.queue = nil
	w.device(`{"Method":"update","State":{"Reported":{"a":1}}}`)
	w.line(true)
	w.expect(`{"a":1} {}`, `{"a":1} {}`)
}

// TestAnyHistory: whatever both sides do, whenever the line breaks and the agent is started anew, in the end both report the same, and what the
// cloud desires is desired here, unless the device has cleared it.
func TestAnyHistory(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		cfg := Config{Store: memory{}, Subdevices: true, Conflicts: map[string]Policy{"*": []Policy{DeviceWins, CloudWins, Newest}[rnd.IntN(3)]}}
		w := newWorld(t, cfg)
		for range 40 {
			k, v := string(rune('a'+rnd.IntN(3))), rnd.IntN(5)
			switch rnd.IntN(9) {
			case 0, 1:
				w.device(fmt.Sprintf(`{"Method":"update","State":{"Reported":{%q:%d}}}`, k, v))
			case 2:
				w.device(fmt.Sprintf(`{"Method":"update","State":{"Desired":{%q:null}}}`, k))
			case 3:
				w.device(fmt.Sprintf(`{"Method":"delete","State":{"Reported":{%q:null}}}`, k))
			case 4, 5:
				w.desire(fmt.Sprintf(`{%q:%d}`, k, v))
			case 6:
				w.desire(fmt.Sprintf(`{%q:null}`, k))
			case 7:
				w.line(rnd.IntN(2) == 0)
			case 8:
				w.restart(cfg)
				w.line(w.up)
			}
		}
		w.line(false)
		w.line(true)
		doc, err := w.s.Get(lamp)
		if err != nil {
			t.Fatal(err)
		}
		if here, there := w.state(doc), w.state(w.cloud); here != there {
			t.Errorf("seed %d, %v: here %s, at the hub %s", seed, cfg.Conflicts, here, there)
		}
	}
}
