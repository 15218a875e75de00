package main

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// output may be written and read at the same time.
type output struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func TestWatchSurvivesARestartOfTheHub(t *testing.T) {
	hub := harness.StartHub(t, harness.HubOptions{})
	product := hub.Product(map[string]any{"name": "lamp"})
	var out, errOut output
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	root := newRoot(&cli{out: &out, errOut: &errOut, in: strings.NewReader("")})
	root.SetArgs([]string{"--hub", "http://" + hub.HTTP, "--api-key", hub.Key, "watch", product, "-o", "json"})
	go func() { ended <- root.ExecuteContext(ctx) }()
	defer func() { cancel(); <-ended }()
	d := hub.Devices(product, 1)[0]
	// The device comes and goes until the watch has noticed.
	online := func(n int) func() bool {
		return func() bool {
			c := dial(t, hub, d)
			defer c.Disconnect(0)
			return strings.Count(out.String(), `"Online"`) >= n
		}
	}
	harness.Eventually(t, 20*time.Second, "the watch sees the device come", online(1))
	if err := hub.Stop(); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, 10*time.Second, "the watch says that it connects again", func() bool {
		return strings.Contains(errOut.String(), "connecting again")
	})
	hub.Start()
	seen := strings.Count(out.String(), `"Online"`)
	harness.Eventually(t, 30*time.Second, "the watch sees the device come after the restart", online(seen+1))
}

// dial logs a device in.
func dial(t *testing.T, hub *harness.Hub, d harness.Credentials) mqtt.Client {
	t.Helper()
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + hub.MQTT).SetClientID(d.ClientID()).SetUsername(d.UserName()).
		SetPassword(d.DeviceSecret).SetKeepAlive(time.Minute).SetAutoReconnect(false))
	if tok := c.Connect(); !tok.WaitTimeout(10*time.Second) || tok.Error() != nil {
		t.Fatalf("login: %v", tok.Error())
	}
	return c
}
