package hub

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"

	"github.com/hawser-iot/hawser/cloud/api"
	"github.com/hawser-iot/hawser/cloud/bus"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/protocol/ident"
)

const changeSubject = "hawser.registry.change"

// changes tells the other nodes what was changed on this one, and this one what was changed on others, so that caches
// are dropped and sessions cut off everywhere. A node that misses one is set right by the next read of the store.
type changes struct {
	node string
	bus  *bus.Bus
	reg  *registry.Registry
	log  *slog.Logger

	// applying holds what is being applied for another node: it must not go round again.
	applying sync.Map
}

// nodeChange is a change on the bus.
type nodeChange struct {
	Node   string
	Change registry.Change
}

// start begins to listen; it returns what ends that.
func (c *changes) start() (stop func(), err error) {
	c.reg.Watch(c.local)
	return c.bus.Subscribe(changeSubject, c.remote)
}

func (c *changes) local(ch registry.Change) {
	if _, fromOther := c.applying.LoadAndDelete(ch); fromOther {
		return
	}
	b, err := json.Marshal(nodeChange{c.node, ch})
	if err == nil {
		err = c.bus.Publish(changeSubject, b)
	}
	if err != nil {
		c.log.Warn("other nodes not told of a change", "change", ch.Kind.String(), "product", ch.Product, "device", ch.Device.SN, "err", err)
	}
}

func (c *changes) remote(_ string, b []byte) []byte {
	var ch nodeChange
	if err := json.Unmarshal(b, &ch); err != nil {
		c.log.Warn("change of another node not understood", "err", err)
		return nil
	}
	if ch.Node != c.node {
		c.applying.Store(ch.Change, true)
		c.reg.Apply(ch.Change)
	}
	return nil
}

// freshDevices reads a device from the store each time: the snapshot in memory does not know whether the device has come
// or gone on another node.
type freshDevices struct{ *registry.Registry }

// Device returns the device as it is stored now.
func (f freshDevices) Device(ctx context.Context, id ident.Device) (*registry.Device, error) {
	d, err := f.Registry.Device(ctx, id)
	if err != nil {
		return nil, err
	}
	f.Invalidate(d.ID)
	return f.Registry.Device(ctx, id)
}

// devices are the registry's as the API sees them.
func (h *Hub) devices() api.Devices {
	if h.cfg.NATSURL == "" {
		return h.registry // alone, it knows it all
	}
	return freshDevices{h.registry}
}
