package scenario

import (
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// TestNodesDeliver has three hubs on one PostgreSQL deliver what devices send to the first, while nodes are killed, hang and stop: nothing
// acknowledged may be missing, nothing may be there twice where the key is used, each device's numbers must have come in order, and what
// a dead node would have delivered must be there soon.
func TestNodesDeliver(t *testing.T) {
	beside(t)
	devices, messages := 16, 1600
	if os.Getenv("HAWSER_TEST_LONG") != "" {
		devices, messages = 64, 200_000
	}
	hubs := cluster(t, 3)
	target := &httpTarget{}
	addr := target.Start(t)
	fleet := hubs[0].Devices(hubs[0].Product(map[string]any{"name": "delivery of nodes", "kind": "device"}), devices)
	f := &flow{t: t, hub: hubs[0], target: target}
	f.makeRule(fleet[0].ProductSN, target.Action(t, hubs[0], addr))

	hang := func() {
		_ = syscall.Kill(hubs[2].PID(), syscall.SIGSTOP)
		<-time.After(12 * time.Second) // longer than the others wait for a sign of life
		_ = syscall.Kill(hubs[2].PID(), syscall.SIGCONT)
	}
	plot := []act{
		{"all is well", func() {}},
		{"a node is dead", hubs[1].Kill},
		{"it comes back", hubs[1].Start},
		{"a node hangs and goes on as if nothing had happened", hang},
		{"a node stops in an orderly way", func() {
			if err := hubs[1].Stop(); err != nil {
				t.Error(err)
			}
		}},
		{"it comes back", hubs[1].Start},
		{"the node that takes the messages is killed", func() { hubs[0].Kill(); hubs[0].Start() }},
	}
	each := messages / devices / len(plot)
	w := startNumbers(hubs[0].MQTT, fleet)
	defer w.end()
	var rows map[string][]int
	for i, act := range plot {
		w.release(each)
		act.do()
		w.wait(t, 3*time.Minute)
		begun := time.Now()
		// 10 s is what is promised; the rest is for machines that have much else to do.
		rows = f.await(fleet, each*(i+1), time.Minute)
		t.Logf("%d of %d: %s; all is there %v after the last acknowledgement", i+1, len(plot), act.name, time.Since(begun).Round(10*time.Millisecond))
	}
	for device, got := range rows {
		first, again := firsts(got)
		if again > 0 || !slices.IsSorted(first) {
			t.Errorf("%s: %d are there twice, out of order at %s", device, again, disorder(first))
		}
	}
	waits := func() (n int) {
		for _, h := range hubs {
			for _, a := range statsOf(t, h, f.rule).Actions {
				n += a.InFlight + a.Queued + a.Late + a.Dead
			}
		}
		return n
	}
	harness.Eventually(t, time.Minute, "the books of no node have anything left", func() bool { return waits() == 0 })
}
