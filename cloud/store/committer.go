package store

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// committer is the one goroutine that runs units. It owns everything below it.
type committer struct {
	cfg     Config
	engine  engine
	queue   *queue
	metrics *metrics
	log     *slog.Logger

	pending []*Unit // taken from the queue for the next batch
	held    []*Unit // put off to the batch after, in order
	batch   batch
	last    time.Time
	crowd   bool // the batch before had company: a short window pays
	timer   *time.Timer
	failing time.Duration // back-off after a failure of the store, 0 when it works
}

const (
	backoffMin = 10 * time.Millisecond
	backoffMax = 250 * time.Millisecond
)

func newCommitter(cfg Config, db *DB) *committer {
	return &committer{cfg: cfg, engine: db.engine, queue: db.queue, metrics: db.metrics, log: db.log,
		timer: time.NewTimer(time.Hour)}
}

// run commits until the queue is closed and empty.
func (c *committer) run() {
	for c.gather() {
		c.commit()
	}
}

// gather fills pending with the next batch; false at the end.
func (c *committer) gather() bool {
	c.pending = append(c.pending[:0], c.held...)
	clear(c.held)
	c.held = c.held[:0]
	open := true
	for {
		c.pending, open = c.queue.take(c.pending, c.cfg.CommitMax-len(c.pending))
		if len(c.pending) > 0 || !open {
			break
		}
		<-c.queue.wake
	}
	if open {
		c.window()
	}
	c.crowd = len(c.pending) > 1
	c.metrics.depth.Set(float64(c.queue.depth()))
	c.putOff()
	return len(c.pending) > 0
}

// patience is how many windows a batch of patient units may last.
const patience = 5

// window waits for company until CommitEvery after the commit before, patience times as long while all units are patient, unless
// the batch is full. A lone unit, with a lone unit before it, does not wait; and no batch waits longer than a fifth of the window for
// the next unit, because senders that wait for their acknowledgements send nothing before it.
func (c *committer) window() {
	if !c.crowd && len(c.pending) == 1 {
		return
	}
	end := c.last.Add(patience * c.cfg.CommitEvery)
	gap := c.cfg.CommitEvery / 5
	patient := 0 // so many from the beginning of pending are
	for len(c.pending) < c.cfg.CommitMax {
		for patient < len(c.pending) && c.pending[patient].Patient {
			patient++
		}
		if patient < len(c.pending) {
			end = c.last.Add(c.cfg.CommitEvery)
		}
		wait := min(time.Until(end), gap)
		if wait <= 0 {
			return
		}
		c.timer.Reset(wait)
		<-c.timer.C
		before := len(c.pending)
		c.pending, _ = c.queue.take(c.pending, c.cfg.CommitMax-before)
		if len(c.pending) == before {
			return
		}
	}
}

// putOff moves the units that follow one which writes their device's session row to the next batch: the fence is read
// once a batch.
func (c *committer) putOff() {
	var moved map[int64]bool
	keep := c.pending[:0]
	for _, u := range c.pending {
		if moved[u.Device] || moved[0] {
			c.held = append(c.held, u)
			continue
		}
		keep = append(keep, u)
		if writesSession(u) {
			if moved == nil {
				moved = make(map[int64]bool)
			}
			moved[u.Device] = true
		}
	}
	clear(c.pending[len(keep):])
	c.pending = keep
}

func writesSession(u *Unit) bool {
	for i := range u.Ops {
		if u.Ops[i].Stmt.session {
			return true
		}
	}
	return false
}

// commit runs pending and ends its units.
func (c *committer) commit() {
	c.last = time.Now()
	c.batch.load(c.pending)
	c.attempt(&c.batch)
	c.metrics.seconds.Observe(time.Since(c.last).Seconds())
	c.metrics.batch.Observe(float64(len(c.pending)))
	c.batch.release()
	clear(c.pending)
	c.pending = c.pending[:0]
	if c.failing > 0 {
		c.pause()
	}
}

// pause lets a store in trouble rest before the next batch; Close does not wait for it.
func (c *committer) pause() {
	c.timer.Reset(c.failing)
	select {
	case <-c.timer.C:
	case <-c.queue.done:
		c.timer.Stop()
	}
}

// attempt runs b as a whole; when that fails for a reason within the batch, unit by unit; and when even that cannot be
// committed, in halves.
func (c *committer) attempt(b *batch) {
	err := c.try(b, false)
	for retries := 0; err != nil && classify(err) == kindRetry && retries < 5; retries++ {
		err = c.try(b, false)
	}
	if err != nil && !classify(err).transient() {
		err = c.try(b, true)
	}
	switch {
	case err == nil:
		c.works()
		c.end(b)
	case classify(err).transient():
		c.fails(err)
		c.endAll(b, unavailable(err))
	case len(b.units) == 1:
		c.endAll(b, err)
	default:
		c.split(b)
	}
}

func (c *committer) try(b *batch, careful bool) error {
	b.reset()
	err := c.engine.commit(b, careful)
	if err == nil {
		c.metrics.commits.Inc()
		return nil
	}
	c.metrics.failures.WithLabelValues(classify(err).String()).Inc()
	return err
}

// split commits the halves of b one after the other.
func (c *committer) split(b *batch) {
	units := append([]*Unit(nil), b.units...)
	for _, part := range [][]*Unit{units[:len(units)/2], units[len(units)/2:]} {
		half := &batch{}
		half.load(part)
		c.attempt(half)
	}
}

// end hands out the results of a committed batch; its outbox rows are with their consumers already.
func (c *committer) end(b *batch) {
	var stored, conflict, fenced, failed int
	for i, u := range b.units {
		err := b.results[i]
		switch {
		case err == nil:
			stored++
		case errors.Is(err, ErrFenced):
			fenced++
		case errors.Is(err, ErrConflict):
			conflict++
		default:
			failed++
		}
		u.Done(err)
	}
	c.metrics.stored.Add(float64(stored))
	c.metrics.conflict.Add(float64(conflict))
	c.metrics.fenced.Add(float64(fenced))
	c.metrics.failed.Add(float64(failed))
}

// endAll ends every unit of a batch that was not committed.
func (c *committer) endAll(b *batch, err error) {
	for _, u := range b.units {
		u.Done(err)
	}
	c.metrics.failed.Add(float64(len(b.units)))
}

// fails notes trouble of the store: told once, and the next batch waits, so that a full disk is not hammered.
func (c *committer) fails(err error) {
	if c.failing == 0 {
		c.log.Error("store cannot commit; messages are not acknowledged until it can", "err", advise(err))
	}
	c.failing = min(max(2*c.failing, backoffMin), backoffMax)
}

func (c *committer) works() {
	if c.failing > 0 {
		c.log.Info("store commits again")
	}
	c.failing = 0
}

// advise adds to an error of the store what its owner can do.
func advise(err error) error {
	switch classify(err) {
	case kindFull:
		return fmt.Errorf("free space on the data folder's file system: %w", err)
	case kindReadOnly:
		return fmt.Errorf("make the data folder and the database writable: %w", err)
	case kindCorrupt:
		return fmt.Errorf("stop the hub and restore the database from a backup: %w", err)
	default:
		return err
	}
}
