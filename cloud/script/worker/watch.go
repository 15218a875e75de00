package worker

import (
	"runtime/metrics"
	"sync"
	"time"

	"github.com/dop251/goja"

	"github.com/hawser-iot/hawser/cloud/script/wire"
)

// A call that takes longer than firstLook is looked at, and then every nextLook. Most calls never are.
const (
	firstLook = 5 * time.Millisecond
	nextLook  = 2 * time.Millisecond
	// obey is for how much longer a call may run that was told to end: the machine feels it at its next instruction, unless it is
	// inside a built-in function.
	obey = 20 * time.Millisecond
)

// watch looks after the call that is running, from a goroutine of its own.
type watch struct {
	w     *worker
	timer *time.Timer
	heap  []metrics.Sample

	mu      sync.Mutex // guards the fields below
	seq     uint64
	running *goja.Runtime // nil between calls
	began   time.Time
	cpu     time.Duration // of this process, when the call began
	crossed wire.Status   // the bound that the call was told of
	told    time.Duration // the process's time when it was told
}

func (x *watch) init(w *worker) {
	x.w = w
	x.heap = []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	x.timer = time.AfterFunc(time.Hour, x.look)
	x.timer.Stop()
}

// begin is told that rt runs the call seq from now on.
func (x *watch) begin(seq uint64, rt *goja.Runtime) {
	x.mu.Lock()
	x.seq, x.running, x.began, x.cpu, x.crossed = seq, rt, time.Now(), cpuTime(), 0
	x.mu.Unlock()
	x.timer.Reset(firstLook)
}

// end is told that the call has ended; it returns what it took.
func (x *watch) end() (cpu, wall time.Duration) {
	x.timer.Stop()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.running = nil
	return cpuTime() - x.cpu, time.Since(x.began)
}

// look ends a call that has crossed a bound: first by telling its machine, then with the process.
func (x *watch) look() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.running == nil {
		return
	}
	// What is answered is written, so that the hub knows which call is running if this process ends in it.
	_ = x.w.flush() // a hub that has gone is noticed by the reader
	now := cpuTime()
	switch {
	case x.crossed == 0:
		if x.crossed = x.boundLocked(now - x.cpu); x.crossed != 0 {
			x.told = now
			x.running.Interrupt(x.crossed)
		}
	case now-x.told > obey:
		r := wire.Result{Seq: x.seq, Status: x.crossed, CPU: now - x.cpu, Wall: time.Since(x.began), Reason: reasons[x.crossed]}
		x.w.mu.Lock()
		x.w.answers = r.Append(x.w.answers)
		_ = x.w.flushLocked()
		x.w.exit(wire.ExitBound)
	}
	x.timer.Reset(nextLook)
}

// boundLocked is the bound that a call has crossed which took cpu, 0 for none. A machine that is busy with other things is no fault of the
// script's: what counts is processor time, and the clock only when it is far beyond.
func (x *watch) boundLocked(cpu time.Duration) wire.Status {
	if cpu > x.w.bounds.CPU || time.Since(x.began) > x.w.bounds.Wall {
		return wire.Timeout
	}
	metrics.Read(x.heap)
	if x.heap[0].Value.Uint64() > x.w.bounds.Memory {
		return wire.Memory
	}
	return 0
}

var reasons = map[wire.Status]string{
	wire.Timeout:   "script timeout",
	wire.Memory:    "the script takes too much memory",
	wire.Recursion: "calls are nested too deep",
}
