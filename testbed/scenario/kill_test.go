package scenario

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// TestKilledHubKeepsWhatItAcknowledged kills the hub with SIGKILL again and
// again while devices publish numbered QoS 1 messages. Every number whose
// PUBACK a device saw must be in the device's state and reach the HTTP sink.
func TestKilledHubKeepsWhatItAcknowledged(t *testing.T) {
	devices, kills, each := 4, 3, 300*time.Millisecond
	if os.Getenv("HAWSER_TEST_LONG") != "" {
		devices, kills, each = 50, 40, 2*time.Second
	}
	hub, fleet := fleet(t, devices, nil)
	sink := harness.StartReceiver(t)
	rule(t, hub, "SELECT deviceSN() AS sn, Property.n.Value AS n FROM '/$system/"+fleet[0].ProductSN+"/+/tmodel/property/post'", sink.URL)
	killRun(t, hub, fleet, sink, kills, each)
}

// killRun has fleet publish while hub is killed, and checks what is left.
func killRun(t *testing.T, hub *harness.Hub, fleet []harness.Credentials, sink *harness.Receiver, kills int, each time.Duration) {
	t.Helper()
	model := map[string]any{"Property": []any{map[string]any{"Identifier": "n", "Name": "n", "AccessMode": "r",
		"DataType": map[string]any{"Type": "int32", "Spec": map[string]any{"Min": 0, "Max": 2147483647, "Step": 1}}}}, "Event": []any{}, "Command": []any{}}
	if err := hub.Call("PUT", "/v1/products/"+fleet[0].ProductSN+"/thing-model", model, nil); err != nil {
		t.Fatal(err)
	}
	w := newWriters(t, hub, fleet)
	for range kills {
		grow(t, "every device has something more acknowledged", w.acked)
		<-time.After(each + rand.N(each)) // the kill must fall anywhere in the traffic
		hub.Kill()
		hub.Start()
	}
	acked := w.stop()

	total := 0
	for i, d := range fleet {
		n := acked[i]
		total += n
		if got := latest(t, hub, d); got < n {
			t.Errorf("%s: state holds %d, acknowledged up to %d", d.DeviceSN, got, n)
		}
	}
	missing := map[string]bool{}
	for i, d := range fleet {
		for n := 1; n <= acked[i]; n++ {
			missing[fmt.Sprint(d.DeviceSN, "/", n)] = true
		}
	}
	harness.Eventually(t, 60*time.Second, "the sink has every acknowledged message", func() bool {
		for _, b := range sink.Bodies() {
			var row struct {
				SN string
				N  json.Number
			}
			if json.Unmarshal(b, &row) == nil {
				delete(missing, row.SN+"/"+row.N.String())
			}
		}
		return len(missing) == 0
	})
	t.Logf("%d acknowledged messages of %d devices over %d kills; %d arrived, %d of them repeats", total, len(fleet), kills, len(sink.Bodies()), sink.Repeats())
}

// writers are devices that publish 1, 2, 3 … each, one message in flight, over
// reconnects: a number counts when its PUBACK came.
type writers struct {
	done  chan struct{}
	wg    sync.WaitGroup
	acked []atomic.Int64 // the last number of each device
}

// grow waits until each counter is higher than it was: on a busy machine it may take long until there is anything that a kill could fall into.
func grow(t *testing.T, what string, counters []atomic.Int64) {
	t.Helper()
	for i := range counters {
		before := counters[i].Load()
		harness.Eventually(t, time.Minute, what, func() bool { return counters[i].Load() > before })
	}
}

func newWriters(t *testing.T, hub *harness.Hub, fleet []harness.Credentials) *writers {
	t.Helper()
	w := &writers{done: make(chan struct{}), acked: make([]atomic.Int64, len(fleet))}
	addr := hub.MQTT
	for i, d := range fleet {
		w.wg.Add(1)
		go func() {
			defer w.wg.Done()
			for n := 1; ; {
				select {
				case <-w.done:
					return
				default:
				}
				n = publishFrom(addr, d, n, &w.acked[i], w.done)
			}
		}()
	}
	return w
}

// stop ends the writers and returns the last acknowledged number of each.
func (w *writers) stop() (acked []int) {
	close(w.done)
	w.wg.Wait()
	for i := range w.acked {
		acked = append(acked, int(w.acked[i].Load()))
	}
	return acked
}

// publishFrom connects and publishes n, n+1 … until the connection fails or
// done is closed; it returns the first number that was not acknowledged, and keeps the last one that was in acked.
func publishFrom(addr string, d harness.Credentials, n int, acked *atomic.Int64, done <-chan struct{}) int {
	c, err := dialRaw(addr)
	if err != nil {
		<-time.After(10 * time.Millisecond)
		return n
	}
	defer c.close()
	if code, err := c.connect(d.ClientID(), d.UserName(), d.DeviceSecret, 60); err != nil || code != 0 {
		return n
	}
	for {
		select {
		case <-done:
			return n
		default:
		}
		payload := fmt.Sprintf(`{"RequestID":"%d","Property":{"n":{"Value":%d}}}`, n, n)
		if c.publishAcked(d.System("tmodel/property/post"), []byte(payload), uint16(n%65535+1)) != nil {
			return n
		}
		acked.Store(int64(n))
		n++
	}
}

// latest reads the device's latest value of property n.
func latest(t *testing.T, h *harness.Hub, d harness.Credentials) int {
	t.Helper()
	var got struct {
		Property map[string]struct{ Value float64 }
	}
	if err := h.Call("GET", "/v1/products/"+d.ProductSN+"/devices/"+d.DeviceSN+"/properties", nil, &got); err != nil {
		t.Fatal(err)
	}
	return int(got.Property["n"].Value)
}
