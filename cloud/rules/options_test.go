package rules

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// optioned makes a rule with one action of the target name.
func optioned(t *testing.T, r *rig, name string, o Options, fallback, onError string) *Rule {
	t.Helper()
	config := func(g string) json.RawMessage { return json.RawMessage(`{"Name":"` + g + `"}`) }
	a := Action{Kind: "target", Config: config(name), Options: o}
	n := NewRule{Name: "r-" + name, SQL: `SELECT i FROM /+/+/upload`, Enabled: true}
	if fallback != "" {
		a.Fallback = &Action{Kind: "target", Config: config(fallback)}
	}
	if onError != "" {
		n.ErrorAction = &Action{Kind: "target", Config: config(onError)}
	}
	n.Actions = []Action{a}
	rule, err := r.rules.Create(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return rule
}

func numbersOf(t *testing.T, records []Record) (list []int) {
	t.Helper()
	for _, rec := range records {
		var row struct{ I int }
		if err := json.Unmarshal(rec.Result, &row); err != nil {
			t.Fatal(err)
		}
		list = append(list, row.I)
	}
	slices.Sort(list)
	return list
}

// rigWith is a rig with another configuration.
func rigWith(t *testing.T, db *store.DB, config func(*Config)) *rig {
	t.Helper()
	r := newRig(t, db)
	r.config = config
	r.open()
	return r
}

func (r *rig) action(rule *Rule) ActionStats {
	r.t.Helper()
	s, err := r.rules.Stats(r.t.Context(), rule.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	return s.Actions[0]
}

func TestOptionsAreChecked(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	minus := -1
	for field, o := range map[string]Options{
		"whenFull": {WhenFull: "drop"}, "maxBytes": {MaxBytes: 1}, "maxAttempts": {MaxAttempts: 1001}, "expiresSeconds": {ExpiresSeconds: -1},
		"batch.count": {Batch: Batch{Count: -1}}, "batch.bytes": {Batch: Batch{Bytes: 1 << 40}}, "batch.lingerMillis": {Batch: Batch{LingerMillis: &minus}},
	} {
		_, err := r.rules.Create(t.Context(), NewRule{Name: "r", SQL: `SELECT i FROM /+/+/upload`,
			Actions: []Action{{Kind: "target", Config: json.RawMessage(`{"Name":"a"}`), Options: o}}})
		if e, ok := errors.AsType[*ErrInvalid](err); !ok || e.Field != "actions[0]."+field {
			t.Errorf("%s: %v", field, err)
		}
	}
	nested := &Action{Kind: "target", Config: json.RawMessage(`{"Name":"a"}`), Fallback: &Action{Kind: "target", Config: json.RawMessage(`{"Name":"a"}`)}}
	_, err := r.rules.Create(t.Context(), NewRule{Name: "r", SQL: `SELECT i FROM /+/+/upload`,
		Actions: []Action{{Kind: "target", Config: json.RawMessage(`{"Name":"a"}`), Fallback: nested}}})
	if e, ok := errors.AsType[*ErrInvalid](err); !ok || e.Field != "actions[0].fallback.fallback" {
		t.Errorf("fallback of a fallback: %v", err)
	}
}

// TestOptionsAreKept over a restart, with the actions beside the rule's own.
func TestOptionsAreKept(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := newRig(t, db)
		linger := 7
		want := Options{Batch: Batch{Count: 3, Bytes: 1000, LingerMillis: &linger}, WhenFull: Block, MaxBytes: 1 << 20, MaxAttempts: 5, ExpiresSeconds: 1.5}
		made := optioned(t, r, "many", want, "a", "b")
		r.open()
		got, err := r.rules.Get(t.Context(), made.ID)
		if err != nil {
			t.Fatal(err)
		}
		a, b := made.Actions[0], got.Actions[0]
		if fmt.Sprint(*b.Options.Batch.LingerMillis) != "7" || b.Options.MaxBytes != want.MaxBytes || b.Options.WhenFull != Block || b.Options.Batch.Bytes != 1000 {
			t.Errorf("options %+v, want %+v", b.Options, want)
		}
		if b.Fallback == nil || b.Fallback.ID != a.Fallback.ID || got.ErrorAction == nil || got.ErrorAction.ID != made.ErrorAction.ID {
			t.Errorf("got %+v, want %+v", got, made)
		}
		ids := []int64{a.ID, a.Fallback.ID, made.ErrorAction.ID}
		name := "other"
		changed, err := r.rules.Update(t.Context(), made.ID, Change{Name: &name})
		if err != nil || !slices.Equal(ids, []int64{changed.Actions[0].ID, changed.Actions[0].Fallback.ID, changed.ErrorAction.ID}) {
			t.Errorf("a change of the name: %+v, %v, want the actions %d", changed, err, ids)
		}
	})
}

// TestBatchBytes: batches are bounded by bytes too; a record that is larger goes alone.
func TestBatchBytes(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	most := atomic.Int64{}
	r.targets["many"].failing(func(rs []Record) error {
		bytes := 0
		for _, rec := range rs {
			bytes += len(rec.Result)
		}
		if len(rs) > 1 {
			most.Store(max(most.Load(), int64(bytes)))
		}
		return nil
	})
	linger := 20
	rule := optioned(t, r, "many", Options{Batch: Batch{Bytes: 30, LingerMillis: &linger}}, "", "")
	r.run()
	r.number(0, 100)
	r.stats(rule, 100)
	if n := most.Load(); n == 0 || n > 30 {
		t.Errorf("a batch of %d bytes, want 1 to 30", n)
	}
}

func TestExpiry(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	r.targets["a"].failing(func([]Record) error { return ErrUnavailable })
	rule := optioned(t, r, "a", Options{ExpiresSeconds: 3600}, "b", "")
	var later atomic.Int64
	r.clock = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	r.rules.now = r.clock
	r.run()
	r.number(0, 50)
	later.Store(int64(2 * time.Hour))
	r.eventually("they are too old", func() bool { return r.action(rule).Dropped[dropExpired] == 50 })
	r.targets["a"].failing(nil)
	r.number(50, 60)
	r.eventually("new ones are not", func() bool { return len(r.targets["a"].records()) == 10 })
	s := r.stats2(rule)
	if a := s.Actions[0]; a.Matched != 60 || a.Dead+a.FellBack != 0 {
		t.Errorf("stats %+v: what is too old is not given up", a)
	}
}

// stats2 checks the books once.
func (r *rig) stats2(rule *Rule) Stats {
	r.t.Helper()
	s, err := r.rules.Stats(r.t.Context(), rule.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, a := range s.Actions {
		sum := a.Delivered + a.InFlight + a.Queued + a.Late + a.Dead + a.FellBack
		for _, n := range a.Dropped {
			sum += n
		}
		if sum != a.Matched {
			r.t.Errorf("the books do not balance: %+v", a)
		}
	}
	return s
}

// TestQueueIsBounded: a target that is gone costs no more than its queue and its dead letters; the newest are kept in the queue, the
// oldest are dead letters, and what has no room is dropped and counted.
func TestQueueIsBounded(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := rigWith(t, db, func(c *Config) { c.DeadLetters = 300 })
		r.targets["a"].failing(func([]Record) error { return ErrUnavailable })
		rule := optioned(t, r, "a", Options{MaxBytes: minQueue}, "", "")
		r.run()
		const n = 2000
		r.number(0, n)
		r.eventually("the queue is within its bound", func() bool {
			a := r.action(rule)
			return a.Bytes <= minQueue && a.Matched == n && a.Dropped[dropFull] > 0
		})
		r.stats2(rule)
		a := r.action(rule)
		if a.Dead == 0 || a.Dead > 300 || a.Late == 0 {
			t.Errorf("stats %+v", a)
		}
		r.targets["a"].failing(nil)
		r.eventually("what was kept arrives", func() bool { return r.action(rule).Delivered > 0 && r.action(rule).Bytes == 0 })
		got := numbersOf(t, r.targets["a"].records())
		for i := range len(r.devices) { // the newest of each device
			if !slices.Contains(got, n-1-i) || slices.Contains(got, i) {
				t.Errorf("%d delivered, from %d to %d: want the newest", len(got), got[0], got[len(got)-1])
			}
		}
		r.stats2(rule)
	})
}

// TestLaggardKeepsLittle: an action with next to nothing in its own queue does not keep everybody else's records from being trimmed.
func TestLaggardKeepsLittle(t *testing.T) {
	r := rigWith(t, storetest.SQLite(t), func(c *Config) { c.OutboxBytes = store.Shards * 1 << 20 })
	r.targets["a"].failing(func([]Record) error { return ErrUnavailable })
	lags, err := r.rules.Create(t.Context(), NewRule{Name: "lags", SQL: `SELECT i FROM /+/+/upload WHERE i = 0`, Enabled: true,
		Actions: []Action{{Kind: "target", Config: json.RawMessage(`{"Name":"a"}`)}}})
	if err != nil {
		t.Fatal(err)
	}
	r.create("flows", `SELECT * FROM /+/+/upload`, "b")
	r.run()
	r.publish(0, `{"i":0}`)
	r.eventually("it lags", func() bool { return r.action(lags).Late == 1 })
	big := fmt.Sprintf(`{"i":1,"x":"%0*d"}`, 16<<10, 7)
	for range 150 {
		r.publish(0, big)
	}
	r.eventually("it has given up", func() bool { return r.action(lags).Dead == 1 })
	r.eventually("the outbox is empty", func() bool {
		if _, err := r.db.Outbox().Trim(t.Context()); err != nil {
			t.Fatal(err)
		}
		left, err := r.db.Outbox().Depth(t.Context())
		return err == nil && left == 0
	})
}

// TestBlock: an action that blocks takes no more than it has room for, what is not taken is not acknowledged, and nothing is lost.
func TestBlock(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	r.targets["a"].failing(func([]Record) error { return ErrUnavailable })
	rule := optioned(t, r, "a", Options{MaxBytes: minQueue, WhenFull: Block}, "", "")
	path := uplink.New(uplink.Config{Store: r.db, IDs: r.ids, Rules: r.rules, Log: r.log()})
	r.run()
	d := r.devices[0]
	next, refused := 0, 0
	publish := func(name string) error {
		tp := topic.Topic{Kind: topic.Custom, Device: d.Identity, Tail: name}
		return path.Do(t.Context(), &uplink.Message{Device: d.Identity, DeviceID: d.ID, Product: r.product, Topic: tp, Name: tp.String(),
			Payload: fmt.Appendf(nil, `{"i":%d}`, next), QoS: 1})
	}
	r.eventually("the door takes no more", func() bool {
		for range 100 {
			if err := publish("upload"); errors.Is(err, server.ErrUnavailable) {
				refused++
				return true
			} else if err != nil {
				t.Fatal(err)
			}
			next++
		}
		return false
	})
	if err := publish("other"); err != nil {
		t.Errorf("a message that the rule does not match: %v", err)
	}
	r.targets["a"].failing(nil)
	r.eventually("it takes more again", func() bool { return publish("upload") == nil })
	next++
	a := r.stats(rule, int64(next)).Actions[0]
	if a.Dead != 0 || len(a.Dropped) != 0 {
		t.Errorf("stats %+v", a)
	}
	checkNumbers(t, r.targets["a"].records(), 0, next, false)
}

// TestFallbackAndErrorAction: what an action gives up goes to its fallback, and the error action is told; when those fail too, that is
// the end of it.
func TestFallbackAndErrorAction(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := newRig(t, db)
		refuse := func([]Record) error { return fmt.Errorf("%w: no", ErrPermanent) }
		r.targets["a"].failing(refuse)
		rule := optioned(t, r, "a", Options{}, "many", "b")
		r.run()
		r.number(0, 40)
		r.eventually("the fallback has them", func() bool { return len(r.targets["many"].records()) == 40 })
		checkNumbers(t, r.targets["many"].records(), 0, 40, false)
		r.eventually("the error action was told", func() bool { return len(r.targets["b"].records()) == 40 })
		var e Envelope
		rec := r.targets["b"].records()[0]
		if err := json.Unmarshal(rec.Result, &e); err != nil || e.RuleName != rule.Name || e.ActionID != fmt.Sprint(rule.Actions[0].ID) ||
			e.TraceID != rec.MessageID || len(e.Payload) == 0 || len(e.Failures) != 1 || e.Attempts != 1 || e.ClientID != rec.Device.ClientID() {
			t.Errorf("envelope %s, %v", rec.Result, err)
		}
		if s := r.stats2(rule); s.Actions[0].FellBack != 40 || s.Actions[0].Dead != 0 {
			t.Errorf("stats %+v", s)
		}
		r.targets["many"].failing(refuse)
		r.targets["b"].failing(refuse)
		r.number(40, 50)
		r.eventually("two dead letters each: of the fallback, and of the error action for it and for the action", func() bool {
			n, err := r.rules.CountDead(t.Context(), DeadFilter{Rule: rule.ID})
			return err == nil && n == 30
		})
		r.stats2(rule)
	})
}

// TestBreaker: a target that is down is tried by one at a time, and its status says so.
func TestBreaker(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	var at, most, calls atomic.Int64
	r.targets["a"].failing(func([]Record) error {
		n := at.Add(1)
		defer at.Add(-1)
		if calls.Add(1) > 20 {
			most.Store(max(most.Load(), n))
		}
		time.Sleep(time.Millisecond) // so that others could come
		return fmt.Errorf("%w: gone", ErrUnavailable)
	})
	rule := optioned(t, r, "a", Options{}, "", "")
	r.run()
	if a := r.action(rule); a.Status != Connecting || a.Since.IsZero() {
		t.Errorf("before the first delivery: %+v", a)
	}
	r.number(0, 40)
	r.eventually("it is tried again and again", func() bool { return calls.Load() > 40 })
	a := r.action(rule)
	if a.Status == Connected || a.LastError == "" || a.LastErrorAt.IsZero() || most.Load() != 1 {
		t.Errorf("while it is down: %d at a time, %+v", most.Load(), a)
	}
	r.targets["a"].failing(nil)
	if a := r.stats(rule, 40).Actions[0]; a.Status != Connected || a.Delivered != 40 {
		t.Errorf("when it is back: %+v", a)
	}
	checkNumbers(t, r.targets["a"].records(), 0, 40, false)
}

// TestSinkThatPanics costs its own records and nobody else anything.
func TestSinkThatPanics(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	r.targets["a"].failing(func(rs []Record) error {
		if string(rs[0].Result) == `{"i":3}` {
			panic("oh")
		}
		return nil
	})
	rule := optioned(t, r, "a", Options{MaxAttempts: 2}, "", "")
	r.run()
	r.number(0, 20)
	if a := r.stats(rule, 20).Actions[0]; a.Dead != 1 || a.Delivered != 19 {
		t.Errorf("stats %+v", a)
	}
}

// TestTotals survive restarts, and are summed up over nodes; those of a rule that is deleted go.
func TestTotals(t *testing.T) {
	dsn := storetest.PostgresDSN(t)
	a := hubOn(t, dsn, 1, nil)
	rule := a.create("r", `SELECT i FROM /+/+/upload WHERE i < 1000`, "a")
	a.run()
	a.number(0, 100)
	total := func(r *rig) Total {
		s, err := r.rules.Stats(t.Context(), rule.ID)
		if err != nil {
			t.Fatal(err)
		}
		return s.Actions[0].Total
	}
	a.publish(0, `{`)
	a.eventually("all are delivered", func() bool { return total(a).Delivered == 100 })
	a.stop()
	a.open()
	if s, err := a.rules.Stats(t.Context(), rule.ID); err != nil || s.Actions[0].Delivered != 0 || s.Actions[0].Total.Delivered != 100 || s.FailedTotal != 1 || s.Failed != 0 {
		t.Errorf("after a restart: %+v, %v", s, err)
	}
	a.run()
	a.number(100, 150)
	a.eventually("they count on", func() bool { return total(a).Delivered == 150 })
	b := hubOn(t, dsn, 2, a)
	b.eventually("another node sees them", func() bool { return total(b).Delivered == 150 })
	if err := a.rules.Delete(t.Context(), rule.ID); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := a.db.QueryRow(t.Context(), `SELECT COUNT(*) FROM rule_total`).Scan(&n); err != nil || n != 0 {
		t.Errorf("%d totals are left of a rule that is gone, %v", n, err)
	}
}
