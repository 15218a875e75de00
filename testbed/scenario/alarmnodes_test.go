package scenario

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// told are the messages that an alarm channel got: how often each alarm was named in them.
func told(t *testing.T, r *harness.Receiver) map[string]int {
	t.Helper()
	n := map[string]int{}
	for _, b := range r.Bodies() {
		var m struct {
			Alarms []struct{ AlarmID, DeviceSN, State string }
		}
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		for _, a := range m.Alarms {
			n[a.DeviceSN+" "+a.State+" "+a.AlarmID]++
		}
	}
	return n
}

// TestNodesTellOfAlarms has two hubs on one PostgreSQL open alarms, one of which is killed before anybody was told, and before what was due at it
// has become an alarm: of each alarm people hear once.
func TestNodesTellOfAlarms(t *testing.T) {
	beside(t)
	hubs := cluster(t, 2)
	a, b := hubs[0], hubs[1]
	product := a.Product(map[string]any{"name": "alarms of nodes", "kind": "device"})
	var properties []map[string]any
	for _, name := range []string{"t", "p", "q"} {
		properties = append(properties, map[string]any{"Identifier": name, "AccessMode": "r", "DataType": map[string]any{"Type": "int32"}})
	}
	if err := a.Call("PUT", "/v1/products/"+product+"/thing-model", map[string]any{"Property": properties}, nil); err != nil {
		t.Fatal(err)
	}
	fleet := a.Devices(product, 6)
	watch := func(name, property string, seconds int) (receiver *harness.Receiver, rule string) {
		t.Helper()
		receiver = harness.StartReceiver(t)
		var channel, made struct{ ID string }
		err := b.Call("POST", "/v1/alarm-channels", map[string]any{"name": name, "kind": "webhook", "config": map[string]any{"url": receiver.URL}}, &channel)
		if err == nil {
			err = b.Call("POST", "/v1/alarm-rules", map[string]any{"name": name, "severity": "major", "channels": []string{channel.ID}, "debounce": map[string]any{"seconds": seconds},
				"condition": map[string]any{"kind": "property", "productSN": product, "property": property, "op": ">", "value": 30}}, &made)
		}
		if err != nil {
			t.Fatal(err)
		}
		return receiver, made.ID
	}
	hot, hotRule := watch("hot", "t", 0)
	held, heldRule := watch("held", "p", 3)
	open := func(rule string) int {
		var list struct{ Items []any }
		if err := b.Call("GET", "/v1/alarms?state=open&rule="+rule, nil, &list); err != nil {
			t.Fatal(err)
		}
		return len(list.Items)
	}
	post := func(c *raw, d harness.Credentials, property string) {
		t.Helper()
		if err := c.publishAcked(d.System("tmodel/property/post"), fmt.Appendf(nil, `{"RequestID":"1","Property":{%s}}`, property), 1); err != nil {
			t.Fatal(err)
		}
	}
	var conns []*raw
	for i, d := range fleet {
		conns = append(conns, login(t, hubs[i%2], d))
	}
	harness.Eventually(t, time.Minute, "six alarms are open", func() bool { // a node that has not heard of the rules yet judges the next report
		for i, d := range fleet {
			post(conns[i], d, `"t":{"Value":31},"p":{"Value":31}`)
		}
		return open(hotRule) == 6
	})
	a.Kill()
	harness.Eventually(t, time.Minute, "what was due at the dead node too is an alarm", func() bool { return open(heldRule) == 6 })
	for _, r := range []*harness.Receiver{hot, held} {
		harness.Eventually(t, 2*time.Minute, "people are told by the other node", func() bool { return len(told(t, r)) == 6 })
	}
	if os.Getenv("HAWSER_TEST_LONG") != "" { // the dead one is back, and tells what is new alone
		last, _ := watch("last", "q", 0)
		a.Start()
		post(login(t, a, fleet[0]), fleet[0], `"q":{"Value":31}`)
		harness.Eventually(t, time.Minute, "people are told of the last", func() bool { return len(told(t, last)) == 1 })
	}
	for name, r := range map[string]*harness.Receiver{"hot": hot, "held": held} {
		// What a node was just sending when it was killed comes with the same key again.
		if got := told(t, r); slices.Max(slices.Collect(maps.Values(got))) > 1+r.Repeats() {
			t.Errorf("%s: told more than once: %v", name, got)
		}
	}
}
