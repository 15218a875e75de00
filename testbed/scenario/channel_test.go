package scenario

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// channelRig is a hub with a rule and a sink, an agent that is a process, and a sub-device that publishes numbers at the agent.
type channelRig struct {
	t      *testing.T
	hub    *harness.Hub
	sink   *harness.Receiver
	gw     harness.Credentials
	sub    harness.Credentials
	lan    string // where the agent listens
	config string
	cmd    *exec.Cmd
	bin    string

	mu    sync.Mutex
	acked []string // what the agent has taken
	n     int
}

func newChannelRig(t *testing.T, buffer string) *channelRig {
	r := &channelRig{t: t, bin: harness.Binary(t, "agent")}
	r.hub = harness.StartHub(t, harness.HubOptions{Args: []string{"--rule-allow-local", "--publish-rate", "0"}})
	r.gw = r.hub.Devices(r.hub.Product(map[string]any{"name": "gateway", "kind": "gateway"}), 1)[0]
	r.sub = r.hub.Devices(r.hub.Product(map[string]any{"name": "meter", "kind": "subdevice"}), 1)[0]
	r.sink = harness.StartReceiver(t)
	rule(t, r.hub, "SELECT n, messageId() AS id FROM '/"+r.sub.ProductSN+"/+/upload'", r.sink.URL)
	r.lan = harness.FreeAddr(t)
	dir := t.TempDir()
	r.config = filepath.Join(dir, "agent.yaml")
	text := fmt.Sprintf("hub: tcp://%s\nproduct: %s\ndevice: %s\nsecret: %s\ndata: %s/data\nlisten: %s\nsubdevices:\n  - {product: %s, device: %s, secret: %s}\n%s",
		r.hub.MQTT, r.gw.ProductSN, r.gw.DeviceSN, r.gw.DeviceSecret, dir, r.lan, r.sub.ProductSN, r.sub.DeviceSN, r.sub.DeviceSecret, buffer)
	if err := os.WriteFile(r.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r.startAgent()
	t.Cleanup(func() { r.stopAgent(syscall.SIGTERM) })
	return r
}

func (r *channelRig) startAgent() {
	r.cmd = exec.Command(r.bin, "run", "--config", r.config)
	log, err := os.OpenFile(r.config+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		r.t.Fatal(err)
	}
	defer log.Close()
	r.cmd.Stderr = log
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *channelRig) stopAgent(s os.Signal) {
	_ = r.cmd.Process.Signal(s)
	_ = r.cmd.Wait()
	if r.t.Failed() {
		b, _ := os.ReadFile(r.config + ".log")
		r.t.Logf("the agent's log:\n%s", b[max(0, len(b)-6000):])
	}
}

// publish has the sub-device publish until done is closed or limit numbers are taken. A number is published once only: the next try has another.
func (r *channelRig) publish(done <-chan struct{}, limit int) {
	for taken := 0; taken < limit; {
		c, err := dialRaw(r.lan)
		if err == nil {
			var code byte
			if code, err = c.connect(r.sub.ClientID(), r.sub.UserName(), r.sub.DeviceSecret, 60); err != nil || code != 0 {
				err = fmt.Errorf("refused with %d: %w", code, err)
			}
		}
		for err == nil && taken < limit {
			select {
			case <-done:
				c.close()
				return
			default:
			}
			r.n++
			if err = c.publishAcked(r.sub.Topic("upload"), fmt.Appendf(nil, `{"n":"%d"}`, r.n), uint16(r.n%65535+1)); err == nil {
				taken++
				r.mu.Lock()
				r.acked = append(r.acked, fmt.Sprint(r.n))
				r.mu.Unlock()
			}
		}
		if c != nil {
			c.close()
		}
		select {
		case <-done:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// count is how many messages the agent has taken.
func (r *channelRig) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.acked)
}

// taken are the messages that the hub has made of each number since the sink had so many bodies.
func (r *channelRig) taken(since int) map[string]map[string]bool {
	all := map[string]map[string]bool{}
	for _, b := range r.sink.Bodies()[since:] {
		var row struct {
			N  string
			ID any
		}
		if err := json.Unmarshal(b, &row); err != nil {
			r.t.Fatalf("%s: %v", b, err)
		}
		if all[row.N] == nil {
			all[row.N] = map[string]bool{}
		}
		all[row.N][fmt.Sprint(row.ID)] = true
	}
	return all
}

// settled waits until every number from the from-th to the to-th has come, and fails when another has, or one became two messages.
func (r *channelRig) settled(from, to, since int) {
	r.t.Helper()
	harness.Eventually(r.t, 60*time.Second, fmt.Sprintf("the sink has numbers %d to %d", from, to), func() bool {
		all := r.taken(since)
		for _, n := range r.acked[from:to] {
			if all[n] == nil {
				return false
			}
		}
		return true
	})
	all := r.taken(since)
	for n, ids := range all {
		if len(ids) != 1 {
			r.t.Errorf("number %s became %d messages", n, len(ids))
		}
	}
	for i, n := range r.acked {
		if (i < from || i >= to) && all[n] != nil {
			r.t.Errorf("number %s came again", n)
		}
	}
}

// TestAgentChannel: what an agent has taken comes through a rule to a sink, each number once, while hub and agent are killed; and a hub that is restored from a copy gets
// what it lost, and nothing else.
func TestAgentChannel(t *testing.T) {
	beside(t)
	kills, each := 3, 500*time.Millisecond
	if os.Getenv("HAWSER_TEST_LONG") != "" {
		kills, each = 60, 2*time.Second
	}
	r := newChannelRig(t, "")
	done, ended := make(chan struct{}), make(chan struct{})
	go func() { defer close(ended); r.publish(done, 1<<40) }()
	for i := range kills {
		had := r.count()
		harness.Eventually(t, time.Minute, "the agent takes messages", func() bool { return r.count() > had })
		<-time.After(each + rand.N(each)) // the kill must fall anywhere in the traffic
		if i%2 == 0 {
			r.hub.Kill()
			r.hub.Start()
			continue
		}
		r.stopAgent(syscall.SIGKILL)
		r.startAgent()
	}
	<-time.After(each)
	close(done)
	<-ended
	first := len(r.acked)
	r.settled(0, first, 0)

	// A copy of the hub, and what came after it.
	if err := r.hub.Stop(); err != nil {
		t.Fatal(err)
	}
	copied := r.hub.Data + ".copy"
	if err := os.CopyFS(copied, os.DirFS(r.hub.Data)); err != nil {
		t.Fatal(err)
	}
	before := len(r.sink.Bodies())
	r.hub.Start()
	r.publish(make(chan struct{}), 200)
	r.settled(first, first+200, before)
	r.hub.Kill()
	if err := os.RemoveAll(r.hub.Data); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(copied, r.hub.Data); err != nil {
		t.Fatal(err)
	}
	before = len(r.sink.Bodies())
	r.hub.Start()
	r.settled(first, first+200, before)
	var agent struct {
		Platform string
		Channel  int
		Streams  []struct{ Records, Lost int }
		Gaps     []any
	}
	if err := r.hub.Call("GET", "/v1/products/"+r.gw.ProductSN+"/devices/"+r.gw.DeviceSN+"/agent", nil, &agent); err != nil {
		t.Fatal(err)
	}
	if agent.Channel != 1 || agent.Platform == "" || len(agent.Streams) != 1 || len(agent.Gaps) != 0 {
		t.Errorf("the agent says of itself %+v", agent)
	}
	t.Logf("%d numbers over %d kills, 200 again after the restore", first, kills)
}
