// Package worker is the inside of a script worker: a process of its own that runs the scripts of products, several of them, one call
// after the other.
//
// It promises that a call ends: with what the script returned, or with the script's own mistake and its line, or with what bound it
// crossed. A bound that the script's machine itself does not feel (a regular expression that backtracks for ever, one allocation of a
// gibibyte) ends the process, with the answer still written where that can be. Each call has a machine of its own, so that nothing a
// script does to its globals, to JSON or to Object.prototype lasts longer than the call. On Linux the process fences itself in first:
// see fence.
//
// Which script is run when, and what a dead worker means, is the hub's business (package pool).
package worker

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/cloud/script/wire"
)

// maxStack bounds the stack of Go below a script: built-in functions that call each other without end do not feel the machine's own
// bound on nested calls.
const maxStack = 64 << 20

// flushAt is at how many bytes answers are written though more calls wait.
const flushAt = 32 << 10

// Main serves the hub on in and out until in ends. exit is called with an exit code when a call could not be ended; it does not return.
func Main(in io.Reader, out io.Writer, exit func(int)) int {
	runtime.GOMAXPROCS(2) // the script, and whoever watches it
	time.Local = time.UTC
	debug.SetMaxStack(maxStack)
	w := &worker{in: wire.NewReader(in, wire.MaxFrame), out: out, exit: exit, kit: newKit(), scripts: map[uint32]*script{}}
	err := w.hello()
	if err == nil {
		err = w.serve()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return wire.ExitTalk
	}
	return wire.ExitEnd
}

// worker is the talk with the hub; one goroutine reads, calls and writes.
type worker struct {
	in      *wire.Reader
	out     io.Writer
	exit    func(int)
	bounds  wire.Hello
	kit     *kit
	scripts map[uint32]*script
	watch   watch

	// mu guards answers: whoever watches a long call writes what waits.
	mu      sync.Mutex
	answers []byte
}

// hello takes the bounds, puts up the fence and tells of it.
func (w *worker) hello() error {
	typ, body, err := w.in.Next()
	if err != nil {
		return err
	}
	if typ != wire.TypeHello {
		return fmt.Errorf("%w: want Hello", wire.ErrFrame)
	}
	if err := w.bounds.Decode(body); err != nil {
		return err
	}
	debug.SetMemoryLimit(int64(w.bounds.Memory) * 3 / 4)
	ready := fence(w.bounds.Memory)
	w.watch.init(w)
	_, err = w.out.Write(ready.Append(nil))
	return err
}

// serve answers calls until the hub has no more.
func (w *worker) serve() error {
	for {
		if !w.in.Buffered() {
			if err := w.flush(); err != nil {
				return err
			}
		}
		typ, body, err := w.in.Next()
		if err != nil {
			return err
		}
		if err := w.take(typ, body); err != nil {
			return err
		}
	}
}

// take does what one frame says.
func (w *worker) take(typ wire.Type, body []byte) error {
	switch typ {
	case wire.TypeScript:
		var s wire.Script
		if err := s.Decode(body); err != nil {
			return err
		}
		w.scripts[s.ID] = &script{source: s.Source}
	case wire.TypeForget:
		var f wire.Forget
		if err := f.Decode(body); err != nil {
			return err
		}
		delete(w.scripts, f.ID)
	case wire.TypeCall:
		var c wire.Call
		if err := c.Decode(body); err != nil {
			return err
		}
		return w.answer(w.call(&c))
	default:
		return fmt.Errorf("%w: type %d", wire.ErrFrame, typ)
	}
	return nil
}

// answer queues an answer, and writes when there is enough.
func (w *worker) answer(r *wire.Result) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers = r.Append(w.answers)
	if len(w.answers) < flushAt {
		return nil
	}
	return w.flushLocked()
}

func (w *worker) flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.flushLocked()
}

func (w *worker) flushLocked() error {
	if len(w.answers) == 0 {
		return nil
	}
	_, err := w.out.Write(w.answers)
	w.answers = w.answers[:0]
	if cap(w.answers) > 1<<20 {
		w.answers = nil
	}
	return err
}
