package alarm

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// judgement is what was found of a rule and a subject.
type judgement struct {
	rule    int64
	by      *Condition // what was judged by
	subject string     // product/device; "" for a metric
	device  int64
	product string
	is      bool // the condition is true
	stays   bool // … for an alarm that is open, which may end at another value
	value   string
	at      time.Time
}

func (j *judgement) key() key { return key{j.rule, deviceOf(j.subject)} }

// judge works the queue until ctx ends.
func (a *Alarms) judge(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case j := <-a.queue:
			err := a.settleInTheEnd(ctx, j)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				a.Log.Error("alarm not judged", "rule", j.rule, "subject", j.subject, "err", err)
			}
		}
	}
}

// settleInTheEnd settles what was expected, and tries again while the store is not to be had.
func (a *Alarms) settleInTheEnd(ctx context.Context, j judgement) error {
	defer a.active.settled(j.key())
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := a.settle(ctx, j)
		if err == nil || !store.IsTemporary(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// current is a rule that judges, nil when it does no more. The store is asked, as another node may have changed the rule a moment ago.
func (a *Alarms) current(ctx context.Context, id int64) (*Rule, error) {
	var revision int64
	err := a.Store.QueryRow(ctx, `SELECT revision FROM alarm_rule WHERE id = ? AND enabled = 1`, id).Scan(&revision)
	if errors.Is(err, store.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if r := a.set.Load().rules[id]; r != nil && r.Revision == revision {
		return r, nil
	}
	err = a.load(ctx)
	return a.set.Load().rules[id], err
}

// row is what is pending of a rule and a subject.
type row struct {
	there      bool
	since, due int64
	bits       uint64
}

// settle puts a judgement beside what was judged before.
func (a *Alarms) settle(ctx context.Context, j judgement) error {
	r, err := a.current(ctx, j.rule)
	if err != nil {
		return fmt.Errorf("judge rule %d of %q: %w", j.rule, j.subject, err)
	}
	if r == nil || !r.Condition.same(j.by) {
		return nil // it judges no more, or otherwise
	}
	var after state
	old := false
	err = a.Store.Update(ctx, func(tx *store.Tx) (err error) {
		if r.Condition.Kind == OnPresence {
			if old, err = a.gone(ctx, tx, j.subject); err != nil || old {
				return err
			}
		}
		isOpen, err := a.isOpen(ctx, tx, r.ID, j.subject)
		if err != nil {
			return err
		}
		if isOpen {
			if after = open; !j.stays {
				after, err = quiet, a.clear(ctx, tx, r, j.subject, "", j.at)
			}
			return err
		}
		after, err = a.wait(ctx, tx, r, j)
		return err
	})
	if err != nil {
		return fmt.Errorf("judge rule %d of %q: %w", r.ID, j.subject, err)
	}
	if old {
		return nil
	}
	a.is(r.ID, j.subject, after)
	return nil
}

// gone tells whether a device that came has gone again since: what waits for it, or is open, is of its going then.
func (a *Alarms) gone(ctx context.Context, tx *store.Tx, subject string) (bool, error) {
	dev := deviceOf(subject)
	var n int
	err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM device WHERE product = ? AND sn = ? AND state = ?`, dev.Product, dev.SN, deviceOffline).Scan(&n)
	return n > 0, err
}

func (a *Alarms) isOpen(ctx context.Context, tx *store.Tx, rule int64, subject string) (bool, error) {
	var n int
	err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM alarm WHERE rule = ? AND subject = ? AND cleared_at = 0`, rule, subject).Scan(&n)
	return n > 0, err
}

// wait goes on with what is pending, or begins, and opens the alarm when it is time.
func (a *Alarms) wait(ctx context.Context, tx *store.Tx, r *Rule, j judgement) (state, error) {
	var p row
	var judged int64
	err := tx.QueryRow(ctx, `SELECT since, due, bits FROM alarm_pending WHERE rule = ? AND subject = ?`, r.ID, j.subject).Scan(&p.since, &p.due, &judged)
	if err != nil && !errors.Is(err, store.ErrNoRows) {
		return quiet, err
	}
	p.there, p.bits = err == nil, uint64(judged)<<1
	if j.is {
		p.bits |= 1
	}
	over := !j.is
	switch {
	case r.Debounce.counts():
		if j.is && r.Debounce.enough(p.bits) {
			return open, a.open(ctx, tx, r, j)
		}
		over = r.Debounce.over(p.bits)
	case j.is && r.Debounce.Seconds == 0:
		return open, a.open(ctx, tx, r, j)
	}
	if over {
		if p.there {
			_, err = tx.Exec(ctx, `DELETE FROM alarm_pending WHERE rule = ? AND subject = ?`, r.ID, j.subject)
			return quiet, err
		}
		return quiet, nil
	}
	if p.there && !r.Debounce.counts() {
		_, err = tx.Exec(ctx, `UPDATE alarm_pending SET value = ? WHERE rule = ? AND subject = ?`, j.value, r.ID, j.subject)
		return pending, err
	}
	_, err = tx.Exec(ctx, `INSERT INTO alarm_pending (rule, subject, product, device, since, due, bits, value) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (rule, subject) DO UPDATE SET bits = excluded.bits, value = excluded.value`,
		r.ID, j.subject, j.product, j.device, j.at.UnixMilli(), r.due(j.at), int64(p.bits&(1<<60-1)), j.value)
	return pending, err
}

// ripe is something pending whose time has come.
type ripe struct {
	judgement
	since, due int64
}

// matureMost bounds what matures at once.
const matureMost = 500

// mature opens alarms whose condition has been true for long enough.
func (a *Alarms) mature(ctx context.Context) error {
	list, err := a.ripe(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range list {
		r, err := a.current(ctx, p.rule)
		switch {
		case err != nil:
		case r == nil:
			err = a.forget(ctx, p.rule, p.subject)
		case r.Condition.Kind == OnPresence:
			err = a.maturePresence(ctx, r, p)
		default:
			p.is = true
			err = a.promote(ctx, r, p.judgement)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (a *Alarms) ripe(ctx context.Context) (list []ripe, err error) {
	now := a.now()
	rows, err := a.Store.Query(ctx, `SELECT rule, subject, product, device, since, due, value FROM alarm_pending WHERE due > 0 AND due <= ? ORDER BY due LIMIT ?`,
		now.UnixMilli(), matureMost)
	if err != nil {
		return nil, fmt.Errorf("alarm: read what is due: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		p := ripe{judgement: judgement{at: now}}
		if err := rows.Scan(&p.rule, &p.subject, &p.product, &p.device, &p.since, &p.due, &p.value); err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

func (a *Alarms) forget(ctx context.Context, rule int64, subject string) error {
	err := a.Store.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM alarm_pending WHERE rule = ? AND subject = ?`, rule, subject)
		return err
	})
	if err == nil {
		a.is(rule, subject, quiet)
	}
	return err
}

// promote opens the alarm of what is pending, unless another node has done so, or it is no more.
func (a *Alarms) promote(ctx context.Context, r *Rule, j judgement) error {
	mine := false
	err := a.Store.Update(ctx, func(tx *store.Tx) (err error) {
		mine, err = changes(tx.Exec(ctx, `DELETE FROM alarm_pending WHERE rule = ? AND subject = ?`, r.ID, j.subject))
		if err != nil || !mine {
			return err
		}
		return a.open(ctx, tx, r, j)
	})
	if err == nil && mine {
		a.is(r.ID, j.subject, open)
	}
	return err
}

// states of devices in the store.
const deviceOnline, deviceOffline = 1, 2

// maturePresence opens the alarm of a device that is still away; of a sub-device whose gateway is away too it is the gateway's, once, and
// the sub-device is looked at again while the gateway is away.
func (a *Alarms) maturePresence(ctx context.Context, r *Rule, p ripe) error {
	var deviceState, gatewayState int
	var gateway, gatewaySN, gatewayProduct = int64(0), "", ""
	err := a.Store.QueryRow(ctx, `SELECT d.state, COALESCE(g.id, 0), COALESCE(g.state, 0), COALESCE(g.product, ''), COALESCE(g.sn, '') FROM device d
		LEFT JOIN topology t ON t.subdevice = d.id LEFT JOIN device g ON g.id = t.gateway WHERE d.id = ?`, p.device).
		Scan(&deviceState, &gateway, &gatewayState, &gatewayProduct, &gatewaySN)
	if errors.Is(err, store.ErrNoRows) || err == nil && deviceState == deviceOnline {
		return a.forget(ctx, r.ID, p.subject)
	}
	if err != nil {
		return err
	}
	if gateway == 0 || gatewayState == deviceOnline {
		return a.promote(ctx, r, p.judgement)
	}
	subject := gatewayProduct + "/" + gatewaySN
	mine := false
	err = a.Store.Update(ctx, func(tx *store.Tx) (err error) {
		again := a.now().Add(max(r.Debounce.wait(), time.Minute)).UnixMilli()
		mine, err = changes(tx.Exec(ctx, `UPDATE alarm_pending SET due = ?, since = ? WHERE rule = ? AND subject = ? AND due = ?`, again, again, r.ID, p.subject, p.due))
		if err != nil || !mine { // another node counts it
			return err
		}
		isOpen, err := a.isOpen(ctx, tx, r.ID, subject)
		if err == nil && !isOpen {
			j := p.judgement
			j.subject, j.device, j.product = subject, gateway, gatewayProduct
			return a.open(ctx, tx, r, j)
		} else if err == nil {
			_, err = tx.Exec(ctx, `UPDATE alarm SET seen = seen + 1 WHERE rule = ? AND subject = ? AND cleared_at = 0 AND opened_at >= ?`, r.ID, subject, p.since)
		}
		return err
	})
	if err == nil && mine {
		a.is(r.ID, subject, open)
	}
	return err
}

// changes tells whether a statement changed anything.
func changes(res sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// minutes judges conditions on metrics when a minute is over, on one node of all.
func (a *Alarms) minutes(ctx context.Context) {
	const settled = 10 * time.Second // the nodes have written the minute by then
	for {
		now := a.now()
		next := now.Truncate(time.Minute).Add(settled)
		if !next.After(now) {
			next = next.Add(time.Minute)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(next.Sub(now)):
		}
		if err := a.Minute(ctx, a.now().Truncate(time.Minute)); err != nil && ctx.Err() == nil {
			a.Log.Warn("metrics not judged; the next minute is", "err", err)
		}
	}
}

// Minute judges conditions on metrics for a minute, unless another node has.
func (a *Alarms) Minute(ctx context.Context, minute time.Time) error {
	rules := a.set.Load().metric
	if len(rules) == 0 {
		return nil
	}
	mine, err := a.Metrics.Turn(ctx, "alarms", minute)
	if err != nil || !mine {
		return err
	}
	var errs []error
	for _, r := range rules {
		errs = append(errs, a.judgeMetric(ctx, r, minute))
	}
	return errors.Join(errs...)
}

func (a *Alarms) judgeMetric(ctx context.Context, r *Rule, minute time.Time) error {
	scope := a.Scopes.Project(r.Project)
	switch {
	case r.Condition.Kind == OnRule:
		scope = a.Scopes.Rule(r.rule)
	case r.Condition.Product != "":
		scope = a.Scopes.Product(r.Condition.Product)
	}
	v, known, err := a.Metrics.Window(ctx, scope, r.Condition.Metric, time.Duration(r.Condition.Window)*time.Minute)
	if err != nil || !known {
		return err
	}
	return a.settle(ctx, judgement{rule: r.ID, by: &r.Condition, product: r.Condition.Product, is: r.open.numbers(v), stays: r.clear.numbers(v),
		value: strconv.FormatFloat(v, 'f', -1, 64), at: minute})
}
