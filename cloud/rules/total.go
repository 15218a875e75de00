package rules

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hawser-iot/hawser/cloud/store"
)

// Total is what has become of an action's records on all nodes since it was made, or of a rule's evaluations (Failed alone). What a node
// has counted in the second before it crashed is missing.
type Total struct {
	Delivered, Dead, FellBack, Retries int64
	Expired, Full, Damaged             int64 // dropped
	Failed                             int64
}

func (t Total) plus(o Total) Total {
	return Total{t.Delivered + o.Delivered, t.Dead + o.Dead, t.FellBack + o.FellBack, t.Retries + o.Retries,
		t.Expired + o.Expired, t.Full + o.Full, t.Damaged + o.Damaged, t.Failed + o.Failed}
}

// settled is what has become of the records since this process began.
func (b *books) settled() Total {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Total{Delivered: b.delivered, Dead: b.dead, FellBack: b.fellBack, Retries: b.retries,
		Expired: b.dropped[dropExpired], Full: b.dropped[dropFull], Damaged: b.dropped[dropDamaged]}
}

// totals are what this node had counted before this process began, and what of this process's is stored. saved belongs to housekeep, and to
// Run after its end.
type totals struct {
	before map[int64]Total // never changed
	saved  map[int64]Total
}

const totalColumns = `delivered, dead, fell_back, retries, expired, no_room, damaged, failed`

var keepTotal = store.NewStmt(`INSERT INTO rule_total (action, node, ` + totalColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
	ON CONFLICT (action, node) DO UPDATE SET delivered = excluded.delivered, dead = excluded.dead, fell_back = excluded.fell_back,
		retries = excluded.retries, expired = excluded.expired, no_room = excluded.no_room, damaged = excluded.damaged, failed = excluded.failed`)

// loadTotals reads what this node has counted before, and forgets what was counted of rules that are gone.
func (r *Rules) loadTotals(ctx context.Context) (err error) {
	err = r.Deps.Store.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM rule_total WHERE action NOT IN (SELECT id FROM rule_action) AND action NOT IN (SELECT id FROM rule)`)
		return err
	})
	if err == nil {
		r.totals.saved = make(map[int64]Total)
		r.totals.before, err = r.readTotals(ctx, `node = ?`, r.keeper.node)
	}
	if err != nil {
		return fmt.Errorf("rules: read totals: %w", err)
	}
	return nil
}

// readTotals sums up the rows that a condition chooses, by action or rule.
func (r *Rules) readTotals(ctx context.Context, where string, args ...any) (map[int64]Total, error) {
	rows, err := r.Deps.Store.Query(ctx, `SELECT action, `+totalColumns+` FROM rule_total WHERE `+where, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err below tells
	sums := make(map[int64]Total)
	for rows.Next() {
		var id int64
		var t Total
		if err := rows.Scan(&id, &t.Delivered, &t.Dead, &t.FellBack, &t.Retries, &t.Expired, &t.Full, &t.Damaged, &t.Failed); err != nil {
			return nil, err
		}
		sums[id] = sums[id].plus(t)
	}
	return sums, rows.Err()
}

// counted is what this process has counted, by action and rule.
func (r *Rules) counted(yield func(id int64, t Total)) {
	set := r.set.Load()
	for id, a := range set.actions.all() {
		yield(id, a.books.settled())
	}
	for id, c := range set.rules.all() {
		yield(id, Total{Failed: c.faults.failed.Load()})
	}
}

// totalsAtOnce is how many totals go into one unit.
const totalsAtOnce = 500

// saveTotals stores what has changed.
func (r *Rules) saveTotals(ctx context.Context) error {
	type change struct {
		id int64
		t  Total
	}
	var changed []change
	r.counted(func(id int64, t Total) {
		if r.totals.saved[id] != t {
			changed = append(changed, change{id, t})
		}
	})
	for part := range slices.Chunk(changed, totalsAtOnce) {
		u := &store.Unit{}
		for _, c := range part {
			t := r.totals.before[c.id].plus(c.t)
			u.Ops = append(u.Ops, keepTotal.Op(c.id, r.keeper.node, t.Delivered, t.Dead, t.FellBack, t.Retries, t.Expired, t.Full, t.Damaged, t.Failed))
		}
		if err := r.Deps.Store.Do(ctx, u); err != nil {
			return fmt.Errorf("rules: save totals: %w", err)
		}
		for _, c := range part {
			r.totals.saved[c.id] = c.t
		}
	}
	if n := r.set.Load(); len(r.totals.saved) > 2*(n.actions.n+n.rules.n)+100 {
		clear(r.totals.saved) // of rules that are gone; the others are written once more
	}
	return nil
}

// saveLastTotals stores the totals when the deliveries have ended.
func (r *Rules) saveLastTotals() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := r.saveTotals(ctx); err != nil {
		r.Deps.Log.Warn("the last second of rules' totals is not saved", "err", err)
	}
}

// sumTotals fills in the totals of all nodes.
func (r *Rules) sumTotals(ctx context.Context, s *Stats) error {
	args := []any{r.keeper.node, s.Rule}
	for i := range s.Actions {
		args = append(args, s.Actions[i].Action)
	}
	others, err := r.readTotals(ctx, `node <> ? AND action IN (?`+strings.Repeat(`, ?`, len(s.Actions))+`)`, args...)
	if err != nil {
		return fmt.Errorf("rules: read totals: %w", err)
	}
	set := r.set.Load()
	for i := range s.Actions {
		id := s.Actions[i].Action
		s.Actions[i].Total = r.totals.before[id].plus(others[id])
		if a := set.action(id); a != nil {
			s.Actions[i].Total = s.Actions[i].Total.plus(a.books.settled())
		}
	}
	s.FailedTotal = r.totals.before[s.Rule].Failed + others[s.Rule].Failed + s.Failed
	return nil
}
