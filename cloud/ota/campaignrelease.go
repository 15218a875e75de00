package ota

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// target is a device in the order of a campaign.
type target struct {
	candidate
	rank int64
}

// release lets the next targets of a campaign go, up to the end of its present wave; done tells that the wave is out. Each batch is one
// transaction that moves the place along the rank: a device is let go once, whoever ends when.
func (o *OTA) release(ctx context.Context, c *Campaign) (_ *Campaign, done bool, err error) {
	end := c.waveEnd()
	var w *ways
	if c.Released < end {
		if w, err = o.waysOf(ctx, c); err != nil {
			return c, false, err
		}
	}
	for c.Released < end {
		var n int
		err := o.callOff(ctx, Superseded, func(tx *store.Tx) (over []deployment, err error) {
			n, over, err = o.releaseBatch(ctx, tx, c, w, int(min(end-c.Released, pushBatch)))
			return over, err
		})
		if err != nil {
			return c, false, fmt.Errorf("ota: let devices go: %w", err)
		}
		if c, err = o.Campaign(ctx, c.Product, c.ID); err != nil {
			return c, false, err
		}
		if n == 0 || c.Status != Running {
			break // devices were deleted
		}
	}
	return c, true, nil
}

// waveEnd is how many devices have come when the present wave is out.
func (c *Campaign) waveEnd() (end int64) {
	for _, w := range c.Waves[:min(c.Wave, len(c.Waves))] {
		end = w.End(c.Targets, end)
	}
	return end
}

func (o *OTA) releaseBatch(ctx context.Context, tx *store.Tx, c *Campaign, w *ways, limit int) (n int, over []deployment, err error) {
	list, err := o.nextTargets(ctx, tx, c, limit)
	if err != nil || len(list) == 0 {
		return 0, nil, err
	}
	// First, so that whoever else does the same waits here, and then finds it done.
	last := list[len(list)-1]
	if err := o.advance(ctx, tx, c, `released = released + ?, cursor_rank = ?, cursor_device = ?`, len(list), last.rank, last.id); err != nil {
		return 0, nil, err
	}
	for part := range slices.Chunk(list, chunk) {
		more, err := o.letGo(ctx, tx, c, w, part)
		if err != nil {
			return 0, nil, err
		}
		over = append(over, more...)
	}
	return len(list), over, nil
}

func (o *OTA) nextTargets(ctx context.Context, tx *store.Tx, c *Campaign, limit int) (list []target, err error) {
	rows, err := tx.Query(ctx, `SELECT rank, device, sn FROM ota_target WHERE campaign = ? AND (rank, device) > (?, ?) ORDER BY rank, device LIMIT ?`,
		c.ID, c.rank, c.lastDevice, limit)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var t target
		if err := rows.Scan(&t.rank, &t.id, &t.sn); err != nil {
			return nil, err
		}
		list = append(list, t)
	}
	return list, nil
}

// letGo makes the deployments of some targets. Those that have the version by now have nothing to do; those that a newer task or campaign
// has come to meanwhile are left to it. A device that can't take the firmware yet is brought another one first.
func (o *OTA) letGo(ctx context.Context, tx *store.Tx, c *Campaign, w *ways, list []target) ([]deployment, error) {
	ids := make([]int64, len(list))
	args := []any{c.Module, c.ID}
	for i, t := range list {
		ids[i] = t.id
		args = append(args, t.id)
	}
	in := `(?` + strings.Repeat(", ?", len(list)-1) + `)`
	newer, err := newerOf(ctx, tx, in, args)
	if err != nil {
		return nil, err
	}
	over, err := endAll(ctx, tx, `module = ? AND task < ? AND open = 1 AND device IN `+in, args, Superseded, o.now())
	if err != nil {
		return nil, err
	}
	have := map[int64]modules{}
	if err := versionsOf(ctx, tx, w.reading(c.Module), ids, have); err != nil {
		return nil, err
	}
	const row = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
	q := `INSERT INTO ota_deployment (task, device, sn, module, state, open, class, from_version, deadline, updated_at, wave, via) VALUES ` + row +
		strings.Repeat(", "+row, len(list)-1)
	values := make([]any, 0, 12*len(list))
	until := c.queuedUntil(o.now())
	for _, t := range list {
		state, class, runs := Initial, "", have[t.id]
		via, ok := w.first(runs)
		version := runs[c.Module].version
		switch {
		case newer[t.id]:
			state = Superseded
		case version == c.Version:
			state, via = Succeeded, 0
		case !ok: // its way was there when the campaign was made
			state, class = Failed, classNoWay
		}
		values = append(values, c.ID, t.id, t.sn, c.Module, int64(state), state.Open(), class, version, millis(until), millis(o.now()), c.Wave, via)
	}
	_, err = tx.Exec(ctx, q, values...)
	return over, err
}

// newerOf are the devices that a newer task or campaign is for.
func newerOf(ctx context.Context, tx *store.Tx, in string, args []any) (newer map[int64]bool, err error) {
	rows, err := tx.Query(ctx, `SELECT DISTINCT device FROM ota_deployment WHERE module = ? AND task > ? AND state <> 6 AND device IN `+in, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	newer = map[int64]bool{}
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		newer[id] = true
	}
	return newer, nil
}

// queuedUntil is how long the campaign waits for a device that is let go now.
func (c *Campaign) queuedUntil(now time.Time) time.Time {
	if s := c.Deadlines[Initial.String()]; s > 0 {
		return now.Add(time.Duration(s) * time.Second)
	}
	return c.Expires
}
