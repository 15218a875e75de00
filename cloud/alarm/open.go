package alarm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// Alarm is an alarm, open or over.
type Alarm struct {
	ID, Rule                int64
	RuleName, Project       string
	Product, Device         string // "" where it is of no device
	Severity                Severity
	Text, Value             string
	Seen                    int64 // how many devices are behind it: the sub-devices of a gateway that is away
	Opened                  time.Time
	Acknowledged, Cleared   time.Time // zero when it is not
	AcknowledgedBy, Cleaner string    // Cleaner is "" for one that was over by itself
	Changed                 int64     // Unix milliseconds
}

// State is open, acknowledged or cleared.
func (x *Alarm) State() string {
	switch {
	case !x.Cleared.IsZero():
		return "cleared"
	case !x.Acknowledged.IsZero():
		return "acknowledged"
	}
	return "open"
}

// open opens an alarm within a transaction, and leaves notices of it. Of a rule that has as many as it may have, it only counts.
func (a *Alarms) open(ctx context.Context, tx *store.Tx, r *Rule, j judgement) error {
	var n int
	if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM alarm WHERE rule = ? AND cleared_at = 0`, r.ID).Scan(&n); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM alarm_pending WHERE rule = ? AND subject = ?`, r.ID, j.subject); err != nil {
		return err
	}
	if n >= a.cfg.MaxOpen {
		a.metrics.suppressed.Inc()
		return nil
	}
	id := int64(a.IDs.Next())
	now := a.now().UnixMilli()
	res, err := tx.Exec(ctx, `INSERT INTO alarm (id, rule, rule_name, project, product, subject, severity, text, value, opened_at, changed_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`, id, r.ID, r.Name, r.Project, j.product, j.subject, int(r.severity), r.Condition.text(j.value),
		j.value, now, now)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	a.metrics.opened.WithLabelValues(r.Severity).Inc()
	return a.notify(ctx, tx, r, id, false)
}

// clear ends the open alarm of a rule and subject; by is "" when it is over by itself.
func (a *Alarms) clear(ctx context.Context, tx *store.Tx, r *Rule, subject, by string, at time.Time) error {
	var id int64
	err := tx.QueryRow(ctx, `SELECT id FROM alarm WHERE rule = ? AND subject = ? AND cleared_at = 0`, r.ID, subject).Scan(&id)
	if errors.Is(err, store.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return a.end(ctx, tx, r, id, by, at)
}

func (a *Alarms) end(ctx context.Context, tx *store.Tx, r *Rule, id int64, by string, at time.Time) error {
	res, err := tx.Exec(ctx, `UPDATE alarm SET cleared_at = ?, cleared_by = ?, changed_at = ? WHERE id = ? AND cleared_at = 0`, at.UnixMilli(), by, a.now().UnixMilli(), id)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, ErrCleared)
	}
	if r != nil && r.TellCleared {
		return a.notify(ctx, tx, r, id, true)
	}
	return nil
}

const alarmColumns = `id, rule, rule_name, project, product, subject, severity, text, value, seen, opened_at, acknowledged_at, acknowledged_by,
	cleared_at, cleared_by, changed_at`

func scanAlarm(row scanner) (*Alarm, error) {
	x := &Alarm{}
	var subject string
	var opened, acknowledged, cleared int64
	err := row.Scan(&x.ID, &x.Rule, &x.RuleName, &x.Project, &x.Product, &subject, &x.Severity, &x.Text, &x.Value, &x.Seen, &opened, &acknowledged,
		&x.AcknowledgedBy, &cleared, &x.Cleaner, &x.Changed)
	if subject != "" {
		x.Device = deviceOf(subject).SN
	}
	at := func(ms int64) time.Time {
		if ms == 0 {
			return time.Time{}
		}
		return time.UnixMilli(ms).UTC()
	}
	x.Opened, x.Acknowledged, x.Cleared = at(opened), at(acknowledged), at(cleared)
	return x, err
}

// Get returns an alarm.
func (a *Alarms) Get(ctx context.Context, id int64) (*Alarm, error) {
	x, err := scanAlarm(a.Store.QueryRow(ctx, `SELECT `+alarmColumns+` FROM alarm WHERE id = ?`, id))
	if errors.Is(err, store.ErrNoRows) {
		return nil, ErrNotFound
	}
	return x, err
}

// Filter narrows a list of alarms; zero fields take all.
type Filter struct {
	Project, Product, Device string
	Rule                     int64
	States                   []string // open, acknowledged, cleared
	Severities               []Severity
}

func (f *Filter) where() (string, []any) {
	cond, args := []string{"1 = 1"}, []any{}
	add := func(c string, more ...any) { cond, args = append(cond, c), append(args, more...) }
	if f.Project != "" {
		add("project = ?", f.Project)
	}
	if f.Product != "" {
		add("product = ?", f.Product)
	}
	if f.Device != "" {
		add("subject = ?", f.Product+"/"+f.Device)
	}
	if f.Rule != 0 {
		add("rule = ?", f.Rule)
	}
	var states []string
	for _, s := range f.States {
		states = append(states, stateConditions[s])
	}
	if len(states) > 0 {
		add("(" + strings.Join(states, " OR ") + ")")
	}
	if len(f.Severities) > 0 {
		var list []any
		for _, s := range f.Severities {
			list = append(list, int(s))
		}
		add("severity IN (?"+strings.Repeat(", ?", len(list)-1)+")", list...)
	}
	return strings.Join(cond, " AND "), args
}

// Changes returns alarms that have changed after a change, oldest change first: that of the alarm id at ms.
func (a *Alarms) Changes(ctx context.Context, project string, ms, id int64, limit int) ([]*Alarm, error) {
	return a.readAlarms(ctx, `(changed_at > ? OR changed_at = ? AND id > ?) AND (? = '' OR project = ?) ORDER BY changed_at, id LIMIT ?`, ms, ms, id, project, project, limit)
}

func (a *Alarms) readAlarms(ctx context.Context, where string, args ...any) (list []*Alarm, err error) {
	rows, err := a.Store.Query(ctx, `SELECT `+alarmColumns+` FROM alarm WHERE `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("alarm: read alarms: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		x, err := scanAlarm(rows)
		if err != nil {
			return nil, fmt.Errorf("alarm: read alarms: %w", err)
		}
		list = append(list, x)
	}
	return list, nil
}

// Acknowledge notes that somebody looks after an alarm; a second time changes nothing.
func (a *Alarms) Acknowledge(ctx context.Context, id int64, by string) (*Alarm, error) {
	now := a.now().UnixMilli()
	err := a.Store.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE alarm SET acknowledged_at = ?, acknowledged_by = ?, changed_at = ? WHERE id = ? AND acknowledged_at = 0 AND cleared_at = 0`, now, by, now, id)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("alarm: acknowledge: %w", err)
	}
	x, err := a.Get(ctx, id)
	if err == nil && !x.Cleared.IsZero() {
		return nil, ErrCleared
	}
	return x, err
}

// Clear ends an alarm by hand. If its condition is still true it opens again with the next judgement.
func (a *Alarms) Clear(ctx context.Context, id int64, by string) (*Alarm, error) {
	x, err := a.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	err = a.Store.Update(ctx, func(tx *store.Tx) error {
		return a.end(ctx, tx, a.set.Load().rules[x.Rule], id, by, a.now())
	})
	if err != nil {
		return nil, err
	}
	if x.Device != "" {
		a.is(x.Rule, x.Product+"/"+x.Device, quiet)
	}
	return a.Get(ctx, id)
}

// Counts are open alarms.
type Counts struct {
	Open, Acknowledged int64
	BySeverity         [4]int64
}

// Count counts the open alarms that are wanted, by project and product.
func (a *Alarms) Count(ctx context.Context, wanted func(project, product string) bool) (c Counts, err error) {
	rows, err := a.Store.Query(ctx, `SELECT project, product, severity, CASE WHEN acknowledged_at <> 0 THEN 1 ELSE 0 END, COUNT(*) FROM alarm WHERE cleared_at = 0
		GROUP BY project, product, severity, CASE WHEN acknowledged_at <> 0 THEN 1 ELSE 0 END`)
	if err != nil {
		return c, fmt.Errorf("alarm: count: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var project, product string
		var severity, acknowledged int
		var n int64
		if err := rows.Scan(&project, &product, &severity, &acknowledged, &n); err != nil {
			return c, err
		}
		if !wanted(project, product) {
			continue
		}
		c.Open += n
		c.Acknowledged += n * int64(acknowledged)
		c.BySeverity[severity] += n
	}
	return c, nil
}

// Trim removes alarms that were over for long enough, and the oldest of a project that has too many; notices too that nobody can send.
func (a *Alarms) Trim(ctx context.Context, now time.Time) (removed int, err error) {
	for _, q := range []struct {
		text    string
		args    []any
		dropped bool
	}{
		{`DELETE FROM alarm WHERE cleared_at <> 0 AND cleared_at < ?`, []any{now.Add(-a.cfg.MaxAge).UnixMilli()}, false},
		{`DELETE FROM alarm WHERE cleared_at <> 0 AND id IN (SELECT id FROM (SELECT id, ROW_NUMBER() OVER (PARTITION BY project ORDER BY id DESC) AS n FROM alarm) AS r WHERE n > ?)`,
			[]any{a.cfg.MaxRows}, false},
		{`DELETE FROM alarm_notice WHERE at < ?`, []any{now.Add(-a.cfg.GiveUp).UnixMilli()}, true},
	} {
		n := int64(0)
		err := a.Store.Update(ctx, func(tx *store.Tx) error {
			res, err := tx.Exec(ctx, q.text, q.args...)
			if err != nil {
				return err
			}
			n, err = res.RowsAffected()
			return err
		})
		if err != nil {
			return removed, fmt.Errorf("alarm: trim: %w", err)
		}
		removed += int(n)
		if q.dropped {
			a.metrics.sent.WithLabelValues("any", "given_up").Add(float64(n))
		}
	}
	return removed, nil
}
