package job

import (
	"context"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// uploadMax is how long an upload may take; what is older belongs to a hub that died meanwhile.
const uploadMax = 6 * time.Hour

// trimStep is how many jobs one transaction removes: results may be large.
const trimStep = 20

// Trim removes jobs that ended longer than Config.Keep ago, the oldest that exceed Config.KeepCount, and uploads that
// were given up.
func (j *Jobs) Trim(ctx context.Context, now time.Time) (removed int, err error) {
	for {
		ids, err := j.old(ctx, now)
		if err != nil {
			return removed, fmt.Errorf("job: trim: %w", err)
		}
		if len(ids) == 0 {
			return removed, nil
		}
		err = j.Store.Update(ctx, func(tx *store.Tx) error {
			for _, id := range ids {
				if err := remove(ctx, tx, id); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return removed, fmt.Errorf("job: trim: %w", err)
		}
		removed += len(ids)
	}
}

// old names some jobs that are to go.
func (j *Jobs) old(ctx context.Context, now time.Time) ([]string, error) {
	rows, err := j.Store.Query(ctx, `SELECT id FROM job WHERE state >= ? AND finished_at < ? OR state = 0 AND created_at < ?
		OR state >= ? AND id <= COALESCE((SELECT id FROM job WHERE state >= ? ORDER BY id DESC LIMIT 1 OFFSET ?), '') ORDER BY id LIMIT ?`,
		int64(Done), millis(now.Add(-j.cfg.Keep)), millis(now.Add(-uploadMax)), int64(Done), int64(Done), j.cfg.KeepCount, trimStep)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err below tells
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}
