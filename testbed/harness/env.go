package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Env is what the harness needs of whoever runs it. testing.TB is one; the
// benchmark program brings its own.
type Env interface {
	Helper()
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
	TempDir() string
}

// Eventually polls cond every few milliseconds until it is true, and fails e
// with what when it is not within d.
func Eventually(e Env, d time.Duration, what string, cond func() bool) {
	e.Helper()
	for deadline := time.Now().Add(d); !cond(); {
		if time.Now().After(deadline) {
			e.Fatalf("not within %v: %s", d, what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

var binaries struct {
	mu   sync.Mutex
	dir  string
	path map[string]string
}

// Built names the folder of binaries that are up to date, as make test has it: they are taken instead of linking them anew in each process.
const Built = "HAWSER_TEST_BIN"

// Binary builds ./cmd/<name> of this module (hub, agent, hawserctl) once a process, and returns the path of the result, which ends in the
// name that a user knows it by.
func Binary(e Env, name string) string {
	e.Helper()
	if dir := os.Getenv(Built); dir != "" {
		return filepath.Join(dir, binaryName(name))
	}
	binaries.mu.Lock()
	defer binaries.mu.Unlock()
	if p := binaries.path[name]; p != "" {
		return p
	}
	if binaries.dir == "" {
		dir, err := os.MkdirTemp("", "hawser-bin-")
		if err != nil {
			e.Fatalf("folder for binaries: %v", err)
		}
		binaries.dir, binaries.path = dir, map[string]string{}
	}
	out := filepath.Join(binaries.dir, binaryName(name))
	if err := Build(e, out, name); err != nil {
		e.Fatalf("%v", err)
	}
	binaries.path[name] = out
	return out
}

func binaryName(name string) string {
	if name == "hawserctl" {
		return name
	}
	return "hawser-" + name
}

// Build builds ./cmd/<name> as a release is built, static and stripped, into out; env adds to the environment (GOARCH=arm).
func Build(e Env, out, name string, env ...string) error {
	e.Helper()
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, "./cmd/"+name)
	cmd.Dir = Root(e)
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), env...)
	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build ./cmd/%s: %w\n%s", name, err, b)
	}
	return nil
}

// RemoveBinaries deletes what Binary built; call it at the end of TestMain.
func RemoveBinaries() {
	binaries.mu.Lock()
	defer binaries.mu.Unlock()
	if binaries.dir != "" {
		_ = os.RemoveAll(binaries.dir)
		binaries.dir, binaries.path = "", nil
	}
}

// Root is the folder of go.mod.
func Root(e Env) string {
	e.Helper()
	dir, err := os.Getwd()
	if err != nil {
		e.Fatalf("working folder: %v", err)
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
	}
	e.Fatalf("no go.mod above the working folder")
	return ""
}

// startChild starts cmd so that it dies with this process, however it dies.
func startChild(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", filepath.Base(cmd.Path), err)
	}
	return nil
}
