package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hawser-iot/hawser/testbed/harness"
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "sim")
	if err != nil {
		panic(err)
	}
	programs = dir
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// programs is the folder for them; TestMain makes and removes it.
var programs string

// build makes the programs that the demo starts, and the demo itself, once.
func build(t *testing.T) (dir string) {
	t.Helper()
	dir = programs
	if exists(filepath.Join(dir, "sim")) {
		return dir
	}
	// sim comes last: with it all are there.
	for _, p := range [][2]string{{"hawser-hub", "cmd/hub"}, {"hawser-agent", "cmd/agent"}, {"sim", "testbed/sim"}} {
		name := p[0]
		cmd := exec.Command("go", "build", "-o", filepath.Join(dir, name), "./"+p[1])
		cmd.Dir = "../.."
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", name, err, out)
		}
	}
	return dir
}

// start runs the demo and collects what it prints.
func start(t *testing.T, bin, dir string, args ...string) (*exec.Cmd, *output) {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, "sim"), append([]string{"demo", "--dir", dir, "--free-ports"}, args...)...)
	out := &output{lines: make(chan string, 1000)}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, out
}

// output hands complete lines on.
type output struct {
	part  bytes.Buffer
	lines chan string
}

func (o *output) Write(b []byte) (int, error) {
	o.part.Write(b)
	for {
		line, rest, ok := strings.Cut(o.part.String(), "\n")
		if !ok {
			return len(b), nil
		}
		o.part.Reset()
		o.part.WriteString(rest)
		select {
		case o.lines <- line:
		default:
		}
	}
}

func (o *output) wait(t *testing.T, part string) string {
	t.Helper()
	deadline := time.After(60 * time.Second)
	for {
		select {
		case line := <-o.lines:
			if strings.Contains(line, part) {
				return line
			}
		case <-deadline:
			t.Fatalf("the demo did not print %q within a minute", part)
		}
	}
}

// children are the processes whose command line holds dir.
func children(t *testing.T, dir string) (pids []int) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		b, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err == nil && bytes.Contains(b, []byte(dir)) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func waitGone(t *testing.T, dir string) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for len(children(t, dir)) > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("processes are left: %v", children(t, dir))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestDemo runs the demo twice on one folder; the second time it is killed.
func TestDemo(t *testing.T) {
	bin, dir := build(t), filepath.Join(t.TempDir(), "demo")
	cmd, out := start(t, bin, dir, "--devices", "3")
	out.wait(t, "6 of 8 devices online")
	key, err := os.ReadFile(filepath.Join(dir, "owner.key"))
	if err != nil {
		t.Fatal(err)
	}
	three := func() bool { return len(children(t, dir)) == 3 } // one that is just being started looks like its parent
	harness.Eventually(t, time.Minute, "the processes are the demo, the hub and the agent", three)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the demo ended with %v", err)
	}
	waitGone(t, dir)
	for _, name := range []string{"hub.log", "agent.log"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !strings.Contains(string(b), "msg=stopped") {
			t.Errorf("%s does not tell of an orderly end: %v", name, err)
		}
		for _, bad := range []string{"level=ERROR", "panic", strings.TrimSpace(string(key))} {
			if strings.Contains(string(b), bad) {
				t.Errorf("%s holds %q", name, bad)
			}
		}
	}

	cmd, out = start(t, bin, dir, "--devices", "3")
	out.wait(t, strings.TrimSpace(string(key)))
	out.wait(t, "6 of 8 devices online")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	waitGone(t, dir)
}

func TestDemoSaysWhatIsWrong(t *testing.T) {
	bin, dir := build(t), filepath.Join(t.TempDir(), "demo")
	cmd, out := start(t, bin, dir, "--devices", "0", "--subdevices", "0")
	out.wait(t, "Hawser is running")
	second := exec.Command(filepath.Join(bin, "sim"), "demo", "--dir", dir, "--free-ports")
	if b, err := second.CombinedOutput(); err == nil || !strings.Contains(string(b), "in use") {
		t.Errorf("a second demo on the folder: %v\n%s", err, b)
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if err := os.Remove(filepath.Join(dir, "owner.key")); err != nil {
		t.Fatal(err)
	}
	third := exec.Command(filepath.Join(bin, "sim"), "demo", "--dir", dir, "--free-ports")
	if b, err := third.CombinedOutput(); err == nil || !strings.Contains(string(b), "begin anew") {
		t.Errorf("a demo without its key: %v\n%s", err, b)
	}
	waitGone(t, dir)
	none := exec.Command(filepath.Join(bin, "sim"), "demo", "--dir", dir, "--hub-bin", dir+"/none")
	if b, err := none.CombinedOutput(); err == nil || !strings.Contains(string(b), "make build") {
		t.Errorf("a demo without a hub: %v\n%s", err, b)
	}
}

func TestFlags(t *testing.T) {
	t.Setenv("HAWSER_API_KEY", "")
	for _, args := range [][]string{
		nil, {"dance"}, {"demo", "x"}, {"demo", "--devices", "-1"}, {"load"}, {"load", "--rate", "0"},
	} {
		if err := command(context.Background(), args, os.Stdout, &bytes.Buffer{}); err == nil {
			t.Errorf("sim %v was taken", args)
		}
	}
}

func TestClipAndLocal(t *testing.T) {
	if got := clip("äöüß", 3); got != "äö…" {
		t.Errorf("clip = %q", got)
	}
	for in, want := range map[string]string{"[::]:1883": "127.0.0.1:1883", "0.0.0.0:1": "127.0.0.1:1", "10.0.0.1:2": "10.0.0.1:2"} {
		if got := local(in); got != want {
			t.Errorf("local(%s) = %s, want %s", in, got, want)
		}
	}
}
