package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
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
	harness.Eventually(t, time.Minute, "the watch sees the device come", online(1))
	if err := hub.Stop(); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, time.Minute, "the watch says that it connects again", func() bool {
		return strings.Contains(errOut.String(), "connecting again")
	})
	hub.Start()
	seen := strings.Count(out.String(), `"Online"`)
	harness.Eventually(t, 3*time.Minute, "the watch sees the device come after the restart", online(seen+1))
}

// dial logs a device in.
func dial(t *testing.T, hub *harness.Hub, d harness.Credentials) mqtt.Client {
	t.Helper()
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + hub.MQTT).SetClientID(d.ClientID()).SetUsername(d.UserName()).
		SetPassword(d.DeviceSecret).SetKeepAlive(time.Minute).SetAutoReconnect(false))
	if tok := c.Connect(); !tok.WaitTimeout(time.Minute) || tok.Error() != nil {
		t.Fatalf("login: %v", tok.Error())
	}
	return c
}

// A hub that is killed in the middle of an import goes on with it, and hawserctl follows over that.
func TestImportSurvivesAKillOfTheHub(t *testing.T) {
	hub := harness.StartHub(t, harness.HubOptions{})
	product := hub.Product(map[string]any{"name": "meter"})
	const rows = 20_000
	var file strings.Builder
	file.WriteString("deviceSN,name\n")
	for i := range rows {
		fmt.Fprintf(&file, "meter-%06d,\"Meter, %d\"\n", i, i)
	}
	var out, errOut output
	ended := make(chan error, 1)
	root := newRoot(&cli{out: &out, errOut: &errOut, in: strings.NewReader(file.String())})
	result := filepath.Join(t.TempDir(), "result.csv")
	root.SetArgs([]string{"--hub", "http://" + hub.HTTP, "--api-key", hub.Key, "device", "import", product, "-", "--result", result, "-o", "json"})
	go func() { ended <- root.ExecuteContext(t.Context()) }()
	var list struct {
		Items []struct{ Succeeded int }
	}
	harness.Eventually(t, time.Minute, "a part is imported", func() bool {
		return hub.Call("GET", "/v1/jobs", nil, &list) == nil && len(list.Items) == 1 && list.Items[0].Succeeded > 0
	})
	hub.Kill()
	hub.Start()
	select {
	case err := <-ended:
		if err != nil {
			t.Fatalf("import: %v\n%s%s", err, out.String(), errOut.String())
		}
	case <-time.After(10 * time.Minute): // 20,000 rows, on a busy machine
		t.Fatalf("the import does not end\n%s", errOut.String())
	}
	b, err := os.ReadFile(result)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n")[1:] {
		fields := strings.Split(line, ",")
		if fields[0] != "ok" || len(fields[3]) != 16 || seen[fields[2]] {
			t.Fatalf("result: %s", line)
		}
		seen[fields[2]] = true
	}
	if list.Items[0].Succeeded >= rows {
		t.Log("the hub was killed too late to prove anything")
	}
	if len(seen) != rows {
		t.Errorf("%d rows in the result, want %d", len(seen), rows)
	}
}
