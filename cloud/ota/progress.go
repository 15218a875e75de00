package ota

import (
	"context"
	"slices"
	"strconv"

	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/protocol/message"
)

// stateWaiting is what a device says that has accepted and waits; its class says for what.
const stateWaiting = "waiting"

// saidStates are what the states of numbered reports mean. A device that reverts, or has confirmed, is still on trial for the hub: how that
// ended it says by rolled_back or by what it attests.
var saidStates = map[string]State{
	"accepted": Accepted, stateWaiting: Accepted, "downloading": Downloading, "staged": Staged, "armed": Armed, "rebooting": Rebooting,
	"trial": Trial, "reverting": Trial, "confirmed": Trial, "rejected": Rejected, "failed": Failed, "rolled_back": RolledBack,
}

// numbered is the report_progress of a device that was offered a manifest. Reports of an attempt are numbered: one that is not newer than the
// noted one is a repeat, and changes nothing.
func (o *OTA) numbered(ctx context.Context, m *uplink.Message, r report) error {
	state, ok := saidStates[r.state]
	if !ok {
		return uplink.Refuse(message.CodeBad, "no such State")
	}
	if r.class != "" && !slices.Contains(failure.Classes(), failure.Class(r.class)) {
		return uplink.Refuse(message.CodeBad, "no such Class")
	}
	d, err := o.deployment(ctx, m.DeviceID, r.deployment)
	if err == nil && state.Open() {
		err = o.tellAgain(m, d)
	}
	if err != nil || d == nil || !d.State.Running() || r.attempt != int64(d.Attempts) || r.step <= d.Step {
		return err
	}
	if r.state == stateWaiting && d.State != Pending {
		state = d.State // it waits where it is
	}
	if !d.State.May(state) {
		return nil // it comes late
	}
	c := o.failed(d, state, r.class, 0)
	if c.state == Initial { // another try
		c.bytes, c.step = r.downloaded(d), r.step
		return o.stage(m, d, c)
	}
	c = d.now()
	c.state, c.class, c.step, c.manifest = state, r.class, r.step, true
	c.bytes = r.downloaded(d)
	if c.percent = int(min(max(r.permille, 0), 1000) / 10); !state.Open() {
		c.percent = d.Percent
	}
	c.deadline = o.deadline(d, c, m.At)
	return o.stage(m, d, c)
}

// maxBytes bounds what a device may say that it has downloaded: what all devices of a campaign say is added up.
const maxBytes = 1 << 40

// downloaded is what a device has downloaded for d after the report.
func (r *report) downloaded(d *deployment) int64 { return max(d.Bytes, min(r.size, maxBytes)) }

// deployment is the one with that id, which is its task's, of a device; nil when there is none.
func (o *OTA) deployment(ctx context.Context, device int64, id string) (*deployment, error) {
	task, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return nil, nil
	}
	list, err := o.query(ctx, `WHERE d.task = ? AND d.device = ?`, task, device)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}
