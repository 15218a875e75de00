package rules

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/rulesql"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// A rule is changed again and again while messages flow: each message is taken by the rule as it was before or after, none by no version of it
// and none by two.
func TestChangeLeavesNoGap(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	r.run()
	sql := func(version int) string {
		return fmt.Sprintf("SELECT n, %d AS version FROM '/%s/+/flow'", version, r.product.SN)
	}
	rule := r.create("flow", sql(0), "a")
	other := r.create("other", "SELECT * FROM '/elsewhere/#'", "b")
	var flowing, changes atomic.Int64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for v := 1; ; v++ {
			select {
			case <-stop:
				return
			default:
			}
			text := sql(v)
			if _, err := r.rules.Update(context.Background(), rule.ID, Change{SQL: &text}); err != nil {
				t.Errorf("change: %v", err)
				return
			}
			if _, err := r.rules.SetEnabled(context.Background(), other.ID, v%2 == 0); err != nil {
				t.Errorf("switch: %v", err)
				return
			}
			changes.Add(1)
		}
	}()
	var wg sync.WaitGroup
	for device := range r.devices {
		wg.Go(func() {
			d := r.devices[device]
			for n := 0; n < 100 || changes.Load() < 20; n++ {
				m := &uplink.Message{ID: r.ids.Next(), Device: d.Identity, DeviceID: d.ID, Product: r.product, At: time.Now(), QoS: 1,
					Name: topic.Name(d.Identity, "flow"), Payload: fmt.Appendf(nil, `{"n":%d}`, n)}
				out := r.rules.Match(m, m.Name, m.Root, nil)
				if len(out) != 1 {
					t.Errorf("message %d of device %d made %d records, want 1", n, device, len(out))
					return
				}
				if err := r.db.Do(context.Background(), &store.Unit{Device: d.ID, Out: out}); err != nil {
					t.Errorf("commit: %v", err)
					return
				}
				flowing.Add(1)
			}
		})
	}
	wg.Wait()
	close(stop)
	<-done
	r.stats(rule, flowing.Load())
	seen, versions, last := map[string]bool{}, map[int]bool{}, map[string]int{}
	for _, rec := range r.targets["a"].records() {
		var row struct{ N, Version int }
		if err := json.Unmarshal(rec.Result, &row); err != nil {
			t.Fatal(err)
		}
		key := fmt.Sprint(rec.Device.SN, row.N)
		if seen[key] || row.Version < last[rec.Device.SN] {
			t.Errorf("%s came twice, or by version %d after %d", key, row.Version, last[rec.Device.SN])
		}
		seen[key], versions[row.Version], last[rec.Device.SN] = true, true, row.Version
	}
	if int64(len(seen)) != flowing.Load() || len(versions) < 3 {
		t.Errorf("%d messages delivered of %d, by %d versions", len(seen), flowing.Load(), len(versions))
	}
}

// The cost of a message does not depend on rules for other topics, and a rule with several filters takes a message once.
func TestIndexOfMany(t *testing.T) {
	s := &set{}
	add := func(id int64, filters ...string) {
		s = s.with(id, &compiled{Rule: Rule{ID: id, Enabled: true}, filters: filters, program: &rulesql.Program{}})
	}
	for i := range int64(2000) {
		add(1000+i, fmt.Sprintf("/p/d%d/upload", i))
	}
	add(1, "/p/+/upload", "/p/#", "/p/d7/upload")
	add(2, "/+/d7/+")
	add(3, "/p/d7/upload/#")
	add(4, "#")
	add(5, "/p/d7", "/q/#")
	for name, want := range map[string]string{
		"/p/d7/upload":    "1 2 3 4 1007",
		"/p/d7":           "1 4 5",
		"/p/d7/upload/x":  "1 3 4",
		"/q":              "4 5",
		"/x/d7/":          "2 4",
		"/p/d99999/other": "1 4",
		"":                "4",
	} {
		hits := s.find(name, nil)
		slices.SortFunc(hits, byID)
		var got []string
		for _, c := range hits {
			got = append(got, fmt.Sprint(c.ID))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q is for %v, want %s", name, got, want)
		}
	}
	room := make([]*compiled, 0, 16)
	if n := testing.AllocsPerRun(100, func() { s.find("/p/d7/upload", room) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A message that no rule wants, or whose WHERE is not true, allocates nothing.
func TestNoMatchAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool drop at random")
	}
	r := newRig(t, storetest.SQLite(t))
	for i := range 100 {
		r.create(fmt.Sprint("r", i), fmt.Sprintf("SELECT t, name FROM '/%s/+/in' WHERE t > %d AND name LIKE 'x%%'", r.product.SN, 100+i), "a")
	}
	d := r.devices[0]
	payload := []byte(`{"t":50,"name":"cellar"}`)
	doc, err := codec.Decode(payload, codec.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	m := &uplink.Message{ID: 1, Device: d.Identity, DeviceID: d.ID, Product: r.product, Payload: payload, Name: topic.Name(d.Identity, "in")}
	root := func() (codec.Value, error) { return doc.Root(), nil }
	for _, name := range []string{m.Name, topic.Name(d.Identity, "none")} {
		if n := testing.AllocsPerRun(200, func() {
			if out := r.rules.Match(m, m.Name, root, nil); len(out) != 0 {
				t.Fatal("matches")
			}
		}); n > 0.1 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// TestIndexChanges: a change of a rule changes what is found of it, and nothing else; sets from before stay as they were.
func TestIndexChanges(t *testing.T) {
	made := func(id int64, on bool, filters ...string) *compiled {
		return &compiled{Rule: Rule{ID: id, Enabled: on}, filters: filters, program: &rulesql.Program{}, actions: []*action{{id: -id}}}
	}
	s := &set{}
	for i := range int64(1000) {
		s = s.with(i+1, made(i+1, true, fmt.Sprintf("/p/d%d/upload", i), "/p/all"))
	}
	before := s
	s = s.with(7, made(7, true, "/p/+/other"))
	s = s.with(8, made(8, false, "/p/all"))
	s = s.with(9, nil)
	for name, want := range map[string][2]int{"/p/all": {1000, 997}, "/p/d6/upload": {1, 0}, "/p/d6/other": {0, 1}, "/p/d9/upload": {1, 1}, "/p/d8/upload": {1, 0}} {
		if a, b := len(before.find(name, nil)), len(s.find(name, nil)); a != want[0] || b != want[1] {
			t.Errorf("%s: %d before, %d after, want %v", name, a, b, want)
		}
	}
	if s.rules.n != 999 || s.actions.n != 999 || s.rule(9) != nil || s.action(-9) != nil || s.action(-8) == nil || before.rule(9) == nil {
		t.Errorf("%d rules, %d actions", s.rules.n, s.actions.n)
	}
	for i := range int64(1000) {
		s = s.with(i+1, nil)
	}
	if !s.empty() || s.rules.n+s.actions.n != 0 {
		t.Errorf("all are deleted, left are %d rules, %d actions, root %v", s.rules.n, s.actions.n, s.root)
	}
}

// BenchmarkAddRule adds a rule to 10,000 others.
func BenchmarkAddRule(b *testing.B) {
	s := &set{}
	for i := range int64(10_000) {
		s = s.with(i, &compiled{Rule: Rule{ID: i, Enabled: true}, filters: []string{fmt.Sprintf("/p%d/+/upload", i)}, program: &rulesql.Program{}, actions: []*action{{id: i}}})
	}
	c := &compiled{Rule: Rule{ID: 1 << 40, Enabled: true}, filters: []string{"/new/+/upload"}, program: &rulesql.Program{}, actions: []*action{{id: 1 << 40}}}
	for b.Loop() {
		s.with(c.ID, c)
	}
}
