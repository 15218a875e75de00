//go:build !core

package agent_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/edge-agent/agent"
)

// TestPage: a browser on the local network sees how the agent is, and nobody by another name does.
func TestPage(t *testing.T) {
	ctx := deadline(t)
	addr := freeAddr(t)
	s := newSite(t, 1, "page: "+addr)
	cfg := startJournalled(t, s)
	must(t, s.hub.WaitOnline(ctx, s.gw, true))
	get := func(path, host string) (int, string, http.Header) {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, "GET", "http://"+addr+path, nil)
		must(t, err)
		if host != "" {
			r.Host = host
		}
		resp, err := http.DefaultClient.Do(r)
		must(t, err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		must(t, err)
		return resp.StatusCode, string(b), resp.Header
	}
	code, text, head := get("/", "")
	if code != 200 || !strings.Contains(text, s.gw.SN) || !strings.Contains(text, "Sub-devices<td class=\"\">0 connected of 1") || !strings.Contains(text, "msg=ready") {
		t.Errorf("%d\n%s", code, text)
	}
	if strings.Contains(text, cfg.Secret.Reveal()) || strings.Contains(text, "src=") || strings.Contains(text, "href=") {
		t.Errorf("a secret, or something from elsewhere:\n%s", text)
	}
	if !strings.Contains(head.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("headers %v", head)
	}
	var status agent.Status
	code, text, _ = get("/status.json", "localhost")
	if err := json.Unmarshal([]byte(text), &status); err != nil || code != 200 || status.Device != s.gw.SN {
		t.Errorf("%d, %v\n%s", code, err, text)
	}
	if code, text, _ := get("/", "evil.example"); code != 403 || strings.Contains(text, s.gw.SN) {
		t.Errorf("by another name: %d\n%s", code, text)
	}
	if code, _, _ := get("/other", ""); code != 404 {
		t.Errorf("another path: %d", code)
	}
}
