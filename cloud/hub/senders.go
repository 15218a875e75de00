package hub

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/shadow"
	"github.com/hawser-iot/hawser/cloud/thingmodel"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// shadowSender is the way to a device as shadow sees it.
type shadowSender struct{ *downlink.Downlink }

var _ shadow.Sender = shadowSender{}

// Control sends control messages, kept for a persistent session that is away. A device without one finds the values
// with its next get.
func (s shadowSender) Control(ctx context.Context, dev ident.Device, topicName string, payloads [][]byte) error {
	for _, p := range payloads {
		_, err := s.Send(ctx, downlink.Message{Device: dev, Topic: topicName, Payload: p, QoS: 1, Queue: true})
		if err != nil && !errors.Is(err, downlink.ErrOffline) && !errors.Is(err, downlink.ErrNotSubscribed) {
			return fmt.Errorf("send shadow control to %s: %w", dev, err)
		}
	}
	return nil
}

// Buffer is the largest packet that the device has announced to take.
func (s shadowSender) Buffer(_ context.Context, dev ident.Device) int {
	if t, ok := s.Directory.Find(dev); ok {
		return t.Buffer()
	}
	return 0
}

// thingCaller is the way to a device as thingmodel sees it.
type thingCaller struct{ *downlink.Downlink }

var _ thingmodel.Caller = thingCaller{}

func (c thingCaller) Call(ctx context.Context, dev ident.Device, topicName string, payload []byte, requestID string) ([]byte, error) {
	reply, err := c.Downlink.Call(ctx, dev, topicName, payload, requestID)
	return reply, thingError(err)
}

func (c thingCaller) Send(ctx context.Context, dev ident.Device, topicName string, payload []byte, expiry time.Time) error {
	_, err := c.Downlink.Send(ctx, downlink.Message{Device: dev, Topic: topicName, Payload: payload, QoS: 1, Expiry: expiry})
	return thingError(err)
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
