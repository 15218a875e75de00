package ota

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// Task is an immutable snapshot, with how many of its devices are where.
type Task struct {
	ID                       int64
	Product, Module, Version string
	Firmware                 int64
	Name, Owner              string
	Timeout                  time.Duration
	Cancelled                bool
	Created, Expires         time.Time
	Count                    [states]int64
}

// Total is how many devices the task has.
func (t *Task) Total() (n int64) {
	for _, c := range t.Count {
		n += c
	}
	return n
}

// Ended tells whether no device of the task is still to be updated.
func (t *Task) Ended() bool {
	for s, c := range t.Count {
		if State(s).Open() && c > 0 {
			return false
		}
	}
	return true
}

// Targets are the devices of a new task: exactly one of them is given.
type Targets struct {
	Devices []string // DeviceSNs
	Group   string   // the devices of the product in this group of its project
	Filter  string   // the devices of the product that this takes, in the language of registry/filter
	All     bool     // all devices of the product
}

// NewTask is what CreateTask needs. Timeout and Life may be 0, for the configuration's.
type NewTask struct {
	Product       string
	Firmware      int64
	Targets       Targets
	Name, Owner   string
	Timeout, Life time.Duration
	Approval      bool // what devices get must be approved, as that of a campaign: it is refused
}

const (
	maxName    = 100
	minTimeout = time.Minute
	maxTimeout = 7 * 24 * time.Hour
	maxLife    = 365 * 24 * time.Hour
)

// CreateTask makes a task for the devices that its targets take now. A device that was still to get another firmware for the module
// gets this one instead; one that says that it has the version is done.
func (o *OTA) CreateTask(ctx context.Context, n NewTask) (*Task, error) {
	if err := o.checkTask(&n); err != nil {
		return nil, err
	}
	f, err := o.deliverable(ctx, n.Product, n.Firmware)
	if err != nil {
		return nil, err
	}
	devices, err := o.targets(ctx, n.Product, n.Targets)
	if err != nil {
		return nil, err
	}
	w, err := o.waysTo(ctx, f)
	if err != nil {
		return nil, err
	}
	now := o.now()
	t := &Task{ID: int64(o.IDs.Next()), Product: f.Product, Module: f.Module, Version: f.Version, Firmware: f.ID, Name: n.Name, Owner: n.Owner,
		Timeout: n.Timeout, Created: now, Expires: now.Add(n.Life)}
	err = o.callOff(ctx, Superseded, func(tx *store.Tx) ([]deployment, error) {
		return insertTask(ctx, tx, t, devices, w)
	})
	if store.IsUnique(err) {
		return nil, fmt.Errorf("ota: %w: another task for the same devices was made at the same moment: try again", store.ErrUnavailable)
	}
	if err != nil {
		return nil, fmt.Errorf("ota: create task: %w", err)
	}
	o.kick()
	return o.Task(ctx, n.Product, t.ID)
}

func (o *OTA) checkTask(n *NewTask) error {
	if n.Timeout == 0 {
		n.Timeout = o.cfg.Timeout
	}
	if n.Life == 0 {
		n.Life = o.cfg.TaskLife
	}
	given := 0
	for _, is := range []bool{len(n.Targets.Devices) > 0, n.Targets.Group != "", n.Targets.Filter != "", n.Targets.All} {
		if is {
			given++
		}
	}
	switch {
	case n.Approval:
		return ErrNeedsApproval
	case given != 1:
		return &ErrInvalid{"targets", "name devices, a group, a filter or all: one of them"}
	case len(n.Name) > maxName:
		return &ErrInvalid{"name", fmt.Sprintf("has more than %d bytes", maxName)}
	case n.Timeout < minTimeout || n.Timeout > maxTimeout:
		return &ErrInvalid{"timeoutSeconds", fmt.Sprintf("must be %d to %d", int(minTimeout.Seconds()), int(maxTimeout.Seconds()))}
	case n.Life < minTimeout || n.Life > maxLife:
		return &ErrInvalid{"expiresInSeconds", fmt.Sprintf("must be %d to %d", int(minTimeout.Seconds()), int(maxLife.Seconds()))}
	case strings.HasPrefix(o.Links.Base(), "http://") && !o.cfg.AllowPlain:
		return ErrPlain
	}
	return nil
}

// targets finds the devices; there is at least one.
func (o *OTA) targets(ctx context.Context, product string, t Targets) ([]*registry.Device, error) {
	var list []*registry.Device
	var err error
	if len(t.Devices) > 0 {
		list, err = o.named(ctx, product, t.Devices)
	} else {
		list, err = o.matching(ctx, product, t)
	}
	switch {
	case err != nil:
		return nil, err
	case len(list) == 0:
		return nil, &ErrInvalid{"targets", "take no device of the product"}
	case len(list) > o.cfg.MaxDevices:
		return nil, &registry.LimitError{What: "devices of a task", Max: o.cfg.MaxDevices}
	}
	return list, nil
}

func (o *OTA) named(ctx context.Context, product string, sns []string) (list []*registry.Device, err error) {
	if len(sns) > o.cfg.MaxDevices {
		return nil, &registry.LimitError{What: "devices of a task", Max: o.cfg.MaxDevices}
	}
	sns = slices.Clone(sns)
	slices.Sort(sns)
	for _, sn := range slices.Compact(sns) {
		d, err := o.Registry.Device(ctx, ident.Device{Product: product, SN: sn})
		if errors.Is(err, registry.ErrDeviceNotFound) {
			return nil, &ErrInvalid{"targets.devices", "the product has no device " + sn}
		}
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, nil
}

func (o *OTA) matching(ctx context.Context, product string, t Targets) (list []*registry.Device, err error) {
	p, err := o.Registry.Product(ctx, product)
	if err != nil {
		return nil, err
	}
	f := registry.Filter{Project: p.Project, Product: product, Query: t.Filter}
	if t.Group != "" {
		if _, err := o.Registry.Group(ctx, p.Project, t.Group); err != nil {
			return nil, err
		}
		f.Query = "group:" + t.Group // a name needs no quotes
	}
	for page := (registry.Page{Limit: registry.MaxLimit}); ; {
		part, next, err := o.Registry.Devices(ctx, f, page)
		if err != nil {
			return nil, err
		}
		if list = append(list, part...); next == "" || len(list) > o.cfg.MaxDevices {
			return list, nil
		}
		page.Cursor = next
	}
}

// chunk is how many devices one statement is for.
const chunk = 200

// insertTask writes a task with its deployments and returns those of older tasks that it ended.
func insertTask(ctx context.Context, tx *store.Tx, t *Task, devices []*registry.Device, w *ways) (over []deployment, err error) {
	err = insertTaskRow(ctx, tx, t)
	stranded := &ErrNoWay{Version: t.Version}
	for part := range slices.Chunk(devices, chunk) {
		if err != nil {
			return nil, err
		}
		var more []deployment
		if more, err = replaceOpen(ctx, tx, t, part); err == nil {
			over = append(over, more...)
			err = insertDeployments(ctx, tx, t, part, w, stranded)
		}
	}
	if err == nil && stranded.N > 0 {
		err = stranded
	}
	return over, err
}

func insertTaskRow(ctx context.Context, tx *store.Tx, t *Task) error {
	_, err := tx.Exec(ctx, `INSERT INTO ota_task (id, product, module, firmware, version, name, owner, timeout, created_at, expires_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, t.ID, t.Product, t.Module, t.Firmware, t.Version, t.Name, t.Owner, t.Timeout.Milliseconds(),
		millis(t.Created), millis(t.Expires))
	return err
}

// replaceOpen ends what older tasks still had to do for the module on these devices.
func replaceOpen(ctx context.Context, tx *store.Tx, t *Task, devices []*registry.Device) ([]deployment, error) {
	where, args := `module = ? AND open = 1 AND device IN (?`+strings.Repeat(", ?", len(devices)-1)+`)`, []any{t.Module}
	for _, d := range devices {
		args = append(args, d.ID)
	}
	return endAll(ctx, tx, where, args, Superseded, t.Created)
}

// insertDeployments makes the devices' rows. Those that have said that they run the version have nothing to do.
func insertDeployments(ctx context.Context, tx *store.Tx, t *Task, devices []*registry.Device, w *ways, stranded *ErrNoWay) error {
	have := map[int64]modules{}
	ids := make([]int64, len(devices))
	for i, d := range devices {
		ids[i] = d.ID
	}
	if err := versionsOf(ctx, tx, w.reading(t.Module), ids, have); err != nil {
		return err
	}
	const row = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
	q := `INSERT INTO ota_deployment (task, device, sn, module, state, open, from_version, deadline, updated_at, via) VALUES ` + row +
		strings.Repeat(", "+row, len(devices)-1)
	var args []any
	for _, d := range devices {
		state, runs := Initial, have[d.ID]
		via, ok := w.first(runs)
		version := runs[t.Module].version
		if version == t.Version {
			state, via = Succeeded, 0
		} else if !ok {
			stranded.add(d.Identity.SN, w.shown(t.Module, runs))
		}
		args = append(args, t.ID, d.ID, d.Identity.SN, t.Module, int64(state), state.Open(), version, millis(t.Expires), millis(t.Created), via)
	}
	_, err := tx.Exec(ctx, q, args...)
	return err
}

// reader is the store or a transaction.
type reader interface {
	Query(ctx context.Context, q string, args ...any) (*store.Rows, error)
}

// versionsOf reads what devices say that they run of some modules into have.
func versionsOf(ctx context.Context, on reader, of []string, ids []int64, have map[int64]modules) (err error) {
	if len(ids) == 0 {
		return nil
	}
	q := `SELECT device, module, version, sequence FROM module_version WHERE module IN (?` + strings.Repeat(", ?", len(of)-1) +
		`) AND device IN (?` + strings.Repeat(", ?", len(ids)-1) + `)`
	var args []any
	for _, module := range of {
		args = append(args, module)
	}
	for _, id := range ids {
		args = append(args, id)
	}
	rows, err := on.Query(ctx, q, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var id, sequence int64
		var module string
		var r running
		if err := rows.Scan(&id, &module, &r.version, &sequence); err != nil {
			return err
		}
		if r.sequence = uint64(sequence); have[id] == nil {
			have[id] = modules{}
		}
		have[id][module] = r
	}
	return nil
}
