package scenario

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// kafkaTarget is a topic of four partitions.
type kafkaTarget struct {
	peer
	wire string
}

func (k *kafkaTarget) Start(t *testing.T) string {
	t.Helper()
	k.start(t, "kafka")
	return k.addr
}

// Action starts the broker again, which has to say that it is behind the wire.
func (k *kafkaTarget) Action(t *testing.T, hub *harness.Hub, addr string) map[string]any {
	t.Helper()
	k.Kill()
	k.wire = addr
	k.start(t, "kafka", peerAdvertised+"="+addr)
	return map[string]any{"kind": "kafka", "connector": makeConnector(t, hub, "kafka", map[string]any{"brokers": []string{addr}, "timeoutSeconds": 2}), "topic": "readings"}
}

func makeConnector(t *testing.T, hub *harness.Hub, kind string, config map[string]any) string {
	t.Helper()
	var c struct{ ID string }
	if err := hub.Call("POST", "/v1/connectors", map[string]any{"name": kind, "kind": kind, "config": config}, &c); err != nil {
		t.Fatal(err)
	}
	return c.ID
}

// row is a record's result.
type row struct {
	Device string
	N      int
}

// Rows asks with a client that we did not write. The broker says that it is behind the wire, so that is where it asks.
func (k *kafkaTarget) Rows(t *testing.T) map[string][]int {
	t.Helper()
	where := k.addr
	if k.wire != "" {
		where = k.wire
	}
	rows := map[string][]int{}
	out := harness.Kcat(t, "-b", where, "-C", "-t", "readings", "-o", "beginning", "-e", "-q", "-X", "socket.timeout.ms=60000")
	for line := range strings.Lines(out) {
		var r row
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("message %q: %v", line, err)
		}
		rows[r.Device] = append(rows[r.Device], r.N)
	}
	return rows
}
