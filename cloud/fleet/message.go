package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/cloud/job"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/registry/filter"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Sender is what fleet needs of the way to a device.
type Sender interface {
	// Publish sends m to one device and says what became of it: "delivered" or "queued". A *Refused is about the one device; another
	// error ends the step, which is done again.
	Publish(ctx context.Context, dev ident.Device, topicName string, m *Mailing) (outcome string, err error)
	// Gateway is the gateway that carries a sub-device; ok is false for none.
	Gateway(ctx context.Context, dev ident.Device) (gateway ident.Device, ok bool, err error)
}

// Mailing is what a job of KindMessage sends, and to which devices of its project or product.
type Mailing struct {
	// Topic is the path of a custom topic below each device, or with Broadcast the one below the product's $broadcast.
	Topic     string    `json:"topic"`
	Broadcast bool      `json:"broadcast,omitempty"`
	Payload   []byte    `json:"payload"`
	QoS       int       `json:"qos"`
	Raw       bool      `json:"raw,omitempty"` // Payload does not go through the product's parse script
	Expiry    time.Time `json:"expiry,omitzero"`
	State     string    `json:"state,omitempty"`
	Filter    string    `json:"filter,omitempty"` // in the language of registry/filter
}

// Spec is the job's specification; its errors are *registry.ErrInvalid.
func (m Mailing) Spec() (json.RawMessage, error) {
	probe := topic.Topic{Kind: topic.Custom, Device: ident.Device{Product: "0123456789abcdef", SN: "device"}, Tail: m.Topic}
	if _, err := topic.Parse(probe.String()); err != nil {
		return nil, &registry.ErrInvalid{Field: "topic", Reason: strings.TrimPrefix(err.Error(), "topic: ")}
	}
	if m.QoS < 0 || m.QoS > 1 {
		return nil, &registry.ErrInvalid{Field: "qos", Reason: "must be 0 or 1"}
	}
	if _, err := m.filter("", ""); err != nil {
		return nil, err
	}
	if _, err := filter.Parse(m.Filter); err != nil {
		return nil, &registry.ErrInvalid{Field: "filter", Reason: strings.TrimPrefix(err.Error(), "filter: ")}
	}
	return json.Marshal(m)
}

func (m Mailing) filter(project, product string) (registry.Filter, error) {
	return Bulk{Filter: m.Filter, State: m.State}.filter(project, product)
}

// messageKind sends a message to every device that a filter takes.
type messageKind struct{ *Fleet }

// Columns are job.Kind's.
func (messageKind) Columns() []job.Column {
	return []job.Column{{Name: "productSN"}, {Name: "deviceSN"}, {Name: "outcome"}, {Name: "reason"}}
}

// Open is job.Kind's. Place is the registry's cursor, as in bulkKind.
func (k messageKind) Open(ctx context.Context, t *job.Task) (job.Runner, error) {
	r := &messageRun{messageKind: k, task: t, total: t.Total, cursor: t.Place, served: map[ident.Device]bool{}}
	if err := json.Unmarshal(t.Spec, &r.mailing); err != nil {
		return nil, fmt.Errorf("fleet: specification of %s: %w", t.ID, err)
	}
	var err error
	if r.filter, err = r.mailing.filter(t.Project, t.Product); err != nil {
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

// messageRun is one mailing in hand. A step that is done again, because its outcome could not be stored, sends again: each device
// gets the message at least once.
type messageRun struct {
	messageKind
	task    *job.Task
	mailing Mailing
	filter  registry.Filter
	total   int64
	cursor  string

	mu     sync.Mutex            // guards served
	served map[ident.Device]bool // gateways that have had the broadcast: their sub-devices share the connection
}

// sendRate is how many devices a second a mailing reaches at most, so that all of a fleet does not answer at once, and sendersAtOnce
// how many sends wait for the store's commits together.
const (
	sendRate      = 1000
	sendersAtOnce = 32
)

// Step is job.Runner's.
func (r *messageRun) Step(ctx context.Context, save job.Save) error {
	if r.cursor == bulkEnd {
		return io.EOF
	}
	began := time.Now()
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
	b := job.Batch{Place: next, Total: r.total, Rows: make([]job.Row, len(list))}
	if err := r.sendAll(ctx, list, b.Rows); err != nil {
		return err
	}
	if err := r.store.Update(ctx, func(tx *store.Tx) error { return save(ctx, tx, b) }); err != nil {
		return err
	}
	r.cursor = next
	select {
	case <-ctx.Done():
	case <-time.After(time.Until(began.Add(time.Duration(len(list)) * time.Second / sendRate))):
	}
	return nil
}

func (r *messageRun) sendAll(ctx context.Context, list []*registry.Device, rows []job.Row) error {
	errs := make([]error, len(list))
	var wg sync.WaitGroup
	room := make(chan struct{}, sendersAtOnce)
	for i, d := range list {
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			errs[i] = r.one(ctx, d, &rows[i])
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// one sends to one device, or says why not. A broadcast is for whoever is subscribed: that a device is not there is no failure.
func (r *messageRun) one(ctx context.Context, d *registry.Device, row *job.Row) error {
	outcome, reason, err := r.send(ctx, d.Identity)
	if refused, ok := errors.AsType[*Refused](err); ok {
		if outcome, reason, err = refused.Code, refused.Reason, nil; !r.mailing.Broadcast {
			row.Code = refused.Code
		}
	}
	row.Cells = []string{d.Identity.Product, d.Identity.SN, outcome, reason}
	return err
}

func (r *messageRun) send(ctx context.Context, dev ident.Device) (outcome, reason string, err error) {
	m := &r.mailing
	name := topic.Name(dev, m.Topic)
	if m.Broadcast {
		name = topic.Topic{Kind: topic.Broadcast, Device: dev, Tail: m.Topic}.String()
		gateway, ok, err := r.sender.Gateway(ctx, dev)
		if err != nil {
			return "", "", err
		}
		if ok && !r.first(gateway) {
			return "shared", "its gateway has had it", nil
		}
	}
	if r.task.DryRun {
		return "", "", nil
	}
	outcome, err = r.sender.Publish(ctx, dev, name, m)
	return outcome, "", err
}

// first tells whether a gateway is to get the broadcast for the first time.
func (r *messageRun) first(gateway ident.Device) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.served[gateway] {
		return false
	}
	r.served[gateway] = true
	return true
}
