// Package pool runs scripts of products in child processes: what a script does to its process, it does to a process that can be
// thrown away.
//
// A Pool has a few workers (package worker), started when the first call comes. Calls wait in a queue for each product; who submits one
// waits when that is full. The pool promises that every call ends, once: with a result, with the script's own mistake, with the
// bound that it crossed, or with ErrStopped. It promises that one product's script harms no other's:
//   - Products take turns.
//   - A script that has not yet proved itself, or that has lately crossed a bound, runs alone in its worker, so that it is known
//     whose call a worker died of, and only in some of the workers: the others are kept for those that have.
//   - After some calls in a row that crossed a bound the product is paused, for a while that doubles.
//
// A worker's death costs nobody but the guilty a result: the calls behind it are run elsewhere. When nobody can be told to be guilty,
// those concerned are run again, each alone. Who kills workers from outside is not the script's fault.
//
// The pool does not know where scripts are kept, nor what their results are good for (package script).
package pool

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hawser-iot/hawser/cloud/script/wire"
)

// ErrStopped is the error of calls that the pool's end has caught, and of those whose worker was killed from outside over and over.
var ErrStopped = errors.New("script: the workers are not available")

// ErrPaused is the error of a call to a script that has crossed its bounds too often.
var ErrPaused = errors.New("script: paused, after it crossed its bounds again and again")

// Config bounds scripts and their workers.
type Config struct {
	Command     []string      // starts a worker
	Workers     int           // processes; 0: as many as there are processors, at least 2
	CPU         time.Duration // processor time of one call
	Wall        time.Duration // time of one call on a busy machine; Grace later the worker is killed
	Grace       time.Duration
	Memory      int64         // bytes that a call may hold
	Result      int           // bytes of a result
	Console     int           // bytes that are kept of what a call prints
	Slow        time.Duration // a script that takes longer has not proved itself
	Batch       int           // calls that a worker is given at once
	Queue       int           // calls that may wait, all in all; a product may always have a few
	PerKey      int           // calls that may wait for one product
	Cached      int           // scripts that a worker keeps compiled, and bytes of their sources
	CachedBytes int

	Failures             int // calls in a row that cross a bound and pause a product
	PauseMin, PauseMax   time.Duration
	RestartMin, RestMax  time.Duration // between the start of a worker and the next, when it does not come up
	MaxLife              time.Duration // processor time after which a worker is replaced
	maxKills, provenOnce int
}

// DefaultConfig has the bounds of docs/parse-scripts.md.
func DefaultConfig() Config {
	return Config{
		CPU: 50 * time.Millisecond, Wall: 10 * time.Second, Grace: time.Second, Memory: 64 << 20, Result: 256 << 10, Console: 4 << 10,
		Slow: 10 * time.Millisecond, Batch: 32, Queue: 8192, PerKey: 256, Cached: 256, CachedBytes: 2 << 20,
		Failures: 3, PauseMin: time.Second, PauseMax: 5 * time.Minute,
		RestartMin: 20 * time.Millisecond, RestMax: 5 * time.Second, MaxLife: 20 * time.Minute, maxKills: 20, provenOnce: 4,
	}
}

// Crashed is the status of a call that its worker died of in another way than by a bound. No worker says so.
const Crashed wire.Status = 255

// few is how many calls of a product may wait though the whole queue is full.
const few = 8

// Script is a script as it is run. Scripts with the same Key are the same.
type Script struct {
	Key    Key
	Source string
}

// Key names a script's text.
type Key struct {
	Product  string
	Revision int64
	Draft    uint64 // of a text that is only tried, a number of its own
}

// queue is whose turn a call takes: drafts do not stand in the way of the product's messages, nor are they held against it.
func (k Key) queue() Key {
	return Key{Product: k.Product, Draft: min(k.Draft, 1)}
}

// Call is one call of a script. Done is called once, from any goroutine, and must not block; the result is the callee's.
type Call struct {
	Script   *Script
	Function wire.Function
	Verbose  bool
	Topic    string // Topic and Payload must not change until Done
	Payload  []byte
	Done     func(wire.Result, error)

	kills int  // … that was killed from outside
	alone bool // it may be what its worker died of
	seq   uint64
	cost  time.Duration
}

// Pool is safe for concurrent use. Run must be running for calls to be made.
type Pool struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	drafts  atomic.Uint64

	mu      sync.Mutex // guards the fields below, and the fields of every queue and worker that say so
	work    sync.Cond  // there may be something for a worker to do
	wanted  chan struct{}
	stopped bool
	waiting int
	queues  map[Key]*queue
	proven  ring
	others  ring
	workers []*worker
}

// New returns a Pool; cfg must be valid. It starts nothing.
func New(cfg Config, log *slog.Logger, reg prometheus.Registerer) *Pool {
	if cfg.Workers == 0 {
		cfg.Workers = max(2, runtime.GOMAXPROCS(0))
	}
	p := &Pool{cfg: cfg, log: log, queues: map[Key]*queue{}, wanted: make(chan struct{}, 1)}
	p.work.L = &p.mu
	p.metrics = newMetrics(reg, p)
	return p
}

// Draft returns a script that is only tried.
func (p *Pool) Draft(product, source string) *Script {
	return &Script{Key: Key{Product: product, Draft: p.drafts.Add(1)}, Source: source}
}

// Submit queues a call. It waits while the product's queue is full, until ctx ends; then, and when the pool has stopped or the
// product is paused, Done is called with the error.
func (p *Pool) Submit(ctx context.Context, c *Call) {
	if err := p.queue(ctx, c); err != nil {
		p.metrics.calls.WithLabelValues(outcome(err)).Inc()
		c.Done(wire.Result{}, err)
	}
}

// queue puts a call into its product's queue.
func (p *Pool) queue(ctx context.Context, c *Call) error {
	select {
	case p.wanted <- struct{}{}: // the first call starts the workers
	default:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if p.stopped {
			return ErrStopped
		}
		q := p.queueLocked(c.Script.Key)
		if time.Now().Before(q.pausedUntil) {
			return ErrPaused
		}
		if len(q.calls) < p.cfg.PerKey && (p.waiting < p.cfg.Queue || len(q.calls) < few) {
			q.push(c)
			p.waiting++
			p.readyLocked(q)
			return nil
		}
		p.metrics.full.Inc()
		if err := p.roomLocked(ctx, q); err != nil {
			return err
		}
	}
}

// roomLocked waits until there may be room in q.
func (p *Pool) roomLocked(ctx context.Context, q *queue) error {
	room := q.room
	p.mu.Unlock()
	defer p.mu.Lock()
	select {
	case <-room:
		return nil
	case <-ctx.Done():
		return errors.Join(ErrStopped, ctx.Err())
	}
}

// Run has workers run what is submitted until ctx ends; then it ends them, and the calls that are left with ErrStopped.
func (p *Pool) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	defer p.stop()
	select {
	case <-p.wanted:
	case <-ctx.Done():
		return nil
	}
	p.mu.Lock()
	for i := range p.cfg.Workers {
		w := &worker{pool: p, number: i, provenOnly: i < p.cfg.Workers/2}
		p.workers = append(p.workers, w)
		all.Go(func() { w.run(ctx) })
	}
	p.mu.Unlock()
	p.watch(ctx)
	return nil
}

// watch kills workers whose call does not end, and forgets products that have nothing to do, until ctx ends.
func (p *Pool) watch(ctx context.Context) {
	every := min(p.cfg.Grace/4, time.Second)
	tick := time.NewTicker(every)
	defer tick.Stop()
	last := time.Now()
	for n := 0; ; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := time.Now()
		p.mu.Lock()
		p.lookLocked(now, now.Sub(last)-2*every)
		if n%64 == 0 {
			p.sweepLocked(now)
		}
		p.mu.Unlock()
		last = now
	}
}

// lookLocked kills workers whose call does not end. Time in which this process itself stood still is no call's: the answer may be there, unread.
func (p *Pool) lookLocked(now time.Time, still time.Duration) {
	for _, w := range p.workers {
		if still > 0 && len(w.flight) > 0 {
			w.head = w.head.Add(min(still, max(0, now.Sub(w.head))))
		}
		w.killLateLocked(now)
	}
}

// stop ends the workers and what waits.
func (p *Pool) stop() {
	p.mu.Lock()
	p.stopped = true
	left := p.emptyLocked()
	for _, w := range p.workers {
		w.killLocked()
	}
	p.work.Broadcast()
	p.mu.Unlock()
	for _, c := range left {
		p.done(c, wire.Result{}, ErrStopped)
	}
}

// failed ends what waits when no worker is up: it is better to be told than to wait for who knows how long.
func (p *Pool) failed() {
	p.mu.Lock()
	for _, w := range p.workers {
		if w.cmd != nil {
			p.mu.Unlock()
			return
		}
	}
	left := p.emptyLocked()
	p.mu.Unlock()
	for _, c := range left {
		p.done(c, wire.Result{}, ErrStopped)
	}
}

// emptyLocked takes all calls out of their queues.
func (p *Pool) emptyLocked() (left []*Call) {
	for _, q := range p.queues {
		left = append(left, q.calls...)
		q.calls = nil
		q.freeLocked()
		p.readyLocked(q)
	}
	p.waiting = 0
	return left
}

// done ends a call.
func (p *Pool) done(c *Call, r wire.Result, err error) {
	if err != nil {
		p.metrics.calls.WithLabelValues(outcome(err)).Inc()
	} else {
		p.metrics.calls.WithLabelValues(statusNames[r.Status]).Inc()
	}
	c.Done(r, err)
}
