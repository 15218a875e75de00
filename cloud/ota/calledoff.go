package ota

import (
	"context"
	"strconv"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// callOff makes a change that ends deployments (endAll) as Cancelled or Superseded, and returns them. What rules make of it is committed with the change; devices that were offered the
// firmware and watchers hear of it then. What a hub that dies meanwhile has not told, devices hear when they speak of it (tellAgain).
func (o *OTA) callOff(ctx context.Context, as State, change func(tx *store.Tx) ([]deployment, error)) error {
	over, events, err := o.endTogether(ctx, as, change)
	if err != nil || len(over) == 0 {
		return err
	}
	ctx = context.WithoutCancel(ctx) // it has happened, whoever has asked for it still listens or not
	o.ended.WithLabelValues(as.Stock()).Add(float64(len(over)))
	o.tellCancelled(ctx, over)
	for _, e := range events {
		o.show(e)
	}
	return nil
}

func (o *OTA) endTogether(ctx context.Context, as State, change func(tx *store.Tx) ([]deployment, error)) (over []deployment, events []*uplink.Message, err error) {
	o.ending.Lock()
	defer o.ending.Unlock()
	err = o.Store.Update(ctx, func(tx *store.Tx) error {
		if over, err = change(tx); err != nil {
			return err
		}
		events = events[:0] // it may be run again
		at := o.now()
		for i := range over {
			d := &over[i]
			if e := o.eventMessage(d, d.end(as, "", 0), at); e != nil {
				tx.Out(d.device, o.outputs(e)...)
				events = append(events, e)
			}
		}
		return nil
	})
	return over, events, err
}

// endAll ends the open deployments that where takes, and returns them as they were: for callOff.
func endAll(ctx context.Context, tx *store.Tx, where string, args []any, as State, now time.Time) (over []deployment, err error) {
	// Locked first, so that an offer at the same moment is either seen here or finds the deployment ended.
	if _, err := tx.Exec(ctx, `UPDATE ota_deployment SET revision = revision + 1 WHERE `+where, args...); err != nil {
		return nil, err
	}
	over, err = collect(tx.Query(ctx, `SELECT `+deploymentColumns+` FROM `+deploymentTables+`
		WHERE d.open = 1 AND (d.task, d.device) IN (SELECT task, device FROM ota_deployment WHERE `+where+`)`, args...))
	if err != nil {
		return nil, err
	}
	_, err = tx.Exec(ctx, `UPDATE ota_deployment SET state = ?, open = 0, class = '', updated_at = ? WHERE `+where, append([]any{int64(as), millis(now)}, args...)...)
	return over, err
}

// tellCancelled tells devices that were offered an update to stop with it. One that is away finds the word when its session goes on.
func (o *OTA) tellCancelled(ctx context.Context, list []deployment) {
	for _, d := range list {
		if !d.State.Running() {
			continue
		}
		if err := o.Sender.Send(ctx, d.Device, topic.System(d.Device, topic.OTADownstream), d.cancelWord(), true); err != nil {
			o.Log.Debug("device not told that its update is cancelled", "product", d.Device.Product, "device", d.Device.SN, "err", err)
		}
	}
}

// cancelWord is the cancel_update of a deployment, in JSON.
func (d *deployment) cancelWord() []byte {
	b := codec.AppendString([]byte(`{"Method":"cancel_update","Payload":{"Module":`), d.Module)
	b = codec.AppendString(append(b, `,"Version":`...), d.Version)
	if d.Manifest {
		b = codec.AppendString(append(b, `,"Deployment":`...), strconv.FormatInt(d.Task, 10))
	}
	return append(b, "}}"...)
}

// tellAgain tells a device that speaks of an update which was called off to stop with it: the word that it was sent may be lost.
func (o *OTA) tellAgain(m *uplink.Message, d *deployment) error {
	if d == nil || d.State != Cancelled && d.State != Superseded {
		return nil
	}
	cancel := message.OTACancel{Module: d.Module, Version: d.Version}
	if d.Manifest {
		cancel.Deployment = strconv.FormatInt(d.Task, 10)
	}
	b, err := message.EncodeOTA(formatOf(m), message.OTACancelUpdate, cancel)
	if err != nil {
		return err
	}
	return m.Reply(topic.OTADownstream, "", b)
}
