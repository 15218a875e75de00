package ota

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// openStates is State.Open in SQL.
const openStates = `(0, 1, 2, 3, 8, 9, 10, 11, 12)`

// trimmedAtOnce is how many tasks one TrimHistory takes, eventsAtOnce how many devices' moments go in one transaction.
const (
	trimmedAtOnce = 20
	eventsAtOnce  = 200
)

// TrimHistory forgets the moments of tasks and campaigns that have ended longer ago than Config.HistoryLife, or that are not among the newest
// Config.HistoryTasks of their product, and puts their counters together. What became of each device stays.
func (o *OTA) TrimHistory(ctx context.Context, now time.Time) (trimmed int, err error) {
	ids, err := o.oldTasks(ctx, now)
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		if err := o.trimEvents(ctx, id); err != nil {
			return trimmed, fmt.Errorf("ota: trim task %d: %w", id, err)
		}
		err := o.Store.Update(ctx, func(tx *store.Tx) error { return foldCounts(ctx, tx, id) })
		if err != nil {
			return trimmed, fmt.Errorf("ota: trim task %d: %w", id, err)
		}
		trimmed++
	}
	return trimmed, nil
}

// oldTasks are some whose moments may go, the oldest first.
func (o *OTA) oldTasks(ctx context.Context, now time.Time) (ids []int64, err error) {
	rows, err := o.Store.Query(ctx, `SELECT t.id FROM ota_task t LEFT JOIN ota_campaign k ON k.id = t.id WHERE t.trimmed = 0 AND (k.id IS NULL OR k.ended_at > 0)
		AND (SELECT COALESCE(SUM(c.n), 0) FROM ota_count c WHERE c.task = t.id AND c.state IN `+openStates+`) = 0
		AND (COALESCE(k.ended_at, t.expires_at) < ? OR (SELECT COUNT(*) FROM ota_task x WHERE x.product = t.product AND x.id > t.id) >= ?)
		ORDER BY t.id LIMIT ?`, millis(now.Add(-o.cfg.HistoryLife)), o.cfg.HistoryTasks, trimmedAtOnce)
	if err != nil {
		return nil, fmt.Errorf("ota: look for old tasks: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("ota: look for old tasks: %w", err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func (o *OTA) trimEvents(ctx context.Context, task int64) error {
	for {
		var n int64
		err := o.Store.Update(ctx, func(tx *store.Tx) error {
			res, err := tx.Exec(ctx, `DELETE FROM ota_event WHERE task = ? AND device IN (SELECT DISTINCT device FROM ota_event WHERE task = ? ORDER BY device LIMIT ?)`,
				task, task, eventsAtOnce)
			if err == nil {
				n, err = res.RowsAffected()
			}
			return err
		})
		if err != nil || n == 0 {
			return err
		}
	}
}

// foldCounts makes one row of the lanes of each counter, and none of those that count nothing. The task's row is locked first, as by whoever opens
// deployments of an ended task again.
func foldCounts(ctx context.Context, tx *store.Tx, task int64) error {
	res, err := tx.Exec(ctx, `UPDATE ota_task SET trimmed = 1 WHERE id = ? AND trimmed = 0`, task)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	counts, open, err := countsOf(ctx, tx, task)
	if err != nil || open {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM ota_count WHERE task = ?`, task); err != nil {
		return err
	}
	for _, c := range counts {
		if c.N == 0 && c.Offers == 0 && c.Bytes == 0 {
			continue
		}
		_, err := tx.Exec(ctx, `INSERT INTO ota_count (task, wave, state, class, lane, n, offers, bytes) VALUES (?, ?, ?, ?, 0, ?, ?, ?)`,
			task, c.Wave, int64(c.State), c.Class, c.N, c.Offers, c.Bytes)
		if err != nil {
			return err
		}
	}
	return nil
}

// countsOf are the counters of a task; open tells whether a device goes on.
func countsOf(ctx context.Context, on reader, task int64) (p Progress, open bool, err error) {
	rows, err := on.Query(ctx, `SELECT wave, state, class, SUM(n), SUM(offers), SUM(bytes) FROM ota_count WHERE task = ?
		GROUP BY wave, state, class ORDER BY wave, state, class`, task)
	if err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var c Count
		var wave, state int64
		if err := rows.Scan(&wave, &state, &c.Class, &c.N, &c.Offers, &c.Bytes); err != nil {
			return nil, false, err
		}
		c.Wave, c.State = int(wave), State(state)
		open = open || c.State.Open() && c.N > 0
		p = append(p, c)
	}
	return p, open, nil
}
