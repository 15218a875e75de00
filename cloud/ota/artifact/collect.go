package artifact

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// collectBatch is how many blobs are removed at a time.
const collectBatch = 100

// Trim removes blobs that no release has named for a while, and root documents of products that are gone.
func (r *Repository) Trim(ctx context.Context, now time.Time) (removed int, err error) {
	err = r.update(ctx, "mark what no release names", func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM product_root WHERE NOT EXISTS (SELECT 1 FROM product WHERE product.sn = product_root.product)`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE ota_artifact SET state = 2 WHERE state < 2 AND used_at < ?
			AND NOT EXISTS (SELECT 1 FROM ota_release_file f WHERE f.blob = ota_artifact.blob)`, now.Add(-r.cfg.Keep).UnixMilli())
		return err
	})
	if err != nil {
		return 0, err
	}
	for {
		names, err := r.marked(ctx)
		if err != nil || len(names) == 0 {
			return removed, err
		}
		for _, name := range names {
			// The bytes first: a row without bytes is found again, bytes without a row are not.
			if err := r.Blobs.Delete(ctx, name); err != nil {
				return removed, fmt.Errorf("artifact: remove blob: %w", err)
			}
			err := r.update(ctx, "forget blob", func(tx *store.Tx) error {
				_, err := tx.Exec(ctx, `DELETE FROM ota_artifact WHERE blob = ? AND state = 2`, name)
				return err
			})
			if err != nil {
				return removed, err
			}
			removed++
		}
	}
}

func (r *Repository) marked(ctx context.Context) (names []string, err error) {
	rows, err := r.Store.Query(ctx, `SELECT blob FROM ota_artifact WHERE state = 2 LIMIT ?`, collectBatch)
	if err != nil {
		return nil, fmt.Errorf("artifact: read blobs: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, fmt.Errorf("artifact: read blobs: %w", err)
		}
		names = append(names, name)
	}
	return names, nil
}
