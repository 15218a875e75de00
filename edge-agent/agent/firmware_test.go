package agent_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/edge-agent/agent"
)

// TestWithoutBootLoader carries sub-devices though the boot loader's state can't be read, and says why there are no updates.
func TestWithoutBootLoader(t *testing.T) {
	env := filepath.Join(t.TempDir(), "no", "env")
	s := newSite(t, 1, "firmware:\n  allow_unsigned: true\n  boot: {kind: uboot, path: "+env+", offsets: [0], size: 8KiB}\n"+
		"  modules: [{name: default, version: \"1\", paths: {A: /a, B: /b}}]\n")
	s.run(t)
	d := s.device(t, s.subs[0], nil)
	if err := d.Publish(deadline(t), "upload", []byte("0")); err != nil {
		t.Error(err)
	}
	cfg, err := agent.Load(s.file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := agent.OTAStatus(deadline(t), cfg); err == nil || !strings.Contains(err.Error(), env) {
		t.Errorf("status: %v, want %s in it", err, env)
	}
	if err := agent.OTARollback(deadline(t), cfg); err == nil {
		t.Error("a rollback of nothing went well")
	}
}
