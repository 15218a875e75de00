package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// env runs one benchmark: it is the harness's Env outside of a test.
type env struct {
	rounds            int
	warm, length      time.Duration
	full, smoke       bool
	hubBin, pprof     string
	serverCPU, genCPU string // CPU lists

	mu      sync.Mutex // guards cleanup
	cleanup []func()
}

func newEnv(full, smoke bool, hubBin string) *env {
	e := &env{rounds: 3, warm: time.Second, length: 4 * time.Second, full: full, smoke: smoke,
		hubBin: hubBin, serverCPU: "0", genCPU: "0"}
	if runtime.NumCPU() > 1 {
		e.genCPU = "1"
	}
	if full {
		e.rounds, e.warm, e.length = 5, 3*time.Second, 15*time.Second
	}
	if smoke {
		e.rounds, e.warm, e.length = 1, 200*time.Millisecond, time.Second
	}
	return e
}

// hub is how a pinned hub is started: with further arguments, and profiles when they are asked for.
func (e *env) hub(args ...string) harness.HubOptions { return e.hubOn(e.serverCPU, args...) }

// hubOn is the same on other CPUs, all of them when the list is empty.
func (e *env) hubOn(cpus string, args ...string) harness.HubOptions {
	if e.pprof != "" {
		args = append(args, "--pprof-addr", e.pprof)
	}
	return harness.HubOptions{Bin: e.hubBin, Pin: cpus, Args: args}
}

func (e *env) Helper() {}

func (e *env) Logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// Fatalf says why the benchmark can't go on, cleans up and ends the program.
func (e *env) Fatalf(format string, args ...any) {
	e.Logf(format, args...)
	e.close()
	os.Exit(1)
}

func (e *env) Cleanup(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cleanup = append(e.cleanup, f)
}

func (e *env) TempDir() string {
	dir, err := os.MkdirTemp("", "hawser-bench-")
	if err != nil {
		e.Fatalf("temporary folder: %v", err)
	}
	e.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// close runs the clean-ups, last first.
func (e *env) close() {
	e.mu.Lock()
	fs := e.cleanup
	e.cleanup = nil
	e.mu.Unlock()
	for _, f := range slices.Backward(fs) {
		f()
	}
}

// series is one side's samples, a number a round.
type series []float64

func (s series) median() float64 {
	c := slices.Clone(s)
	slices.Sort(c)
	return c[len(c)/2]
}

func (s series) String() string {
	return fmt.Sprintf("%8.2f (%.2f … %.2f)", s.median(), slices.Min(s), slices.Max(s))
}

// result prints the closing line that scripts read.
func result(name string, ours, peer series, unit string) {
	fmt.Printf("RESULT %s ratio=%.3f ours=%.3f peer=%.3f unit=%s\n", name, ours.median()/peer.median(), ours.median(), peer.median(), unit)
}
