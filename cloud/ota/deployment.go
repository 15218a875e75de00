package ota

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// Deployment is one device of a task, as it was read.
type Deployment struct {
	Task     int64
	Device   ident.Device
	Module   string // whose firmware is to come next
	Version  string // that is to come next
	Target   string // that is to come in the end
	From     string // that the device ran when the task was made, "" when it had not said
	State    State
	Percent  int
	Code     int64  // of report_fail
	Class    string // why it failed, what it waits for, or the state in which it was silent
	Attempts int    // how often it was offered
	Step     int64  // number of the last report within the attempt, 0 when there was none
	Bytes    int64  // downloaded, as the device says
	Manifest bool   // it was offered a manifest: its reports are numbered, and only what it attests is a success
	Wave     int    // of the campaign, 0 without one
	Offered  time.Time
	Updated  time.Time
	Deadline time.Time
}

// deployment is a row with what its task says.
type deployment struct {
	Deployment
	device   int64
	lead     string // module of the task
	firmware int64  // that comes next
	target   int64  // of the task
	via      int64  // firmware, when it is another than target; else 0
	stones   int    // offers that count no more: of stones that are behind, and of what was tried before somebody had it tried again
	revision int64
	epoch    int64
	nextAt   time.Time // not offered before
	timeout  time.Duration
	expires  time.Time
	campaign *Campaign // nil: of a task
}

// deploymentTables has a deployment d with its task t, and with the stone that comes first, if one does.
const deploymentTables = `ota_deployment d JOIN ota_task t ON t.id = d.task LEFT JOIN firmware stone ON stone.id = d.via`

// deploymentColumns are those of deploymentTables.
const deploymentColumns = `d.task, t.product, d.sn, d.device, d.module, COALESCE(stone.module, d.module), COALESCE(stone.version, t.version), COALESCE(stone.id, t.firmware), t.version, t.firmware,
	d.via, d.stones, t.timeout, t.expires_at, d.state, d.revision, d.percent,
	d.from_version, d.code, d.class, d.epoch, d.attempt, d.step, d.bytes, d.manifest, d.wave, d.next_at, d.deadline, d.offered_at, d.updated_at`

func scanDeployment(row scanner) (d deployment, err error) {
	var state, percent, attempt, wave, stones, timeout, expires, nextAt, deadline, offered, updated int64
	err = row.Scan(&d.Task, &d.Device.Product, &d.Device.SN, &d.device, &d.lead, &d.Module, &d.Version, &d.firmware, &d.Target, &d.target, &d.via, &stones, &timeout, &expires, &state, &d.revision,
		&percent, &d.From, &d.Code, &d.Class, &d.epoch, &attempt, &d.Step, &d.Bytes, &d.Manifest, &wave, &nextAt, &deadline, &offered, &updated)
	d.State, d.Percent, d.Attempts, d.Wave, d.stones, d.nextAt = State(state), int(percent), int(attempt), int(wave), int(stones), timeOf(nextAt)
	d.timeout, d.expires = time.Duration(timeout)*time.Millisecond, timeOf(expires)
	d.Deadline, d.Offered, d.Updated = timeOf(deadline), timeOf(offered), timeOf(updated)
	return d, err
}

// collect reads all rows of a query.
func collect(rows *store.Rows, err error) (list []deployment, _ error) {
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		d, err := scanDeployment(rows)
		if err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		list = append(list, d)
	}
	return list, errors.Join(rows.Err(), rows.Close())
}

func (o *OTA) query(ctx context.Context, rest string, args ...any) ([]deployment, error) {
	list, err := collect(o.Store.Query(ctx, `SELECT `+deploymentColumns+` FROM `+deploymentTables+` `+rest, args...))
	if err != nil {
		return nil, fmt.Errorf("ota: read deployments: %w", err)
	}
	read := map[int64]*Campaign{} // a page is of one campaign, as a rule
	for i := range list {
		d := &list[i]
		if c, ok := read[d.Task]; ok {
			d.campaign = c
			continue
		}
		if d.campaign, err = o.policy(ctx, d); err != nil {
			return nil, err
		}
		read[d.Task] = d.campaign
	}
	return list, nil
}

// Deployments lists the devices of a task in the order of their ids; in nil is any state. after is the id of the last device of the page
// before, and next that of this one, 0 on the last page.
func (o *OTA) Deployments(ctx context.Context, task int64, in []State, after int64, limit int) (list []Deployment, next int64, err error) {
	where, args := `WHERE d.task = ? AND d.device > ?`, []any{task, after}
	if len(in) > 0 {
		where += ` AND d.state IN (?` + strings.Repeat(", ?", len(in)-1) + `)`
	}
	for _, s := range in {
		args = append(args, int64(s))
	}
	rows, err := o.query(ctx, where+` ORDER BY d.device LIMIT ?`, append(args, limit+1)...)
	if err != nil {
		return nil, 0, err
	}
	for i, d := range rows {
		if i == limit {
			return list, rows[limit-1].device, nil
		}
		list = append(list, d.Deployment)
	}
	return list, 0, nil
}

// ModuleVersion is what a device says that it runs, and what it is to get.
type ModuleVersion struct {
	Module, Version string
	Reported        time.Time
	Update          *Deployment // nil: none goes on
}

// Versions lists a device's modules in the order of their names.
func (o *OTA) Versions(ctx context.Context, device int64) (list []ModuleVersion, err error) {
	open, err := o.query(ctx, `WHERE d.device = ? AND d.open = 1`, device)
	if err != nil {
		return nil, err
	}
	rows, err := o.Store.Query(ctx, `SELECT module, version, reported_at FROM module_version WHERE device = ?
		UNION SELECT module, '', 0 FROM ota_deployment d WHERE d.device = ? AND d.open = 1
			AND NOT EXISTS (SELECT 1 FROM module_version v WHERE v.device = d.device AND v.module = d.module) ORDER BY 1`, device, device)
	if err != nil {
		return nil, fmt.Errorf("ota: read versions: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var v ModuleVersion
		var reported int64
		if err := rows.Scan(&v.Module, &v.Version, &reported); err != nil {
			return nil, fmt.Errorf("ota: read versions: %w", err)
		}
		v.Reported = timeOf(reported)
		for i := range open {
			if open[i].Module == v.Module || v.Update == nil && open[i].lead == v.Module {
				v.Update = &open[i].Deployment
			}
		}
		list = append(list, v)
	}
	return list, nil
}

// change is what a deployment becomes.
type change struct {
	state    State
	percent  int
	code     int64
	class    string
	epoch    int64
	attempt  int
	step     int64
	bytes    int64
	manifest bool
	via      int64
	stones   int
	deadline time.Time
	offered  time.Time
	nextAt   time.Time
}

// now is the change that changes nothing.
func (d *deployment) now() change {
	return change{d.State, d.Percent, d.Code, d.Class, d.epoch, d.Attempts, d.Step, d.Bytes, d.Manifest, d.via, d.stones, d.Deadline, d.Offered, time.Time{}}
}

// tries is how often the device was offered what is to come next, as far as that counts. The stones that are behind took one offer each, and what they took beyond that
// counts; of what an operator has tried again, nothing does.
func (d *deployment) tries() int { return d.Attempts - d.stones }

// queuedUntil is how long the device is waited for.
func (d *deployment) queuedUntil(now time.Time) time.Time {
	if d.campaign != nil {
		return d.campaign.queuedUntil(now)
	}
	return d.expires
}

// differs tells whether c is worth telling of.
func (d *deployment) differs(c change) bool {
	return c.state != d.State || c.percent != d.Percent || c.class != d.Class
}

var writeDeployment = store.NewStmt(`UPDATE ota_deployment SET state = ?, open = ?, percent = ?, code = ?, class = ?, epoch = ?, attempt = ?,
	step = ?, bytes = ?, manifest = ?, via = ?, stones = ?, deadline = ?, offered_at = ?, next_at = ?, updated_at = ?, revision = revision + 1 WHERE task = ? AND device = ? AND revision = ?`)

// write is a change under the revision that was read; it is a guard, so that it must be the first of a unit. A change that the table of
// states does not have is a fault of this package.
func (o *OTA) write(d *deployment, c change) (store.Op, error) {
	if !d.State.May(c.state) {
		return store.Op{}, fmt.Errorf("ota: a deployment cannot go from %s to %s", d.State, c.state)
	}
	return writeDeployment.Guard(int64(c.state), c.state.Open(), c.percent, c.code, c.class, c.epoch, c.attempt, c.step, c.bytes,
		c.manifest, c.via, c.stones, millis(c.deadline), millis(c.offered), millis(c.nextAt), millis(o.now()), d.Task, d.device, d.revision), nil
}

// end is the change that ends d.
func (d *deployment) end(s State, class string, code int64) change {
	c := d.now()
	c.state, c.class, c.code = s, class, code
	if s == Succeeded {
		c.percent = 100
	}
	return c
}

// apply makes a change that no message of the device causes; ok is false when somebody else was quicker.
func (o *OTA) apply(ctx context.Context, d *deployment, c change) (ok bool, err error) {
	op, err := o.write(d, c)
	if err != nil {
		return false, err
	}
	at := o.now()
	event := o.eventMessage(d, c, at)
	err = o.Store.Do(ctx, &store.Unit{Device: d.device, Ops: []store.Op{op}, Out: o.outputs(event)})
	if errors.Is(err, store.ErrConflict) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ota: change deployment of %s: %w", d.Device, err)
	}
	o.note(d, c)
	o.show(event)
	return true, nil
}

// note counts and tells of a change that is committed.
func (o *OTA) note(d *deployment, c change) {
	switch {
	case c.state == Pending:
		o.offered.Inc()
	case !c.state.Open():
		o.ended.WithLabelValues(c.state.Stock()).Inc()
		o.Log.Info("update ended", "product", d.Device.Product, "device", d.Device.SN, "module", d.Module, "version", d.Version, "task", d.Task,
			"state", c.state.String(), "class", c.class)
	}
}
