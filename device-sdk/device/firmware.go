package device

import (
	"context"

	"github.com/hawser-iot/hawser/protocol/topic"
)

// Firmware is the device's connection for package update: the two topics on which firmware is spoken of.
type Firmware struct{ d *Device }

// Firmware returns the connection for package update. Hand it over before Run.
func (d *Device) Firmware() Firmware { return Firmware{d} }

// Send publishes on ota/upstream and returns when the hub has acknowledged it; it waits for a connection.
func (f Firmware) Send(ctx context.Context, payload []byte) error {
	return f.d.publish(ctx, topic.System(f.d.id, topic.OTAUpstream), 1, payload)
}

// Receive has the messages of ota/downstream handled, one at a time.
func (f Firmware) Receive(handle func(ctx context.Context, payload []byte)) error {
	return f.d.listen(context.Background(), topic.OTADownstream, handle)
}

// OnUp has handle called after every login, with a ctx that ends with the connection.
func (f Firmware) OnUp(handle func(ctx context.Context)) { f.d.link.OnUp(handle) }

// WaitConnected returns when the device is connected.
func (f Firmware) WaitConnected(ctx context.Context) error { return f.d.WaitConnected(ctx) }
