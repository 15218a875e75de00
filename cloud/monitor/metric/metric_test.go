package metric

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/bus"
	"github.com/hawser-iot/hawser/cloud/monitor/meter"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/testbed/harness"
	"github.com/hawser-iot/hawser/testbed/harness/leak"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

// rig is one node with a clock of its own.
type rig struct {
	*History
	t     *testing.T
	clock time.Time
	fleet []Devices
	rules []Rule
}

var midnight = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func node(t *testing.T, db *store.DB, name string) *rig {
	t.Helper()
	r := &rig{t: t, clock: midnight}
	cfg := DefaultConfig()
	cfg.Node, cfg.MinuteAge = name, 7*day
	r.History = New(cfg, Deps{Store: db, Meter: meter.New(), Log: slog.New(slog.DiscardHandler),
		Devices: func(context.Context) ([]Devices, error) { return r.fleet, nil },
		Project: func(product string) string {
			if product == "gone" {
				return ""
			}
			return "farm"
		},
		Rules: func(f func(Rule)) {
			for _, x := range r.rules {
				f(x)
			}
		},
		Connections: func() int { return 5 },
		Health:      func() Health { return Health{Version: "1", Connections: 5} }})
	r.now = func() time.Time { return r.clock }
	if err := r.load(t.Context(), r.clock); err != nil {
		t.Fatal(err)
	}
	return r
}

// minute writes the present minute's point and goes on to the next.
func (r *rig) minute() {
	r.t.Helper()
	r.point(r.t.Context(), r.clock.Truncate(time.Minute), false)
	r.clock = r.clock.Add(time.Minute)
}

// line is what Query finds of one metric, by minutes since from; -1 where there is no point.
func (r *rig) line(scope string, n Name, from time.Time, d, step time.Duration) (values []float64) {
	r.t.Helper()
	a, err := r.Query(r.t.Context(), Query{Scopes: []string{scope}, Names: []Name{n}, From: from, To: from.Add(d), Step: step})
	if err != nil {
		r.t.Fatal(err)
	}
	for i := range int(a.To.Sub(a.From) / a.Step) {
		at, v := a.From.Add(time.Duration(i)*a.Step), -1.0
		for _, p := range a.Lines[0].Points {
			if p.Time.Equal(at) {
				v = p.Value
			}
		}
		values = append(values, v)
	}
	return values
}

func want(t *testing.T, what string, got []float64, want ...float64) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestPointsOfNodesAndRestarts(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a, b := node(t, db, "n1"), node(t, db, "n2")
		a.fleet = []Devices{{"p", 10, 4}, {"q", 1, 1}}
		b.fleet = a.fleet
		for i := range 5 {
			a.Meter.Of("p").Message(meter.Up, 100)
			b.Meter.Of("p").Message(meter.Up, 10)
			b.Meter.Of("q").Add(meter.Dead, i)
			b.Meter.Of("gone").Add(meter.Dead, 1)
			if i == 3 {
				a.fleet = []Devices{{"p", 11, 6}, {"q", 1, 1}}
				b.fleet = a.fleet
			}
			if i%2 == 0 { // who writes the devices changes
				a.minute()
				b.minute()
			} else {
				b.minute()
				a.minute()
			}
		}
		want(t, "messages of p", a.line("p", MessagesUp, midnight, 6*time.Minute, time.Minute), 2, 2, 2, 2, 2, 0)
		want(t, "bytes of the project", b.line("/farm", BytesUp, midnight, 5*time.Minute, 0), 110, 110, 110, 110, 110)
		want(t, "dead of q", b.line("q", RuleDead, midnight, 5*time.Minute, 0), 0, 1, 2, 3, 4)
		want(t, "dead of the hub", b.line(Hub, RuleDead, midnight, 5*time.Minute, 0), 1, 2, 3, 4, 5)
		want(t, "online of p", b.line("p", DevicesOnline, midnight, 5*time.Minute, 0), 4, 4, 4, 6, 6)
		want(t, "registered of the hub", b.line(Hub, DevicesRegistered, midnight, 5*time.Minute, 0), 11, 11, 11, 12, 12)
		want(t, "connections of both", b.line(Hub, Connections, midnight, 5*time.Minute, 0), 10, 10, 10, 10, 10)
		// A node is restarted within a minute: nothing of it is lost, nothing counted twice.
		a.Meter.Of("p").Message(meter.Up, 1)
		a.point(t.Context(), a.clock, true)
		a = node(t, db, "n1")
		a.clock = midnight.Add(5 * time.Minute)
		if err := a.load(t.Context(), a.clock); err != nil {
			t.Fatal(err)
		}
		a.Meter.Of("p").Message(meter.Up, 1)
		a.minute()
		want(t, "messages of p over a restart", a.line("p", MessagesUp, midnight, 6*time.Minute, 0), 2, 2, 2, 2, 2, 2)
	})
}

func TestRulesBeginAnew(t *testing.T) {
	r := node(t, storetest.SQLite(t), "n1")
	for _, n := range []int64{3, 5, 1} { // the third is a new process's, or a rule that was replaced
		r.rules = []Rule{{ID: 7, Project: "farm", Matched: n, Dead: n, Failed: n, Waiting: n}}
		r.minute()
	}
	r.rules = nil // it was deleted
	r.minute()
	want(t, "matched", r.line(Of(7), RuleMatched, midnight, 4*time.Minute, 0), 3, 2, 1, 0)
	want(t, "failed of the hub", r.line(Hub, RuleFailed, midnight, 4*time.Minute, 0), 3, 2, 1, 0)
	want(t, "waiting", r.line("/farm", RuleWaiting, midnight, 4*time.Minute, 0), 3, 5, 1, -1)
}

func TestQuartersOfAnHour(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a, b := node(t, db, "n1"), node(t, db, "n2")
		for i := range 90 {
			a.fleet = []Devices{{"p", 100, int64(i / 45)}}
			a.Meter.Of("p").Add(meter.Up, 1)
			b.Meter.Of("p").Add(meter.Up, 2)
			a.minute()
			b.minute()
		}
		a.clock = midnight.Add(9 * day)
		n, err := a.Trim(t.Context(), a.clock)
		if err != nil || n == 0 {
			t.Fatalf("%d rows removed: %v", n, err)
		}
		if again, err := b.Trim(t.Context(), a.clock); err != nil || again != 0 {
			t.Errorf("a second time %d rows are removed: %v", again, err)
		}
		want(t, "messages", a.line("p", MessagesUp, midnight, 2*time.Hour, quarter), 45, 45, 45, 45, 45, 45, 0, 0)
		want(t, "in minutes, which there are no more", a.line("p", MessagesUp, midnight, 30*time.Minute, time.Minute), 45, 45)
		want(t, "online", a.line("p", DevicesOnline, midnight, time.Hour, quarter), 0, 0, 0, 1)
		want(t, "online of the hub by the hour", a.line(Hub, DevicesOnline, midnight, time.Hour, time.Hour), 0.25)
		want(t, "connections", a.line(Hub, Connections, midnight, 30*time.Minute, quarter), 10, 10)
		var rows int
		if err := db.QueryRow(t.Context(), `SELECT COUNT(*) FROM metric_chunk`).Scan(&rows); err != nil || rows != 3 {
			t.Errorf("%d rows are left of three scopes, %v", rows, err)
		}
		a.clock = midnight.Add(95 * day)
		if _, err := a.Trim(t.Context(), a.clock); err != nil {
			t.Fatal(err)
		}
		if err := db.QueryRow(t.Context(), `SELECT COUNT(*) FROM metric_chunk`).Scan(&rows); err != nil || rows != 0 {
			t.Errorf("%d rows are left for ever, %v", rows, err)
		}
	})
}

func TestErrors(t *testing.T) {
	db := storetest.SQLite(t)
	a, b := node(t, db, "n1"), node(t, db, "n2")
	bad := meter.Error{Where: "up", Product: "p", What: "101 bad"}
	for range 3 {
		a.Meter.Fail(bad)
		b.Meter.Fail(bad)
		b.Meter.Fail(meter.Error{Where: "rule", Product: "q", What: "to db"})
		a.minute()
		b.minute()
	}
	list, err := a.Errors(t.Context(), midnight, func(p string) bool { return p != "q" }, 10)
	if err != nil || len(list) != 1 || list[0] != (ErrorCount{bad, 6}) {
		t.Errorf("got %v, %v", list, err)
	}
	a = node(t, db, "n1")
	a.Meter.Fail(bad)
	a.minute()
	if list, err = a.Errors(t.Context(), midnight, func(string) bool { return true }, 1); err != nil || len(list) != 1 || list[0].Count != 7 {
		t.Errorf("over a restart: %v, %v", list, err)
	}
}

// What other nodes have told while nobody watched here is not of the first second that is shown, and what was shown before is no whole answer any more.
func TestLiveWithoutWatchers(t *testing.T) {
	l := &node(t, storetest.SQLite(t), "a").live
	told := []byte(`{"n":"b","s":{"":[7]}}`)
	now := time.Now()
	l.extend(time.Minute, true)
	l.heard(told)
	if over, shows := l.turn(now); over || !shows {
		t.Fatalf("with a watcher: over %v, shows %v", over, shows)
	}
	l.show(now, map[string][]int64{})
	if len(l.ring) != 1 || l.ring[0].Sum([]string{""})[0] != 7 {
		t.Fatalf("shown is %+v", l.ring)
	}
	later := now.Add(2 * time.Minute)
	l.until = later.Add(time.Minute) // another node watches on
	for range 100 {
		l.heard(told)
		if over, shows := l.turn(later); over || shows {
			t.Fatalf("without a watcher: over %v, shows %v", over, shows)
		}
	}
	_, whole, cancel := l.history.Watch(now.UnixMilli())
	defer cancel()
	if whole {
		t.Error("nothing is said to be missing")
	}
	l.heard(told)
	l.turn(later)
	l.show(later, map[string][]int64{})
	if n := l.ring[0].Sum([]string{""})[0]; n != 7 {
		t.Errorf("the first second shows %d, want 7", n)
	}
}

func TestRunAndLive(t *testing.T) {
	db := storetest.Postgres(t)
	nats, err := bus.Open(t.Context(), bus.Config{Name: "test"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nats.Close() }()
	a, b := node(t, db, "n1"), node(t, db, "n2")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	for _, r := range []*rig{a, b} {
		r.Bus, r.cfg.Alone, r.now = nats, false, time.Now
		r.fleet = []Devices{{"p", 3, 2}}
		go func() { ended <- r.Run(ctx) }()
	}
	seconds, whole, cancel := a.Watch(0)
	if !whole {
		t.Error("a new watcher has missed something")
	}
	var last int64
	sum := [names]int64{}
	deadline := time.After(time.Minute)
	for sum[MessagesUp] < 30 || sum[DevicesOnline] == 0 { // b counts as soon as it has heard of the watcher
		a.Meter.Of("p").Message(meter.Up, 1)
		b.Meter.Of("p").Message(meter.Up, 1000)
		select {
		case p := <-seconds:
			v := p.Sum([]string{"p"})
			for i := range v {
				sum[i] += v[i]
			}
			if last = p.ID; v[DevicesOnline] > 2 {
				t.Errorf("%d are online", v[DevicesOnline])
			}
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			t.Fatalf("seen within a minute: %v", sum)
		}
		if sum[BytesUp] < 1000 {
			sum[MessagesUp] = 0 // nothing of b yet
		}
	}
	cancel()
	again, whole, cancel := a.Watch(last)
	if !whole {
		t.Error("who comes back at once has missed something")
	}
	select {
	case p := <-again:
		if p.ID <= last {
			t.Errorf("id %d after %d", p.ID, last)
		}
	case <-time.After(time.Minute):
		t.Error("nothing for who comes back")
	}
	cancel()
	if _, whole, cancel = a.Watch(1); whole {
		t.Error("who comes back after years has missed nothing")
	}
	cancel()
	harness.Eventually(t, time.Minute, "both nodes have said how they do", func() bool {
		nodes, err := a.Nodes(t.Context())
		return err == nil && len(nodes) == 2 && nodes[0].Up && nodes[0].Health.Connections == 5
	})
	stop()
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	var rows int
	if err := db.QueryRow(context.Background(), `SELECT COUNT(*) FROM metric_chunk WHERE scope = 'p' AND node <> ''`).Scan(&rows); err != nil || rows < 2 {
		t.Errorf("%d rows of p are written at the stop, %v", rows, err)
	}
}
