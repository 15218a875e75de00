package job

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// step does one step and takes what it saved over into one.
func (j *Jobs) step(ctx context.Context, one *Job, runner Runner) error {
	began := time.Now()
	var next *Job
	err := runner.Step(ctx, func(ctx context.Context, tx *store.Tx, b Batch) error {
		next = one.after(b, time.Since(began))
		return j.save(ctx, tx, next, b)
	})
	if err != nil {
		return err
	}
	if next == nil {
		return fmt.Errorf("job: kind %s did a step and saved nothing", one.Kind)
	}
	j.metrics.rows(one.Kind, next.Succeeded-one.Succeeded, next.Failed-one.Failed)
	*one = *next
	return nil
}

// after is the job as it will be when b is stored.
func (j *Job) after(b Batch, took time.Duration) *Job {
	next := *j
	next.place, next.tries = b.Place, 0
	next.Busy += max(took, time.Millisecond)
	if b.Total != 0 {
		next.Total = b.Total
	}
	next.Errors = maps.Clone(j.Errors)
	for i := range b.Rows {
		if b.Rows[i].Code == "" {
			next.Succeeded++
			continue
		}
		next.Failed++
		if next.Errors == nil {
			next.Errors = make(map[string]int64)
		}
		next.Errors[b.Rows[i].Code]++
	}
	if len(b.Rows) > 0 {
		next.chunks++
	}
	return &next
}

// save writes next and the rows of b, if the job is still this claim's.
func (j *Jobs) save(ctx context.Context, tx *store.Tx, next *Job, b Batch) error {
	counts := ""
	if len(next.Errors) > 0 {
		text, err := json.Marshal(next.Errors)
		if err != nil {
			return err
		}
		counts = string(text)
	}
	now := j.now()
	next.Updated = now
	res, err := tx.Exec(ctx, `UPDATE job SET total = ?, succeeded = ?, failed = ?, errors = ?, place = ?, chunks = ?, busy = ?, tries = 0,
		lease = ?, updated_at = ? WHERE id = ? AND epoch = ? AND state = ?`, next.Total, next.Succeeded, next.Failed, counts, next.place,
		next.chunks, next.Busy.Milliseconds(), millis(now.Add(j.cfg.Lease)), millis(now), next.ID, next.epoch, int64(Running))
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		if err == nil {
			err = ErrLost
		}
		return err
	}
	if err := tx.QueryRow(ctx, `SELECT cancel FROM job WHERE id = ?`, next.ID).Scan(&next.Cancelling); err != nil || len(b.Rows) == 0 {
		return err
	}
	piece, err := encode(b.Rows)
	if err != nil {
		return err
	}
	return j.addPiece(ctx, tx, store.JobResult, next.ID, next.chunks-1, piece)
}

// encode writes rows as CSV: the code, then the cells.
func encode(rows []Row) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	var record []string
	for i := range rows {
		record = append(append(record[:0], rows[i].Code), rows[i].Cells...)
		if err := w.Write(record); err != nil {
			return nil, err
		}
	}
	w.Flush()
	return b.Bytes(), w.Error()
}

// keep renews the lease while a step takes long, and calls lose when the job is no longer this node's.
func (j *Jobs) keep(ctx context.Context, id string, epoch int64, lose func()) {
	tick := time.NewTicker(j.cfg.Lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var mine bool
		err := j.Store.Update(ctx, func(tx *store.Tx) error {
			res, err := tx.Exec(ctx, `UPDATE job SET lease = ? WHERE id = ? AND epoch = ? AND state = ?`,
				millis(j.now().Add(j.cfg.Lease)), id, epoch, int64(Running))
			if err != nil {
				return err
			}
			n, err := res.RowsAffected()
			mine = n == 1
			return err
		})
		if err == nil && !mine {
			lose()
			return
		}
	}
}

// release gives a job back, so that the next node need not wait for the lease to end.
func (j *Jobs) release(one *Job) {
	ctx, cancel := context.WithTimeout(context.Background(), discardTimeout)
	defer cancel()
	err := j.Store.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE job SET lease = 0, tries = 0 WHERE id = ? AND epoch = ? AND state = ?`, one.ID, one.epoch, int64(Running))
		return err
	})
	if err != nil {
		j.Log.Warn("job not given back, it goes on when its lease ends", "job", one.ID, "err", err)
	}
}

// finish stores the end of a job; its input is no longer needed.
func (j *Jobs) finish(ctx context.Context, one *Job, state State, reason string) error {
	now := millis(j.now())
	return j.Store.Update(ctx, func(tx *store.Tx) error {
		res, err := tx.Exec(ctx, `UPDATE job SET state = ?, error = ?, finished_at = ?, updated_at = ?, lease = 0,
			total = CASE WHEN total < 0 THEN succeeded + failed ELSE total END WHERE id = ? AND epoch = ? AND state = ?`,
			int64(state), reason, now, now, one.ID, one.epoch, int64(Running))
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err // somebody else's by now
		}
		_, err = tx.Exec(ctx, `DELETE FROM job_input WHERE job = ?`, one.ID)
		return err
	})
}
