package thingmodel

import (
	"context"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// Keep bounds what is kept of a device's records.
type Keep struct {
	MaxAge   time.Duration
	MaxCount int // records a device
}

// DefaultKeep is 90 days and 1,000 records a device.
func DefaultKeep() Keep { return Keep{MaxAge: 90 * 24 * time.Hour, MaxCount: 1000} }

// trimStep bounds what one transaction deletes, so that the group commits which wait for it do not wait long.
const trimStep = 1000

// Trimmer removes the records of one table that are too old or too many.
type Trimmer struct {
	db     *store.DB
	keep   Keep
	table  string
	ended  string    // the condition of those that may go
	looked time.Time // up to when devices were looked at for their count
}

// NewCommandTrimmer trims commands that have ended.
func NewCommandTrimmer(db *store.DB, keep Keep) *Trimmer {
	return &Trimmer{db: db, keep: keep, table: "command_log", ended: "status NOT IN ('queued', 'sent')"}
}

// NewEventTrimmer trims events.
func NewEventTrimmer(db *store.DB, keep Keep) *Trimmer {
	return &Trimmer{db: db, keep: keep, table: "event_record", ended: "1 = 1"}
}

// Trim deletes records that are too old, and the oldest of devices that have too many. It is not for concurrent use.
func (t *Trimmer) Trim(ctx context.Context, now time.Time) (removed int, err error) {
	for {
		n, err := t.delete(ctx, `SELECT id FROM `+t.table+` WHERE created_at < ? AND `+t.ended+` ORDER BY created_at LIMIT ?`,
			millis(now.Add(-t.keep.MaxAge)), trimStep)
		if removed += n; err != nil {
			return removed, fmt.Errorf("thingmodel: trim %s: %w", t.table, err)
		}
		if n < trimStep {
			break
		}
	}
	n, err := t.trimCounts(ctx)
	if removed += n; err != nil {
		return removed, fmt.Errorf("thingmodel: trim %s: %w", t.table, err)
	}
	t.looked = now.Add(-time.Minute) // a unit's time is a little older than its commit
	return removed, nil
}

type deviceCount struct{ device, n int64 }

// trimCounts looks at the devices that have new records since it looked last.
func (t *Trimmer) trimCounts(ctx context.Context) (removed int, err error) {
	after := int64(0)
	for {
		rows, err := t.db.Query(ctx, `SELECT device, COUNT(*) FROM `+t.table+` WHERE device IN
			(SELECT DISTINCT device FROM `+t.table+` WHERE created_at >= ? AND device > ? ORDER BY device LIMIT ?) GROUP BY device ORDER BY device`,
			millis(t.looked), after, trimStep)
		if err != nil {
			return removed, err
		}
		list, err := collect(rows, func(row scanner) (c deviceCount, err error) { err = row.Scan(&c.device, &c.n); return c, err })
		if err != nil {
			return removed, err
		}
		for _, c := range list {
			if after = c.device; c.n <= int64(t.keep.MaxCount) {
				continue
			}
			n, err := t.delete(ctx, `SELECT id FROM `+t.table+` WHERE device = ? AND `+t.ended+` ORDER BY id LIMIT ?`, c.device, c.n-int64(t.keep.MaxCount))
			if removed += n; err != nil {
				return removed, err
			}
		}
		if len(list) < trimStep {
			return removed, nil
		}
	}
}

func (t *Trimmer) delete(ctx context.Context, which string, args ...any) (int, error) {
	var n int64
	err := t.db.Update(ctx, func(tx *store.Tx) error {
		res, err := tx.Exec(ctx, `DELETE FROM `+t.table+` WHERE id IN (`+which+`)`, args...)
		if err != nil {
			return err
		}
		n, err = res.RowsAffected()
		return err
	})
	return int(n), err
}
