package agentlink

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/agentmsg"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// BundleTime is how long an agent has for a bundle, from the request to the file at the hub.
const BundleTime = 30 * time.Minute

// States of a request for a bundle, beside those that agents tell.
const (
	BundleAsked   = "asked"   // the agent has not answered yet
	BundleTimeout = "timeout" // it did not come in time
)

// Errors of Diagnose.
var (
	// ErrNoBundle: the agent is too old for it.
	ErrNoBundle = errors.New("agentlink: the agent makes no bundle on request; upgrade it")
	// ErrBundleOpen: one is being made.
	ErrBundleOpen = errors.New("agentlink: the agent is making a bundle already")
	// ErrNotAsked: none was ever asked for.
	ErrNotAsked = errors.New("agentlink: no bundle was asked for")
)

// Diagnosis is the last request for a bundle of an agent.
type Diagnosis struct {
	ID     string
	State  string // asked, making, uploading, done, failed, timeout
	Reason string // of failed, for people
	File   string // the id of the file, of done
	Size   int64
	By     string
	Asked  time.Time
	Told   time.Time // when the agent spoke of it last
}

// Open reports whether more is to come.
func (d *Diagnosis) Open() bool {
	return d.State == BundleAsked || d.State == agentmsg.BundleMaking || d.State == agentmsg.BundleUploading
}

// Diagnosis is the last request for a bundle of a device's agent.
func (l *Links) Diagnosis(ctx context.Context, device int64) (d Diagnosis, err error) {
	var asked, said int64
	err = l.Store.QueryRow(ctx, `SELECT request, state, reason, file, size, asked_by, asked_at, told_at FROM agent_diagnosis WHERE device = ?`, device).
		Scan(&d.ID, &d.State, &d.Reason, &d.File, &d.Size, &d.By, &asked, &said)
	switch {
	case errors.Is(err, store.ErrNoRows):
		return d, ErrNotAsked
	case err != nil:
		return d, fmt.Errorf("read a diagnosis: %w", err)
	}
	d.Asked = time.UnixMilli(asked).UTC()
	if said != 0 {
		d.Told = time.UnixMilli(said).UTC()
	}
	if d.Open() && l.Now().Sub(d.Asked) > BundleTime {
		d.State = BundleTimeout
	}
	return d, nil
}

// Diagnose asks a device's agent for a bundle. One that is away is asked when it is back, within BundleTime.
func (l *Links) Diagnose(ctx context.Context, device int64, id ident.Device, by string) (Diagnosis, error) {
	info, err := l.Agent(ctx, device)
	if err != nil {
		return Diagnosis{}, err
	}
	if !info.Can(capBundle) {
		return Diagnosis{}, ErrNoBundle
	}
	now := l.Now().UTC().Truncate(time.Millisecond)
	d := Diagnosis{ID: strconv.FormatInt(now.UnixMicro(), 36), State: BundleAsked, By: by, Asked: now}
	err = l.Store.Update(ctx, func(tx *store.Tx) error {
		res, err := tx.Exec(ctx, `INSERT INTO agent_diagnosis (device, request, state, asked_by, asked_at) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (device) DO UPDATE SET request = excluded.request, state = excluded.state, reason = '', file = '', size = 0, asked_by = excluded.asked_by,
			asked_at = excluded.asked_at, told_at = 0 WHERE agent_diagnosis.state IN ('done', 'failed') OR agent_diagnosis.asked_at < ?`,
			device, d.ID, d.State, by, now.UnixMilli(), now.Add(-BundleTime).UnixMilli())
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, ErrBundleOpen)
		}
		return nil
	})
	if err != nil {
		return Diagnosis{}, fmt.Errorf("ask for a diagnosis: %w", err)
	}
	l.metrics.diagnoses.WithLabelValues(BundleAsked).Inc()
	l.Call(device, id)
	return d, nil
}

// askAgain asks an agent that has not answered a request for a bundle yet.
func (l *Links) askAgain(ctx context.Context, c call) error {
	d, err := l.Diagnosis(ctx, c.id)
	if errors.Is(err, ErrNotAsked) || err == nil && d.State != BundleAsked {
		return nil
	}
	if err != nil {
		return err
	}
	return l.tell(ctx, c.device, &agentmsg.Diagnose{ID: d.ID, Bundle: true})
}

var putDiagnosis = store.NewStmt(`UPDATE agent_diagnosis SET state = ?, reason = ?, file = ?, size = ?, told_at = ? WHERE device = ? AND request = ?
	AND state IN ('asked', 'making', 'uploading')`)

// diagnosed takes what an agent says of a bundle.
func (l *Links) diagnosed(m *uplink.Message, in *agentmsg.Diagnosis) error {
	if in.State == "" {
		return nil // values, that nobody asks for now
	}
	if in.State == agentmsg.BundleDone || in.State == agentmsg.BundleFailed {
		l.metrics.diagnoses.WithLabelValues(in.State).Inc()
	}
	m.Stage(putDiagnosis.Op(in.State, in.Reason, in.File, in.Size, m.Came.UnixMilli(), m.DeviceID, in.ID))
	return nil
}
