package console

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/testbed/harness"
)

func TestMain(m *testing.M) {
	code := m.Run()
	harness.RemoveBinaries()
	os.Exit(code)
}

// pagesWanted are the scripts to run; none are all.
func pagesWanted() []string { return strings.Fields(os.Getenv("HAWSER_CONSOLE_PAGES")) }

// TestConsole runs the scripts in pages/, one after the other in one browser. HAWSER_CONSOLE_PAGES="00-setup 10-devices" runs some of them.
func TestConsole(t *testing.T) {
	w := newWorld(t)
	control := w.control()
	defer control.Close()
	artifacts := os.Getenv("HAWSER_ARTIFACTS")
	if artifacts == "" {
		artifacts = t.TempDir()
	}
	told, err := json.Marshal(map[string]string{"product": w.product, "script": script, "secret": w.pumps["pump-1"].DeviceSecret})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", append([]string{filepath.Join(harness.Root(t), "testbed/console/run.mjs")}, pagesWanted()...)...)
	cmd.Env = append(os.Environ(), "HAWSER_HUB=http://"+w.hub.HTTP, "HAWSER_KEY="+w.hub.Key, "HAWSER_CONTROL="+control.URL, "HAWSER_WORLD="+string(told), "HAWSER_ARTIFACTS="+artifacts)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	guard := time.AfterFunc(15*time.Minute, func() { _ = cmd.Process.Kill() })
	defer guard.Stop()
	ran := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var page struct {
			Name, Error string
			MS          int
		}
		if json.Unmarshal(lines.Bytes(), &page) != nil {
			t.Log(lines.Text())
			continue
		}
		ran++
		t.Run(page.Name, func(t *testing.T) {
			t.Logf("%d ms", page.MS)
			if page.Error != "" {
				t.Error(page.Error)
			}
		})
	}
	if err := cmd.Wait(); err != nil && !t.Failed() {
		t.Errorf("the browser's side: %v", err)
	}
	if ran == 0 {
		t.Error("no script ran")
	}
}
