package device

import (
	"context"

	"github.com/hawser-iot/hawser/protocol/topic"
)

// Uploads is the device's connection for package upload: the two topics on which files are spoken of.
type Uploads struct{ d *Device }

// Uploads returns the connection for package upload. Hand it over before Run.
func (d *Device) Uploads() Uploads { return Uploads{d} }

// Send publishes on upload/upstream and returns when the hub has acknowledged it; it waits for a connection.
func (u Uploads) Send(ctx context.Context, payload []byte) error {
	return u.d.publish(ctx, topic.System(u.d.id, topic.UploadUpstream), 1, payload)
}

// Receive has the messages of upload/downstream handled.
func (u Uploads) Receive(handle func(ctx context.Context, payload []byte)) error {
	return u.d.listen(context.Background(), topic.UploadDownstream, handle)
}
