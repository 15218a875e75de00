package hub

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/agentlink"
	"github.com/hawser-iot/hawser/cloud/api"
	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/fleet"
	"github.com/hawser-iot/hawser/cloud/provision"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/script"
	"github.com/hawser-iot/hawser/cloud/shadow"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/thingmodel"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/thing"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// sender is the way to a device, with those who watch. The types below are it in the words of each package that uses
// it; the paths do not know the domain, nor the domain the paths.
type sender struct {
	down *downlink.Downlink
	feed watchFeed
	journal
}

var _ api.Sender = sender{}

// Send sends a message and shows it to watchers when it went out or was queued.
func (s sender) Send(ctx context.Context, m downlink.Message) (downlink.Outcome, error) {
	at, ctx := time.Now(), s.under(ctx)
	out, err := s.down.Send(ctx, m)
	s.journal.down(ctx, at, &m, out, nil, err)
	if err == nil {
		s.feed.down(at, m.Device, m.Topic, m.Payload, m.QoS)
	}
	return out, err
}

// Request sends a message that a device answers, and shows it to watchers.
func (s sender) Request(ctx context.Context, m downlink.Message, replyTopic string) ([]byte, error) {
	at, ctx := time.Now(), s.under(ctx)
	answer, err := s.down.Request(ctx, m, replyTopic)
	s.request(ctx, at, &m, err)
	if err == nil || errors.Is(err, downlink.ErrNoAnswer) {
		s.feed.down(at, m.Device, m.Topic, m.Payload, m.QoS)
	}
	return answer, err
}

// nobody tells whether a message only found nobody to take it.
func nobody(err error) bool {
	return errors.Is(err, downlink.ErrOffline) || errors.Is(err, downlink.ErrNotSubscribed)
}

// agentSender is the way to an agent as agentlink sees it. It goes past the journal and the watchers: configurations hold secrets.
type agentSender struct{ down *downlink.Downlink }

var _ agentlink.Sender = agentSender{}

// Send sends to an agent that is connected; one that is away is told with its next hello.
func (s agentSender) Send(ctx context.Context, id ident.Device, topicName string, payload []byte) error {
	_, err := s.down.Send(ctx, downlink.Message{Device: id, Topic: topicName, Payload: payload, QoS: 1})
	if nobody(err) {
		return nil
	}
	return err
}

// shadowSender is the way to a device as shadow sees it.
type shadowSender struct{ sender }

var _ shadow.Sender = shadowSender{}

// Control sends control messages, kept for a persistent session that is away. A device without one finds the values
// with its next get.
func (s shadowSender) Control(ctx context.Context, dev ident.Device, topicName string, payloads [][]byte) error {
	for _, p := range payloads {
		_, err := s.Send(ctx, downlink.Message{Device: dev, Topic: topicName, Payload: p, QoS: 1, Queue: true})
		if err != nil && !nobody(err) {
			return fmt.Errorf("send shadow control to %s: %w", dev, err)
		}
	}
	return nil
}

// Buffer is the largest packet that the device has announced to take.
func (s shadowSender) Buffer(ctx context.Context, dev ident.Device) int {
	bytes, err := s.down.Buffer(ctx, dev)
	if err != nil {
		return 0 // what every device takes
	}
	return bytes
}

// encoder is the way to a device for what goes through the product's parse script first.
type encoder struct {
	sender
	scripts *script.Scripts
}

// Send puts what goes to a custom topic, or is a broadcast, through jsonToRawData of the product's script, if that has it. What the script
// says against it is a *script.Fault.
func (s encoder) Send(ctx context.Context, m downlink.Message) (downlink.Outcome, error) {
	t, err := topic.Parse(m.Topic)
	if err == nil && (t.Kind == topic.Custom || t.Kind == topic.Broadcast) {
		if m.Payload, _, err = s.scripts.Encode(ctx, m.Device.Product, m.Topic, m.Payload); err != nil {
			return 0, err
		}
	}
	return s.sender.Send(ctx, m)
}

// ruleSender is the way to a device as rules see it.
type ruleSender struct{ encoder }

var _ rules.Sender = ruleSender{}

// Publish sends a republished message. What is at fault is told apart, because a rule tries again for as long as the
// target is merely not available.
func (s ruleSender) Publish(ctx context.Context, dev ident.Device, topicName string, payload []byte, qos byte) error {
	_, err := s.Send(ctx, downlink.Message{Device: dev, Topic: topicName, Payload: payload, QoS: qos, Queue: qos > 0})
	switch {
	case err == nil || nobody(err):
		return nil
	case errors.Is(err, downlink.ErrTooLargeForDevice), isFault(err):
		return fmt.Errorf("%w: %w", rules.ErrPermanent, err)
	}
	return fmt.Errorf("%w: %w", rules.ErrUnavailable, err)
}

// isFault tells whether a script is to blame.
func isFault(err error) bool {
	var fault *script.Fault
	return errors.As(err, &fault)
}

// thingCaller is the way to a device as thingmodel sees it.
type thingCaller struct{ sender }

var _ thingmodel.Caller = thingCaller{}

func (c thingCaller) NextRequestID() string { return c.down.NextRequestID() }

func (c thingCaller) Call(ctx context.Context, dev ident.Device, topicName string, payload []byte, requestID string) ([]byte, error) {
	at, ctx := time.Now(), c.under(ctx)
	reply, err := c.down.Call(ctx, dev, topicName, payload, requestID)
	c.journal.down(ctx, at, &downlink.Message{Device: dev, Topic: topicName, Payload: payload, QoS: 1}, downlink.Delivered, reply, err)
	if err == nil || errors.Is(err, downlink.ErrNoAnswer) {
		c.feed.down(at, dev, topicName, payload, 1)
	}
	return reply, thingError(err)
}

func (c thingCaller) Send(ctx context.Context, dev ident.Device, topicName string, payload []byte, expiry time.Time) error {
	_, err := c.sender.Send(ctx, downlink.Message{Device: dev, Topic: topicName, Payload: payload, QoS: 1, Expiry: expiry})
	return thingError(err)
}

func (c thingCaller) Listens(dev ident.Device) bool {
	t, ok := c.down.Directory.Find(dev)
	if !ok {
		return false
	}
	_, ok = t.Subscribed(topic.System(dev, topic.Command))
	return ok
}

func (c thingCaller) Answer(dev ident.Device, requestID string, payload []byte) bool {
	return c.down.Answer(dev, requestID, payload)
}

// fleetSender is the way to a device as fleet sees it.
type fleetSender struct {
	encoder
	births *provision.Provision
}

var _ fleet.Sender = fleetSender{}

// Publish sends a message of a mailing.
func (s fleetSender) Publish(ctx context.Context, dev ident.Device, topicName string, m *fleet.Mailing) (string, error) {
	send := s.Send
	if m.Raw {
		send = s.sender.Send
	}
	out, err := send(ctx, downlink.Message{Device: dev, Topic: topicName, Payload: m.Payload, QoS: byte(m.QoS), Queue: m.QoS > 0, Expiry: m.Expiry})
	if isFault(err) {
		return "", &fleet.Refused{Code: "script_failed", Reason: err.Error()}
	}
	for _, known := range []struct {
		err  error
		code string
	}{
		{downlink.ErrOffline, "device_offline"}, {downlink.ErrNotSubscribed, "not_subscribed"}, {downlink.ErrFull, "device_queue_full"},
		{downlink.ErrTooLargeForDevice, "too_large_for_device"}, {registry.ErrDeviceNotFound, "device_not_found"},
	} {
		if errors.Is(err, known.err) {
			return "", &fleet.Refused{Code: known.code, Reason: strings.TrimPrefix(err.Error(), "downlink: ")}
		}
	}
	return out.String(), err
}

// Gateway is the gateway of a sub-device.
func (s fleetSender) Gateway(ctx context.Context, dev ident.Device) (ident.Device, bool, error) {
	product, err := s.births.Registry.Product(ctx, dev.Product)
	if err != nil || product.Kind != registry.KindSubdevice {
		return ident.Device{}, false, err
	}
	gw, err := s.births.Gateway(ctx, dev)
	switch {
	case errors.Is(err, provision.ErrNoGateway), errors.Is(err, registry.ErrDeviceNotFound):
		return ident.Device{}, false, nil
	case err != nil:
		return ident.Device{}, false, err
	}
	return gw.Identity, true, nil
}

// fleetCaller is the thing model as fleet sees it.
type fleetCaller struct{ things *thingmodel.Things }

var _ fleet.Caller = fleetCaller{}

func (c fleetCaller) Check(ctx context.Context, product string, call fleet.Call) error {
	return fleetRefusal(c.things.CheckCommand(ctx, product, command(call)))
}

func (c fleetCaller) Queue(ctx context.Context, tx *store.Tx, d *registry.Device, call fleet.Call, job string) (string, error) {
	id, err := c.things.Queue(ctx, tx, d, command(call), job)
	return id, fleetRefusal(err)
}

func command(c fleet.Call) thingmodel.Command {
	return thingmodel.Command{Identifier: c.Identifier, Input: c.Input, By: c.By, Async: true,
		Timeout: time.Duration(c.Timeout * float64(time.Second)), Queue: time.Duration(c.Queue * float64(time.Second))}
}

// fleetRefusal tells what is about one device or product from what is about the store.
func fleetRefusal(err error) error {
	var (
		violation *thing.Violation
		invalid   *thingmodel.ErrInvalid
	)
	code := ""
	switch {
	case errors.As(err, &violation) && violation.Code == message.CodeNoSuchCommand:
		code = "no_such_command"
	case errors.As(err, &violation), errors.As(err, &invalid):
		code = "invalid"
	case errors.Is(err, thingmodel.ErrNoModel):
		code = "no_thing_model"
	case errors.Is(err, thingmodel.ErrQueueFull):
		code = "command_queue_full"
	default:
		return err
	}
	return &fleet.Refused{Code: code, Reason: strings.TrimPrefix(err.Error(), "thingmodel: ")}
}

// thingError says in thingmodel's words what downlink said.
func thingError(err error) error {
	for _, t := range []struct{ from, to error }{
		{downlink.ErrOffline, thingmodel.ErrOffline},
		{downlink.ErrNoAnswer, thingmodel.ErrTimeout},
		{downlink.ErrNotSubscribed, thingmodel.ErrNotSubscribed},
		{downlink.ErrTooLargeForDevice, thingmodel.ErrTooLargeForDevice},
	} {
		if errors.Is(err, t.from) {
			return fmt.Errorf("%w: %w", t.to, err)
		}
	}
	return err
}
