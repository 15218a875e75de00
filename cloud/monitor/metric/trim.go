package metric

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// errorAge is how long errors, and what a node has said of itself, are kept.
const errorAge = 7 * day

// Trim makes quarters of an hour of the minutes that are old enough, and removes what was kept for long enough. Several nodes may do so at
// once. It returns how many rows went.
func (h *History) Trim(ctx context.Context, now time.Time) (removed int, err error) {
	oldest := now.Add(-h.cfg.Age).UTC().Truncate(day).Unix()
	for _, d := range []struct {
		q  string
		at int64
	}{
		{`DELETE FROM metric_chunk WHERE step = 60 AND start < ?`, oldest},
		{`DELETE FROM metric_chunk WHERE step = 900 AND start < ?`, oldest},
		{`DELETE FROM metric_error WHERE start < ?`, now.Add(-errorAge).Unix()},
		{`DELETE FROM hub_node WHERE seen_at < ?`, now.Add(-errorAge).UnixMilli()},
	} {
		err := h.Store.Update(ctx, func(tx *store.Tx) error {
			res, err := tx.Exec(ctx, d.q, d.at)
			if err != nil {
				return err
			}
			n, err := res.RowsAffected()
			removed += int(n)
			return err
		})
		if err != nil {
			return removed, fmt.Errorf("metric: trim: %w", err)
		}
	}
	fine := h.fineFrom(now)
	if fine.IsZero() {
		return removed, nil
	}
	for {
		days, err := h.oldDays(ctx, fine)
		if err != nil || len(days) == 0 {
			return removed, err
		}
		for _, d := range days {
			n, err := h.coarsen(ctx, d)
			if err != nil {
				return removed, fmt.Errorf("metric: make quarters of an hour: %w", err)
			}
			removed += n
		}
	}
}

// oldDay is a scope's day whose minutes are to go.
type oldDay struct {
	scope string
	start int64
}

// oldDays lists some of them.
func (h *History) oldDays(ctx context.Context, before time.Time) (list []oldDay, err error) {
	rows, err := h.Store.Query(ctx, `SELECT scope, start FROM metric_chunk WHERE step = 60 AND start < ? ORDER BY start LIMIT 5000`, before.Unix())
	if err != nil {
		return nil, fmt.Errorf("metric: find old minutes: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	seen := make(map[oldDay]bool)
	for rows.Next() {
		var d oldDay
		if err := rows.Scan(&d.scope, &d.start); err != nil {
			return nil, err
		}
		if d.start -= d.start % 86400; !seen[d] {
			seen[d] = true
			list = append(list, d)
		}
	}
	return list, nil
}

// coarsen puts one row of quarters of an hour in the place of a day's rows of all nodes.
func (h *History) coarsen(ctx context.Context, d oldDay) (n int, err error) {
	err = h.Store.Update(ctx, func(tx *store.Tx) error {
		q := Query{Names: Names(), From: time.Unix(d.start, 0), To: time.Unix(d.start+86400, 0), Step: quarter}
		sum := newSum(&q, time.Unix(math.MaxInt64/2, 0))
		rows, err := tx.Query(ctx, `SELECT node, start, step, data FROM metric_chunk WHERE scope = ? AND (step = 60 AND start >= ? AND start < ? OR step = 900 AND start = ?)`,
			d.scope, d.start, d.start+86400, d.start)
		if err != nil {
			return err
		}
		fine := 0
		for rows.Next() {
			var node string
			var start, step int64
			var data []byte
			if err := rows.Scan(&node, &start, &step, &data); err != nil {
				return errors.Join(err, rows.Close())
			}
			if step == 60 {
				fine++
			}
			if c, err := decodeChunk(data); err == nil { // what cannot be read goes
				sum.add(c, "\x00"+node, start, step)
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		res, err := tx.Exec(ctx, `DELETE FROM metric_chunk WHERE scope = ? AND step = 60 AND start >= ? AND start < ?`, d.scope, d.start, d.start+86400)
		if err != nil {
			return err
		}
		gone, err := res.RowsAffected()
		switch {
		case err != nil:
			return err
		case gone == 0:
			return nil // another node has done it
		case int(gone) != fine:
			return errRace
		}
		n = fine
		_, err = tx.Exec(ctx, `INSERT INTO metric_chunk (scope, step, start, node, data) VALUES (?, 900, ?, '', ?)
			ON CONFLICT (scope, step, start, node) DO UPDATE SET data = excluded.data`, d.scope, d.start, sum.chunk().encode())
		return err
	})
	return n, err
}

// errRace is another node that makes quarters of an hour of the same day at the same moment; the next Trim goes on.
var errRace = errors.New("metric: another node does the same")

// chunk is what was gathered, as a row of quarters of an hour.
func (s *sum) chunk() *chunk {
	c := newChunk(s.n)
	for _, n := range s.q.Names {
		for _, p := range s.line(n).Points {
			if p.Value != 0 || n.Info().Gauge {
				c.add(int(p.Time.Sub(s.q.From)/s.q.Step), n, int64(math.Round(p.Value)))
			}
		}
	}
	return c
}
