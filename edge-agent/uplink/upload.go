package uplink

import (
	"context"

	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Uploads is the gateway's own connection for device-sdk/upload: the two topics on which its files are spoken of.
type Uploads struct{ link *link.Link }

// Uploads returns the connection for device-sdk/upload. Hand it over before Run.
func (u *Uplink) Uploads() Uploads { return Uploads{u.link} }

// Send publishes on upload/upstream and returns when the hub has acknowledged it; it waits for a connection.
func (f Uploads) Send(ctx context.Context, payload []byte) error {
	return f.link.Publish(ctx, link.Message{Topic: topic.System(f.link.Device(), topic.UploadUpstream), Payload: payload, QoS: 1})
}

// Receive has the messages of upload/downstream handled.
func (f Uploads) Receive(handle func(ctx context.Context, payload []byte)) error {
	name := topic.System(f.link.Device(), topic.UploadDownstream)
	return f.link.Subscribe(context.Background(), name, 1, func(ctx context.Context, m link.Message) { handle(ctx, m.Payload) })
}
