package job

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// maxTries is how often a job is begun without any progress before it is given up: one that kills the hub each time would
// do so for ever.
const maxTries = 5

// Run works on jobs until ctx ends, then gives those in hand back and waits for their steps.
func (j *Jobs) Run(ctx context.Context) error {
	if err := j.reclaim(ctx); err != nil {
		return err
	}
	var workers sync.WaitGroup
	defer workers.Wait()
	free := make(chan struct{}, j.cfg.Workers) // holds one for each worker at work
	poll := time.NewTicker(j.cfg.Poll)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case free <- struct{}{}:
		}
		one, err := j.claim(ctx)
		if err != nil && ctx.Err() == nil {
			j.Log.Warn("looking for jobs", "err", err)
		}
		if one != nil {
			workers.Go(func() {
				defer func() { <-free; j.Wake() }()
				j.work(ctx, one)
			})
			continue
		}
		<-free
		select {
		case <-ctx.Done():
			return nil
		case <-j.wake:
		case <-poll.C:
		}
	}
}

// reclaim makes what this node had in hand when it died free at once. There is one process of that name.
func (j *Jobs) reclaim(ctx context.Context) error {
	err := j.Store.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE job SET lease = 0 WHERE state = ? AND node = ?`, int64(Running), j.cfg.Node)
		return err
	})
	if err != nil && ctx.Err() == nil && !store.IsTemporary(err) {
		return fmt.Errorf("job: take up own jobs: %w", err)
	}
	return nil // a store that is away delays them by one lease
}

// claim takes the oldest job that is free; nil when there is none.
func (j *Jobs) claim(ctx context.Context) (*Job, error) {
	marks, args := "", []any{int64(Queued), int64(Running), millis(j.now())}
	for _, kind := range slices.Sorted(func(yield func(string) bool) {
		for kind := range j.Kinds {
			if !yield(kind) {
				return
			}
		}
	}) {
		marks, args = marks+", ?", append(args, kind)
	}
	list, err := j.list(ctx, `(state = ? OR state = ? AND lease < ?) AND kind IN (`+strings.TrimPrefix(marks, ", ")+`) ORDER BY id LIMIT 10`, args...)
	if err != nil {
		return nil, err
	}
	for _, one := range list {
		if ok, err := j.take(ctx, one); ok || err != nil {
			return one, err
		}
	}
	return nil, nil
}

// take claims one if nobody else has done so since it was read.
func (j *Jobs) take(ctx context.Context, one *Job) (ok bool, err error) {
	now := j.now()
	err = j.Store.Update(ctx, func(tx *store.Tx) error {
		res, err := tx.Exec(ctx, `UPDATE job SET state = ?, node = ?, lease = ?, epoch = epoch + 1, tries = tries + 1, updated_at = ?,
			started_at = CASE WHEN started_at = 0 THEN ? ELSE started_at END WHERE id = ? AND epoch = ? AND state = ?`,
			int64(Running), j.cfg.Node, millis(now.Add(j.cfg.Lease)), millis(now), millis(now), one.ID, one.epoch, int64(one.State))
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		ok = n == 1
		return err
	})
	if err != nil || !ok {
		return false, err
	}
	one.epoch++
	one.tries++
	one.State, one.Node = Running, j.cfg.Node
	return true, nil
}

// work does a job to its end, or until ctx ends.
func (j *Jobs) work(ctx context.Context, one *Job) {
	id := one.ID
	log := j.Log.With("job", id, "kind", one.Kind)
	log.Info("job goes on", "done", one.Done(), "try", one.tries)
	held, lose := context.WithCancel(ctx)
	defer lose()
	keeper, epoch := sync.WaitGroup{}, one.epoch // steps change one
	defer keeper.Wait()
	keeper.Go(func() { j.keep(held, id, epoch, lose) })
	defer lose() // before the wait above
	state, reason := j.steps(held, one)
	switch {
	case state == Running && ctx.Err() != nil:
		j.release(one)
		return
	case state == Running:
		log.Warn("job goes on elsewhere")
		return
	}
	if err := j.finish(context.WithoutCancel(ctx), one, state, reason); err != nil {
		log.Error("end of the job not stored; it is tried again", "err", err)
		return
	}
	j.metrics.ended(one.Kind, state)
	log.Info("job ended", "state", state.String(), "succeeded", one.Succeeded, "failed", one.Failed, "reason", reason)
}

// steps runs the kind's steps. Running as state means that this node is no longer to do it.
func (j *Jobs) steps(ctx context.Context, one *Job) (state State, reason string) {
	if one.tries > maxTries {
		return Failed, fmt.Sprintf("it was begun %d times without any progress; the hub's log says why", maxTries)
	}
	var runner Runner
	for pause := 100 * time.Millisecond; ; {
		var err error
		if runner == nil {
			runner, err = j.Kinds[one.Kind].Open(ctx, j.task(one))
		}
		if err == nil && one.Cancelling {
			return Cancelled, ""
		}
		if err == nil {
			err = j.step(ctx, one, runner)
		}
		switch {
		case err == nil:
			pause = 100 * time.Millisecond
			continue
		case errors.Is(err, io.EOF):
			return Done, ""
		case errors.Is(err, ErrLost), ctx.Err() != nil:
			return Running, ""
		case !store.IsTemporary(err):
			return Failed, j.reason(one, err)
		}
		j.Log.Warn("the store is away, the job waits", "job", one.ID, "err", err)
		runner = nil // it may have been half-way through a step
		select {
		case <-ctx.Done():
			return Running, ""
		case <-time.After(pause/2 + rand.N(pause)):
			pause = min(2*pause, 10*time.Second)
		}
	}
}

func (j *Jobs) task(one *Job) *Task {
	return &Task{ID: one.ID, Project: one.Project, Product: one.Product, Owner: one.Owner, Spec: one.Spec, DryRun: one.DryRun,
		Place: one.place, Total: one.Total, jobs: j}
}

// reason is what whoever started the job is told.
func (j *Jobs) reason(one *Job, err error) string {
	if fatal, ok := errors.AsType[*Fatal](err); ok {
		return fatal.Reason
	}
	j.Log.Error("job failed", "job", one.ID, "kind", one.Kind, "err", err)
	return "something unexpected; the hub's log says more about job " + one.ID
}
