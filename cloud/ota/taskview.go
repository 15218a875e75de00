package ota

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// noCampaign leaves out the tasks of campaigns, which are shown as such.
const noCampaign = `NOT EXISTS (SELECT 1 FROM ota_campaign k WHERE k.id = ota_task.id)`

const taskColumns = `id, product, module, firmware, version, name, owner, timeout, cancelled, created_at, expires_at`

func scanTask(row scanner) (*Task, error) {
	var t Task
	var timeout, cancelled, created, expires int64
	err := row.Scan(&t.ID, &t.Product, &t.Module, &t.Firmware, &t.Version, &t.Name, &t.Owner, &timeout, &cancelled, &created, &expires)
	t.Timeout, t.Cancelled, t.Created, t.Expires = time.Duration(timeout)*time.Millisecond, cancelled != 0, timeOf(created), timeOf(expires)
	return &t, err
}

// Task is a task of a product.
func (o *OTA) Task(ctx context.Context, product string, id int64) (*Task, error) {
	t, err := scanTask(o.Store.QueryRow(ctx, `SELECT `+taskColumns+` FROM ota_task WHERE id = ? AND product = ? AND `+noCampaign, id, product))
	if errors.Is(err, store.ErrNoRows) {
		return nil, ErrTaskNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("ota: read task: %w", err)
	}
	return t, o.count(ctx, t)
}

// count fills in how many devices are where.
func (o *OTA) count(ctx context.Context, t *Task) (err error) {
	rows, err := o.Store.Query(ctx, `SELECT state, SUM(n) FROM ota_count WHERE task = ? GROUP BY state`, t.ID)
	if err != nil {
		return fmt.Errorf("ota: count devices of task: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var state, n int64
		if err := rows.Scan(&state, &n); err != nil {
			return fmt.Errorf("ota: count devices of task: %w", err)
		}
		if state >= 0 && state < int64(states) {
			t.Count[state] = n
		}
	}
	return nil
}

// Tasks lists the tasks of a product, newest first; before is the id of the last one of the page before, 0 for the first page.
func (o *OTA) Tasks(ctx context.Context, product string, before int64, limit int) ([]*Task, error) {
	where, args := `product = ?`, []any{product}
	if before != 0 {
		where, args = where+` AND id < ?`, append(args, before)
	}
	list, err := o.queryTasks(ctx, where+` ORDER BY id DESC LIMIT ?`, append(args, limit)...)
	if err != nil {
		return nil, err
	}
	for _, t := range list {
		if err := o.count(ctx, t); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (o *OTA) queryTasks(ctx context.Context, where string, args ...any) (list []*Task, err error) {
	rows, err := o.Store.Query(ctx, `SELECT `+taskColumns+` FROM ota_task WHERE `+noCampaign+` AND `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("ota: list tasks: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		t, err := scanTask(rows)
		if err != nil {
			return nil, fmt.Errorf("ota: list tasks: %w", err)
		}
		list = append(list, t)
	}
	return list, nil
}

// CancelTask ends a task: what its devices have not been offered they are not, and those that are at it are told to stop.
func (o *OTA) CancelTask(ctx context.Context, product string, id int64) (*Task, error) {
	t, err := o.Task(ctx, product, id)
	if err != nil {
		return nil, err
	}
	if t.Ended() {
		return nil, ErrEnded
	}
	err = o.callOff(ctx, Cancelled, func(tx *store.Tx) ([]deployment, error) {
		if _, err := tx.Exec(ctx, `UPDATE ota_task SET cancelled = 1 WHERE id = ?`, id); err != nil {
			return nil, err
		}
		return endAll(ctx, tx, `task = ? AND open = 1`, []any{id}, Cancelled, o.now())
	})
	if err != nil {
		return nil, fmt.Errorf("ota: cancel task: %w", err)
	}
	return o.Task(ctx, product, id)
}
