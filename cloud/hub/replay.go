package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/hawser-iot/hawser/cloud/job"
	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/store"
)

// replayStep is how many dead letters one step puts back.
const replayStep = 250

// replayKind is the kind of job that has dead letters delivered again.
type replayKind struct{ hub *Hub }

// Columns are job.Kind's.
func (replayKind) Columns() []job.Column { return []job.Column{{Name: "letterID"}} }

// Open is job.Kind's. Place is the letter that was looked at last; those that come while the job runs are left alone, or a target
// that refuses would keep it busy for ever.
func (k replayKind) Open(ctx context.Context, t *job.Task) (job.Runner, error) {
	r := &replayRun{hub: k.hub, total: t.Total}
	if err := json.Unmarshal(t.Spec, &r.filter); err != nil {
		return nil, fmt.Errorf("hub: specification of %s: %w", t.ID, err)
	}
	r.filter.Project = t.Project
	place := struct{ After, Until int64 }{Until: int64(k.hub.numbers.Next())}
	if t.Place != "" {
		if err := json.Unmarshal([]byte(t.Place), &place); err != nil {
			return nil, fmt.Errorf("hub: place of %s: %w", t.ID, err)
		}
	}
	r.after, r.filter.Before = place.After, place.Until
	if r.total < 0 {
		var err error
		if r.total, err = k.hub.rules.CountDead(ctx, r.filter); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// replayRun is one such job in hand. A step that is done again finds that its letters are gone.
type replayRun struct {
	hub    *Hub
	filter rules.DeadFilter
	total  int64
	after  int64
	ended  bool
}

// Step is job.Runner's.
func (r *replayRun) Step(ctx context.Context, save job.Save) error {
	if r.ended {
		return io.EOF
	}
	ids, last, err := r.hub.rules.Replay(ctx, r.filter, r.after, replayStep)
	if err != nil {
		return err
	}
	if len(ids) == 0 && last == 0 {
		return io.EOF
	}
	place, err := json.Marshal(struct{ After, Until int64 }{last, r.filter.Before})
	if err != nil {
		return err
	}
	b := job.Batch{Place: string(place), Total: r.total, Rows: make([]job.Row, len(ids))}
	for i, id := range ids {
		b.Rows[i].Cells = []string{strconv.FormatInt(id, 10)}
	}
	if err := r.hub.db.Update(ctx, func(tx *store.Tx) error { return save(ctx, tx, b) }); err != nil {
		return err
	}
	r.after, r.ended = last, last == 0
	return nil
}
