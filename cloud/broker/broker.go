// Package broker is the MQTT door: it owns the engine of protocol/mqtt/server and tells it what connections mean.
//
// A CONNECT goes to auth and then takes its session in presence; a PUBLISH goes, when the session's permissions allow it, up
// the path; SUBSCRIBE of a persistent session is durable before its SUBACK. It promises that each of them is judged once, that
// whatever it refuses is counted with a reason, and that a device that is disabled, deleted or reset is cut off at once.
//
// The connections themselves, packet ids, keep-alive and acknowledgements are the engine's; queues are downlink's.
package broker

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hawser-iot/hawser/cloud/agentlink"
	"github.com/hawser-iot/hawser/cloud/application"
	"github.com/hawser-iot/hawser/cloud/auth"
	"github.com/hawser-iot/hawser/cloud/bus"
	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/presence"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/retained"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// Config is what a Broker needs to know.
type Config struct {
	Node         string        // this node's name
	Engine       server.Config // its keep-alive bounds are not used: see below
	KeepAliveMin uint16        // seconds; outside the bounds the connection is refused with 0x02
	KeepAliveMax uint16
	StoreWait    time.Duration // how long a SUBSCRIBE waits for the store
}

// DefaultConfig has the limits of the device protocol: 30 messages and 1,024 KB a second for a connection.
func DefaultConfig() Config {
	e := server.DefaultConfig()
	e.Rate, e.ByteRate = 30, 1024<<10
	return Config{Node: "hub", Engine: e, KeepAliveMin: 30, KeepAliveMax: 1200, StoreWait: 10 * time.Second}
}

// Validate names the first field that cannot work.
func (c Config) Validate() error {
	switch {
	case c.KeepAliveMin > c.KeepAliveMax:
		return errors.New("broker: KeepAliveMin is larger than KeepAliveMax")
	case c.StoreWait <= 0:
		return errors.New("broker: StoreWait must be greater than 0")
	}
	return c.Engine.Validate()
}

// Deps are the rooms behind the door.
type Deps struct {
	Auth     *auth.Service
	Presence *presence.Presence
	Downlink *downlink.Downlink
	Path     *uplink.Path
	Registry *registry.Registry
	Kept     *retained.Retained // of retained messages
	// Applications may be nil when auth lets none in.
	Applications *application.Applications
	Journal      Journal          // nil: nothing is kept of what devices do
	Agents       *agentlink.Links // nil: nobody speaks the agent channel
	// Listening is told of each device that has subscribed to something, behind its SUBACK; it must not block. nil: nobody wants to know.
	Listening func(deviceID int64)
	Bus       *bus.Bus
	Log       *slog.Logger
	Metrics   prometheus.Registerer // nil: not exported
}

// Broker is the engine's owner.
type Broker struct {
	cfg Config
	Deps
	engine  *server.Server
	metrics *metrics
}

var (
	_ server.Owner    = (*Broker)(nil)
	_ server.Keeper   = (*Broker)(nil)
	_ server.Expirer  = (*Broker)(nil)
	_ server.Retainer = (*Broker)(nil)
	_ server.Follower = (*Broker)(nil)
)

// New returns a Broker. It listens nowhere yet: see Serve, WebSocket and Run.
func New(cfg Config, deps Deps) *Broker {
	b := &Broker{cfg: cfg, Deps: deps}
	cfg.Engine.KeepAliveMin, cfg.Engine.KeepAliveMax = 0, 0 // judged in Connect, where the reason can be logged
	b.engine = server.New(cfg.Engine, b, deps.Log)
	b.metrics = newMetrics(deps.Metrics, b.engine)
	deps.Registry.Watch(b.changed)
	return b
}

// Serve takes connections from ln until ctx ends or Close; transport is "tcp", "tls" or "mem".
func (b *Broker) Serve(ctx context.Context, ln net.Listener, transport string) error {
	return b.engine.Serve(ctx, ln, transport)
}

// WebSocket upgrades to MQTT.
func (b *Broker) WebSocket() http.Handler { return b.engine.WebSocket() }

// Close stops accepting, gives acknowledgements in hand their time and closes the connections.
func (b *Broker) Close(ctx context.Context) error { return b.engine.Close(ctx) }

// Connections is the number of open connections.
func (b *Broker) Connections() int { return b.engine.Connections() }

// Stats are the engine's counters.
func (b *Broker) Stats() server.Stats { return b.engine.Stats() }

// Run hears from other nodes which of this one's sessions they have taken over, and looks after applications, until ctx ends.
func (b *Broker) Run(ctx context.Context) error {
	stop, err := b.Bus.Subscribe(presence.CutSubject(b.cfg.Node), b.cut)
	if err != nil {
		return err
	}
	defer stop()
	return b.runApps(ctx)
}
