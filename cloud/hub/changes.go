package hub

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/api"
	"github.com/hawser-iot/hawser/cloud/bus"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/protocol/ident"
)

const (
	changeSubject  = "hawser.registry.change"
	accountSubject = "hawser.account.change"
)

// changes tells the other nodes what was changed on this one, and this one what was changed on others, so that caches
// are dropped and sessions cut off everywhere. A node that misses one is set right by the next read of the store.
type changes struct {
	node string
	bus  *bus.Bus
	reg  *registry.Registry
	log  *slog.Logger
	// accounts' changes are small, and applied without telling their own watchers.
	accounts *account.Accounts

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
	c.accounts.Watch(c.localAccount)
	stopRegistry, err := c.bus.Subscribe(changeSubject, c.remote)
	if err != nil {
		return nil, err
	}
	stopAccounts, err := c.bus.Subscribe(accountSubject, c.remoteAccount)
	if err != nil {
		stopRegistry()
		return nil, err
	}
	return func() { stopAccounts(); stopRegistry() }, nil
}

// accountChange is a change of keys, sessions, users or projects on the bus.
type accountChange struct {
	Node   string
	Change account.Change
}

func (c *changes) localAccount(ch account.Change) {
	b, err := json.Marshal(accountChange{c.node, ch})
	if err == nil {
		err = c.bus.Publish(accountSubject, b)
	}
	if err != nil {
		c.log.Warn("other nodes not told of a change; they see it with their next read of the store", "change", string(ch.Kind), "id", ch.ID, "err", err)
	}
}

func (c *changes) remoteAccount(_ string, b []byte) []byte {
	var ch accountChange
	if err := json.Unmarshal(b, &ch); err != nil {
		c.log.Warn("change of another node not understood", "err", err)
		return nil
	}
	if ch.Node != c.node {
		c.accounts.Apply(ch.Change)
	}
	return nil
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
