package uplink

import (
	"context"

	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Firmware is the gateway's own connection for package update: the two topics on which firmware is spoken of. Those of its sub-devices are carried like all
// their messages.
type Firmware struct{ link *link.Link }

// Firmware returns the connection for package update. Hand it over before Run.
func (u *Uplink) Firmware() Firmware { return Firmware{u.link} }

// Send publishes on ota/upstream and returns when the hub has acknowledged it; it waits for a connection.
func (f Firmware) Send(ctx context.Context, payload []byte) error {
	return f.link.Publish(ctx, link.Message{Topic: topic.System(f.link.Device(), topic.OTAUpstream), Payload: payload, QoS: 1})
}

// Receive has the messages of ota/downstream handled, one at a time.
func (f Firmware) Receive(handle func(ctx context.Context, payload []byte)) error {
	name := topic.System(f.link.Device(), topic.OTADownstream)
	return f.link.Subscribe(context.Background(), name, 1, func(ctx context.Context, m link.Message) { handle(ctx, m.Payload) })
}

// OnUp has handle called after every login, with a ctx that ends with the connection.
func (f Firmware) OnUp(handle func(ctx context.Context)) { f.link.OnUp(handle) }

// WaitConnected returns when the hub has accepted the gateway.
func (f Firmware) WaitConnected(ctx context.Context) error { return f.link.WaitConnected(ctx) }
