// Package clock answers devices that ask for the time (ntp/request, device-protocol section 3).
//
// It promises an answer as quick as the connection: nothing is stored, and the answer does not wait for what is.
package clock

import (
	"context"
	"time"

	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Clock handles ntp/request.
type Clock struct{ now func() time.Time }

var _ uplink.Handler = (*Clock)(nil)

// New returns a Clock that reads now; nil is time.Now.
func New(now func() time.Time) *Clock {
	if now == nil {
		now = time.Now
	}
	return &Clock{now}
}

// Handle implements uplink.Handler. A request without a time of its own gets one of 0 back.
func (c *Clock) Handle(_ context.Context, m *uplink.Message) error {
	root, err := m.Root()
	if err != nil {
		return err
	}
	sent, ok := root.Get("DeviceSendTime").Int()
	if kind := root.Get("DeviceSendTime").Kind(); root.Kind() != codec.Object || !ok && kind != codec.Missing && kind != codec.Null {
		return uplink.Refuse(message.CodeBad, "DeviceSendTime must be a whole number of milliseconds")
	}
	answer := message.NTPResponse{DeviceSendTime: sent, ServerRecvTime: m.At.UnixMilli(), ServerSendTime: c.now().UnixMilli()}
	if m.From == nil {
		return m.Reply(topic.NTPResponse, "", answer)
	}
	// An answer that waited for the commits before it would tell the wrong time.
	format := codec.JSON
	if m.CBOR {
		format = codec.CBOR
	}
	body, err := codec.Marshal(format, answer)
	if err != nil {
		return err
	}
	_ = m.From.Send(server.Message{Topic: topic.System(m.Device, topic.NTPResponse), Payload: body, QoS: 1, Volatile: true}) // it may have gone
	return nil
}
