package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

const columns = `id, kind, project, product, owner, spec, dry_run, state, total, succeeded, failed, errors, place, error, cancel,
	node, epoch, tries, chunks, busy, created_at, started_at, updated_at, finished_at`

func scan(row interface{ Scan(...any) error }) (*Job, error) {
	var (
		j                                   Job
		spec, counts                        string
		dry, cancel                         bool
		state, busy                         int64
		created, started, updated, finished int64
	)
	err := row.Scan(&j.ID, &j.Kind, &j.Project, &j.Product, &j.Owner, &spec, &dry, &state, &j.Total, &j.Succeeded, &j.Failed, &counts,
		&j.place, &j.Error, &cancel, &j.Node, &j.epoch, &j.tries, &j.chunks, &busy, &created, &started, &updated, &finished)
	if err != nil {
		return nil, err
	}
	j.Spec, j.DryRun, j.State, j.Cancelling = json.RawMessage(spec), dry, State(state), cancel
	j.Busy = time.Duration(busy) * time.Millisecond
	j.Created, j.Started, j.Updated, j.Finished = fromMillis(created), fromMillis(started), fromMillis(updated), fromMillis(finished)
	if counts != "" {
		if err := json.Unmarshal([]byte(counts), &j.Errors); err != nil {
			return nil, fmt.Errorf("stored counts of job %s: %w", j.ID, err)
		}
	}
	return &j, nil
}

// Get returns a job.
func (j *Jobs) Get(ctx context.Context, id string) (*Job, error) {
	one, err := scan(j.Store.QueryRow(ctx, `SELECT `+columns+` FROM job WHERE id = ? AND state <> 0`, id))
	if errors.Is(err, store.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("job: read %s: %w", id, err)
	}
	return one, nil
}

// Filter narrows a list; the zero Filter takes all.
type Filter struct {
	Project string
	Kind    string
	State   *State
	Before  string // the last id of the page before
	Limit   int
}

// List returns jobs, the newest first.
func (j *Jobs) List(ctx context.Context, f Filter) ([]*Job, error) {
	where, args := []string{`state <> 0`}, []any(nil)
	add := func(cond string, arg any) { where, args = append(where, cond), append(args, arg) }
	if f.Project != "" {
		add(`project = ?`, f.Project)
	}
	if f.Kind != "" {
		add(`kind = ?`, f.Kind)
	}
	if f.State != nil {
		add(`state = ?`, int64(*f.State))
	}
	if f.Before != "" {
		add(`id < ?`, f.Before)
	}
	list, err := j.list(ctx, strings.Join(where, ` AND `)+` ORDER BY id DESC LIMIT ?`, append(args, f.Limit)...)
	if err != nil {
		return nil, fmt.Errorf("job: list: %w", err)
	}
	return list, nil
}

func (j *Jobs) list(ctx context.Context, where string, args ...any) ([]*Job, error) {
	rows, err := j.Store.Query(ctx, `SELECT `+columns+` FROM job WHERE `+where, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err below tells
	var list []*Job
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	return list, rows.Err()
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
