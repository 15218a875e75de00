package mqttconform

import (
	"os"
	"sync"
	"testing"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// hub starts a hub and returns it as a target whose clients are devices.
func hub(t *testing.T) Target {
	t.Helper()
	h := harness.StartHub(t, harness.HubOptions{Args: []string{"--publish-rate", "0"}})
	t.Cleanup(harness.RemoveBinaries)
	product := h.Product(map[string]any{"name": "conformance", "kind": "device"})
	free := h.Devices(product, 500)
	var mu sync.Mutex // guards the variables below and free
	byName, byID := map[string]string{}, map[string]harness.Credentials{}
	return Target{Name: "the hub", Restricted: true, Addr: h.MQTT, WebSocket: "ws://" + h.HTTP + "/mqtt", User: "nobody-known", Password: "a-password",
		ID: func(name string) string {
			mu.Lock()
			defer mu.Unlock()
			if byName[name] == "" {
				if len(free) == 0 {
					free = h.Devices(product, 500)
				}
				d := free[0]
				free = free[1:]
				byName[name], byID[d.ClientID()] = d.ClientID(), d
			}
			return byName[name]
		},
		Login: func(clientID string) (user, password string) {
			mu.Lock()
			defer mu.Unlock()
			d := byID[clientID]
			return d.UserName(), d.DeviceSecret
		},
	}
}

// hubDiffers is where a hub is no plain broker, or lacks something.
var hubDiffers = map[string]string{
	"3.1.1 3.1.3-5": "only devices and applications are welcome",
	"3.1.1 3.1.3-6": "only devices and applications are welcome",
	"3.1.1 3.8.4-1": "the filters are not the device's",
	"3.1.1 3.8.4-4": "the filters are not the device's",
	"3.1.1 3.8.4-5": "the filters are not the device's",
	"3.1.1 3.9.3-1": "the filters are not the device's",
	"3.1.1 3.9.3-2": "the filters are not the device's",
	"5.0 3.1.3-5":   "only devices and applications are welcome",
	"5.0 3.1.3-6":   "only devices and applications are welcome",
	"5.0 3.1.3-7":   "only devices and applications are welcome",
	"5.0 3.2.2-16":  "only devices and applications are welcome",
	"5.0 3.3.4-3":   "the filters are not the device's",
	"5.0 3.3.4-4":   "the filters are not the device's",
	"5.0 3.3.4-5":   "the filters are not the device's",
	"5.0 3.8.4-1":   "the filters are not the device's",
	"5.0 3.8.4-5":   "the filters are not the device's",
	"5.0 3.8.4-6":   "the filters are not the device's",
	"5.0 3.8.4-7":   "the filters are not the device's",
	"5.0 3.9.3-1":   "the filters are not the device's",
}

// TestHub runs the checks that a device's permissions allow against a hub, with devices as the clients: over TCP, and over
// WebSocket with HAWSER_TEST_LONG.
func TestHub(t *testing.T) {
	target := hub(t)
	judge(t, against{target: target, known: hubDiffers, firm: true})
	if os.Getenv("HAWSER_TEST_LONG") != "" {
		t.Run("ws", func(t *testing.T) { judge(t, against{target: target, webSocket: true, known: hubDiffers}) })
	}
}
