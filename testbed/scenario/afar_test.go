package scenario

import (
	"archive/tar"
	"compress/gzip"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/firmware/signing"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// afar is a channelRig whose agent takes configurations from the hub.
type afar struct {
	*channelRig
	device string // its path in the API
}

func newAfar(t *testing.T) *afar {
	r := newChannelRig(t, "")
	r.stopAgent(syscall.SIGTERM)
	var d struct{ PublicKey string }
	must(t, r.hub.Call("GET", "/v1/director", nil, &d))
	key, err := signing.ParsePublicKey([]byte(d.PublicKey))
	must(t, err)
	f, err := os.OpenFile(r.config, os.O_APPEND|os.O_WRONLY, 0o600)
	must(t, err)
	_, err = fmt.Fprintf(f, "remote_config: {keys: [%s], trial: 30s}\ntls: {ca: %s/tls/ca.pem}\n", hex.EncodeToString(key[:]), r.hub.Data)
	must(t, errors.Join(err, f.Close()))
	r.startAgent()
	return &afar{r, "/v1/products/" + r.gw.ProductSN + "/devices/" + r.gw.DeviceSN}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// set gives the agent a configuration: what it has but for a line more.
func (a *afar) set(line string) {
	a.t.Helper()
	document := fmt.Sprintf("subdevices:\n  - {product: %s, device: %s, secret: %s}\n%s\n", a.sub.ProductSN, a.sub.DeviceSN, a.sub.DeviceSecret, line)
	if !strings.Contains(line, "listen:") {
		document += "listen: " + a.lan + "\n"
	}
	must(a.t, a.hub.Call("PUT", a.device+"/agent/config", map[string]any{"document": document}, nil))
}

type configState struct{ Wanted, Running, Offered, State, Reason, Detail string }

// becomes waits until the hub has heard that an offer is in a state, and that so much runs.
func (a *afar) becomes(offered, state, running string) (s configState) {
	a.t.Helper()
	harness.Eventually(a.t, 90*time.Second, fmt.Sprintf("%s is %s", offered, state), func() bool {
		var got struct{ Config configState }
		if a.hub.Call("GET", a.device+"/agent", nil, &got) != nil {
			return false
		}
		s = got.Config
		return s.Offered == offered && s.State == state
	})
	if s.Running != running {
		a.t.Errorf("of %s runs %q, want %q: %+v", offered, s.Running, running, s)
	}
	return s
}

// TestAgentFromAfar: an agent takes what the hub signs, over a kill in the middle; goes back from what it cannot work with, and what cuts it off; and
// sends a bundle without secrets when it is asked.
func TestAgentFromAfar(t *testing.T) {
	beside(t)
	a := newAfar(t)
	a.set("log: {level: debug}")
	a.becomes("device/1", "trial", "device/1")
	a.stopAgent(syscall.SIGKILL)
	a.startAgent()
	a.becomes("device/1", "applied", "device/1")
	if b, err := os.ReadFile(a.config); err != nil || !strings.Contains(string(b), "level: debug") || !strings.Contains(string(b), "remote_config") {
		t.Errorf("in force is\n%s (%v)", b, err)
	}
	a.set("listen: 192.0.2.1:1") // an address that is not here: the agent does not even start with it
	if s := a.becomes("device/2", "back", "device/1"); s.Reason != "taken_back" || s.Detail == "" || s.Wanted != "device/2" {
		t.Errorf("%+v", s)
	}
	a.set("no_such_key: 1")
	if s := a.becomes("device/3", "refused", "device/1"); s.Reason != "invalid" || !strings.Contains(s.Detail, "no_such_key") {
		t.Errorf("%+v", s)
	}
	if os.Getenv("HAWSER_TEST_LONG") != "" {
		a.set("hub: tcp://127.0.0.1:1") // nobody is there: it must find its way back
		a.becomes("device/4", "back", "device/1")
	}
	a.publish(make(chan struct{}), 20)
	a.settled(0, 20, 0)

	var list struct {
		Items []struct{ DeviceSN, Version, Variant, Config, ConfigState string }
	}
	must(t, a.hub.Call("GET", "/v1/products/"+a.gw.ProductSN+"/agents", nil, &list))
	if len(list.Items) != 1 || list.Items[0].DeviceSN != a.gw.DeviceSN || list.Items[0].Variant != "gateway" || list.Items[0].Config != "device/1" || list.Items[0].Version == "" {
		t.Errorf("agents %+v", list)
	}
	a.bundle()
	must(t, a.hub.Stop())
	storetest.NoSecrets(t, a.hub.Data, a.sub.DeviceSecret)
}

// bundle asks for a bundle and looks into it.
func (a *afar) bundle() {
	t := a.t
	t.Helper()
	type diagnosis struct {
		ID, State, Reason, FileID string
		Size                      int64
	}
	var d diagnosis
	must(t, a.cmd.Process.Signal(syscall.SIGSTOP)) // else the first one may be there before it is asked for a second
	must(t, a.hub.Call("POST", a.device+"/agent/diagnosis", nil, &d))
	if err := a.hub.Call("POST", a.device+"/agent/diagnosis", nil, nil); err == nil || !strings.Contains(err.Error(), "diagnosis_open") {
		t.Errorf("a second one at the same time: %v", err)
	}
	must(t, a.cmd.Process.Signal(syscall.SIGCONT))
	harness.Eventually(t, 60*time.Second, "the bundle is there", func() bool {
		must(t, a.hub.Call("GET", a.device+"/agent/diagnosis", nil, &d))
		if d.State == "failed" || d.State == "timeout" {
			t.Fatalf("%+v", d)
		}
		return d.State == "done"
	})
	files := a.archive(a.device + "/files/" + d.FileID + "/content")
	for _, name := range []string{"version.txt", "config.yaml", "status.json", "doctor.json", "buffer.json", "log.txt"} {
		if files[name] == "" {
			t.Errorf("the bundle has no %s, or an empty one", name)
		}
	}
	for name, text := range files {
		for _, secret := range []string{a.gw.DeviceSecret, a.sub.DeviceSecret} {
			if strings.Contains(text, secret) {
				t.Errorf("%s has a secret", name)
			}
		}
	}
	if !strings.Contains(files["status.json"], a.gw.DeviceSN) || !strings.Contains(files["config.yaml"], "redacted") {
		t.Errorf("status\n%s\nconfiguration\n%s", files["status.json"], files["config.yaml"])
	}
}

// archive are the files of a tar.gz that the hub has.
func (a *afar) archive(path string) map[string]string {
	t := a.t
	t.Helper()
	q, err := http.NewRequest(http.MethodGet, "http://"+a.hub.HTTP+path, nil)
	must(t, err)
	q.Header.Set("Authorization", "Bearer "+a.hub.Key)
	r, err := http.DefaultClient.Do(q)
	must(t, err)
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		t.Fatal(r.Status)
	}
	z, err := gzip.NewReader(r.Body)
	must(t, err)
	files := map[string]string{}
	for ar := tar.NewReader(z); ; {
		h, err := ar.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		must(t, err)
		b, err := io.ReadAll(ar)
		must(t, err)
		files[h.Name] = string(b)
	}
}
