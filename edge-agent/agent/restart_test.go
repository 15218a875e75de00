package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRestartThatLeavesAService: a command that starts a service, which keeps its output open, has restarted it when it ends.
func TestRestartThatLeavesAService(t *testing.T) {
	stop := filepath.Join(t.TempDir(), "stop")
	t.Cleanup(func() { ok(t, os.WriteFile(stop, nil, 0o600)) })
	restart := restartBy("files", []string{"sh", "-c", `(until [ -e "$1" ] || [ ! -d "${1%/*}" ]; do sleep 0.1; done) &`, "restart", stop})
	done := make(chan error, 1)
	go func() { done <- restart(t.Context()) }()
	select {
	case err := <-done:
		ok(t, err)
	case <-time.After(time.Minute):
		t.Error("it waits for the service to end")
	}
	if err := restartBy("files", []string{"sh", "-c", "exit 3"})(t.Context()); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("a command that fails: %v", err)
	}
}
