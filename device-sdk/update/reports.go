package update

import (
	"context"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/protocol/message"
)

// The states that a hub is told.
const (
	stateAccepted    = "accepted"
	stateWaiting     = "waiting"
	stateDownloading = "downloading"
	stateStaged      = "staged"
	stateArmed       = "armed"
	stateRestarting  = "rebooting"
	stateTrial       = "trial"
	stateRejected    = "rejected"
	stateFailed      = "failed"
	stateRolledBack  = "rolled_back"
	stateReverting   = "reverting"
	stateConfirmed   = "confirmed"
)

// reportEvery is how often progress within a state is told at most.
const reportEvery = time.Second

// maxReports is how many states may wait for a connection; the oldest goes then.
const maxReports = 32

// report is one that waits to be sent.
type report struct {
	message.OTAProgress
	stock   bool
	version string
}

// reports brings the states of an update to the hub, in order. The progress within a state is told once a second, the latest.
type reports struct {
	u *Updater

	mu    sync.Mutex // guards the fields below
	queue []report
	last  *report // what goes on; nil when there is no update
	sent  time.Time
	busy  bool          // one of queue is on its way
	wake  chan struct{} // holds one when there is something
	idle  chan struct{} // closed and replaced when queue is empty
}

func (r *reports) init(u *Updater) {
	r.u, r.wake, r.idle = u, make(chan struct{}, 1), make(chan struct{})
}

func (r *reports) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// tell puts a report at the end of the queue, in the place of one with the same state that has not left.
func (r *reports) tell(p report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = &p
	n := len(r.queue)
	switch {
	case n > 0 && r.queue[n-1].State == p.State && r.queue[n-1].Deployment == p.Deployment && (n > 1 || !r.busy):
		r.queue[n-1] = p
	case n >= maxReports:
		r.queue = append(r.queue[:1:1], r.queue[2:]...)
		fallthrough
	default:
		r.queue = append(r.queue, p)
	}
	r.poke()
}

// again tells the last state once more, after a login. It tells whether there is an update.
func (r *reports) again() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		return false
	}
	if len(r.queue) == 0 {
		r.queue = append(r.queue, *r.last)
		r.poke()
	}
	return true
}

// forget ends the reports of an update.
func (r *reports) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = nil
}

// flush waits until all was sent, or ctx ends.
func (r *reports) flush(ctx context.Context) {
	for {
		r.mu.Lock()
		empty, idle := len(r.queue) == 0, r.idle
		r.mu.Unlock()
		if empty {
			return
		}
		select {
		case <-idle:
		case <-ctx.Done():
			return
		}
	}
}

// run sends what is told until ctx ends.
func (r *reports) run(ctx context.Context) {
	for {
		p, wait, ok := r.head()
		if !ok || wait > 0 {
			if !r.pause(ctx, wait) {
				return
			}
			continue
		}
		err := r.send(ctx, p)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			// A Link waits for a connection by itself; what it refuses otherwise is not asked again.
			r.u.log.Warn("a state of an update was not reported", "state", p.State, "err", err)
		}
		r.settled(p.State)
	}
}

// pause waits for something to do, for d at most unless that is 0; false when ctx has ended.
func (r *reports) pause(ctx context.Context, d time.Duration) bool {
	var timer <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-r.wake:
	case <-timer:
	case <-ctx.Done():
		return false
	}
	return true
}

// head is the report to send now; wait tells for how long that one is too early.
func (r *reports) head() (p report, wait time.Duration, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 {
		return p, 0, false
	}
	p = r.queue[0]
	if p.State == stateDownloading && len(r.queue) == 1 {
		if wait = time.Until(r.sent.Add(reportEvery)); wait > 0 {
			return p, wait, true
		}
	}
	r.busy = true
	return p, 0, true
}

func (r *reports) settled(state string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue, r.busy = r.queue[1:], false
	if state == stateDownloading {
		r.sent = time.Now()
	}
	if len(r.queue) == 0 {
		close(r.idle)
		r.idle = make(chan struct{})
	}
}

func (r *reports) send(ctx context.Context, p report) error {
	if !p.stock {
		return send(ctx, r.u, message.OTAReportProgress, p.OTAProgress)
	}
	switch p.State {
	case stateDownloading:
		return send(ctx, r.u, message.OTAReportProgress, message.OTAStockProgress{Module: p.Module, State: "downloading", Percent: p.Permille / 10})
	case stateStaged, stateArmed, stateRestarting, stateTrial:
		return send(ctx, r.u, message.OTAReportProgress, message.OTAStockProgress{Module: p.Module, State: "burning", Percent: 100})
	case stateConfirmed:
		return send(ctx, r.u, message.OTAReportSuccess, message.OTAVersion{Module: p.Module, Version: p.version})
	case stateRejected, stateFailed, stateRolledBack:
		return send(ctx, r.u, message.OTAReportFail, message.OTAStockFail{Module: p.Module, ErrCode: stockCode(failure.Class(p.Class))})
	}
	return nil
}

// stockCode is the ErrCode of a class.
func stockCode(c failure.Class) int {
	switch c {
	case failure.Network:
		return -1
	case failure.Auth:
		return -2
	case failure.Hash:
		return -4
	case failure.FlashIO:
		return -5
	case failure.Signature:
		return -101
	case failure.WrongDevice:
		return -102
	case failure.Rollback:
		return -103
	case failure.Space:
		return -104
	case failure.BootFailed, failure.HealthFailed:
		return -105
	}
	return -6
}
