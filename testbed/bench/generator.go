package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// generator is the load generator's process, seen from the benchmark.
type generator struct {
	env  *env
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	name string
}

// startGenerator starts this program again as a load generator, on its own
// core, and waits until all its clients are connected.
func startGenerator(e *env, name string, spec loadSpec) *generator {
	self, err := os.Executable()
	if err != nil {
		e.Fatalf("own executable: %v", err)
	}
	g := &generator{env: e, name: name, cmd: exec.Command("taskset", "-c", e.genCPU, self, "generate")}
	g.cmd.Stderr = os.Stderr
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := g.cmd.StdinPipe()
	if err != nil {
		e.Fatalf("load generator: %v", err)
	}
	out, err := g.cmd.StdoutPipe()
	if err != nil {
		e.Fatalf("load generator: %v", err)
	}
	g.in, g.out = in, bufio.NewReader(out)
	if err := g.cmd.Start(); err != nil {
		e.Fatalf("load generator: %v", err)
	}
	e.Cleanup(g.close)
	if err := json.NewEncoder(in).Encode(spec); err != nil {
		e.Fatalf("load generator: %v", err)
	}
	g.expect("connected")
	return g
}

func (g *generator) expect(want string) {
	line, err := g.out.ReadString('\n')
	if err != nil || line != want+"\n" {
		g.env.Fatalf("load generator for %s: got %q, want %q: %v", g.name, line, want, err)
	}
}

func (g *generator) say(cmd, want string) {
	fmt.Fprintln(g.in, cmd)
	g.expect(want)
}

func (g *generator) count() (c counts) {
	fmt.Fprintln(g.in, "count")
	line, err := g.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &c)
	}
	if err != nil {
		g.env.Fatalf("load generator for %s: count: %v", g.name, err)
	}
	return c
}

func (g *generator) close() {
	_ = g.in.Close()
	_ = g.cmd.Process.Kill()
	_ = g.cmd.Wait()
}

// sample is what one round of load cost.
type sample struct {
	perMessage time.Duration // server CPU a message
	generator  time.Duration // generator CPU a message
	messages   int64
	counts     counts
}

// round runs the load for warm + d and returns what d cost process pid.
// Messages are those acknowledged, or received when count says so.
func (g *generator) round(pid int, warm, d time.Duration, messages func(counts) int64) sample {
	g.say("start", "started")
	time.Sleep(warm)
	before, cpu0, gen0 := g.count(), g.cpu(pid), g.cpu(g.cmd.Process.Pid)
	time.Sleep(d)
	after, cpu1, gen1 := g.count(), g.cpu(pid), g.cpu(g.cmd.Process.Pid)
	g.say("stop", "stopped")
	n := messages(after) - messages(before)
	if n <= 0 {
		g.env.Fatalf("%s took no messages in a round of %v", g.name, d)
	}
	used := max(cpu1-cpu0, 10*time.Millisecond) // the kernel counts in ticks of 10 ms
	return sample{perMessage: used / time.Duration(n), generator: (gen1 - gen0) / time.Duration(n), messages: n, counts: after}
}

func (g *generator) cpu(pid int) time.Duration {
	d, err := harness.CPUTime(pid)
	if err != nil {
		g.env.Fatalf("%v", err)
	}
	return d
}
