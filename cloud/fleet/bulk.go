package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"

	"github.com/hawser-iot/hawser/cloud/job"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/registry/filter"
	"github.com/hawser-iot/hawser/cloud/store"
)

// Bulk is what a job of KindBulk does, and to which devices of its project or product.
type Bulk struct {
	Action   registry.Action   `json:"action"`
	Tags     map[string]string `json:"tags,omitempty"`
	DropTags []string          `json:"dropTags,omitempty"`
	Group    string            `json:"group,omitempty"`
	State    string            `json:"state,omitempty"`
	Filter   string            `json:"filter,omitempty"` // in the language of registry/filter
}

// Spec is the job's specification; its errors are *registry.ErrInvalid.
func (b Bulk) Spec() (json.RawMessage, error) {
	if err := b.change("").Check(); err != nil {
		return nil, err
	}
	if _, err := b.filter("", ""); err != nil {
		return nil, err
	}
	if _, err := filter.Parse(b.Filter); err != nil {
		return nil, &registry.ErrInvalid{Field: "filter", Reason: strings.TrimPrefix(err.Error(), "filter: ")}
	}
	return json.Marshal(b)
}

func (b Bulk) change(project string) registry.Bulk {
	return registry.Bulk{Action: b.Action, Tags: b.Tags, DropTags: b.DropTags, Project: project, Group: b.Group}
}

func (b Bulk) filter(project, product string) (registry.Filter, error) {
	f := registry.Filter{Project: project, Product: product, Query: b.Filter}
	if b.State != "" {
		state, err := registry.ParseState(b.State)
		if err != nil {
			return f, err
		}
		f.State = &state
	}
	return f, nil
}

// bulkKind does one action to every device that a filter takes.
type bulkKind struct{ *Fleet }

// Columns are job.Kind's.
func (bulkKind) Columns() []job.Column {
	return []job.Column{{Name: "productSN"}, {Name: "deviceSN"}, {Name: "changed"}, {Name: "deviceSecret", Secret: true}, {Name: "reason"}}
}

// Open is job.Kind's. Place is the registry's cursor: devices are done in the order of their ids.
func (k bulkKind) Open(ctx context.Context, t *job.Task) (job.Runner, error) {
	r := &bulkRun{bulkKind: k, task: t, total: t.Total, cursor: t.Place}
	if err := json.Unmarshal(t.Spec, &r.bulk); err != nil {
		return nil, fmt.Errorf("fleet: specification of %s: %w", t.ID, err)
	}
	var err error
	if r.filter, err = r.bulk.filter(t.Project, t.Product); err != nil {
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

// bulkEnd is the place behind the last device.
const bulkEnd = "end"

// bulkRun is one bulk action in hand.
type bulkRun struct {
	bulkKind
	task   *job.Task
	bulk   Bulk
	filter registry.Filter
	total  int64
	cursor string
}

// Step is job.Runner's.
func (r *bulkRun) Step(ctx context.Context, save job.Save) error {
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
	store := func(ctx context.Context, tx *store.Tx, results []registry.BulkResult) error {
		return save(ctx, tx, r.batch(list, results, next))
	}
	if r.task.DryRun {
		err = r.pretend(ctx, list, store)
	} else {
		err = r.registry.Bulk(ctx, r.bulk.change(r.task.Project), list, store)
	}
	if errors.Is(err, registry.ErrGroupNotFound) || errors.Is(err, registry.ErrGroupByFilter) {
		return &job.Fatal{Reason: "group " + r.bulk.Group + " is not there, or has a filter instead of members"}
	}
	if err == nil {
		r.cursor = next
	}
	return err
}

// pretend says what would change.
func (r *bulkRun) pretend(ctx context.Context, list []*registry.Device, also func(context.Context, *store.Tx, []registry.BulkResult) error) error {
	results := make([]registry.BulkResult, len(list))
	for i, d := range list {
		switch r.bulk.Action {
		case registry.ActionEnable:
			results[i].Changed = d.State == registry.Disabled
		case registry.ActionDisable:
			results[i].Changed = d.State != registry.Disabled
		case registry.ActionTag:
			results[i].Changed = r.bulk.retags(d.Tags)
		default:
			results[i].Changed = true
		}
	}
	return r.store.Update(ctx, func(tx *store.Tx) error { return also(ctx, tx, results) })
}

// retags tells whether the action tag changes these.
func (b Bulk) retags(tags registry.Tags) bool {
	after := make(map[string]string, len(tags))
	maps.Copy(after, tags)
	for _, name := range b.DropTags {
		delete(after, name)
	}
	maps.Copy(after, b.Tags)
	return !maps.Equal(after, tags)
}

func (r *bulkRun) batch(list []*registry.Device, results []registry.BulkResult, place string) job.Batch {
	b := job.Batch{Place: place, Total: r.total, Rows: make([]job.Row, len(list))}
	for i, d := range list {
		changed, reason := "no", ""
		if results[i].Changed {
			changed = "yes"
		}
		if err := results[i].Err; err != nil {
			b.Rows[i].Code, reason = "failed", err.Error()
			if errors.Is(err, registry.ErrDeviceNotFound) {
				b.Rows[i].Code, reason = "device_not_found", "the device was deleted meanwhile"
			} else if errors.Is(err, registry.ErrLimit) {
				b.Rows[i].Code, reason = "limit_exceeded", strings.TrimPrefix(err.Error(), "registry: ")
			}
		}
		b.Rows[i].Cells = []string{d.Identity.Product, d.Identity.SN, changed, results[i].Secret.Reveal(), reason}
	}
	return b
}
