package scenario

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// TestRetained: what mosquitto_pub -r leaves is there for mosquitto_sub after the hub was killed, until an empty message takes it away.
func TestRetained(t *testing.T) {
	hub, devices := fleet(t, 2, nil)
	var key struct{ ID, Key string }
	if err := hub.Call("POST", "/v1/api-keys", map[string]any{"name": "listener", "role": "operator"}, &key); err != nil {
		t.Fatal(err)
	}
	app := func(more ...string) []string {
		host, port, _ := net.SplitHostPort(hub.MQTT)
		return append([]string{"-h", host, "-p", port, "-i", "ledger", "-u", "app|" + key.ID, "-P", key.Key, "-q", "1"}, more...)
	}
	must := func(name string, args ...string) string {
		t.Helper()
		out, err := run(t, name, args...)
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		return out
	}
	for _, d := range devices {
		must("mosquitto_pub", append(mosquitto(hub, d, false), "-r", "-q", "1", "-t", d.Topic("upload"), "-m", "kept of "+d.DeviceSN)...)
	}
	must("mosquitto_pub", app("-r", "-t", devices[0].Topic("set"), "-m", "21 degrees")...)

	hub.Kill()
	hub.Start()

	everything := "/" + devices[0].ProductSN + "/+/upload"
	for _, version := range []string{"mqttv311", "mqttv5"} {
		out := must("mosquitto_sub", app("-V", version, "-F", "%r %p", "-t", everything, "-C", "2", "-W", "50")...)
		for _, d := range devices {
			if !strings.Contains(out, "1 kept of "+d.DeviceSN) {
				t.Errorf("%s: an application got %q", version, out)
			}
		}
		out = must("mosquitto_sub", append(mosquitto(hub, devices[0], false), "-V", version, "-q", "1", "-F", "%r %p", "-t", devices[0].Topic("set"), "-C", "1", "-W", "50")...)
		if !strings.Contains(out, "1 21 degrees") {
			t.Errorf("%s: the device got %q", version, out)
		}
	}
	must("mosquitto_pub", app("-r", "-t", devices[0].Topic("set"), "-n")...)
	must("mosquitto_pub", append(mosquitto(hub, devices[0], false), "-r", "-q", "1", "-t", devices[0].Topic("upload"), "-n")...)
	left := start(t, "mosquitto_sub", app("-F", "%r %p", "-t", everything, "-t", devices[0].Topic("set"))...)
	waitFor(t, left, "kept of "+devices[1].DeviceSN)
	harness.Eventually(t, time.Minute, "a live message came behind the retained ones", func() bool {
		must("mosquitto_pub", append(mosquitto(hub, devices[1], false), "-q", "1", "-t", devices[1].Topic("upload"), "-m", "live")...)
		return strings.Contains(left.String(), "0 live")
	})
	if strings.Contains(left.String(), "kept of "+devices[0].DeviceSN) || strings.Contains(left.String(), "21 degrees") {
		t.Errorf("removed messages came: %q", left.String())
	}
}
