package scenario

import (
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// TestMessagesToAHungNode has one node send messages to a device whose session another holds, while that one is stopped as a machine that stands still
// is. The sender keeps them in the queue, which it says; the device gets each once when its node goes on.
func TestMessagesToAHungNode(t *testing.T) {
	hubs := cluster(t, 2)
	a, b := hubs[0], hubs[1]
	d := a.Devices(a.Product(map[string]any{"name": "hung", "kind": "device"}), 1)[0]
	sub := start(t, "mosquitto_sub", append(mosquitto(b, d, false), "-c", "-q", "1", "-t", d.Topic("set"))...)
	online(t, a, d)
	subscribed(t, a, d, sub)

	resume := sync.OnceFunc(func() { _ = syscall.Kill(b.PID(), syscall.SIGCONT) })
	t.Cleanup(resume)
	if err := syscall.Kill(b.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	const messages = 5
	publish := func(payload string) (outcome string) {
		var got struct{ Outcome string }
		err := a.Call("POST", "/v1/products/"+d.ProductSN+"/devices/"+d.DeviceSN+"/publish", map[string]any{"topic": d.Topic("set"), "payload": payload, "qos": 1}, &got)
		if err != nil {
			t.Errorf("publish %s: %v", payload, err)
		}
		return got.Outcome
	}
	var all sync.WaitGroup
	for i := range messages {
		all.Go(func() {
			if got := publish(fmt.Sprintf("held %d", i)); got != "queued" {
				t.Errorf("message %d was %s, want it queued", i, got)
			}
		})
	}
	all.Wait()
	resume()
	for i := range messages {
		waitFor(t, sub, fmt.Sprintf("held %d\n", i))
	}
	harness.Eventually(t, time.Minute, "the node takes messages again", func() bool { return publish("last") == "delivered" })
	waitFor(t, sub, "last\n") // behind all that the node was asked while it hung
	for i := range messages {
		if n := strings.Count(sub.String(), fmt.Sprintf("held %d\n", i)); n != 1 {
			t.Errorf("message %d came %d times", i, n)
		}
	}
}
