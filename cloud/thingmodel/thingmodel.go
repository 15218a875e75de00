// Package thingmodel gives the tmodel topics their meaning: properties and events that devices post, what applications
// set and call, and the desired values that wait for a device.
//
// It promises that a message with a value that the product's definition refuses is refused whole, with a RetCode and a
// text that names the value and its bound; that a latest value moves only if its Time is not older than the stored one; that
// the latest values of a device, as far as they are acknowledged, are in the store; and that rules see all of them after
// each change, in the same commit.
//
// The latest values of a device are one row, a JSON text that is written once for each message: the same bytes are the row
// and what rules see. A steady stream of posts does not read the store. See latest.go for how the row is guarded.
//
// What a definition is, is protocol/thing's business; the way to the device is the Caller's.
package thingmodel

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/lru"
	"github.com/hawser-iot/hawser/cloud/thingmodel/series"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/thing"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Errors that callers branch on. Devices and products that are not there are the registry's errors, values that the
// definition refuses are a *thing.Violation.
var (
	// ErrNoModel is returned for a device whose product has no thing model.
	ErrNoModel = errors.New("thingmodel: the product has no thing model")
	// ErrOffline: the device is not there, and nothing was kept for it.
	ErrOffline = errors.New("thingmodel: the device is offline")
	// ErrTimeout: the device did not answer in time; it may have done what it was asked for.
	ErrTimeout = errors.New("thingmodel: the device did not answer in time")
	// ErrBadReply: the device's answer does not fit the definition.
	ErrBadReply = errors.New("thingmodel: the device's answer does not fit its definition")
	// ErrNotSubscribed: the device is there but does not listen to commands or property/set.
	ErrNotSubscribed = errors.New("thingmodel: the device is not subscribed to the topic")
	// ErrQueueFull: as many commands as may wait for the device.
	ErrQueueFull = errors.New("thingmodel: too many commands wait for the device")
	// ErrNoRecord: there is no such command, or its record is no longer kept.
	ErrNoRecord = errors.New("thingmodel: no such command")
	// ErrNotQueued: the command does not wait, so it cannot be cancelled.
	ErrNotQueued = errors.New("thingmodel: the command does not wait for its device any longer")
	// ErrTooLargeForDevice: the message would not fit the device's receive buffer.
	ErrTooLargeForDevice = errors.New("thingmodel: the message is too large for the device")
)

// ErrInvalid is returned for a parameter that cannot be used.
type ErrInvalid struct{ Field, Reason string }

func (e *ErrInvalid) Error() string { return "thingmodel: " + e.Field + ": " + e.Reason }

// Caller is what thingmodel needs of the way to a device. Its errors are ErrOffline, ErrTimeout, ErrNotSubscribed and
// ErrTooLargeForDevice of this package (wrapped or not); others are faults.
type Caller interface {
	// NextRequestID returns an id of at most 15 digits that has not been used for a long time.
	NextRequestID() string
	// Call sends a request, QoS 1 and never queued, and returns the payload that Answer brings. ctx has a deadline.
	Call(ctx context.Context, dev ident.Device, topicName string, payload []byte, requestID string) ([]byte, error)
	// Send sends a request whose answer nobody waits for, QoS 1 and never queued; it is void after expiry.
	Send(ctx context.Context, dev ident.Device, topicName string, payload []byte, expiry time.Time) error
	// Listens tells whether the device is connected to this node and subscribed to its commands. It does not block.
	Listens(dev ident.Device) bool
	// Answer hands a device's answer to the Call that waits for it. It copies the payload and does not block.
	Answer(dev ident.Device, requestID string, payload []byte) bool
}

// DefaultTimeout is how long a call waits when nothing else is said.
const DefaultTimeout = 5 * time.Second

const (
	// maxAhead is how far a device's clock may be ahead before its Time is taken for the hub's.
	maxAhead      = 5 * time.Minute
	cachedDevices = 100_000
	stripes       = 256
)

// Deps are what Things stand on.
type Deps struct {
	Store    *store.DB
	Registry *registry.Registry
	Caller   Caller
	IDs      *message.IDs   // numbers the records of commands
	Series   *series.Series // nil: no history of properties is kept
	Log      *slog.Logger
	Metrics  prometheus.Registerer // nil: not exported
}

// Things is safe for concurrent use.
type Things struct {
	Deps
	now     func() time.Time
	metrics *metrics

	latest *lru.Cache[int64, *latest] // by device id, with what is on its way to the store
	// computing is held from taking a device's latest values to replacing them in the cache, by device id mod stripes.
	computing [stripes]sync.Mutex
	// flushing is held while a device's queued commands are sent, by device id mod stripes.
	flushing [stripes]sync.Mutex
	waiting  waiting
	heard    chan int64 // devices that listen and for which something waits
}

// New returns the Things of d.Store.
func New(d Deps) *Things {
	t := &Things{Deps: d, now: time.Now, metrics: newMetrics(d.Metrics), latest: lru.New[int64, *latest](cachedDevices), heard: make(chan int64, heardMost)}
	d.Registry.Watch(func(c registry.Change) {
		if c.Kind == registry.DeviceDeleted {
			t.latest.Remove(c.DeviceID)
		}
	})
	return t
}

var _ uplink.Handler = (*Things)(nil)

// Handle takes a device's message on one of the tmodel topics that devices publish to.
func (t *Things) Handle(ctx context.Context, m *uplink.Message) error {
	switch m.Topic.Kind {
	case topic.PropertyPost:
		return t.propertyPost(ctx, m)
	case topic.EventPost:
		return t.eventPost(ctx, m)
	case topic.PropertySetReply:
		return t.setReply(m)
	case topic.CommandReply:
		return t.commandReply(ctx, m)
	case topic.PropertyRestore:
		return refuse(m, topic.PropertyRestoreReply, "Property", t.restore(ctx, m))
	case topic.DesiredGet:
		return refuse(m, topic.DesiredGetReply, "Desired", t.desiredGet(ctx, m))
	case topic.DesiredDelete:
		return t.desiredDelete(ctx, m)
	case topic.TemplateGet:
		return t.templateGet(ctx, m)
	}
	return uplink.Refuse(message.CodeBad, "")
}

// Kinds are the kinds of topic that Handle takes.
func Kinds() []topic.Kind {
	return []topic.Kind{topic.PropertyPost, topic.EventPost, topic.PropertySetReply, topic.CommandReply, topic.PropertyRestore,
		topic.DesiredGet, topic.DesiredDelete, topic.TemplateGet}
}

// model returns the model that a device's messages are checked against.
func (t *Things) model(ctx context.Context, productSN string) (*registry.Product, *thing.Model, error) {
	p, err := t.Registry.Product(ctx, productSN)
	if err != nil {
		return nil, nil, err
	}
	if p.Model == nil {
		return p, nil, ErrNoModel
	}
	return p, p.Model, nil
}

// refusal turns what a model says of a message into the device's answer.
func refusal(err error) error {
	var v *thing.Violation
	switch {
	case errors.As(err, &v):
		return uplink.Refuse(v.Code, v.Error())
	case errors.Is(err, ErrNoModel):
		return uplink.Refuse(message.CodePropertyUndefined, "the product has no thing model")
	case errors.Is(err, registry.ErrProductNotFound):
		return uplink.Refuse(message.CodeNoSuchProduct, "")
	}
	return err
}
