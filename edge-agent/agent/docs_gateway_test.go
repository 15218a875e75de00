//go:build !core

package agent_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/edge-agent/agent"
)

// TestDocumentedConfigurations: what docs/gateway.md and its example show is taken.
func TestDocumentedConfigurations(t *testing.T) {
	example, err := os.ReadFile("../../docs/gateway-example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := agent.Parse(example); err != nil {
		t.Errorf("docs/gateway-example.yaml: %v", err)
	}
	page, err := os.ReadFile("../../docs/gateway.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	head := "hub: tcp://192.0.2.1:1883\nproduct: 9sdk2mo10cm3l1x4\ndevice: gateway-1\nsecret: x\nsubdevices_from_hub: true\n"
	tried := 0
	for i, block := range strings.Split(string(page), "```yaml\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		config := head + block
		switch {
		case strings.HasPrefix(block, "routes:"):
			path := filepath.Join(dir, "routes.yaml")
			if err := os.WriteFile(path, []byte(block), 0o600); err != nil {
				t.Fatal(err)
			}
			config = head + "routes: " + path + "\n"
		case strings.Contains(block, "token_file") || strings.Contains(block, "listen_cert"):
			continue // files that are not here
		}
		if _, err := agent.Parse([]byte(config)); err != nil {
			t.Errorf("block %d of docs/gateway.md: %v\n%s", i, err, block)
		}
		tried++
	}
	if tried < 4 {
		t.Errorf("%d blocks were tried", tried)
	}
}
