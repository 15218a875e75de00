//go:build !core

package agent_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/hawser-iot/hawser/edge-agent/agent"
)

// TestHiddenOfDrivers: what a driver gets into its environment, and its settings that are secrets by their names, are in nothing that is shown or sent.
func TestHiddenOfDrivers(t *testing.T) {
	s := newSite(t, 1, "")
	cfg, err := agent.Load(s.file)
	must(t, err)
	cfg.Drivers = []agent.Driver{{Name: "warm", Command: []string{"/bin/driver", "--as", "envsecret1"}, Env: []agent.Variable{"BUS_PW=envsecret1", "EMPTY="},
		Settings: agent.DriverSettings{"interval": 0.2, "Bus": map[string]any{"password": "setsecret2", "user": "operator", "tokens": []any{"setsecret3", 4711}},
			"password_file": "/etc/pw", "apiKey": "setsecret4"}}}
	var b bytes.Buffer
	must(t, cfg.Show(&b))
	path := filepath.Join(t.TempDir(), "d.tar.gz")
	_, err = agent.Diagnose(deadline(t), cfg, "1", path)
	must(t, err)
	files := unpack(t, path)
	files["shown"] = b.Bytes()
	for name, b := range files {
		for _, secret := range []string{"envsecret1", "setsecret2", "setsecret3", "4711", "setsecret4"} {
			if bytes.Contains(b, []byte(secret)) && (secret != "4711" || name == "shown") { // so short a one is not looked for elsewhere
				t.Errorf("%s is in %s:\n%s", secret, name, b)
			}
		}
	}
	for _, want := range []string{`"BUS_PW=**redacted**"`, "operator", "/etc/pw", "0.2"} {
		if !bytes.Contains(files["config.yaml"], []byte(want)) {
			t.Errorf("no %s in\n%s", want, files["config.yaml"])
		}
	}
}
