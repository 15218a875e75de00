package job

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// NewJob is what Create needs.
type NewJob struct {
	Kind, Project, Product, Owner string
	Spec                          json.RawMessage
	DryRun                        bool
	Input                         io.Reader // nil without an upload
}

// Create stores a job and has it run. Its input is read to the end first, piece by piece; when that breaks off nothing is
// left behind.
func (j *Jobs) Create(ctx context.Context, n NewJob) (*Job, error) {
	if j.Kinds[n.Kind] == nil {
		return nil, fmt.Errorf("%w: %q", ErrUnknownKind, n.Kind)
	}
	id, err := j.insert(ctx, n)
	if err != nil {
		return nil, err
	}
	if n.Input != nil {
		if err := j.upload(ctx, id, n.Input); err != nil {
			j.discard(id)
			return nil, err
		}
	}
	err = j.Store.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE job SET state = ?, updated_at = ? WHERE id = ? AND state = 0`, int64(Queued), millis(j.now()), id)
		return err
	})
	if err != nil {
		j.discard(id)
		return nil, fmt.Errorf("job: queue %s: %w", id, err)
	}
	j.Wake()
	return j.Get(ctx, id)
}

// insert makes the row, still Uploading, unless too many wait.
func (j *Jobs) insert(ctx context.Context, n NewJob) (string, error) {
	now := j.now()
	id := newID(now)
	if n.Project == "" {
		n.Project = "default"
	}
	err := j.Store.Update(ctx, func(tx *store.Tx) error {
		var waiting int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM job WHERE state < ?`, int64(Running)).Scan(&waiting); err != nil {
			return err
		}
		if waiting >= j.cfg.Waiting {
			return ErrTooMany
		}
		_, err := tx.Exec(ctx, `INSERT INTO job (id, kind, project, product, owner, spec, dry_run, state, created_at, updated_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, id, n.Kind, n.Project, n.Product, n.Owner, string(n.Spec), n.DryRun, int64(Uploading),
			millis(now), millis(now))
		return err
	})
	if err != nil {
		return "", fmt.Errorf("job: create: %w", err)
	}
	return id, nil
}

// Wake has this node look for a job now.
func (j *Jobs) Wake() {
	select {
	case j.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// discardTimeout bounds the cleaning up after an upload that broke off; what it cannot do, Trim does later.
const discardTimeout = 10 * time.Second

func (j *Jobs) discard(id string) {
	ctx, cancel := context.WithTimeout(context.Background(), discardTimeout)
	defer cancel()
	if err := j.Store.Update(ctx, func(tx *store.Tx) error { return remove(ctx, tx, id) }); err != nil {
		j.Log.Warn("upload that broke off not removed yet", "job", id, "err", err)
	}
}

// remove deletes a job with all that is kept of it.
func remove(ctx context.Context, tx *store.Tx, id string) error {
	for _, table := range [...]string{"job_input", "job_result"} {
		if _, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE job = ?`, id); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, `DELETE FROM job WHERE id = ?`, id)
	return err
}

// newID is 16 characters that sort by time: 48 bits of milliseconds and 32 random ones.
func newID(now time.Time) string {
	var b [12]byte
	binary.BigEndian.PutUint64(b[:8], uint64(now.UnixMilli())<<16)
	_, _ = rand.Read(b[6:10]) // never fails: crypto/rand crashes the program instead
	return strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:10]))
}

// Cancel ends a job that waits at once, and one that runs after its present step.
func (j *Jobs) Cancel(ctx context.Context, id string) (*Job, error) {
	err := j.Store.Update(ctx, func(tx *store.Tx) error {
		now := millis(j.now())
		res, err := tx.Exec(ctx, `UPDATE job SET state = ?, cancel = 1, finished_at = ?, updated_at = ? WHERE id = ? AND state = ?`,
			int64(Cancelled), now, now, id, int64(Queued))
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n > 0 {
			if err == nil {
				_, err = tx.Exec(ctx, `DELETE FROM job_input WHERE job = ?`, id)
			}
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE job SET cancel = 1, updated_at = ? WHERE id = ? AND state = ?`, now, id, int64(Running))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("job: cancel %s: %w", id, err)
	}
	one, err := j.Get(ctx, id)
	if err == nil && !one.Cancelling {
		return nil, ErrFinished
	}
	return one, err
}
