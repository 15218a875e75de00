package agent_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/edge-agent/agent"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// TestOwnShadow: a program reports into the gateway's shadow while the hub is away, over a restart of the agent; the hub has it afterwards, and what
// is desired there is here.
func TestOwnShadow(t *testing.T) {
	ctx := deadline(t)
	s := newSite(t, 0, "shadows: {gateway: true}")
	stop := s.run(t)
	cfg, err := agent.Load(s.file)
	must(t, err)
	until := func(what string, cond func() bool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); !cond(); time.Sleep(2 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal(what)
			}
		}
	}
	until("not connected", func() bool { return s.hub.Online(s.gw) })
	s.hub.Pause()
	doc, err := agent.UpdateShadow(ctx, cfg, agent.ShadowChange{Reported: []byte(`{"door":"open"}`)})
	if err != nil || !strings.Contains(string(doc), `"Reported":{"door":"open"}`) {
		t.Fatalf("%s, %v", doc, err)
	}
	stop()
	s.run(t)
	must(t, s.hub.Resume())
	until("the hub has not what was reported", func() bool { return strings.Contains(string(s.hub.Shadow(s.gw).AppendDocument(nil)), `"door":"open"`) })
	must(t, s.hub.Desire(s.gw, map[string]any{"lock": 1}))
	until("what is desired is not here", func() bool {
		doc, err := agent.Shadow(ctx, cfg, ident.Device{})
		return err == nil && strings.Contains(string(doc), `"Desired":{"lock":1}`)
	})
	if _, err := agent.Shadow(ctx, cfg, ident.Device{Product: s.gw.Product, SN: "stranger"}); err == nil {
		t.Error("a stranger's shadow is there")
	}
	if _, err := agent.UpdateShadow(ctx, cfg, agent.ShadowChange{Desired: []byte(`[]`)}); err == nil {
		t.Error("nonsense is taken")
	}
}
