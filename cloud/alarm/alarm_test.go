package alarm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry/filter/listing"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
	"github.com/hawser-iot/hawser/testbed/harness/leak"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

// rig is one node with a clock of its own; nothing runs by itself.
type rig struct {
	*Alarms
	t       *testing.T
	clock   time.Time
	windows map[string]float64
	sending func(context.Context, Message) error // before a message is got; nil: nothing
	mu      sync.Mutex                           // guards the fields below
	got     []Message
	fail    error
}

// The rig is its own metrics and its own way to people.
func (r *rig) Known(name string) bool { return name == "rule_dead" || name == "messages_up" }
func (r *rig) Window(_ context.Context, scope, name string, _ time.Duration) (float64, bool, error) {
	v, ok := r.windows[scope+" "+name]
	return v, ok, nil
}
func (r *rig) Turn(context.Context, string, time.Time) (bool, error) { return true, nil }
func (r *rig) Send(ctx context.Context, m Message) error {
	if r.sending != nil {
		if err := r.sending(ctx, m); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail == nil {
		r.got = append(r.got, m)
	}
	return r.fail
}

func newRig(t *testing.T, db *store.DB) *rig {
	t.Helper()
	r := &rig{t: t, clock: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), windows: map[string]float64{}}
	cfg := DefaultConfig()
	cfg.MaxOpen = 5
	var err error
	r.Alarms, err = New(t.Context(), cfg, Deps{Store: db, IDs: message.NewIDs(1, 0, time.Now), Metrics: r, Log: slog.New(slog.DiscardHandler),
		Kinds: map[string]Kind{"test": {Secrets: []string{"secret"}, Address: []string{"url"}, Open: func(b []byte) (Sender, error) {
			if !strings.Contains(string(b), "url") {
				return nil, errors.New("url is missing")
			}
			return r, nil
		}}},
		Scopes: Scopes{Project: func(p string) string { return "/" + p }, Product: func(p string) string { return p },
			Rule: func(n int64) string { return fmt.Sprint("#", n) }},
		Product:     func(_ context.Context, sn string) (string, bool) { return "farm", sn == "pump" },
		RuleProject: func(_ context.Context, id int64) (string, bool) { return "farm", id == 7 }})
	if err != nil {
		t.Fatal(err)
	}
	r.now = func() time.Time { return r.clock }
	return r
}

// rule makes a rule from its definition in JSON.
func (r *rig) rule(definition string) *Rule {
	r.t.Helper()
	var d Definition
	if err := json.Unmarshal([]byte(definition), &d); err != nil {
		r.t.Fatal(err)
	}
	rule, err := r.CreateRule(r.t.Context(), "farm", fmt.Sprint("r", r.IDs.Next()), true, d)
	if err != nil {
		r.t.Fatal(err)
	}
	return rule
}

// post has a device report, as the path does it, and judges what follows.
func (r *rig) post(sn, property string) {
	r.t.Helper()
	dev := ident.Device{Product: "pump", SN: sn}
	r.arrive(&uplink.Message{Device: dev, DeviceID: 1, At: r.clock, Topic: topic.Topic{Kind: topic.PropertyPost, Device: dev}, Payload: []byte(`{"RequestID":"1","Property":` + property + `}`)})
}

func (r *rig) arrive(m *uplink.Message) {
	r.t.Helper()
	r.Match(m)
	if err := r.Store.Do(r.t.Context(), &store.Unit{Ops: m.Staged()}); err != nil {
		r.t.Fatal(err)
	}
	m.Ended(nil)
	r.settleAll()
}

// settleAll settles what waits.
func (r *rig) settleAll() {
	r.t.Helper()
	for len(r.queue) > 0 {
		if err := r.settleInTheEnd(r.t.Context(), <-r.queue); err != nil {
			r.t.Fatal(err)
		}
	}
}

// online has a device come or go. Its row must be there.
func (r *rig) online(id int64, sn string, is bool) {
	r.t.Helper()
	state := 2
	if is {
		state = 1
	}
	err := r.Store.Update(r.t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(r.t.Context(), `UPDATE device SET state = ? WHERE id = ?`, state, id)
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	dev := ident.Device{Product: "pump", SN: sn}
	r.arrive(&uplink.Message{Device: dev, DeviceID: id, At: r.clock, Topic: topic.Topic{Kind: topic.DeviceStatus, Device: dev}, Payload: message.NewStatus(dev, is).AppendJSON(nil)})
}

func (r *rig) pass(d time.Duration) {
	r.t.Helper()
	r.clock = r.clock.Add(d)
	if err := r.mature(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// want holds that these alarms of a rule are open, as "subject text", the oldest first.
func (r *rig) want(rule *Rule, want ...string) {
	r.t.Helper()
	list, _, err := r.Search(r.t.Context(), Filter{Rule: rule.ID, States: []string{"open", "acknowledged"}}, listing.Query{})
	if err != nil {
		r.t.Fatal(err)
	}
	var got []string
	for i := range list {
		x := list[len(list)-1-i]
		got = append(got, strings.TrimSpace(x.Device+" "+x.Text))
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		r.t.Errorf("at %s open are %q, want %q", r.clock.Format("15:04:05"), got, want)
	}
}

func TestProperty(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := newRig(t, db)
		hot := r.rule(`{"severity":"major","condition":{"kind":"property","productSN":"pump","property":"t","op":">","value":30,"clearValue":25}}`)
		long := r.rule(`{"severity":"minor","condition":{"kind":"property","productSN":"pump","deviceSN":"pump-1","property":"m.speed","op":"==","value":0},"debounce":{"seconds":60}}`)
		often := r.rule(`{"severity":"warning","condition":{"kind":"property","productSN":"pump","property":"ok","op":"==","value":false},"debounce":{"count":2,"of":3}}`)
		r.post("pump-1", `{"t":{"Value":30}}`)
		r.want(hot)
		r.post("pump-1", `{"t":{"Value":30.5}}`)
		r.post("pump-2", `{"t":31}`)
		r.post("pump-1", `{"t":{"Value":40}}`)
		r.want(hot, "pump-1 t is 30.5 (> 30)", "pump-2 t is 31 (> 30)")
		r.post("pump-1", `{"t":{"Value":26}}`) // not yet over
		r.post("pump-2", `{"t":{"Value":24}}`)
		r.post("pump-1", fmt.Sprintf(`{"t":{"Value":10,"Time":%d}}`, r.clock.Add(-time.Hour).UnixMilli())) // was so an hour ago
		r.want(hot, "pump-1 t is 30.5 (> 30)")

		r.post("pump-1", `{"m":{"Value":{"speed":0}}}`)
		r.post("pump-2", `{"m":{"Value":{"speed":0}}}`) // not that device
		r.pass(59 * time.Second)
		r.want(long)
		r.post("pump-1", `{"m":{"Value":{"speed":0}}}`)
		r.pass(time.Second)
		r.want(long, "pump-1 m.speed is 0 (== 0)")
		r.post("pump-1", `{"m":{"Value":{"speed":5}}}`)
		r.post("pump-1", `{"m":{"Value":{"speed":0}}}`)
		r.pass(30 * time.Second)
		r.post("pump-1", `{"m":{"Value":{"speed":1}}}`) // a break
		r.pass(time.Hour)
		r.want(long)

		for _, ok := range []string{"false", "true", "true", "true", "false", "true"} {
			r.post("pump-1", `{"ok":`+ok+`}`)
		}
		r.want(often)
		r.post("pump-1", `{"ok":false}`)
		r.want(often, "pump-1 ok is false (== false)")
	})
}

func TestReportsThatChangeNothingAllocateNothing(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	r.rule(`{"severity":"major","condition":{"kind":"property","productSN":"pump","property":"t","op":">","value":30}}`)
	r.rule(`{"severity":"major","condition":{"kind":"property","productSN":"pump","property":"mode","op":"==","value":"off"}}`)
	r.post("pump-9", `{"t":31}`) // something is open
	dev := ident.Device{Product: "pump", SN: "pump-1"}
	m := &uplink.Message{Device: dev, At: r.clock, Topic: topic.Topic{Kind: topic.PropertyPost, Device: dev}, Payload: []byte(`{"Property":{"t":{"Value":20},"mode":"on"}}`)}
	if _, err := m.Root(); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(1000, func() { r.Match(m) }); n != 0 {
		t.Errorf("%v allocations a report", n)
	}
}

// device writes a device's row.
func (r *rig) device(id int64, sn string, gateway int64) {
	r.t.Helper()
	err := r.Store.Update(r.t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(r.t.Context(), `INSERT INTO device (id, product, sn, secret, state, created_at) VALUES (?, 'pump', ?, ?, 1, 0)`, id, sn, []byte{})
		if err == nil && gateway != 0 {
			_, err = tx.Exec(r.t.Context(), `INSERT INTO topology (subdevice, gateway, added_at) VALUES (?, ?, 0)`, id, gateway)
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

func TestPresence(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := newRig(t, db)
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `INSERT INTO product (sn, name, secret, created_at, updated_at) VALUES ('pump', 'pump', ?, 0, 0)`, []byte{})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for id, gateway := range map[int64]int64{1: 0, 2: 0, 3: 1, 4: 1, 5: 1} {
			r.device(id, fmt.Sprint("pump-", id), gateway)
		}
		away := r.rule(`{"severity":"critical","condition":{"kind":"presence","productSN":"pump"},"debounce":{"seconds":60}}`)
		r.online(2, "pump-2", false)
		r.pass(59 * time.Second)
		r.want(away)
		r.pass(time.Second)
		r.want(away, "pump-2 is offline")
		r.online(2, "pump-2", true)
		r.want(away)
		// It comes and goes while what came of its coming still waits in the queue.
		r.online(2, "pump-2", false)
		back := judgement{rule: away.ID, by: &away.Condition, subject: "pump/pump-2", device: 2, product: "pump", at: r.clock}
		if err := r.settle(t.Context(), back); err != nil {
			t.Fatal(err)
		}
		r.pass(time.Minute)
		r.want(away, "pump-2 is offline")
		if err := r.settle(t.Context(), back); err != nil {
			t.Fatal(err)
		}
		r.want(away, "pump-2 is offline")
		r.online(2, "pump-2", true)
		r.want(away)
		r.online(2, "pump-2", false) // for a moment
		r.online(2, "pump-2", true)
		r.pass(2 * time.Minute)
		r.want(away)

		// A gateway that goes takes three sub-devices with it: one alarm. When it is back without one of them, that is another.
		for _, id := range []int64{3, 4, 5, 1} {
			r.online(id, fmt.Sprint("pump-", id), false)
		}
		r.pass(time.Minute)
		r.want(away, "pump-1 is offline")
		list, _, _ := r.Search(t.Context(), Filter{Rule: away.ID, States: []string{"open"}}, listing.Query{Limit: 1})
		if len(list) != 1 || list[0].Seen < 3 {
			t.Errorf("behind the gateway's alarm are %v", list)
		}
		for _, id := range []int64{1, 3, 4} {
			r.online(id, fmt.Sprint("pump-", id), true)
		}
		r.want(away)
		r.pass(2 * time.Minute)
		r.want(away, "pump-5 is offline")
		// A node that heard nothing finds out.
		r.active.replace(map[key]state{})
		r.online(5, "pump-5", true)
		r.want(away, "pump-5 is offline")
		if err := r.recheck(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.settleAll()
		r.want(away)
	})
}

// A long text of a device is cut between two characters: PostgreSQL takes no half ones.
func TestLongText(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := newRig(t, db)
		rule := r.rule(`{"severity":"major","condition":{"kind":"property","productSN":"pump","property":"label","op":"!=","value":"x"}}`)
		r.post("pump-1", `{"label":"ab`+strings.Repeat("泵", 100)+`"}`)
		r.want(rule, `pump-1 label is "ab`+strings.Repeat("泵", 65)+` (!= "x")`)
	})
}

func TestMetric(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	dead := r.rule(`{"severity":"critical","condition":{"kind":"rule","rule":"7","metric":"rule_dead","windowMinutes":5,"op":">","value":10,"clearValue":0},"debounce":{"count":2,"of":2}}`)
	silent := r.rule(`{"severity":"major","condition":{"kind":"metric","productSN":"pump","metric":"messages_up","op":"<","value":1},"debounce":{"seconds":120}}`)
	minute := func(n, up float64) {
		r.windows["#7 rule_dead"], r.windows["pump messages_up"] = n, up
		if err := r.Minute(t.Context(), r.clock.Truncate(time.Minute)); err != nil {
			t.Fatal(err)
		}
		r.pass(time.Minute)
	}
	minute(11, 0)
	r.want(dead)
	minute(12, 0)
	r.want(dead, "rule_dead of rule 7 in 5 min is 12 (> 10)")
	r.want(silent, "messages_up of product pump in 1 min is 0 (< 1)")
	minute(5, 3)
	r.want(dead, "rule_dead of rule 7 in 5 min is 12 (> 10)")
	r.want(silent)
	minute(0, 3)
	r.want(dead)
}

func (r *rig) deliver() {
	r.t.Helper()
	due, err := r.due(r.t.Context())
	for _, c := range due {
		err = errors.Join(err, r.sendDue(r.t.Context(), c.id))
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

func TestNoticesGatherAndAreTriedAgain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := newRig(t, db)
		c, err := r.CreateChannel(t.Context(), "farm", "ops", "test", json.RawMessage(`{"url":"https://ops.example","secret":"hush"}`))
		if err != nil || string(c.Config) != `{"url":"https://ops.example"}` || len(c.Secrets) != 1 {
			t.Fatalf("%+v, %v", c, err)
		}
		hot := r.rule(fmt.Sprintf(`{"severity":"major","tellCleared":true,"channels":["%d"],"condition":{"kind":"property","productSN":"pump","property":"t","op":">","value":30}}`, c.ID))
		for i := range 8 {
			r.post(fmt.Sprint("pump-", i), `{"t":31}`)
		}
		r.deliver()
		if len(r.got) != 0 {
			t.Fatal("the first notice did not wait for the others")
		}
		r.fail = errors.New("no way")
		for range 3 { // each time later
			r.pass(10 * time.Minute)
			r.deliver()
			r.deliver()
		}
		if c, err = r.Channel(t.Context(), c.ID); err != nil || c.Failures != 3 || c.LastError != "no way" {
			t.Errorf("%+v, %v", c, err)
		}
		r.fail = nil
		r.post("pump-0", `{"t":3}`)
		r.pass(20 * time.Minute)
		r.deliver()
		r.pass(time.Second)
		r.deliver()
		if len(r.got) != 1 || r.got[0].Title() != "Hawser: 5 alarms, 1 over" || !strings.Contains(r.got[0].Body(), "[over] "+hot.Name+": pump/pump-0 t is 31") {
			t.Fatalf("got %d messages: %+v", len(r.got), r.got)
		}
		r.post("pump-1", `{"t":3}`)
		r.deliver()
		if len(r.got) != 1 {
			t.Error("a second message within the interval")
		}
		r.pass(time.Minute)
		r.deliver()
		if len(r.got) != 2 || !strings.HasPrefix(r.got[1].Title(), "Hawser: [over] ") {
			t.Errorf("got %+v", r.got)
		}
		if err := r.DeleteChannel(t.Context(), c.ID); !errors.Is(err, ErrInUse) {
			t.Errorf("a channel in use: %v", err)
		}
		if _, err := r.UpdateChannel(t.Context(), c.ID, "ops", json.RawMessage(`{"url":"https://elsewhere.example"}`), nil); err == nil {
			t.Error("a secret goes to another server")
		}
		if c, err = r.UpdateChannel(t.Context(), c.ID, "people", json.RawMessage(`{"url":"https://ops.example"}`), nil); err != nil || len(c.Secrets) != 1 || c.Revision != 2 {
			t.Errorf("%+v, %v", c, err)
		}
	})
}

func TestByHandAndKept(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	r.cfg.MaxRows = 3
	hot := r.rule(`{"severity":"major","condition":{"kind":"property","productSN":"pump","property":"t","op":">","value":30}}`)
	for i := range 9 {
		r.post(fmt.Sprint("pump-", i), `{"t":31}`)
	}
	list, _, err := r.Search(t.Context(), Filter{Project: "farm", Severities: []Severity{Major}}, listing.Query{})
	if err != nil || len(list) != 5 {
		t.Fatalf("%d alarms of a rule that may have 5 open, %v", len(list), err)
	}
	x, err := r.Acknowledge(t.Context(), list[0].ID, "user:olga")
	if err != nil || x.State() != "acknowledged" {
		t.Errorf("%+v, %v", x, err)
	}
	if c, err := r.Count(t.Context(), func(string, string) bool { return true }); err != nil || c.Open != 5 || c.Acknowledged != 1 || c.BySeverity[Major] != 5 {
		t.Errorf("counts %+v, %v", c, err)
	}
	if x, err = r.Clear(t.Context(), list[0].ID, "user:olga"); err != nil || x.State() != "cleared" || x.Cleaner != "user:olga" {
		t.Errorf("%+v, %v", x, err)
	}
	if _, err := r.Clear(t.Context(), list[0].ID, "user:olga"); !errors.Is(err, ErrCleared) {
		t.Errorf("a second time: %v", err)
	}
	if _, err := r.Acknowledge(t.Context(), list[0].ID, "user:olga"); !errors.Is(err, ErrCleared) {
		t.Errorf("acknowledged when it is over: %v", err)
	}
	r.post(x.Device, `{"t":32}`)
	r.want(hot, "pump-0 t is 31 (> 30)", "pump-1 t is 31 (> 30)", "pump-2 t is 31 (> 30)", "pump-3 t is 31 (> 30)", "pump-4 t is 32 (> 30)")
	changes, err := r.Changes(t.Context(), "farm", x.Changed-1, 0, 100)
	if err != nil || len(changes) == 0 {
		t.Errorf("changes %v, %v", changes, err)
	}
	if _, err := r.UpdateRule(t.Context(), hot.ID, "other", false, hot.Definition, nil); err != nil {
		t.Fatal(err)
	}
	r.want(hot)
	r.post("pump-1", `{"t":99}`) // it is switched off
	r.want(hot)
	if n, err := r.Trim(t.Context(), r.clock); err != nil || n != 3 {
		t.Errorf("%d of 6 are removed, %v", n, err)
	}
	if n, err := r.Trim(t.Context(), r.clock.Add(100*24*time.Hour)); err != nil || n != 3 {
		t.Errorf("%d of 3 are removed, %v", n, err)
	}
}

func TestWrongRules(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	for field, definition := range map[string]string{
		"severity":                `{"severity":"bad","condition":{"kind":"presence","productSN":"pump"}}`,
		"condition.kind":          `{"severity":"major","condition":{"kind":"x"}}`,
		"condition.productSN":     `{"severity":"major","condition":{"kind":"presence","productSN":"theirs"}}`,
		"condition.property":      `{"severity":"major","condition":{"kind":"property","productSN":"pump"}}`,
		"condition.property ":     `{"severity":"major","condition":{"kind":"property","productSN":"pump","property":"` + strings.Repeat("t", 2000) + `","op":">","value":1}}`,
		"condition.value ":        `{"severity":"major","condition":{"kind":"property","productSN":"pump","property":"t","op":"==","value":"` + strings.Repeat("v", 2000) + `"}}`,
		"condition.op":            `{"severity":"major","condition":{"kind":"property","productSN":"pump","property":"t","op":"~","value":1}}`,
		"condition.value":         `{"severity":"major","condition":{"kind":"property","productSN":"pump","property":"t","op":">","value":"x"}}`,
		"condition.clearValue":    `{"severity":"major","condition":{"kind":"property","productSN":"pump","property":"t","op":">","value":1,"clearValue":2}}`,
		"condition.metric":        `{"severity":"major","condition":{"kind":"metric","metric":"none","op":">","value":1}}`,
		"condition.rule":          `{"severity":"major","condition":{"kind":"rule","rule":"8","metric":"rule_dead","op":">","value":1}}`,
		"condition.windowMinutes": `{"severity":"major","condition":{"kind":"metric","metric":"rule_dead","windowMinutes":-1,"op":">","value":1}}`,
		"debounce":                `{"severity":"major","condition":{"kind":"presence","productSN":"pump"},"debounce":{"seconds":5,"count":1,"of":2}}`,
		"debounce.count":          `{"severity":"major","condition":{"kind":"presence","productSN":"pump"},"debounce":{"count":3,"of":2}}`,
		"channels":                `{"severity":"major","channels":["99"],"condition":{"kind":"presence","productSN":"pump"}}`,
	} {
		var d Definition
		if err := json.Unmarshal([]byte(definition), &d); err != nil {
			t.Fatal(err)
		}
		var e *ErrInvalid
		if _, err := r.CreateRule(t.Context(), "farm", "r", true, d); !errors.As(err, &e) || e.Field != strings.TrimSpace(field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func BenchmarkReport(b *testing.B) {
	r := &Alarms{active: newActive()}
	s := &set{property: map[string][]*Rule{}}
	rule := &Rule{ID: 1, path: []string{"t"}, open: limit{op: ">", kind: 'n', number: 30}}
	s.property["pump"] = []*Rule{rule}
	r.set.Store(s)
	dev := ident.Device{Product: "pump", SN: "pump-1"}
	m := &uplink.Message{Device: dev, At: time.Now(), Topic: topic.Topic{Kind: topic.PropertyPost, Device: dev}, Payload: []byte(`{"Property":{"a":{"Value":1},"t":{"Value":20}}}`)}
	if _, err := m.Root(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r.Match(m)
	}
}
