package scenario

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// TestFullDisk fills the data folder's file system under a hub that devices publish to. What was acknowledged before stays,
// what cannot be stored is not acknowledged, and with room again the hub goes on by itself.
func TestFullDisk(t *testing.T) {
	beside(t)
	dir := tmpfs(t, "size=48m")
	hub := harness.StartHub(t, harness.HubOptions{Data: filepath.Join(dir, "hub"),
		Args: []string{"--rule-allow-local", "--publish-rate", "0", "--publish-byte-rate", "0"}})
	product := hub.Product(map[string]any{"name": "disk", "kind": "device"})
	d := hub.Devices(product, 1)[0]
	// A sink that nobody listens on: the outbox can only grow.
	rule(t, hub, "SELECT * FROM '/"+product+"/+/upload'", "http://127.0.0.1:1/")

	c := login(t, hub, d)
	acked := publishMany(c, d, 0, 20)
	if acked != 20 {
		t.Fatalf("%d of 20 messages acknowledged on a disk with room", acked)
	}
	ballast := filepath.Join(dir, "ballast")
	fill(t, ballast)
	acked += publishMany(c, d, acked, 10_000)
	if acked == 10_020 {
		t.Fatal("everything is acknowledged on a full disk")
	}
	if !c.ended() {
		t.Error("the hub kept a connection whose message it could not store")
	}
	harness.Eventually(t, time.Minute, "the log says that the disk is full", func() bool { return strings.Contains(hub.Log(), "full") })
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, time.Minute, "the hub takes messages again", func() bool {
		c, err := dialRaw(hub.MQTT)
		if err != nil {
			return false
		}
		defer c.close()
		code, err := c.connect(d.ClientID(), d.UserName(), d.DeviceSecret, 60)
		return err == nil && code == 0 && publishMany(c, d, acked, 1) == 1
	})
	harness.Eventually(t, time.Minute, "every acknowledged message waits in the outbox", func() bool {
		return queued(t, hub) >= acked+1
	})
}

// publishMany publishes up to n messages of 2 KB numbered from first and returns how many were acknowledged.
func publishMany(c *raw, d harness.Credentials, first, n int) int {
	for i := range n {
		payload := fmt.Sprintf(`{"n":%d,"pad":"%s"}`, first+i, strings.Repeat("x", 2000))
		if c.publishAcked(d.Topic("upload"), []byte(payload), uint16(i%1000+1)) != nil {
			return i
		}
	}
	return n
}

// fill writes a file until the file system has no room left.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for b := make([]byte, 1<<20); len(b) > 0; {
		if _, err = f.Write(b); err != nil {
			b = b[:len(b)/2]
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the file system is not full but: %v", err)
	}
}

// queued is how many records wait for the sinks of all rules.
func queued(t *testing.T, h *harness.Hub) int {
	t.Helper()
	var rules struct {
		Items []struct{ ID string }
	}
	if err := h.Call("GET", "/v1/rules", nil, &rules); err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, r := range rules.Items {
		var stats struct {
			Actions []struct{ InFlight, Queued, Late, Dead int }
		}
		if err := h.Call("GET", "/v1/rules/"+r.ID+"/stats", nil, &stats); err != nil {
			t.Fatal(err)
		}
		for _, a := range stats.Actions {
			total += a.InFlight + a.Queued + a.Late + a.Dead
		}
	}
	return total
}
