// Package modbus brings devices on Modbus lines in as sub-devices: a map of registers says which of their values are properties.
//
// It promises: one request at a time on a line; neighbours are read with one request; a value is reported when it has changed by more than its
// deadband; what the hub sets (property/set, desired properties, the shadow, commands) is written, read back and answered, all or, when one value
// can't be right, nothing. A device that does not answer is taken out, and is offline at the hub, until it answers again.
//
// It leaves who may come in, and what becomes of messages, to its Door.
package modbus

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/hawser-iot/hawser/edge-agent/gateway"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// Door is what lets sub-devices in.
type Door interface {
	Attach(d ident.Device, p gateway.Port) error
	Detach(d ident.Device, p gateway.Port)
	// Submit takes a message of an attached sub-device; done runs once.
	Submit(name string, payload []byte, qos byte, done func(error))
}

var _ Door = (*gateway.Gateway)(nil)

// Master works the lines of a configuration.
type Master struct{ buses []*bus }

// New returns a Master; it opens no line.
func New(cfgs []Config, door Door, log *slog.Logger) (*Master, error) {
	m := &Master{}
	for i := range cfgs {
		if err := cfgs[i].Check(); err != nil {
			return nil, fmt.Errorf("modbus: %w", err)
		}
		b, err := newBus(cfgs[i], door, log)
		if err != nil {
			return nil, err
		}
		m.buses = append(m.buses, b)
	}
	return m, nil
}

// Run works until ctx ends.
func (m *Master) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, b := range m.buses {
		wg.Go(func() { b.run(ctx) })
	}
	wg.Wait()
	return nil
}

// Resync asks for what was desired meanwhile of the devices that answer: the hub is in reach again.
func (m *Master) Resync() {
	for _, b := range m.buses {
		for _, u := range b.units {
			select {
			case b.work <- func() {
				if u.here {
					u.askDesired()
				}
			}:
			default: // too busy for more
				u.resync.Store(true)
			}
		}
	}
}
