package alarm

import (
	"context"
	"errors"
	"fmt"

	"github.com/hawser-iot/hawser/cloud/store"
)

// recheck reads the rules and what is active again, and clears alarms that nobody else will: of rules that judge no more, of devices that are
// gone, and of the presence of devices that are online.
func (a *Alarms) recheck(ctx context.Context) error {
	if err := a.load(ctx); err != nil {
		return err
	}
	if err := a.endOrphans(ctx); err != nil {
		return err
	}
	s := a.set.Load()
	list, err := a.stale(ctx, s, `d.id IS NULL`)
	for _, rules := range s.presence {
		for _, r := range rules {
			back, found := a.stale(ctx, s, `a.rule = ? AND d.state = ?`, r.ID, deviceOnline)
			list, err = append(list, back...), errors.Join(err, found)
		}
	}
	for _, j := range list {
		a.active.expect(j.key())
		a.enqueue(j)
	}
	return err
}

// endOrphans ends what a node has opened by a rule that another one was just deleting.
func (a *Alarms) endOrphans(ctx context.Context) error {
	const orphan = ` NOT EXISTS (SELECT 1 FROM alarm_rule r WHERE r.id = rule AND r.enabled = 1)`
	var n int
	err := a.Store.QueryRow(ctx, `SELECT (SELECT COUNT(*) FROM alarm WHERE cleared_at = 0 AND`+orphan+`) + (SELECT COUNT(*) FROM alarm_pending WHERE`+orphan+`)`).Scan(&n)
	if err != nil || n == 0 {
		return err
	}
	return a.Store.Update(ctx, func(tx *store.Tx) error {
		now := a.now().UnixMilli()
		if _, err := tx.Exec(ctx, `DELETE FROM alarm_pending WHERE`+orphan); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE alarm SET cleared_at = ?, cleared_by = 'rule deleted', changed_at = ? WHERE cleared_at = 0 AND`+orphan, now, now)
		return err
	})
}

// stale finds open alarms on devices by what has become of the device d; 1000 at once.
func (a *Alarms) stale(ctx context.Context, s *set, where string, args ...any) (list []judgement, err error) {
	rows, err := a.Store.Query(ctx, `SELECT a.rule, a.product, a.subject FROM alarm a LEFT JOIN device d ON d.product = a.product AND d.sn = SUBSTR(a.subject, LENGTH(a.product) + 2)
		WHERE a.cleared_at = 0 AND a.subject <> '' AND `+where+` ORDER BY a.id LIMIT 1000`, args...)
	if err != nil {
		return nil, fmt.Errorf("alarm: read what is stale: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		j := judgement{at: a.now()}
		if err := rows.Scan(&j.rule, &j.product, &j.subject); err != nil {
			return nil, err
		}
		if r := s.rules[j.rule]; r != nil {
			j.by = &r.Condition
			list = append(list, j)
		}
	}
	return list, nil
}
