package scenario

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// cluster starts n hubs on one PostgreSQL and one NATS server, with further arguments.
func cluster(t *testing.T, n int, more ...string) []*harness.Hub {
	t.Helper()
	dsn, bus := harness.Postgres(t), harness.NATS(t)
	keyring := filepath.Join(t.TempDir(), "keyring")
	var hubs []*harness.Hub
	for i := range n {
		h := harness.StartHub(t, harness.HubOptions{Args: append([]string{"--store-dsn", dsn, "--nats-url", bus, "--keyring-file", keyring, "--node", fmt.Sprint(i + 1),
			"--publish-rate", "0", "--rule-allow-local"}, more...)})
		if i > 0 {
			h.Key = hubs[0].Key // the first one made it
		}
		hubs = append(hubs, h)
	}
	return hubs
}

// TestTwoNodesAreOneHub connects a device to one node and works it through the other.
func TestTwoNodesAreOneHub(t *testing.T) {
	hubs := cluster(t, 2)
	a, b := hubs[0], hubs[1]
	d := b.Devices(b.Product(map[string]any{"name": "two nodes", "kind": "device"}), 1)[0]
	sub, leave := startUntil(t, "mosquitto_sub", append(mosquitto(a, d, false), "-v", "-q", "1", "-t", d.Topic("set"), "-t", d.System("shadow/downstream"))...)
	online(t, b, d)
	subscribed(t, b, d, sub)
	if err := b.Call("PATCH", shadowPath(d), map[string]any{"desired": map[string]any{"light": "on"}}, nil); err != nil {
		t.Fatal(err)
	}
	waitFor(t, sub, `"Desired":{"light":"on"}`)

	// The identity logs in at the other node: the first session is cut off. Its client is one that does not come back by itself.
	leave()
	first := mqtt.NewClientOptions().AddBroker("tcp://" + a.MQTT).SetClientID(d.ClientID()).SetUsername(d.UserName()).SetPassword(d.DeviceSecret)
	_, lost := dialMQTT(t, first)
	c := login(t, b, d)
	ended(t, "the session at the first node", lost)
	if code, err := c.subscribe(d.Topic("set")); err != nil || code != 1 {
		t.Fatalf("subscription at the second node: %#x, %v", code, err)
	}
	if got := state(t, a, d); got != "online" {
		t.Errorf("state after the move = %q, want online", got)
	}
}

// TestKilledNodeOnPostgreSQL is the kill run on the cluster's store.
func TestKilledNodeOnPostgreSQL(t *testing.T) {
	hub := cluster(t, 1)[0]
	devices := hub.Devices(hub.Product(map[string]any{"name": "kill", "kind": "device"}), 3)
	sink := harness.StartReceiver(t)
	rule(t, hub, "SELECT deviceSN() AS sn, Property.n.Value AS n FROM '/$system/"+devices[0].ProductSN+"/+/tmodel/property/post'", sink.URL)
	killRun(t, hub, devices, sink, 2, 300*time.Millisecond)
	if log := hub.Log(); strings.Contains(log, "level=ERROR") {
		t.Errorf("errors in the log:\n%s", log)
	}
}
