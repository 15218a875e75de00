package agent_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/edge-agent/agent"
	"github.com/hawser-iot/hawser/edge-agent/slot"
)

// TestLaunchStartsSomething: whatever is wrong with the slot that is to be started, the one before starts, and no other.
func TestLaunchStartsSomething(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(t *testing.T, dir string, l *slot.Links)
		want  string // of the program that is started
		says  string
	}{
		"nothing is wrong": {func(t *testing.T, _ string, l *slot.Links) { must(t, l.Arm(t.Context(), "B", 3)) }, "B", ""},
		"the start can't be counted": {func(t *testing.T, dir string, l *slot.Links) {
			must(t, l.Arm(t.Context(), "B", 3))
			must(t, os.Mkdir(filepath.Join(dir, "tries.new"), 0o700))
		}, "A", "is a directory"},
		"the program is gone": {func(t *testing.T, dir string, l *slot.Links) {
			must(t, l.Confirm(t.Context(), "B"))
			must(t, os.Remove(filepath.Join(dir, "B", agent.ProgramName)))
		}, "A", "no such file"},
		"the program is none": {func(t *testing.T, dir string, l *slot.Links) {
			must(t, l.Confirm(t.Context(), "B"))
			must(t, os.WriteFile(filepath.Join(dir, "B", agent.ProgramName), nil, 0o700))
		}, "A", "exec format"},
		"the slot was given up": {func(t *testing.T, dir string, l *slot.Links) {
			must(t, l.Confirm(t.Context(), "B"))
			must(t, l.Revert(t.Context(), "A")) // and is about to be overwritten
			must(t, os.Remove(filepath.Join(dir, "B", agent.ProgramName)))
		}, "", "no such file"},
		"the link leads nowhere": {func(t *testing.T, dir string, l *slot.Links) {
			must(t, l.Confirm(t.Context(), "B"))
			must(t, os.Remove(filepath.Join(dir, "current")))
			must(t, os.Symlink("C", filepath.Join(dir, "current")))
		}, "A", "points elsewhere"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, s := range []string{"A", "B"} {
				must(t, os.Mkdir(filepath.Join(dir, s), 0o700))
				must(t, os.WriteFile(filepath.Join(dir, s, agent.ProgramName), []byte("#!/bin/sh\necho this is "+s+" $HAWSER_AGENT_SLOT\n"), 0o700))
			}
			l, err := slot.NewLinks(slot.LinksConfig{Dir: dir, Slots: []string{"A", "B"}, Booted: func() (string, error) { return "A", nil }})
			must(t, err)
			tt.spoil(t, dir, l)
			var out, errs strings.Builder
			cmd := exec.Command(os.Args[0])
			cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), "AGENT_TEST_LAUNCH="+dir), &out, &errs
			err = cmd.Run()
			want := ""
			if tt.want != "" {
				want = "this is " + tt.want + " " + tt.want + "\n"
			}
			if out.String() != want || (err == nil) != (want != "") || !strings.Contains(errs.String(), tt.says) || tt.says == "" && errs.Len() > 0 {
				t.Errorf("started %q, %v, and said %q; want %q and %q", out.String(), err, errs.String(), want, tt.says)
			}
		})
	}
}
