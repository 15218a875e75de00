package rules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/rulesql"
	"github.com/hawser-iot/hawser/protocol/topic"
	"github.com/hawser-iot/hawser/testbed/harness/leak"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

// target is a sink's other side: it keeps what it gets and fails when told to.
type target struct {
	batch  int
	linger time.Duration
	forget bool // it keeps nothing
	fail   atomic.Pointer[func([]Record) error]
	closed atomic.Int32 // how often

	mu  sync.Mutex
	got []Record
}

func (g *target) Send(_ context.Context, records []Record) error {
	if f := g.fail.Load(); f != nil {
		if err := (*f)(records); err != nil {
			return err
		}
	}
	if g.forget {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range records {
		r.Result = slices.Clone(r.Result)
		g.got = append(g.got, r)
	}
	return nil
}

func (g *target) MaxBatch() int         { return max(g.batch, 1) }
func (g *target) Linger() time.Duration { return g.linger }
func (g *target) Close() error {
	g.closed.Add(1)
	return nil
}

func (g *target) failing(f func([]Record) error) {
	if f == nil {
		g.fail.Store(nil)
		return
	}
	g.fail.Store(&f)
}

func (g *target) records() []Record {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.got)
}

// rig is the rules of one hub, with targets by name.
type rig struct {
	t       testing.TB
	db      *store.DB
	reg     *registry.Registry
	rules   *Rules
	product *registry.Product
	devices []*registry.Device
	targets map[string]*target
	ids     *message.IDs
	sent    desk
	name    string // of the node
	clock   func() time.Time
	config  func(*Config)
	stop    func()
	abandon func() // lets go of a run that cannot end well
}

type desk struct {
	mu  sync.Mutex
	got []string
}

func (d *desk) Publish(_ context.Context, dev ident.Device, name string, payload []byte, _ byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.got = append(d.got, dev.SN+" "+name+" "+string(payload))
	return nil
}

func newRig(t testing.TB, db *store.DB) *rig {
	t.Helper()
	r := &rig{t: t, db: db, clock: time.Now, targets: map[string]*target{"a": {}, "b": {}, "many": {batch: 10}}, ids: message.NewIDs(1, 0, time.Now)}
	r.fill()
	r.open()
	return r
}

// fill makes a product with devices.
func (r *rig) fill() {
	r.t.Helper()
	t, db := r.t, r.db
	var err error
	if r.reg, err = registry.New(t.Context(), db, r.log()); err != nil {
		t.Fatal(err)
	}
	if r.product, err = r.reg.CreateProduct(t.Context(), registry.NewProduct{Name: "p"}); err != nil {
		t.Fatal(err)
	}
	if r.devices, err = r.reg.CreateDevices(t.Context(), r.product.SN, 4, nil); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) log() *slog.Logger { return slog.New(slog.NewTextHandler(r.t.Output(), nil)) }

// open makes the Rules, as a start of the hub does.
func (r *rig) open() {
	r.t.Helper()
	kinds := map[string]Factory{
		"target": func(config json.RawMessage, _ Env) (Sink, error) {
			var c struct{ Name string }
			if err := json.Unmarshal(config, &c); err != nil {
				return nil, err
			}
			if g := r.targets[c.Name]; g != nil {
				return g, nil
			}
			return nil, fmt.Errorf("no target %q", c.Name)
		},
		"loop": func(config json.RawMessage, env Env) (Sink, error) { return loop{env, string(config)}, nil },
	}
	cfg := Config{RetryMin: time.Millisecond, RetryMax: 20 * time.Millisecond, MaxAttempts: 4, SaveEvery: 20 * time.Millisecond, LaneRecords: 32}
	var err error
	r.rules, err = New(r.t.Context(), r.tune(cfg), Deps{Store: r.db, Node: r.name, Registry: r.reg, IDs: r.ids, Sender: &r.sent, Kinds: kinds, Log: r.log()})
	if err != nil {
		r.t.Fatal(err)
	}
}

// tune changes the configuration where a test wants it otherwise.
func (r *rig) tune(cfg Config) Config {
	if r.config != nil {
		r.config(&cfg)
	}
	return cfg
}

// loop republishes to the device itself.
type loop struct {
	env  Env
	path string
}

func (l loop) Send(ctx context.Context, records []Record) error {
	for _, r := range records {
		name := topic.Name(r.Device, "set")
		if err := l.env.Publish(ctx, Publication{Device: r.Device, Topic: name, Payload: r.Result, MessageID: r.MessageID, Key: r.Key(), Hop: r.Hop + 1}); err != nil {
			return err
		}
	}
	return nil
}
func (loop) MaxBatch() int         { return 1 }
func (loop) Linger() time.Duration { return 0 }
func (loop) Close() error          { return nil }

func (r *rig) run() {
	ctx, cancel := context.WithCancel(r.t.Context())
	rules, end := r.rules, make(chan error, 1)
	go func() { end <- rules.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-end; err != nil {
			r.t.Errorf("Run: %v", err)
		}
	})
	r.abandon = cancel
	r.t.Cleanup(r.stop)
}

func (r *rig) create(name, sql string, targets ...string) *Rule {
	r.t.Helper()
	n := NewRule{Name: name, SQL: sql, Enabled: true}
	for _, g := range targets {
		n.Actions = append(n.Actions, Action{Kind: "target", Config: json.RawMessage(`{"Name":"` + g + `"}`)})
	}
	rule, err := r.rules.Create(r.t.Context(), n)
	if err != nil {
		r.t.Fatalf("create %s: %v", name, err)
	}
	return rule
}

// publish takes a message of a device on its topic upload, through the rules into the store, and waits for the commit.
func (r *rig) publish(device int, payload string) {
	r.t.Helper()
	r.submit(device, payload)()
}

// submit is publish without waiting: that is done by what it returns.
func (r *rig) submit(device int, payload string) (wait func()) {
	r.t.Helper()
	d := r.devices[device]
	m := &uplink.Message{ID: r.ids.Next(), Device: d.Identity, DeviceID: d.ID, Product: r.product, At: r.clock(), QoS: 1,
		Topic: topic.Topic{Kind: topic.Custom, Device: d.Identity, Tail: "upload"}, Payload: []byte(payload)}
	m.Name = m.Topic.String()
	out := r.rules.Match(m, m.Name, m.Root, nil)
	if len(out) == 0 {
		return func() {}
	}
	end := make(chan error, 1)
	r.db.Submit(&store.Unit{Device: d.ID, Out: out, Done: func(err error) { end <- err }})
	return func() {
		r.t.Helper()
		if err := <-end; err != nil {
			r.t.Fatalf("commit: %v", err)
		}
	}
}

// eventually polls until ok.
func (r *rig) eventually(what string, ok func() bool) {
	r.t.Helper()
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			for _, rule := range r.rules.List(context.Background(), "", 0, 0) {
				s, _ := r.rules.Stats(context.Background(), rule.ID)
				r.t.Logf("%s: %+v", rule.Name, s)
			}
			r.t.Fatalf("not in time: %s", what)
		}
		<-tick.C
	}
}

// stats waits until nothing is queued, and checks the books.
func (r *rig) stats(rule *Rule, matched int64) Stats {
	r.t.Helper()
	var s Stats
	r.eventually(fmt.Sprintf("%s: %d matched, none queued", rule.Name, matched), func() bool {
		var err error
		if s, err = r.rules.Stats(context.Background(), rule.ID); err != nil {
			r.t.Fatal(err)
		}
		for _, a := range s.Actions {
			sum := a.Delivered + a.InFlight + a.Queued + a.Late + a.Dead + a.FellBack
			for _, n := range a.Dropped {
				sum += n
			}
			if sum != a.Matched {
				r.t.Fatalf("the books do not balance: %+v", a)
			}
			if a.InFlight+a.Queued+a.Late != 0 || a.Matched != matched {
				return false
			}
		}
		return true
	})
	return s
}

func TestRecord(t *testing.T) {
	rec := Record{Action: 1 << 60, MessageID: 1574647125789118464, Index: 1 << 33, DeviceID: 77, Device: ident.Device{Product: "0123456789abcdef", SN: "dev1"},
		Topic: "/0123456789abcdef/dev1/upload", Time: time.UnixMilli(1_700_000_000_123).UTC(), Hop: 3, Result: []byte(`{"a":1}`)}
	b := rec.Append(nil)
	if len(b) > rec.size() {
		t.Errorf("%d bytes, size said %d", len(b), rec.size())
	}
	got, err := ParseRecord(b)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(rec) {
		t.Errorf("ParseRecord = %+v, %v, want %+v", got, err, rec)
	}
	if id, ok := actionOf(b); !ok || id != rec.Action {
		t.Errorf("actionOf = %d, %v", id, ok)
	}
	for n := range len(b) - len(rec.Result) {
		if _, err := ParseRecord(b[:n]); err == nil {
			t.Errorf("the first %d bytes are a record", n)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add((&Record{Action: 5, MessageID: 7, Topic: "/a", Result: []byte("{}")}).Append(nil))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRecord(b)
		if err != nil {
			return
		}
		again, err := ParseRecord(r.Append(nil))
		if err != nil || fmt.Sprint(again) != fmt.Sprint(r) {
			t.Errorf("%+v → %+v, %v", r, again, err)
		}
	})
}

// TestIndex compares the index with MQTT's matching, filter by filter.
func TestIndex(t *testing.T) {
	levels := []string{"a", "b", "c", "$system", ""}
	rnd := rand.New(rand.NewPCG(1, 2))
	pick := func(from []string) string { return from[rnd.IntN(len(from))] }
	var root *node
	var all []*compiled
	for i := range 300 {
		var parts []string
		for range 1 + rnd.IntN(4) {
			parts = append(parts, pick(append(levels, "+")))
		}
		if rnd.IntN(4) == 0 {
			parts = append(parts, "#")
		}
		c := &compiled{Rule: Rule{ID: int64(i), Name: "/" + strings.Join(parts, "/")}}
		root = root.with(c.Name, c)
		all = append(all, c)
	}
	for range 2000 {
		name := ""
		for range 1 + rnd.IntN(5) {
			name += "/" + pick(levels)
		}
		hits := root.find(name, nil)
		for _, c := range all {
			if got, want := slices.Contains(hits, c), topic.Match(c.Name, name); got != want {
				t.Fatalf("%s for %s: %v, want %v", c.Name, name, got, want)
			}
		}
	}
}

func TestInvalid(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	good := r.create("good", `SELECT * FROM /+/+/upload`, "a")
	action := []Action{{Kind: "target", Config: json.RawMessage(`{"Name":"a"}`)}}
	for name, n := range map[string]NewRule{
		"name":              {SQL: `SELECT * FROM a`, Actions: action},
		"sql":               {Name: "x", SQL: `SELECT FROM`, Actions: action},
		"actions":           {Name: "x", SQL: `SELECT * FROM a`, Enabled: true},
		"actions[0].kind":   {Name: "x", SQL: `SELECT * FROM a`, Actions: []Action{{Kind: "fax"}}},
		"actions[1].config": {Name: "x", SQL: `SELECT * FROM a`, Actions: []Action{action[0], {Kind: "target", Config: json.RawMessage(`{"Name":"zz"}`)}}},
	} {
		_, err := r.rules.Create(t.Context(), n)
		if e, ok := errors.AsType[*ErrInvalid](err); !ok || e.Field != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := r.rules.Create(t.Context(), NewRule{Name: "x", SQL: `SELECT * FROM a`, Actions: make([]Action, MaxActions+1)}); err == nil {
		t.Error("eleven actions were taken")
	}
	_, err := r.rules.Create(t.Context(), NewRule{Name: "x", SQL: "SELECT *\nFROM a WHERE )"})
	if e, ok := errors.AsType[*rulesql.Error](err); !ok || e.Line != 2 {
		t.Errorf("a fault in line 2: %v", err)
	}
	if _, err := r.rules.Create(t.Context(), NewRule{Name: "good", SQL: good.SQL, Actions: action}); !errors.Is(err, ErrExists) {
		t.Errorf("the name again: %v, want ErrExists", err)
	}
	for _, err := range []error{
		r.rules.Delete(t.Context(), 1),
		second(r.rules.Get(t.Context(), 1)), second(r.rules.SetEnabled(t.Context(), 1, true)), second(r.rules.Stats(t.Context(), 1)),
	} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("no such rule: %v, want ErrNotFound", err)
		}
	}
}

// A name that one project has tells another nothing.
func TestNamesAreOfTheirProject(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := newRig(t, db)
		mine := r.create("hot", `SELECT * FROM a`, "a")
		n := NewRule{Project: "farm", Name: "hot", SQL: mine.SQL}
		theirs, err := r.rules.Create(t.Context(), n)
		if err != nil {
			t.Fatalf("the name in another project: %v", err)
		}
		if _, err := r.rules.Create(t.Context(), n); !errors.Is(err, ErrExists) {
			t.Errorf("the name twice in a project: %v, want ErrExists", err)
		}
		n.Name = "cold"
		other, err := r.rules.Create(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.rules.Update(t.Context(), other.ID, Change{Name: &theirs.Name}); !errors.Is(err, ErrExists) {
			t.Errorf("renamed to it: %v, want ErrExists", err)
		}
	})
}

func second[T any](_ T, err error) error { return err }

func TestRuleLife(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		r := newRig(t, db)
		r.run()
		rule := r.create("hot", `SELECT deviceSN() AS sn, t FROM /+/+/upload WHERE t > 30`, "a", "b")
		sn := r.devices[0].Identity.SN
		r.publish(0, `{"t":31,"x":1}`)
		r.publish(0, `{"t":30}`)
		r.publish(0, `no json`)
		s := r.stats(rule, 1)
		if s.Matched != 1 || s.Failed != 1 {
			t.Errorf("stats = %+v", s)
		}
		got := r.targets["a"].records()
		if len(got) != 1 || string(got[0].Result) != `{"sn":"`+sn+`","t":31}` || got[0].Action != rule.Actions[0].ID || len(r.targets["b"].records()) != 1 {
			t.Errorf("delivered %+v", got)
		}
		if _, err := r.rules.SetEnabled(ctx, rule.ID, false); err != nil {
			t.Fatal(err)
		}
		r.publish(0, `{"t":40}`)
		sql, on := `SELECT t FROM /+/+/upload WHERE t > 50`, true
		keep := rule.Actions[:1]
		changed, err := r.rules.Update(ctx, rule.ID, Change{SQL: &sql, Enabled: &on, Actions: &keep})
		if err != nil || changed.Actions[0].ID != rule.Actions[0].ID || len(changed.Actions) != 1 {
			t.Fatalf("Update = %+v, %v", changed, err)
		}
		r.publish(0, `{"t":45}`)
		r.publish(0, `{"t":51}`)
		r.stats(rule, 2) // the books of an action that stays go on
		if n := len(r.targets["b"].records()); n != 1 {
			t.Errorf("the action that was taken away got %d records", n)
		}
		r.stop()
		r.open()
		r.run()
		stored, err := r.rules.Get(ctx, rule.ID)
		if err != nil || fmt.Sprint(*stored) != fmt.Sprint(*changed) {
			t.Errorf("after a restart %+v, %v, want %+v", stored, err, changed)
		}
		r.publish(0, `{"t":60}`)
		r.stats(rule, 1)
		if err := r.rules.Delete(ctx, rule.ID); err != nil {
			t.Fatal(err)
		}
		r.publish(0, `{"t":70}`)
		if list := r.rules.List(ctx, "", 0, 0); len(list) != 0 {
			t.Errorf("List = %v", list)
		}
	})
}

// number publishes i on device i%4, so that order per device can be seen; about ten share a commit.
func (r *rig) number(from, to int) {
	var waits []func()
	for i := from; i < to; i++ {
		waits = append(waits, r.submit(i%len(r.devices), fmt.Sprintf(`{"i":%d}`, i)))
		if len(waits) == 10 || i == to-1 {
			for _, wait := range waits {
				wait()
			}
			waits = waits[:0]
		}
	}
}

// checkNumbers wants from ≤ i < to from each device in order; repeats only where they may be.
func checkNumbers(t *testing.T, records []Record, from, to int, repeats bool) {
	t.Helper()
	seen := map[int]bool{}
	last := map[int64]int{}
	for _, rec := range records {
		var v struct{ I int }
		if err := json.Unmarshal(rec.Result, &v); err != nil {
			t.Fatal(err)
		}
		if seen[v.I] {
			if !repeats {
				t.Errorf("%d came twice", v.I)
			}
			continue
		}
		seen[v.I] = true
		if p, ok := last[rec.DeviceID]; ok && v.I < p {
			t.Errorf("%d came after %d", v.I, p)
		}
		last[rec.DeviceID] = v.I
	}
	for i := from; i < to; i++ {
		if !seen[i] {
			t.Errorf("%d is missing", i)
		}
	}
}

func TestDeadSinkHarmsNobody(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := newRig(t, db)
		r.targets["a"].failing(func([]Record) error { return ErrUnavailable })
		both := r.create("both", `SELECT i FROM /+/+/upload`, "a", "b")
		r.run()
		const n = 400
		r.number(0, n)
		r.eventually("the living sink has all", func() bool { return len(r.targets["b"].records()) == n })
		checkNumbers(t, r.targets["b"].records(), 0, n, false)
		s, err := r.rules.Stats(context.Background(), both.ID)
		if err != nil || s.Actions[0].InFlight+s.Actions[0].Queued+s.Actions[0].Late != n || s.Actions[0].Status == Connected || s.Actions[0].LastError == "" || s.Actions[1].Status != Connected {
			t.Errorf("stats with a dead sink: %+v, %v", s, err)
		}
		// The rows that only the dead sink lacks are kept by its own cursors; the others' have passed.
		r.eventually("the lanes stored their places", func() bool {
			list, err := r.rules.laneCursors(t.Context())
			return err == nil && len(list) == len(r.devices)
		})
		r.targets["a"].failing(nil)
		r.stats(both, n)
		checkNumbers(t, r.targets["a"].records(), 0, n, false)
		r.eventually("the lanes are level", func() bool {
			list, err := r.rules.laneCursors(t.Context())
			return err == nil && len(list) == 0
		})
		r.number(n, n+40)
		r.stats(both, n+40)
		checkNumbers(t, r.targets["a"].records(), 0, n+40, false)
		r.eventually("progress is saved", func() bool {
			if _, err := db.Outbox().Trim(t.Context()); err != nil {
				t.Fatal(err)
			}
			left, err := db.Outbox().Depth(t.Context())
			return err == nil && left == 0
		})
	})
}

func TestSlowSink(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	gate := make(chan struct{})
	r.targets["many"].failing(func([]Record) error { <-gate; return nil })
	rule := r.create("slow", `SELECT i FROM /+/+/upload`, "many")
	r.run()
	const n = 600 // more than the lanes' memory
	r.number(0, n)
	close(gate)
	r.stats(rule, n)
	checkNumbers(t, r.targets["many"].records(), 0, n, false)
}

// TestLinger: few records wait for company, a full batch goes at once, and what waits is not taken for delivered.
func TestLinger(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	var calls []int
	many := r.targets["many"]
	many.linger = time.Hour
	many.failing(func(rs []Record) error { calls = append(calls, len(rs)); return nil })
	rule := r.create("r", `SELECT i FROM /+/+/upload`, "many")
	r.run()
	sent := 0
	send := func(n int) {
		for range n {
			r.publish(0, fmt.Sprintf(`{"i":%d}`, sent))
			sent++
		}
	}
	send(25)
	r.eventually("two full batches, five that wait", func() bool {
		s, err := r.rules.Stats(context.Background(), rule.ID)
		return err == nil && len(many.records()) == 20 && s.Actions[0].Delivered == 20 && s.Actions[0].Queued == 5
	})
	r.stop()
	if !slices.Equal(calls, []int{10, 10}) {
		t.Errorf("batches of %v, want 10 and 10", calls)
	}
	calls = nil
	many.linger = 5 * time.Millisecond
	r.open()
	r.run()
	r.eventually("the five that waited", func() bool { return len(many.records()) >= 25 })
	send(3)
	r.eventually("the rest after a short wait", func() bool { return len(many.records()) >= 28 })
	r.stop()
	if len(calls) == 0 || calls[len(calls)-1] > 3 {
		t.Errorf("batches of %v", calls)
	}
}

func TestRestart(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := newRig(t, db)
		rule := r.create("r", `SELECT i FROM /+/+/upload`, "a", "b")
		r.number(0, 50) // before Run
		r.run()
		r.stats(rule, 50)
		r.targets["a"].failing(func([]Record) error { return ErrUnavailable })
		r.number(50, 150)
		r.eventually("b has them", func() bool { return len(r.targets["b"].records()) == 150 })
		r.stop()
		r.open()
		r.number(150, 200)
		r.run()
		r.eventually("what waits is counted again", func() bool {
			s, err := r.rules.Stats(context.Background(), rule.ID)
			return err == nil && s.Actions[0].InFlight+s.Actions[0].Queued+s.Actions[0].Late == 150
		})
		r.targets["a"].failing(nil)
		r.eventually("a has them", func() bool { return len(r.targets["a"].records()) >= 200 })
		r.eventually("b has them", func() bool { return len(r.targets["b"].records()) >= 200 })
		checkNumbers(t, r.targets["a"].records(), 0, 200, true)
		checkNumbers(t, r.targets["b"].records(), 0, 200, true)
	})
}

func TestDeadLetters(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		r := newRig(t, db)
		rule := r.create("r", `SELECT i FROM /+/+/upload`, "many", "a")
		// 7 is refused for good, 13 fails each time in a way that may be anybody's fault.
		fail := func(records []Record) error {
			for _, rec := range records {
				switch string(rec.Result) {
				case `{"i":7}`:
					return fmt.Errorf("%w: unlucky", ErrPermanent)
				case `{"i":13}`:
					return errors.New("hmm")
				}
			}
			return nil
		}
		r.targets["many"].failing(fail)
		r.targets["a"].failing(fail)
		r.run()
		r.number(0, 60)
		s := r.stats(rule, 60)
		for _, a := range s.Actions {
			if a.Dead != 2 || a.Delivered != 58 {
				t.Errorf("action %+v, want 2 dead", a)
			}
		}
		letters, err := r.rules.DeadLetters(ctx, DeadFilter{Rule: rule.ID}, 0, 100)
		if err != nil || len(letters) != 4 {
			t.Fatalf("%d dead letters, %v, want 4", len(letters), err)
		}
		for _, l := range letters {
			want := map[string]string{`{"i":7}`: "the target refuses the record: unlucky", `{"i":13}`: "hmm"}[string(l.Payload)]
			if len(l.Failures) == 0 || !strings.Contains(l.Failures[len(l.Failures)-1].Error, want) || want == "" || l.Attempts == 0 {
				t.Errorf("dead letter %s: %+v", l.Payload, l.Envelope)
			}
		}
		r.targets["many"].failing(nil)
		r.targets["a"].failing(nil)
		if ids, last, err := r.rules.Replay(ctx, DeadFilter{Rule: rule.ID}, 0, 3); len(ids) != 3 || last == 0 || err != nil {
			t.Fatalf("Replay = %d, %d, %v", ids, last, err)
		}
		if ids, last, err := r.rules.Replay(ctx, DeadFilter{Rule: rule.ID}, 0, 3); len(ids) != 1 || last != 0 || err != nil {
			t.Fatalf("Replay of the rest = %d, %d, %v", ids, last, err)
		}
		if ids, _, err := r.rules.Replay(ctx, DeadFilter{IDs: []int64{letters[0].ID}}, 0, 1); len(ids) != 0 || err != nil {
			t.Errorf("Replay again = %d, %v", ids, err)
		}
		r.stats(rule, 62)
		if n := len(r.targets["a"].records()); n != 60 {
			t.Errorf("a has %d, want 60", n)
		}
		if left, err := r.rules.DeadLetters(ctx, DeadFilter{Rule: rule.ID}, 0, 100); err != nil || len(left) != 0 {
			t.Errorf("%d letters left, %v", len(left), err)
		}
	})
}

// TestErrorWithNUL: a target that says a NUL, which some databases have in no text, does not keep a record from being given up.
func TestErrorWithNUL(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := newRig(t, db)
		rule := r.create("r", `SELECT i FROM /+/+/upload`, "a")
		r.targets["a"].failing(func([]Record) error { return fmt.Errorf("%w: no room for \"a\x00b\"", ErrPermanent) })
		r.run()
		r.number(0, 1)
		r.eventually("it is a dead letter", func() bool {
			letters, err := r.rules.DeadLetters(t.Context(), DeadFilter{Rule: rule.ID}, 0, 10)
			return err == nil && len(letters) == 1 && strings.Contains(letters[0].Failures[0].Error, "no room for \"a\uFFFDb\"")
		})
	})
}

// TestReplayOfWhatIsTooOld: a letter that its action would drop for its age stays, until the action takes it.
func TestReplayOfWhatIsTooOld(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	rule := r.create("r", `SELECT i FROM /+/+/upload`, "a")
	r.targets["a"].failing(func([]Record) error { return ErrPermanent })
	r.run()
	r.number(0, 2)
	r.stats(rule, 2)
	r.targets["a"].failing(nil)
	replayed := func(expires float64) int {
		t.Helper()
		actions := slices.Clone(rule.Actions)
		actions[0].Options.ExpiresSeconds = expires
		if _, err := r.rules.Update(t.Context(), rule.ID, Change{Actions: &actions}); err != nil {
			t.Fatal(err)
		}
		ids, last, err := r.rules.Replay(t.Context(), DeadFilter{Rule: rule.ID}, 0, 10)
		if err != nil || last != 0 {
			t.Fatalf("Replay: last %d, %v", last, err)
		}
		return len(ids)
	}
	letters, err := r.rules.DeadLetters(t.Context(), DeadFilter{Rule: rule.ID}, 0, 10)
	if err != nil || len(letters) != 2 {
		t.Fatalf("%d letters, %v", len(letters), err)
	}
	if n := replayed(1e-6); n != 0 {
		t.Errorf("%d were put back, for the action to drop them", n)
	}
	if err := r.rules.Remake(t.Context(), "", letters[0].ID, []byte(`{"i":7}`), 1); !errors.Is(err, ErrNotRemade) {
		t.Errorf("Remake: %v", err)
	}
	if n := replayed(3600); n != 2 {
		t.Errorf("%d were put back, want 2", n)
	}
	r.eventually("both are delivered", func() bool { return len(r.targets["a"].records()) == 2 })
}

// TestPause: Retry-After is not come before, and is bounded.
func TestPause(t *testing.T) {
	cfg := Config{RetryMin: time.Second, RetryMax: 30 * time.Second}
	for _, tt := range []struct {
		n           int
		after       time.Duration
		least, most time.Duration
	}{
		{1, 0, time.Second / 2, time.Second}, {3, 0, 2 * time.Second, 4 * time.Second}, {100, 0, 15 * time.Second, 30 * time.Second},
		{1, 7 * time.Second, 7 * time.Second, 7700 * time.Millisecond}, {4, 7 * time.Second, 7 * time.Second, 8 * time.Second}, {1, time.Hour, time.Minute, 66 * time.Second},
	} {
		for range 100 {
			if got := cfg.pause(tt.n, later(tt.after)); got < tt.least || got > tt.most {
				t.Fatalf("failure %d, Retry-After %v: got %v, want %v to %v", tt.n, tt.after, got, tt.least, tt.most)
			}
		}
	}
}

// later is an error with a Retry-After.
type later time.Duration

func (later) Error() string               { return "later" }
func (l later) RetryAfter() time.Duration { return time.Duration(l) }

// TestSinksAreClosed: a sink is closed when another takes its place, and when its action goes.
func TestSinksAreClosed(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	rule := r.create("r", `SELECT i FROM /+/+/upload`, "a", "b")
	r.run()
	closed := func(a, b int32) {
		t.Helper()
		r.eventually(fmt.Sprintf("a is closed %d times, b %d", a, b), func() bool {
			return r.targets["a"].closed.Load() == a && r.targets["b"].closed.Load() == b
		})
	}
	name := "other"
	if _, err := r.rules.Update(t.Context(), rule.ID, Change{Name: &name}); err != nil {
		t.Fatal(err)
	}
	closed(1, 1)
	less := rule.Actions[:1]
	if _, err := r.rules.Update(t.Context(), rule.ID, Change{Actions: &less}); err != nil {
		t.Fatal(err)
	}
	closed(2, 2)
	if err := r.rules.Delete(t.Context(), rule.ID); err != nil {
		t.Fatal(err)
	}
	closed(3, 2)
}

func TestDeleteWhileDead(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	r.targets["a"].failing(func([]Record) error { return ErrUnavailable })
	rule := r.create("dead", `SELECT i FROM /+/+/upload`, "a")
	other := r.create("other", `SELECT i FROM /+/+/upload`, "b")
	r.run()
	r.number(0, 200)
	if err := r.rules.Delete(t.Context(), rule.ID); err != nil {
		t.Fatal(err)
	}
	r.stats(other, 200)
	r.eventually("nothing of it keeps the outbox", func() bool {
		if _, err := r.db.Outbox().Trim(t.Context()); err != nil {
			t.Fatal(err)
		}
		left, err := r.db.Outbox().Depth(t.Context())
		return err == nil && left == 0
	})
}

func TestRepublish(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	_, err := r.rules.Create(t.Context(), NewRule{Name: "round", SQL: `SELECT i FROM /+/+/upload, /+/+/set`, Enabled: true, Actions: []Action{{Kind: "loop"}}})
	if err != nil {
		t.Fatal(err)
	}
	seen := r.create("seen", `SELECT i FROM /+/+/set`, "a")
	r.run()
	r.publish(0, `{"i":1}`)
	max := int64(DefaultConfig().MaxHops)
	r.stats(seen, max)
	keys := map[string]bool{}
	for i, rec := range r.targets["a"].records() {
		if rec.Hop != i+1 || keys[rec.Key()] {
			t.Errorf("record %d: hop %d, key %s", i, rec.Hop, rec.Key())
		}
		keys[rec.Key()] = true
	}
	r.eventually("the loop ends as a dead letter", func() bool {
		letters, err := r.rules.DeadLetters(t.Context(), DeadFilter{Rule: r.rules.List(t.Context(), "", 0, 1)[0].ID}, 0, 10)
		return err == nil && len(letters) == 1 && strings.Contains(letters[0].Failures[0].Error, "republish")
	})
	r.sent.mu.Lock()
	defer r.sent.mu.Unlock()
	d := r.devices[0].Identity
	if want := d.SN + " " + topic.Name(d, "set") + ` {"i":1}`; len(r.sent.got) != int(max) || r.sent.got[0] != want {
		t.Errorf("sent %q, want %d times %q", r.sent.got, max, want)
	}
}

func TestDerived(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	rule := r.create("doc", `SELECT * FROM '/$system/+/+/shadow/document', '/$system/+/+/shadow/upstream'`, "a")
	d := r.devices[0]
	m := &uplink.Message{ID: r.ids.Next(), Device: d.Identity, DeviceID: d.ID, Name: topic.System(d.Identity, topic.ShadowUpstream), At: time.Now(), Payload: []byte(`{"up":1}`)}
	out := r.rules.Match(m, m.Name, m.Root, nil)
	out = r.rules.Match(m, topic.System(d.Identity, topic.ShadowDocument), func() (codec.Value, error) {
		doc, err := codec.Decode([]byte(`{"doc":1}`), codec.DefaultLimits())
		return doc.Root(), err
	}, out)
	if err := r.db.Do(t.Context(), &store.Unit{Device: d.ID, Out: out}); err != nil {
		t.Fatal(err)
	}
	r.run()
	r.stats(rule, 2)
	got := r.targets["a"].records()
	if string(got[0].Result) != `{"up":1}` || string(got[1].Result) != `{"doc":1}` || got[0].Key() == got[1].Key() {
		t.Errorf("got %s %s, %s %s", got[0].Key(), got[0].Result, got[1].Key(), got[1].Result)
	}
}

func benchmark(b *testing.B, rules int, filter func(i int) string, payload string) {
	r := newRig(b, storetest.SQLite(b))
	s := &set{}
	for i := range rules {
		c, sinks, err := r.rules.compile(Rule{ID: int64(i + 1), Project: registry.DefaultProject, DataType: JSON, Name: "n", SQL: `SELECT t FROM ` + filter(i) + ` WHERE t > 30 AND x = 'a'`,
			Actions: []Action{{ID: int64(i + 1), Kind: "target", Config: json.RawMessage(`{"Name":"a"}`)}}, Enabled: true}, nil)
		if err != nil {
			b.Fatal(err)
		}
		c.actions[0].use(sinks[0])
		s = s.with(c.ID, c)
	}
	r.rules.set.Store(s)
	d := r.devices[0]
	m := &uplink.Message{ID: 1, Device: d.Identity, DeviceID: d.ID, Name: topic.Name(d.Identity, "upload"), At: time.Now(), Payload: []byte(payload)}
	var out [][]byte
	root := m.Root
	b.ReportAllocs()
	for b.Loop() {
		out = r.rules.Match(m, m.Name, root, out[:0])
	}
}

func BenchmarkMatch(b *testing.B) {
	never := func(i int) string { return fmt.Sprintf("/p%d/+/upload", i) }
	always := func(int) string { return "/+/+/upload" }
	b.Run("none", func(b *testing.B) { benchmark(b, 0, never, `{}`) })
	b.Run("1000 other topics", func(b *testing.B) { benchmark(b, 1000, never, `{"t":31,"x":"a"}`) })
	b.Run("10 conditions false", func(b *testing.B) { benchmark(b, 10, always, `{"t":1,"x":"a"}`) })
	b.Run("1 fires", func(b *testing.B) { benchmark(b, 1, always, `{"t":31,"x":"a"}`) })
}
