package hub

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/actionapi"
	"github.com/hawser-iot/hawser/cloud/api"
	"github.com/hawser-iot/hawser/cloud/bus"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/connector"
	"github.com/hawser-iot/hawser/protocol/ident"
)

const (
	changeSubject  = "hawser.registry.change"
	accountSubject = "hawser.account.change"
	// connectorSubject tells of connectors by their id.
	connectorSubject = "hawser.connector.change"
	ruleSubject      = "hawser.rule.change"
)

// applyTimeout bounds reading what another node has changed.
const applyTimeout = 5 * time.Second

// changes tells the other nodes what was changed on this one, and this one what was changed on others, so that caches
// are dropped and sessions cut off everywhere. A node that misses one is set right by the next read of the store.
type changes struct {
	node string
	bus  *bus.Bus
	reg  *registry.Registry
	log  *slog.Logger
	// accounts' changes are small, and applied without telling their own watchers.
	accounts *account.Accounts
	// connectors is set before start.
	connectors *connector.Connectors
	// rules look by themselves what has changed.
	rules *rules.Rules
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
	stopConnectors, err := c.bus.Subscribe(connectorSubject, c.remoteConnector)
	if err != nil {
		stopAccounts()
		stopRegistry()
		return nil, err
	}
	stopRules, err := c.bus.Subscribe(ruleSubject, c.remoteRules)
	if err != nil {
		stopConnectors()
		stopAccounts()
		stopRegistry()
		return nil, err
	}
	return func() { stopRules(); stopConnectors(); stopAccounts(); stopRegistry() }, nil
}

// rulesChanged tells the other nodes that rules were changed on this one.
func (c *changes) rulesChanged() {
	if err := c.bus.Publish(ruleSubject, []byte(c.node)); err != nil {
		c.log.Warn("other nodes not told that rules have changed; they see it in a second or two", "err", err)
	}
}

func (c *changes) remoteRules(_ string, node []byte) []byte {
	if string(node) != c.node {
		c.rules.Changed()
	}
	return nil
}

// connectorChange is a connector that was made, changed or deleted, on the bus.
type connectorChange struct {
	Node string
	ID   int64
}

func (c *changes) localConnector(id int64) {
	b, err := json.Marshal(connectorChange{c.node, id})
	if err == nil {
		err = c.bus.Publish(connectorSubject, b)
	}
	if err != nil {
		c.log.Warn("other nodes not told of a connector's change; they see it within seconds", "id", id, "err", err)
	}
}

func (c *changes) remoteConnector(_ string, b []byte) []byte {
	var ch connectorChange
	err := json.Unmarshal(b, &ch)
	if err == nil && ch.Node != c.node {
		ctx, cancel := context.WithTimeout(context.Background(), applyTimeout)
		defer cancel()
		err = c.connectors.Apply(ctx, ch.ID)
	}
	if err != nil {
		c.log.Warn("connector's change on another node not followed; it is seen within seconds", "err", err)
	}
	return nil
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
	if ch.Remote { // it must not go round again
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
		ch.Change.Remote = true
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

// actionDevices are the same as the Action API sees them.
func (h *Hub) actionDevices() actionapi.Devices {
	if h.cfg.NATSURL == "" {
		return h.registry
	}
	return freshDevices{h.registry}
}
