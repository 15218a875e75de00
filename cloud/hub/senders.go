package hub

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/cloud/api"
	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/shadow"
	"github.com/hawser-iot/hawser/cloud/thingmodel"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// sender is the way to a device, with those who watch. The types below are it in the words of each package that uses
// it; the paths do not know the domain, nor the domain the paths.
type sender struct {
	down *downlink.Downlink
	feed watchFeed
}

var _ api.Sender = sender{}

// Send sends a message and shows it to watchers when it went out or was queued.
func (s sender) Send(ctx context.Context, m downlink.Message) (downlink.Outcome, error) {
	at := time.Now()
	out, err := s.down.Send(ctx, m)
	if err == nil {
		s.feed.down(at, m.Device, m.Topic, m.Payload, m.QoS)
	}
	return out, err
}

// nobody tells whether a message only found nobody to take it.
func nobody(err error) bool {
	return errors.Is(err, downlink.ErrOffline) || errors.Is(err, downlink.ErrNotSubscribed)
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
func (s shadowSender) Buffer(_ context.Context, dev ident.Device) int {
	if t, ok := s.down.Directory.Find(dev); ok {
		return t.Buffer()
	}
	return 0
}

// ruleSender is the way to a device as rules see it.
type ruleSender struct{ sender }

var _ rules.Sender = ruleSender{}

// Publish sends a republished message. What is at fault is told apart, because a rule tries again for as long as the
// target is merely not available.
func (s ruleSender) Publish(ctx context.Context, dev ident.Device, topicName string, payload []byte, qos byte) error {
	_, err := s.Send(ctx, downlink.Message{Device: dev, Topic: topicName, Payload: payload, QoS: qos, Queue: qos > 0})
	switch {
	case err == nil || nobody(err):
		return nil
	case errors.Is(err, downlink.ErrTooLargeForDevice):
		return fmt.Errorf("%w: %w", rules.ErrPermanent, err)
	}
	return fmt.Errorf("%w: %w", rules.ErrUnavailable, err)
}

// thingCaller is the way to a device as thingmodel sees it.
type thingCaller struct{ sender }

var _ thingmodel.Caller = thingCaller{}

func (c thingCaller) NextRequestID() string { return c.down.NextRequestID() }

func (c thingCaller) Call(ctx context.Context, dev ident.Device, topicName string, payload []byte, requestID string) ([]byte, error) {
	at := time.Now()
	reply, err := c.down.Call(ctx, dev, topicName, payload, requestID)
	if err == nil || errors.Is(err, downlink.ErrNoAnswer) {
		c.feed.down(at, dev, topicName, payload, 1)
	}
	return reply, thingError(err)
}

func (c thingCaller) Send(ctx context.Context, dev ident.Device, topicName string, payload []byte, expiry time.Time) error {
	_, err := c.sender.Send(ctx, downlink.Message{Device: dev, Topic: topicName, Payload: payload, QoS: 1, Expiry: expiry})
	return thingError(err)
}

func (c thingCaller) Answer(dev ident.Device, requestID string, payload []byte) bool {
	return c.down.Answer(dev, requestID, payload)
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
