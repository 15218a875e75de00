package ota

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Handle takes a device's message on ota/upstream.
func (o *OTA) Handle(ctx context.Context, m *uplink.Message) error {
	r := parseReport(m)
	switch r.method {
	case methodVersion, methodRequest:
		return o.version(ctx, m, r)
	case methodProgress:
		return o.progress(ctx, m, r)
	case methodSuccess:
		return o.success(ctx, m, r)
	case methodFail:
		return o.fail(ctx, m, r)
	case message.OTARequestAssignment:
		return o.assignment(ctx, m)
	case message.OTAAttest:
		return o.attest(ctx, m)
	}
	return uplink.Refuse(message.CodeBad, "no such Method")
}

// open is the deployment of a device that goes on for a module: the one that brings firmware of it, else the one whose task is for it, which is on its way
// over another module. It is nil when there is none. busy tells that another deployment is bringing firmware of the same module.
func (o *OTA) open(ctx context.Context, device int64, module string) (d *deployment, busy bool, err error) {
	list, err := o.query(ctx, `WHERE d.device = ? AND d.open = 1 ORDER BY d.offered_at DESC, d.task`, device)
	if err != nil {
		return nil, false, err
	}
	for i := range list {
		switch {
		case list[i].Module == module && (d == nil || d.Module != module):
			d = &list[i]
		case list[i].lead == module && d == nil:
			d = &list[i]
		}
	}
	return d, d != nil && d.busy(list), nil
}

// foreign tells whether what is next is firmware of another module than the task's.
func (d *deployment) foreign() bool { return d.Module != d.lead }

// busy tells whether another deployment of the device comes first with firmware of the module that is next for d: one that is at it, and before a
// stone of another module whatever is for that itself. toOffer is the same in SQL.
func (d *deployment) busy(all []deployment) bool {
	return slices.ContainsFunc(all, func(e deployment) bool {
		return e.Task != d.Task && e.Module == d.Module && (e.State.Running() || d.foreign() && (!e.foreign() || e.Task < d.Task))
	})
}

var noteVersion = store.NewStmt(`INSERT INTO module_version (device, module, version, reported_at, manifest, image, sequence, root) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
	ON CONFLICT (device, module) DO UPDATE SET version = excluded.version, reported_at = excluded.reported_at, manifest = excluded.manifest,
	image = excluded.image, sequence = excluded.sequence, root = excluded.root`)

// note is the operation that keeps what a device says that it runs, and whether it verifies manifests.
func (r *report) note(m *uplink.Message) store.Op {
	return noteVersion.Op(m.DeviceID, r.module, r.version, m.At.UnixMilli(), r.manifest || m.Verifies, hex.EncodeToString(r.image), r.sequence, r.root)
}

// maxReported is of how many modules a device may say what it runs: whoever has one device's secret must not fill the store.
const maxReported = 32

// last is what a device has said that it runs of a module; room tells whether it may say so now.
func (o *OTA) last(ctx context.Context, device int64, module string) (r running, room bool, err error) {
	var sequence, all int64
	err = o.Store.QueryRow(ctx, `SELECT COALESCE(MAX(CASE WHEN module = ? THEN version END), ''), COALESCE(MAX(CASE WHEN module = ? THEN sequence END), 0), COUNT(*)
		FROM module_version WHERE device = ?`, module, module, device).Scan(&r.version, &sequence, &all)
	if err != nil {
		return r, false, fmt.Errorf("ota: read what a device runs: %w", err)
	}
	r.sequence = uint64(sequence)
	return r, r.version != "" || all < maxReported, nil
}

// version is a device that says what it runs, and perhaps asks for more.
func (o *OTA) version(ctx context.Context, m *uplink.Message, r report) error {
	if !word.MatchString(r.version) || !word.MatchString(r.module) {
		return uplink.Refuse(message.CodeBad, "Module or Version is malformed")
	}
	before, room, err := o.last(ctx, m.DeviceID, r.module)
	if err != nil {
		return err
	}
	if !room {
		return uplink.Refuse(message.CodeBad, "the device has named too many modules")
	}
	d, busy, err := o.open(ctx, m.DeviceID, r.module)
	if err != nil {
		return err
	}
	switch {
	case d == nil:
	case r.module == d.lead && r.version == d.Target && !d.Manifest: // it has it, whether it said so or not
		if err := o.stage(m, d, d.end(Succeeded, "", 0)); err != nil {
			return err
		}
	case r.module == d.Module && r.version == d.Version && !d.Manifest:
		if err := o.stageArrived(ctx, m, d); err != nil {
			return err
		}
	case !busy && o.wanted(m, d):
		if err := o.reoffer(ctx, m, d, &r); err != nil {
			return err
		}
	}
	m.Stage(r.note(m))
	if d != nil && (r.version == d.Version || r.version == d.Target) {
		return nil // it was brought that
	}
	return o.wentBack(ctx, m, &r, before)
}

// wentBack tells of a device that verifies and has gone back, on its owner's word, to what it ran before: nobody has brought it that.
func (o *OTA) wentBack(ctx context.Context, m *uplink.Message, r *report, before running) error {
	if !r.manifest || r.sequence < 0 || uint64(r.sequence) >= before.sequence || r.version == before.version {
		return nil
	}
	left, err := o.query(ctx, `WHERE d.device = ? AND d.module = ? AND d.state = 4 AND t.version = ? ORDER BY d.task DESC LIMIT 1`, m.DeviceID, r.module, before.version)
	if err != nil {
		return err
	}
	d := deployment{Deployment: Deployment{Module: r.module, Version: r.version, From: before.version}}
	if len(left) > 0 {
		d.Task = left[0].Task
	}
	m.Emit(topic.OTAEvent, d.event(d.end(RolledBack, classWentBack, 0), m.At))
	return nil
}

// wanted tells whether the device that speaks is to be offered d: it listens, was not offered it in this session already, and is not at it.
func (o *OTA) wanted(m *uplink.Message, d *deployment) bool {
	switch {
	case d.State == Initial && d.Attempts > 0 && m.At.Before(d.nextAt), d.State != Initial && d.epoch == m.Epoch:
		return false
	case d.campaign != nil && d.campaign.Status == Aborted:
		return false // it is being cancelled
	case d.Manifest && d.State.Running() && d.State != Pending:
		return false // it has its own memory of what it does, and tells of it
	}
	return o.Sender.Subscribed(m.Device, topic.System(m.Device, topic.OTADownstream))
}

// reoffer answers what a device reports with the offer, in the commit that notes it.
func (o *OTA) reoffer(ctx context.Context, m *uplink.Message, d *deployment, r *report) error {
	if d.State == Initial && !o.lives.take(d) {
		o.lives.stir(d.Task, time.Time{})
		return nil // not now: it is offered by push, when its campaign has room
	}
	if d.tries() >= o.cfg.MaxAttempts {
		return o.stage(m, d, d.end(Failed, classAttempts, 0))
	}
	c, ok, err := o.rerouted(ctx, d, modules{r.module: {r.version, uint64(r.sequence)}})
	if err != nil {
		return err
	}
	if ok {
		o.sooner.at(o.now())
		return o.stage(m, d, c)
	}
	verifies := r.manifest || m.Verifies
	if r.module != d.Module {
		if verifies, err = o.verifies(ctx, d); err != nil {
			return err
		}
	}
	payload, c, err := o.offerTo(ctx, d, m.Epoch, verifies, formatOf(m))
	switch {
	case errors.Is(err, ErrFirmwareNotFound):
		return o.stage(m, d, d.end(Failed, classGone, 0))
	case errors.Is(err, errNoPlain):
		return nil
	case err != nil:
		return err
	}
	if err := o.stage(m, d, c); err != nil {
		return err
	}
	return m.Reply(topic.OTADownstream, "", payload)
}

// stage puts a change into the message's unit.
func (o *OTA) stage(m *uplink.Message, d *deployment, c change) error {
	op, err := o.write(d, c)
	if err != nil {
		return err
	}
	m.Stage(op)
	if d.differs(c) {
		m.Emit(topic.OTAEvent, d.event(c, m.At))
	}
	m.After(func(err error) {
		if err == nil {
			o.note(d, c)
		}
	})
	return nil
}

// stageArrived puts what becomes of d into the message's unit, when its device runs what it was brought.
func (o *OTA) stageArrived(ctx context.Context, m *uplink.Message, d *deployment) error {
	c, err := o.arrived(ctx, d)
	if err != nil {
		return err
	}
	return o.stage(m, d, c)
}

// progress is a device that says how far it is. One that was not offered anything, or something else, says nothing of importance.
func (o *OTA) progress(ctx context.Context, m *uplink.Message, r report) error {
	if r.deployment != "" {
		return o.numbered(ctx, m, r)
	}
	d, err := o.running(ctx, m.DeviceID, r)
	if err == nil && d == nil {
		if d, err = o.newest(ctx, m.DeviceID, r.module); err == nil && d != nil && !d.Manifest {
			return o.tellAgain(m, d)
		}
	}
	if err != nil || d == nil || d.Manifest || r.version != "" && r.version != d.Version {
		return err
	}
	state := Downloading
	switch r.state {
	case "downloading":
	case "burning":
		state = Burning
	default:
		return uplink.Refuse(message.CodeBad, "State must be downloading or burning")
	}
	c := d.now()
	c.state = state
	if c.deadline = o.deadline(d, c, m.At); r.hasPercent {
		c.percent = int(min(max(r.percent, 0), 100))
	}
	if !d.State.May(state) || state == d.State && c.percent == d.Percent && m.At.Sub(d.Updated) < d.timeout/4 {
		return nil // it comes late, or says nothing new
	}
	return o.stage(m, d, c)
}

// success is a device that says that it is done: with the version that was to come, else it is not.
func (o *OTA) success(ctx context.Context, m *uplink.Message, r report) error {
	d, _, err := o.open(ctx, m.DeviceID, r.module)
	if err != nil {
		return err
	}
	switch {
	case d == nil, d.Manifest: // the one that verifies attests
	case r.module == d.Module && r.version == d.Version:
		err = o.stageArrived(ctx, m, d)
	case r.module == d.lead && r.version == d.Target:
		err = o.stage(m, d, d.end(Succeeded, "", 0))
	case r.module == d.Module && d.State.Running():
		err = o.stage(m, d, d.end(Failed, classVersion, 0))
	}
	if err != nil {
		return err
	}
	if !word.MatchString(r.version) || !word.MatchString(r.module) {
		return nil
	}
	_, room, err := o.last(ctx, m.DeviceID, r.module)
	if room {
		m.Stage(r.note(m))
	}
	return err
}

// fail is a device that gives up. Stock devices put whatever is in their memory into Module and Version: it counts for what is running.
func (o *OTA) fail(ctx context.Context, m *uplink.Message, r report) error {
	d, err := o.running(ctx, m.DeviceID, r)
	if err != nil || d == nil || d.Manifest {
		return err
	}
	state := Failed
	if r.code == codeReverted {
		state = RolledBack
	}
	return o.stage(m, d, o.failed(d, state, classOf(r.code), r.code))
}

// newest is the last deployment that was offered to a device for a module; nil when there is none.
func (o *OTA) newest(ctx context.Context, device int64, module string) (*deployment, error) {
	list, err := o.query(ctx, `WHERE d.device = ? AND (d.module = ? OR stone.module = ?) AND d.offered_at > 0 ORDER BY d.task DESC LIMIT 1`,
		device, module, module)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}

// running is the deployment that a report is about: of the module that it names, else the one that was offered last.
func (o *OTA) running(ctx context.Context, device int64, r report) (*deployment, error) {
	list, err := o.query(ctx, `WHERE d.device = ? AND d.open = 1 AND d.state <> 0 ORDER BY d.offered_at DESC`, device)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	for i := range list {
		if list[i].Module == r.module {
			return &list[i], nil
		}
	}
	if r.method == methodFail {
		return &list[0], nil
	}
	return nil, nil
}
