//go:build !core

package agent

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hawser-iot/hawser/edge-agent/depot"
	"github.com/hawser-iot/hawser/edge-agent/driver"
	"github.com/hawser-iot/hawser/edge-agent/gateway"
	"github.com/hawser-iot/hawser/edge-agent/localapi"
	"github.com/hawser-iot/hawser/edge-agent/modbus"
	"github.com/hawser-iot/hawser/edge-agent/route"
	"github.com/hawser-iot/hawser/edge-agent/shadowsync"
	"github.com/hawser-iot/hawser/edge-agent/state"
	"github.com/hawser-iot/hawser/edge-agent/uplink"
	"github.com/hawser-iot/hawser/protocol/agentmsg"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Variant says which halves this program has: core or gateway.
const Variant = "gateway"

// gatewayLAN is the door with what is behind it. A message walks door → shadows → depot → routes → way up, and back.
type gatewayLAN struct {
	*gateway.Gateway
	shadows *shadowsync.Syncer
	depot   *depot.Depot // nil when sub-devices take their own firmware
	routes  *route.Router
	file    string // of the routes, "" is none
	modbus  *modbus.Master
	// drivers are programs; what they and the lines bring in comes through the door like others.
	drivers []*driver.Driver
}

var _ lan = (*gatewayLAN)(nil)

// openLAN opens the door for sub-devices.
func openLAN(cfg *Config, up *uplink.Uplink, kept *state.Store, log *slog.Logger) (lan, error) {
	gc, err := cfg.gateway()
	if err != nil {
		return nil, err
	}
	gc.State = kept.Bucket("gateway")
	l := &gatewayLAN{file: cfg.Routes}
	l.routes = route.New(cfg.routes(), up, func(d ident.Device) ([]byte, bool) { return l.shadows.Document(d) }, log)
	if err := l.reload(); err != nil {
		return nil, err
	}
	if l.depot, err = cfg.depot(l.routes, up, log); err != nil {
		return nil, err
	}
	if err := l.open(cfg, gc, kept, log); err != nil {
		return nil, errors.Join(err, l.closeDepot())
	}
	up.OnUp(l.shadows.Connected)
	if l.modbus, err = modbus.New(cfg.Modbus, l.Gateway, log); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	for i := range cfg.Drivers {
		dc, err := cfg.Drivers[i].driver()
		if err != nil {
			return nil, errors.Join(err, l.Close())
		}
		d, err := driver.New(dc, l.Gateway, log)
		if err != nil {
			return nil, errors.Join(err, l.Close())
		}
		l.drivers = append(l.drivers, d)
	}
	up.OnUp(func(context.Context) { l.modbus.Resync() })
	return l, nil
}

// open makes the shadows and the door before what is there. The doors are opened last, and serve nobody before Run.
func (l *gatewayLAN) open(cfg *Config, gc gateway.Config, kept *state.Store, log *slog.Logger) (err error) {
	var above shadowsync.Up = l.routes
	if l.depot != nil {
		above = l.depot
	}
	if l.shadows, err = cfg.shadows(above, kept, log); err != nil {
		return err
	}
	gc.HTTP.Handler = l.shadows
	if l.Gateway, err = gateway.New(gc, l.shadows, log); err != nil {
		return err
	}
	l.routes.Serve(l.shadows)
	l.shadows.Serve(l.Gateway)
	if l.depot != nil {
		l.depot.Serve(l.Gateway)
	}
	l.listenOwn(cfg)
	return nil
}

// listenOwn asks for what the hub has for the gateway itself, when there is somebody to whom it is something: routes, or applications that may see it.
func (l *gatewayLAN) listenOwn(cfg *Config) {
	own := cfg.own()
	var subs []server.Subscription
	if cfg.Routes != "" {
		subs = append(subs, server.Subscription{Filter: topic.Name(own, "#"), QoS: 1})
	}
	for _, a := range cfg.Applications {
		for _, f := range a.Subscribe {
			if d, ok := topic.DeviceOf(f); ok && d == own {
				subs = append(subs, server.Subscription{Filter: f, QoS: 1})
			}
		}
	}
	if len(subs) > 0 || cfg.Shadows.Gateway {
		l.shadows.Attached(own)
		l.shadows.Wanted(own, subs)
	}
}

// Close gives up what openLAN opened, when Run was never called.
func (l *gatewayLAN) Close() error { return errors.Join(l.Gateway.Close(), l.closeDepot()) }

func (l *gatewayLAN) closeDepot() error {
	if l.depot == nil {
		return nil
	}
	return l.depot.Close()
}

// reload reads the routes again.
func (l *gatewayLAN) reload() error {
	if l.file == "" {
		return nil
	}
	return l.routes.LoadFile(l.file)
}

// Run serves until ctx ends.
func (l *gatewayLAN) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return l.Gateway.Run(ctx) })
	g.Go(func() error { return l.routes.Run(ctx) })
	g.Go(func() error { return l.shadows.Run(ctx) })
	g.Go(func() error { return l.modbus.Run(ctx) })
	for _, d := range l.drivers {
		g.Go(func() error { return d.Run(ctx) })
	}
	if l.depot != nil {
		g.Go(func() error { return l.depot.Run(ctx) })
	}
	return g.Wait()
}

// Shadows are those of the gateway and its sub-devices.
func (l *gatewayLAN) Shadows() *shadowsync.Syncer { return l.shadows }

// Connections is how many are connected.
func (l *gatewayLAN) Connections() int { return int(l.Stats().Connections) }

// Firmware takes firmware for sub-devices.
func (l *gatewayLAN) Firmware() subfirmware {
	if l.depot == nil {
		return nil
	}
	return l.depot
}

// Routes counts what the routes did.
func (l *gatewayLAN) Routes() []agentmsg.Route {
	stats, _ := l.routes.Stats()
	list := make([]agentmsg.Route, 0, len(stats))
	for _, s := range stats {
		list = append(list, agentmsg.Route{Name: s.Name, Matched: s.Matched, Failed: s.Failed, Sent: s.Sent, Waiting: s.Waiting, Dropped: s.Undelivered})
	}
	return list
}

// Deliver takes a message from the hub through the routes, but for what is said to the depot.
func (l *gatewayLAN) Deliver(d ident.Device, name string, payload []byte, qos byte) error {
	if l.depot != nil && l.depot.Take(d, name, payload) {
		return nil
	}
	return l.routes.Deliver(d, name, payload, qos)
}

// Commands are what the agent answers at its socket for this half.
func (l *gatewayLAN) Commands() map[string]localapi.Handler {
	return map[string]localapi.Handler{
		commandReload: func(context.Context, json.RawMessage) (any, error) { return nil, l.reload() },
		commandRoutes: func(context.Context, json.RawMessage) (any, error) {
			s := RouteStatus{}
			s.Routes, s.Overrun = l.routes.Stats()
			return s, nil
		},
		commandDrivers: func(context.Context, json.RawMessage) (any, error) {
			list := make([]driver.Stats, 0, len(l.drivers))
			for _, d := range l.drivers {
				list = append(list, d.Stats())
			}
			return list, nil
		},
	}
}

// RouteStatus is what RoutesOf returns.
type RouteStatus struct {
	Routes  []route.Stats `json:"routes"`
	Overrun int64         `json:"overrun"` // results that went round too often
}

const (
	commandReload  = "reload"
	commandRoutes  = "routes"
	commandDrivers = "drivers"
)

// Drivers asks the running agent for its drivers.
func Drivers(ctx context.Context, cfg Config) (list []driver.Stats, err error) {
	err = localapi.Call(ctx, cfg.SocketPath(), commandDrivers, nil, &list)
	return list, err
}

// CheckDriver holds a driver to the protocol, and writes what it does and does not to out.
func CheckDriver(ctx context.Context, command []string, settings []byte, wait time.Duration, out io.Writer) error {
	return driver.Check(ctx, command, settings, wait, out)
}

// Reload has the running agent read its routes again; a file that is wrong is refused, and the routes in force stay.
func Reload(ctx context.Context, cfg Config) error {
	return localapi.Call(ctx, cfg.SocketPath(), commandReload, nil, nil)
}

// Routes asks the running agent for the counters of its routes.
func Routes(ctx context.Context, cfg Config) (s RouteStatus, err error) {
	err = localapi.Call(ctx, cfg.SocketPath(), commandRoutes, nil, &s)
	return s, err
}

// gateway is the sub-device as the door takes it.
func (s Subdevice) gateway() gateway.Subdevice {
	return gateway.Subdevice{Device: ident.Device{Product: s.Product, SN: s.Device}, Secret: s.Secret, Sleep: time.Duration(s.Sleep)}
}
