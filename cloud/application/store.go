package application

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/auth"
	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/store"
)

// row is a persistent session as it is stored.
type row struct{ *Session }

const rowColumns = `id, identity, key_id, project, products, subs, node`

// join are the products that a session hears of: what other nodes have to know of it.
func join(products map[string]auth.Rights) string {
	if products == nil {
		return "*"
	}
	var list []string
	for sn, on := range products {
		if on.Read {
			list = append(list, sn)
		}
	}
	slices.Sort(list)
	return strings.Join(list, ",")
}

func split(text string) map[string]auth.Rights {
	if text == "*" {
		return nil
	}
	products := map[string]auth.Rights{}
	for sn := range strings.SplitSeq(text, ",") {
		if sn != "" {
			products[sn] = auth.Rights{Read: true}
		}
	}
	return products
}

func (a *Applications) readRow(ctx context.Context, identity string) (*row, error) {
	list, err := a.readRows(ctx, `identity = ?`, identity)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return list[0], nil
}

func (a *Applications) readRows(ctx context.Context, where string, args ...any) (list []*row, err error) {
	rows, err := a.Store.Query(ctx, `SELECT `+rowColumns+` FROM application WHERE `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read sessions of applications: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		r := &row{&Session{App: auth.App{Rights: auth.Rights{Read: true}}}}
		var products string
		var subs []byte
		if err := rows.Scan(&r.ID, &r.Identity, &r.App.KeyID, &r.App.Project, &products, &subs, &r.node); err != nil {
			return nil, err
		}
		r.App.Products = split(products)
		if r.filters, err = downlink.DecodeFilters(subs); err != nil {
			a.Log.Error("stored subscriptions of an application dropped", "application", r.Identity, "err", err)
		}
		list = append(list, r)
	}
	return list, nil
}

// refresh takes over what other nodes have stored. The whole table is compared now and then, for rows that have gone.
func (a *Applications) refresh(ctx context.Context) error {
	now := a.now()
	a.mu.Lock()
	since, whole := a.read, now.Sub(a.deletion) > time.Minute
	a.mu.Unlock()
	if whole {
		since = time.Time{}
	}
	list, err := a.readRows(ctx, `updated_at >= ?`, max(0, since.Add(-10*time.Second).UnixMilli()))
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.read = now
	seen := make(map[int64]bool, len(list))
	for _, r := range list {
		seen[r.ID] = true
		a.takeLocked(r)
	}
	if whole {
		a.deletion = now
		for id, s := range a.stored {
			if !seen[id] {
				a.dropLocked(s)
				delete(a.stored, id)
			}
		}
	}
	a.regroupLocked()
	return nil
}

// takeLocked puts a stored session in the place of what was known of it, unless it is connected here: then this node knows better.
func (a *Applications) takeLocked(r *row) {
	if s := a.local[r.Identity]; s != nil {
		return
	}
	a.putLocked(r.Session)
	a.dropLocked(a.stored[r.ID]) // last, so that no message meets neither
	a.stored[r.ID] = r.Session
}

// reread looks at one session that another node has changed.
func (a *Applications) reread(ctx context.Context, id int64) error {
	list, err := a.readRows(ctx, `id = ?`, id)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(list) == 0 {
		a.dropLocked(a.stored[id])
		delete(a.stored, id)
	} else {
		a.takeLocked(list[0])
	}
	a.regroupLocked()
	return nil
}

// Trim drops what is more than a session may have waiting, and sessions that have been away for longer than a message is kept.
func (a *Applications) Trim(ctx context.Context, now time.Time) (removed int, err error) {
	a.mu.Lock()
	var here, all []int64
	for id, s := range a.stored {
		all = append(all, id)
		if a.local[s.Identity] == s {
			here = append(here, id)
		}
	}
	for _, g := range a.groups {
		all = append(all, g.id)
	}
	a.mu.Unlock()
	for _, id := range all {
		n, err := a.exec(ctx, `DELETE FROM queue WHERE device = ? AND seq <= (SELECT seq FROM queue WHERE device = ? ORDER BY seq DESC LIMIT 1 OFFSET ?)`, id, id, a.cfg.QueueMax)
		if err != nil {
			return removed, fmt.Errorf("trim queue of application: %w", err)
		}
		removed += n
	}
	a.metrics.evicted.Add(float64(removed))
	for _, id := range here {
		if _, err := a.exec(ctx, `UPDATE application SET updated_at = ? WHERE id = ?`, now.UnixMilli(), id); err != nil {
			return removed, fmt.Errorf("note that an application is here: %w", err)
		}
	}
	gone, err := a.readRows(ctx, `updated_at < ?`, now.Add(-a.cfg.QueueTTL).UnixMilli())
	for _, r := range gone {
		err = errors.Join(err, a.forget(ctx, r.ID))
	}
	return removed + len(gone), errors.Join(err, a.dropOrphans(ctx))
}

// dropOrphans deletes the rows of groups that have had no member for a while. Nodes may not know each other's at once.
func (a *Applications) dropOrphans(ctx context.Context) error {
	rows, err := a.Store.Query(ctx, `SELECT DISTINCT device FROM queue WHERE device < 0 AND NOT EXISTS (SELECT 1 FROM application WHERE application.id = queue.device)`)
	if err != nil {
		return fmt.Errorf("read queues of shared subscriptions: %w", err)
	}
	defer func() { _ = rows.Close() }()
	known, now := map[int64]bool{}, map[int64]bool{}
	a.mu.Lock()
	for _, g := range a.groups {
		known[g.id] = true
	}
	before := a.orphans
	a.mu.Unlock()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return err
		}
		if !known[id] {
			now[id] = true
		}
	}
	a.mu.Lock()
	a.orphans = now
	a.mu.Unlock()
	for id := range now {
		if before[id] {
			if _, err := a.exec(ctx, `DELETE FROM queue WHERE device = ?`, id); err != nil {
				return fmt.Errorf("drop queue of a shared subscription: %w", err)
			}
		}
	}
	return rows.Err()
}

func (a *Applications) exec(ctx context.Context, q string, args ...any) (n int, err error) {
	err = a.Store.Update(ctx, func(tx *store.Tx) error {
		res, err := tx.Exec(ctx, q, args...)
		if err != nil {
			return err
		}
		rows, err := res.RowsAffected()
		n = int(rows)
		return err
	})
	return n, err
}
