package scenario

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/testbed/harness"
	"github.com/hawser-iot/hawser/testbed/harness/wire"
)

// deliveryTarget is a real server that a rule's records go to. Embedding *harness.Process gives it the last four methods.
type deliveryTarget interface {
	// Start starts the server, empty, and returns its address, host:port. It ends with t.
	Start(t *testing.T) (addr string)
	// Action is the rule's action as the API takes it: kind and configuration, which must reach the server at addr (the wire's) and
	// nowhere else. A connector that it needs is made through hub. Each record's result is {"device":"SN","n":1,"id":"MessageID"}. What is to
	// be waited for should be short: a time-out of 2 s, say.
	Action(t *testing.T, hub *harness.Hub, addr string) map[string]any
	// Rows are the numbers n that the server holds of each device, in the order in which it took them, repeats too. It asks the server
	// itself, not through the wire.
	Rows(t *testing.T) map[string][]int

	Pause()   // SIGSTOP: connections hold and nothing answers
	Resume()  // SIGCONT
	Kill()    // SIGKILL
	Restart() // after Kill: the server again, at its address, with what it has stored
}

// deliveryFailer is a deliveryTarget that can refuse to take records for a time, as overloaded servers do.
type deliveryFailer interface{ Fail(t *testing.T, on bool) }

// deliveryBehind is a deliveryTarget that is the hub's client: the wire leads to the hub, which these arguments put at its end. What the
// hub keeps for a device that is away is bounded, so no more than keeps is sent in each misfortune.
type deliveryBehind interface{ HubArgs() []string }

const keeps = 80

// delivery is how one kind of sink is put to the test.
type delivery struct {
	target  deliveryTarget
	keyed   bool     // the action uses the records' keys: no number may be there twice
	sorted  bool     // Rows does not tell the order of arrival, so that it cannot be checked
	hubArgs []string // of the hub, beside the usual ones
}

// TestRuleDelivery sends 2,000 numbered messages (200,000 with HAWSER_TEST_LONG) through a rule to each kind of target while
// the hub is killed with SIGKILL, and the target is paused, killed, and cut off in all the ways that a wire knows. Of what was
// acknowledged nothing may be missing, nothing may be there twice where the target uses the key, and each device's numbers must
// have come in order.
func TestRuleDelivery(t *testing.T) {
	beside(t)
	for name, make := range deliveries {
		t.Run(name, func(t *testing.T) {
			beside(t)
			deliver(t, make())
		})
	}
}

// deliveries are the kinds of sink that are put to the test, by name.
var deliveries = map[string]func() delivery{
	"http":         func() delivery { return delivery{target: &httpTarget{}, keyed: true} },
	"http-batches": func() delivery { return delivery{target: &httpTarget{batch: 20}, keyed: true} },
	"timeseries":   func() delivery { return delivery{target: &timeSeriesTarget{}, keyed: true, sorted: true} },
	"mysql":        mysqlTarget,
	"postgres":     func() delivery { return postgresTarget(true) },
	// By COPY, which has no key.
	"postgres-copy": func() delivery { return postgresTarget(false) },
	// The producer is idempotent, but what has no answer in time goes out anew.
	"kafka":   func() delivery { return delivery{target: &kafkaTarget{}} },
	"mongodb": func() delivery { return delivery{target: &mongoTarget{}, keyed: true} },
	"nats":    func() delivery { return delivery{target: &natsTarget{}, keyed: true} },
	// What was not acknowledged before a connection broke is sent again.
	"republish": func() delivery { return delivery{target: &republishTarget{}} },
}

// flow is the run of one delivery.
type flow struct {
	t      *testing.T
	hub    *harness.Hub
	target deliveryTarget
	wire   *wire.Wire
	rule   string
}

func deliver(t *testing.T, d delivery) {
	devices, messages, patience := 8, 2000, 3*time.Minute
	if os.Getenv("HAWSER_TEST_LONG") != "" {
		devices, messages, patience = 64, 200_000, 20*time.Minute
	}
	f := &flow{t: t, target: d.target}
	f.wire = wire.To(t, d.target.Start(t))
	behind, bounded := d.target.(deliveryBehind)
	if bounded {
		d.hubArgs = append(d.hubArgs, behind.HubArgs()...)
	}
	f.hub = harness.StartHub(t, harness.HubOptions{Args: append([]string{"--rule-http-allow-private", "--publish-rate", "0"}, d.hubArgs...)})
	fleet := f.hub.Devices(f.hub.Product(map[string]any{"name": "delivery", "kind": "device"}), devices)
	f.makeRule(fleet[0].ProductSN, d.target.Action(t, f.hub, f.wire.Addr))

	plot := f.plot()
	each := (messages/devices + len(plot) - 1) / len(plot)
	if bounded {
		each = min(each, keeps)
	}
	w := startNumbers(f.hub.MQTT, fleet)
	defer w.end()
	w.release(1)
	w.wait(t, patience)
	f.await(fleet, 1, time.Minute) // what does not work at all is told before the plot
	for i, act := range plot {
		w.release(each)
		act.do()
		w.wait(t, patience)
		if bounded {
			f.await(fleet, 1+each*(i+1), patience)
		}
		t.Logf("%2d of %d: %s; %d messages acknowledged, %d there", i+1, len(plot), act.name, (1+each*(i+1))*devices, count(d.target.Rows(t)))
	}
	f.verify(fleet, 1+each*len(plot), d, patience)
}

func (f *flow) makeRule(product string, action map[string]any) {
	f.t.Helper()
	var r struct{ ID string }
	err := f.hub.Call("POST", "/v1/rules", map[string]any{"name": "delivery", "enabled": true, "actions": []any{action},
		"sql": "SELECT deviceSN() AS device, n, messageID() AS id FROM '/" + product + "/+/upload'"}, &r)
	if err != nil {
		f.t.Fatal(err)
	}
	f.rule = r.ID
}

// act is a misfortune that comes while messages flow, and its end.
type act struct {
	name string
	do   func()
}

// plot is what happens, in order.
func (f *flow) plot() []act {
	during := func(name string, begin, end func()) act {
		return act{name, func() {
			begin()
			<-time.After(1500 * time.Millisecond) // the misfortune's length
			end()
		}}
	}
	restartHub := func() { f.hub.Kill(); f.hub.Start() }
	all := []act{
		{"the hub is killed", restartHub},
		during("the target is cut off", f.wire.Cut, f.wire.Mend),
		during("the target's answers are lost, connections reset", f.wire.Reset, f.wire.Mend),
		during("the target is paused, the hub killed meanwhile", func() { f.target.Pause(); restartHub() }, f.target.Resume),
		during("the target's answers are swallowed, the hub killed meanwhile", func() { f.wire.Deafen(); <-time.After(300 * time.Millisecond); restartHub() }, f.wire.Mend),
		during("the target is killed", f.target.Kill, f.target.Restart),
		during("connections break in the middle of answers", func() { f.wire.Bound(700) }, f.wire.Mend),
		during("nothing reaches the target", f.wire.Stall, f.wire.Mend),
		{"the hub is killed again", restartHub},
	}
	if failer, ok := f.target.(deliveryFailer); ok {
		all = append(all, during("the target refuses", func() { failer.Fail(f.t, true) }, func() { failer.Fail(f.t, false) }))
	}
	return append(all, act{"nothing happens", func() {}})
}

// verify waits for what must be there and looks at all of it.
func (f *flow) verify(fleet []harness.Credentials, each int, d delivery, patience time.Duration) {
	t := f.t
	t.Helper()
	rows, repeats := f.await(fleet, each, patience), 0
	for device, got := range rows {
		first, again := firsts(got)
		repeats += again
		if !d.sorted && !slices.IsSorted(first) {
			t.Errorf("%s: out of order at %s", device, disorder(first))
		}
	}
	if d.keyed && repeats > 0 {
		t.Errorf("%d messages are there twice, in spite of their keys", repeats)
	}
	harness.Eventually(t, time.Minute, "the books say that nothing is left", func() bool {
		a := statsOf(t, f.hub, f.rule).Actions[0]
		if a.Dead != 0 || len(a.Dropped) != 0 {
			t.Fatalf("the rule gave records up: %s", f.stats())
		}
		return a.InFlight+a.Queued+a.Late == 0
	})
	t.Logf("%d messages of %d devices are there; %d came again", each*len(fleet), len(fleet), repeats)
}

// await returns the rows once each device's numbers from 1 to each are there.
func (f *flow) await(fleet []harness.Credentials, each int, patience time.Duration) map[string][]int {
	f.t.Helper()
	for end := time.Now().Add(patience); ; <-time.After(200 * time.Millisecond) {
		rows := f.target.Rows(f.t)
		missing := countMissing(rows, fleet, each)
		if missing == 0 {
			return rows
		}
		if time.Now().After(end) {
			f.t.Fatalf("%d of %d acknowledged messages are missing after %v\nstats: %s\nhub: %s", missing, each*len(fleet), patience, f.stats(), lastLines(f.hub.Log(), 20))
		}
	}
}

// ruleStats are what a test needs of a rule's counters.
type ruleStats struct {
	Actions []struct {
		InFlight, Queued, Late, Dead int
		Dropped                      map[string]int
	}
}

func statsOf(t *testing.T, hub *harness.Hub, rule string) (st ruleStats) {
	t.Helper()
	if err := hub.Call("GET", "/v1/rules/"+rule+"/stats", nil, &st); err != nil || len(st.Actions) == 0 {
		t.Fatalf("stats of rule %s: %+v, %v", rule, st, err)
	}
	return st
}

func (f *flow) stats() string {
	f.t.Helper()
	var raw json.RawMessage
	if err := f.hub.Call("GET", "/v1/rules/"+f.rule+"/stats", nil, &raw); err != nil {
		f.t.Fatal(err)
	}
	return string(raw)
}

func count(rows map[string][]int) (n int) {
	for _, r := range rows {
		n += len(r)
	}
	return n
}

// countMissing counts the numbers from 1 to each of each device that are not in rows.
func countMissing(rows map[string][]int, fleet []harness.Credentials, each int) (missing int) {
	for _, d := range fleet {
		there := make([]bool, each+1)
		for _, n := range rows[d.DeviceSN] {
			if n > 0 && n <= each {
				there[n] = true
			}
		}
		for _, ok := range there[1:] {
			if !ok {
				missing++
			}
		}
	}
	return missing
}

// firsts returns the numbers as they first came, and how many came again.
func firsts(got []int) (first []int, again int) {
	seen := make(map[int]bool, len(got))
	for _, n := range got {
		if seen[n] {
			again++
			continue
		}
		seen[n] = true
		first = append(first, n)
	}
	return first, again
}

// disorder shows the first place where list is not sorted.
func disorder(list []int) string {
	for i := 1; i < len(list); i++ {
		if list[i] < list[i-1] {
			return fmt.Sprint(list[max(i-3, 0):min(i+3, len(list))])
		}
	}
	return "none"
}

func lastLines(s string, n int) string {
	lines := strings.Split(s, "\n")
	return strings.Join(lines[max(len(lines)-n, 0):], "\n")
}
