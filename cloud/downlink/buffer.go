package downlink

import (
	"context"

	"github.com/hawser-iot/hawser/protocol/ident"
)

// Buffer is the largest packet in bytes that a device has announced to take, at its present login or, when it is away, at its last;
// 0 when it announced nothing.
func (d *Downlink) Buffer(ctx context.Context, dev ident.Device) (int, error) {
	if t, ok := d.Directory.Find(dev); ok {
		return t.Buffer(), nil
	}
	known, err := d.Registry.Device(ctx, dev)
	if err != nil {
		return 0, err
	}
	at, err := d.place(ctx, known.ID)
	return at.buffer, err
}

// Verifies tells whether a device has announced that it verifies the manifests of firmware, at its present login or its last.
func (d *Downlink) Verifies(ctx context.Context, dev ident.Device) (bool, error) {
	if t, ok := d.Directory.Find(dev); ok {
		return t.Verifies(), nil
	}
	known, err := d.Registry.Device(ctx, dev)
	if err != nil {
		return false, err
	}
	at, err := d.place(ctx, known.ID)
	return at.verifies, err
}
