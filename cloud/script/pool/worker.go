package pool

import (
	"bytes"
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/script/wire"
)

// upWithin is in what time a worker must say that it is ready.
const upWithin = 20 * time.Second

// hopeless is after how many starts in a row that failed calls do not wait any longer, if no other worker is up.
const hopeless = 4

// worker is a place for a process; when one dies the next takes its place.
type worker struct {
	pool       *Pool
	number     int
	provenOnly bool // it is kept for scripts that have proved themselves

	// Pool.mu guards these.
	cmd    *exec.Cmd
	flight []*Call   // what the process was given, in the order of its answers
	head   time.Time // since when the first of flight may be running
	load   time.Duration
	alone  bool // the only call in flight is to have no company
	turn   bool // the last call taken was of a proven script
	late   bool // the process was killed because a call did not end
	dead   bool // nothing can be written any more
	used   time.Duration

	// These belong to the goroutine that writes.
	in    io.WriteCloser
	seq   uint64
	known map[Key]*list.Element // of *held: the scripts that the process has
	order list.List             // newest first
	bytes int
	ids   uint32
	buf   []byte
}

// held is a script that a process has.
type held struct {
	key  Key
	id   uint32
	size int
}

// run keeps a process running until ctx ends.
func (w *worker) run(ctx context.Context) {
	wait, fails := w.pool.cfg.RestartMin, 0
	for ctx.Err() == nil {
		up, err := w.live(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case up:
			wait, fails = w.pool.cfg.RestartMin, 0
		default:
			wait = min(2*wait, w.pool.cfg.RestMax)
			if fails++; fails >= hopeless {
				w.pool.failed()
			}
			w.pool.log.Error("script worker not started", "worker", w.number, "again_in", wait, "err", err)
		}
		select {
		case <-time.After(wait/2 + rand.N(wait)):
		case <-ctx.Done():
		}
	}
}

// live is the life of one process; up tells whether it came up at all.
func (w *worker) live(ctx context.Context) (up bool, err error) {
	cmd := exec.Command(w.pool.cfg.Command[0], w.pool.cfg.Command[1:]...)
	cmd.Env, cmd.Dir, cmd.SysProcAttr = []string{}, string(filepath.Separator), attributes()
	errs := &beginning{room: 4 << 10}
	cmd.Stderr = errs
	if w.in, err = cmd.StdinPipe(); err != nil {
		return false, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return false, err
	}
	if err := cmd.Start(); err != nil {
		return false, err
	}
	w.known, w.bytes = map[Key]*list.Element{}, 0
	w.order.Init()
	late := time.AfterFunc(upWithin, func() { _ = cmd.Process.Kill() })
	r := wire.NewReader(out, w.pool.cfg.Result+w.pool.cfg.Console+64<<10)
	err = w.greet(r)
	late.Stop()
	if err == nil {
		up, err = true, w.serve(ctx, cmd, r)
	}
	_ = w.in.Close()
	if err != nil { // it has not ended by itself, or was not understood
		_ = cmd.Process.Kill()
	}
	_ = cmd.Wait() // its state tells
	w.bury(cmd, err, errs.String())
	return up, err
}

// greet gives a process its bounds and waits until it is ready.
func (w *worker) greet(r *wire.Reader) error {
	c := &w.pool.cfg
	hello := wire.Hello{CPU: c.CPU, Wall: c.Wall, Memory: uint64(c.Memory), Result: uint32(c.Result), Console: uint32(c.Console)}
	if _, err := w.in.Write(hello.Append(nil)); err != nil {
		return err
	}
	typ, body, err := r.Next()
	if err != nil {
		return err
	}
	var ready wire.Ready
	if typ != wire.TypeReady {
		return fmt.Errorf("%w: type %d", wire.ErrFrame, typ)
	}
	if err := ready.Decode(body); err != nil {
		return err
	}
	w.pool.metrics.started.Inc()
	w.pool.log.Debug("script worker started", "worker", w.number, "limits", ready.Limits, "seccomp", ready.Seccomp)
	return nil
}

// serve gives a process calls and takes its answers until it dies, has lived long enough, or the pool stops.
func (w *worker) serve(ctx context.Context, cmd *exec.Cmd, r *wire.Reader) error {
	p := w.pool
	p.mu.Lock()
	w.cmd, w.dead, w.late, w.alone, w.used, w.load, w.head = cmd, false, false, false, 0, 0, time.Now()
	p.mu.Unlock()
	read := make(chan error, 1)
	go func() {
		err := w.read(r)
		p.mu.Lock()
		w.dead = true
		p.work.Broadcast()
		p.mu.Unlock()
		read <- err
	}()
	w.write(ctx)
	_ = w.in.Close() // the process ends when it has answered, and the reader with it
	return <-read
}

// write gives the process calls, several at once when there are, until it is dead or has lived long enough.
func (w *worker) write(ctx context.Context) {
	var batch []*Call
	for {
		batch = w.await(batch[:0])
		if len(batch) == 0 || ctx.Err() != nil {
			return
		}
		w.buf = w.buf[:0]
		for _, c := range batch {
			w.append(c)
		}
		clear(batch)
		if _, err := w.in.Write(w.buf); err != nil {
			return // the reader hears of it as well
		}
		if cap(w.buf) > 1<<20 {
			w.buf = nil
		}
	}
}

// await waits for calls that this worker may have; none means that it should end.
func (w *worker) await(batch []*Call) []*Call {
	p := w.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		old := w.used > p.cfg.MaxLife
		if w.dead || p.stopped || old && len(w.flight) == 0 {
			return nil
		}
		if len(w.flight) == 0 {
			w.head = time.Now()
		}
		// A full worker is filled up when half of its calls are done, so that writing is done for several.
		for !old && len(w.flight) <= p.cfg.Batch/2 || len(batch) > 0 {
			c := p.takeLocked(w)
			if c == nil {
				break
			}
			w.seq++
			c.seq = w.seq
			w.flight = append(w.flight, c)
			batch = append(batch, c)
		}
		if len(batch) > 0 {
			return batch
		}
		p.work.Wait()
	}
}

// append writes a call into buf, and its script before it when the process does not have it.
func (w *worker) append(c *Call) {
	key := c.Script.Key
	var id uint32
	if e := w.known[key]; e != nil {
		w.order.MoveToFront(e)
		id = e.Value.(*held).id
	} else {
		w.ids++
		id = w.ids
		w.buf = (&wire.Script{ID: id, Source: c.Script.Source}).Append(w.buf)
		w.hold(&held{key, id, len(c.Script.Source)})
	}
	w.buf = (&wire.Call{Seq: c.seq, Script: id, Function: c.Function, Verbose: c.Verbose, Topic: c.Topic, Payload: c.Payload}).Append(w.buf)
	if key.Draft != 0 {
		w.forget(w.known[key])
	}
}

// hold notes a script, and has the process forget the ones not used for longest.
func (w *worker) hold(h *held) {
	w.known[h.key] = w.order.PushFront(h)
	w.bytes += h.size
	for w.order.Len() > 1 && (w.order.Len() > w.pool.cfg.Cached || w.bytes > w.pool.cfg.CachedBytes) {
		w.forget(w.order.Back())
	}
}

func (w *worker) forget(e *list.Element) {
	h := w.order.Remove(e).(*held)
	delete(w.known, h.key)
	w.bytes -= h.size
	w.buf = (&wire.Forget{ID: h.id}).Append(w.buf)
}

// read takes the answers of a process until it dies.
func (w *worker) read(r *wire.Reader) error {
	var res wire.Result
	for {
		typ, body, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if typ != wire.TypeResult {
			return fmt.Errorf("%w: type %d", wire.ErrFrame, typ)
		}
		if err := res.Decode(body); err != nil {
			return err
		}
		if err := w.landed(&res); err != nil {
			return err
		}
	}
}

// landed ends the call that an answer is for.
func (w *worker) landed(r *wire.Result) error {
	p := w.pool
	p.mu.Lock()
	if len(w.flight) == 0 || w.flight[0].seq != r.Seq {
		p.mu.Unlock()
		return fmt.Errorf("%w: an answer out of turn", wire.ErrFrame)
	}
	c := w.flight[0]
	w.flight[0] = nil
	w.flight = w.flight[1:]
	if len(w.flight) == 0 {
		w.flight = nil
	}
	w.head, w.alone = time.Now(), false
	w.load -= c.cost
	w.used += r.CPU
	pause, caught := p.judgeLocked(c.Script.Key, r.Status, r.CPU)
	if p.waiting > 0 && len(w.flight) <= p.cfg.Batch/2 {
		p.work.Broadcast()
	}
	p.mu.Unlock()
	res := *r
	res.Body = bytes.Clone(r.Body)
	p.metrics.cpu.Add(r.CPU.Seconds())
	p.ended(c, res, pause, caught)
	return nil
}

// ended ends a call, and those that a pause has caught.
func (p *Pool) ended(c *Call, r wire.Result, pause time.Duration, caught []*Call) {
	p.done(c, r, nil)
	if pause == 0 {
		return
	}
	p.metrics.paused.Inc()
	p.log.Warn("parse script paused: it crosses its bounds again and again", "product", c.Script.Key.Product, "revision", c.Script.Key.Revision,
		"for", pause, "reason", r.Reason)
	for _, c := range caught {
		p.done(c, wire.Result{}, ErrPaused)
	}
}

// killLateLocked kills the process when a call has not ended long after its time.
func (w *worker) killLateLocked(now time.Time) {
	if len(w.flight) > 0 && !w.dead && now.Sub(w.head) > w.pool.cfg.Wall+w.pool.cfg.Grace {
		w.late = true
		w.killLocked()
	}
}

func (w *worker) killLocked() {
	if w.cmd != nil && w.cmd.Process != nil {
		_ = w.cmd.Process.Kill() // one that is gone already is as good
	}
}

// bury decides about the calls that a process died with.
func (w *worker) bury(cmd *exec.Cmd, talk error, errs string) {
	p := w.pool
	p.mu.Lock()
	calls := w.flight
	w.flight, w.cmd, w.dead = nil, nil, true
	if p.stopped {
		p.mu.Unlock()
		for _, c := range calls {
			p.done(c, wire.Result{}, ErrStopped)
		}
		return
	}
	d := death{late: w.late, outside: killed(cmd.ProcessState), talk: talk, code: cmd.ProcessState.ExitCode(), errs: errs}
	again, lost, guilty, r := d.judge(calls, p.cfg.maxKills)
	var pause time.Duration
	var caught []*Call
	if guilty != nil {
		pause, caught = p.judgeLocked(guilty.Script.Key, r.Status, p.cfg.CPU)
	}
	p.backLocked(again)
	p.mu.Unlock()
	if why := d.why(len(calls)); why != "" {
		p.metrics.died.WithLabelValues(why).Inc()
		p.log.Info("script worker died", "worker", w.number, "why", why, "calls", len(calls), "state", cmd.ProcessState.String(), "said", firstLine(errs), "err", talk)
	}
	if guilty != nil {
		p.ended(guilty, r, pause, caught)
	}
	for _, c := range lost {
		p.done(c, wire.Result{}, ErrStopped)
	}
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

// beginning keeps the beginning of what is written to it.
type beginning struct {
	b    bytes.Buffer
	room int
}

func (h *beginning) Write(b []byte) (int, error) {
	h.b.Write(b[:min(len(b), h.room-h.b.Len())])
	return len(b), nil
}

func (h *beginning) String() string { return h.b.String() }
