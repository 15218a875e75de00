package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/job"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/registry/filter"
	"github.com/hawser-iot/hawser/cloud/store"
)

// Caller is what fleet needs of the thing model.
type Caller interface {
	// Check tells whether a device of the product can be called so: nil, a *Refused, or a fault.
	Check(ctx context.Context, product string, c Call) error
	// Queue makes the command wait for the device, in tx, and returns its request id. A *Refused is about the one device; another
	// error ends the step.
	Queue(ctx context.Context, tx *store.Tx, d *registry.Device, c Call, job string) (requestID string, err error)
}

// Refused is why one device is not called.
type Refused struct{ Code, Reason string }

func (r *Refused) Error() string { return "fleet: " + r.Reason }

// Call is what a job of KindCommand calls, and on which devices of its project or product.
type Call struct {
	Identifier string          `json:"identifier"`
	Input      json.RawMessage `json:"input,omitempty"`
	Timeout    float64         `json:"timeoutSeconds,omitempty"` // that each device has to answer; 0 is the thing model's default
	Queue      float64         `json:"queueSeconds"`             // how long the command waits for each device
	By         string          `json:"by,omitempty"`             // who calls
	State      string          `json:"state,omitempty"`
	Filter     string          `json:"filter,omitempty"` // in the language of registry/filter
}

// Spec is the job's specification; its errors are *registry.ErrInvalid.
func (c Call) Spec() (json.RawMessage, error) {
	if c.Identifier == "" {
		return nil, &registry.ErrInvalid{Field: "identifier", Reason: "is missing"}
	}
	if c.Queue < time.Minute.Seconds() {
		return nil, &registry.ErrInvalid{Field: "queueSeconds", Reason: "must be at least 60: the commands wait for their devices, be it for a moment"}
	}
	if _, err := c.filter("", ""); err != nil {
		return nil, err
	}
	if _, err := filter.Parse(c.Filter); err != nil {
		return nil, &registry.ErrInvalid{Field: "filter", Reason: strings.TrimPrefix(err.Error(), "filter: ")}
	}
	return json.Marshal(c)
}

func (c Call) filter(project, product string) (registry.Filter, error) {
	return Bulk{Filter: c.Filter, State: c.State}.filter(project, product)
}

// commandKind calls a command of every device that a filter takes.
type commandKind struct{ *Fleet }

// Columns are job.Kind's.
func (commandKind) Columns() []job.Column {
	return []job.Column{{Name: "productSN"}, {Name: "deviceSN"}, {Name: "requestID"}, {Name: "reason"}}
}

// Open is job.Kind's. Place is the registry's cursor, as in bulkKind.
func (k commandKind) Open(ctx context.Context, t *job.Task) (job.Runner, error) {
	r := &commandRun{commandKind: k, task: t, total: t.Total, cursor: t.Place}
	if err := json.Unmarshal(t.Spec, &r.call); err != nil {
		return nil, fmt.Errorf("fleet: specification of %s: %w", t.ID, err)
	}
	var err error
	if r.filter, err = r.call.filter(t.Project, t.Product); err != nil {
		return nil, &job.Fatal{Reason: err.Error()}
	}
	if r.total < 0 {
		n, err := k.registry.CountDevices(ctx, r.filter, false)
		if err != nil {
			return nil, err
		}
		r.total = int64(n.Total)
	}
	return r, nil
}

// commandRun is one batch of commands in hand.
type commandRun struct {
	commandKind
	task   *job.Task
	call   Call
	filter registry.Filter
	total  int64
	cursor string
}

// Step is job.Runner's.
func (r *commandRun) Step(ctx context.Context, save job.Save) error {
	if r.cursor == bulkEnd {
		return io.EOF
	}
	list, next, err := r.registry.Devices(ctx, r.filter, registry.Page{Limit: perStep, Cursor: r.cursor, Sort: registry.SortCreated})
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return io.EOF
	}
	if next == "" {
		next = bulkEnd
	}
	err = r.store.Update(ctx, func(tx *store.Tx) error {
		b := job.Batch{Place: next, Total: r.total, Rows: make([]job.Row, len(list))}
		for i, d := range list {
			if err := r.one(ctx, tx, d, &b.Rows[i]); err != nil {
				return err
			}
		}
		return save(ctx, tx, b)
	})
	if err == nil {
		r.cursor = next
	}
	return err
}

// one calls one device, or says why not.
func (r *commandRun) one(ctx context.Context, tx *store.Tx, d *registry.Device, row *job.Row) (err error) {
	var id, reason string
	if r.task.DryRun {
		err = r.caller.Check(ctx, d.Identity.Product, r.call)
	} else {
		id, err = r.caller.Queue(ctx, tx, d, r.call, r.task.ID)
	}
	var refused *Refused
	if errors.As(err, &refused) {
		row.Code, reason, err = refused.Code, refused.Reason, nil
	}
	row.Cells = []string{d.Identity.Product, d.Identity.SN, id, reason}
	return err
}
