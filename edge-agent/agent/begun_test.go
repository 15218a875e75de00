package agent_test

import (
	"errors"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/edge-agent/agent"
	"github.com/hawser-iot/hawser/edge-agent/trial"
)

// TestTrialBegunDuringTheStart: a change that is put on trial after the agent has read its file, and before it can be told, starts it anew.
func TestTrialBegunDuringTheStart(t *testing.T) {
	s := newSite(t, 0, "")
	cfg, err := agent.Load(s.file)
	must(t, err)
	now, err := os.ReadFile(s.file)
	must(t, err)
	must(t, trial.Begin(s.file, append(now, "log: {level: debug}\n"...), time.Minute))
	a, err := agent.New(cfg, slog.New(slog.DiscardHandler))
	must(t, err)
	a.ConfigPath = s.file
	if err := a.Run(deadline(t)); !errors.Is(err, agent.ErrRestart) {
		t.Errorf("Run = %v, want ErrRestart", err)
	}
}
