// Package provision lets devices come into being: dynamic registration, and what gateways do for their sub-devices
// (register, topology, login, logout) and operators to them; device-protocol sections 2 and 8.
//
// Its handlers promise that a request is answered on its _reply topic, after what it asks for is committed; that a request with
// several sub-devices is checked whole before anything is done; and that asking again for what is so already succeeds.
//
// It leaves the connection of a gateway to broker, the sessions to presence.
package provision

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/presence"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Config bounds gateways.
type Config struct {
	MaxSubdevs int           // sub-devices logged in over one connection
	MaxParams  int           // sub-devices in one request
	MaxWaiting int           // sub-devices of a gateway that wait for an operator's consent
	Wait       time.Duration // how long one request may work
}

// DefaultConfig has the protocol's limits.
func DefaultConfig() Config {
	return Config{MaxSubdevs: 1000, MaxParams: 1000, MaxWaiting: 1000, Wait: 10 * time.Second}
}

// Deps are what provision stands on.
type Deps struct {
	Store    *store.DB
	Registry *registry.Registry
	Presence *presence.Presence
	Downlink *downlink.Downlink
	Log      *slog.Logger
	Metrics  prometheus.Registerer // nil: not exported
}

// Provision handles the password and subdev topics.
type Provision struct {
	cfg Config
	Deps
	requests *prometheus.CounterVec
	dropped  prometheus.Counter
	changes  chan registry.Change // of sub-devices: dropped and counted when full
}

// New returns a Provision. Run must be running for gateways to hear what operators do to their sub-devices.
func New(cfg Config, deps Deps) *Provision {
	f := promauto.With(deps.Metrics)
	p := &Provision{cfg: cfg, Deps: deps, changes: make(chan registry.Change, changesMax),
		requests: f.NewCounterVec(prometheus.CounterOpts{
			Name: "hawser_provision_requests_total", Help: "Requests of devices and gateways that were granted, by topic."}, []string{"kind"}),
		dropped: f.NewCounter(prometheus.CounterOpts{
			Name: "hawser_provision_notices_dropped_total", Help: "Changes of sub-devices that their gateways were not told of, because too many came at once."})}
	deps.Registry.Watch(p.changed)
	return p
}

// handlerFunc makes a method a Handler.
type handlerFunc func(context.Context, *uplink.Message) error

// Handle implements uplink.Handler.
func (f handlerFunc) Handle(ctx context.Context, m *uplink.Message) error { return f(ctx, m) }

// Handlers are the topics that provision answers, for uplink.Config.
func (p *Provision) Handlers() map[topic.Kind]uplink.Handler {
	return map[topic.Kind]uplink.Handler{
		topic.Password:       passwords{p},
		topic.SubdevRegister: p.gateway(p.register),
		topic.TopoAdd:        p.gateway(p.add),
		topic.TopoDelete:     p.gateway(p.remove),
		topic.TopoGet:        p.gateway(p.list),
		topic.TopoFound:      handlerFunc(found),
		topic.SubdevLogin:    p.gateway(p.login),
		topic.SubdevLogout:   p.gateway(p.logout),
	}
}

// connection is the session of the connection that m came over.
func connection(m *uplink.Message) (*presence.Session, bool) {
	if m.From == nil {
		return nil, false
	}
	s, ok := m.From.Data().(*presence.Session)
	return s, ok
}

var markRegistered = store.NewStmt(`UPDATE device SET registered = 1 WHERE id = ?`)

// password hands a registering device its secret, the same one until it has logged in with it.
func (p *Provision) password(ctx context.Context, m *uplink.Message) error {
	id, code := m.RequestID()
	if !code.OK() {
		return p.refusePassword(m, id, code)
	}
	s, ok := connection(m)
	if !ok || !s.Restricted {
		return p.refusePassword(m, id, message.CodeNoPermission)
	}
	dev, err := p.Registry.Device(ctx, m.Device)
	switch {
	case errors.Is(err, registry.ErrDeviceNotFound):
		return p.refusePassword(m, id, message.CodeNoSuchDevice)
	case err != nil:
		return err
	case dev.State == registry.Disabled:
		return p.refusePassword(m, id, message.CodeDisabled)
	case !dev.Activated.IsZero():
		return p.refusePassword(m, id, message.CodeNoPermission)
	}
	p.requests.WithLabelValues(m.Topic.Kind.String()).Inc()
	m.Stage(store.Op{Stmt: markRegistered, Args: []any{dev.ID}, Want: -1})
	return m.Reply(topic.PasswordReply, "", message.NewPasswordReply(message.RequestID(id), dev.Secret.Reveal()))
}

// passwords is the handler of dynamic registration, whose answers have a form of their own.
type passwords struct{ *Provision }

var _ uplink.Excuser = passwords{}

// Handle implements uplink.Handler.
func (p passwords) Handle(ctx context.Context, m *uplink.Message) error { return p.password(ctx, m) }

// Excuse implements uplink.Excuser.
func (p passwords) Excuse(m *uplink.Message, code message.Code) error {
	id, _ := m.RequestID()
	return m.Reply(topic.PasswordReply, "", message.RefusePassword(message.RequestID(id), code))
}

func (p *Provision) refusePassword(m *uplink.Message, id string, c message.Code) error {
	if err := m.Reply(topic.PasswordReply, "", message.RefusePassword(message.RequestID(id), c)); err != nil {
		return err
	}
	return uplink.Refuse(c, "")
}

// found is passed to rules; the application answers it, not the hub.
func found(_ context.Context, m *uplink.Message) error {
	_, err := m.Doc()
	return err
}

// request is one gateway's request, read and checked.
type request struct {
	*uplink.Message
	gateway *presence.Session
	id      message.RequestID
	params  []message.Subdev
}

// gateway wraps what all requests of gateways have in common.
func (p *Provision) gateway(f func(context.Context, *request) error) uplink.Handler {
	return handlerFunc(func(ctx context.Context, m *uplink.Message) error {
		s, ok := connection(m)
		if !ok || s.Device.Identity != m.Device {
			return uplink.Refuse(message.CodeNoPermission, "only over the gateway's own connection")
		}
		id, code := m.RequestID()
		if !code.OK() {
			return uplink.Refuse(code, "RequestID is missing or malformed")
		}
		r := &request{Message: m, gateway: s, id: message.RequestID(id)}
		if err := p.readParams(r); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, p.cfg.Wait)
		defer cancel()
		if err := f(ctx, r); err != nil {
			return err
		}
		p.requests.WithLabelValues(m.Topic.Kind.String()).Inc()
		return nil
	})
}

// readParams takes Params out of the request; topo/get has none.
func (p *Provision) readParams(r *request) error {
	if r.Topic.Kind == topic.TopoGet {
		return nil
	}
	var body message.SubdevRequest
	if err := codec.Unmarshal(r.Payload, &body); err != nil {
		return uplink.Refuse(message.CodeBad, "Params must be a list of ProductSN and DeviceSN")
	}
	switch {
	case len(body.Params) == 0:
		return uplink.Refuse(message.CodeMissing, "Params is missing or empty")
	case len(body.Params) > p.cfg.MaxParams:
		return uplink.Refuse(message.CodeRange, "too many sub-devices in one request")
	}
	for _, sub := range body.Params {
		if sub.Device().Check() != nil {
			return uplink.Refuse(message.CodeBad, "malformed ProductSN or DeviceSN in Params")
		}
	}
	r.params = body.Params
	return nil
}

// done answers a request that has nothing to give back.
func (r *request) done() error {
	return r.Reply(r.Topic.Kind.Reply(), "", message.SubdevReply{RequestID: r.id, Message: message.CodeOK.Text()})
}

// answer gives data back, in as many replies with the same RequestID as the gateway's buffer needs.
func (r *request) answer(data []message.Subdev) error {
	kind := r.Topic.Kind.Reply()
	limit := r.Limit(kind)
	for {
		n := fitting(r.id, data, limit)
		if err := r.Reply(kind, "", message.SubdevReply{RequestID: r.id, Data: data[:n], Message: message.CodeOK.Text()}); err != nil {
			return err
		}
		if data = data[n:]; len(data) == 0 {
			return nil
		}
	}
}

// fitting is how many entries of data fit a reply of limit bytes; one at least. JSON is the larger form.
func fitting(id message.RequestID, data []message.Subdev, limit int) int {
	size := len(`{"RequestID":"","RetCode":0,"Data":[],"Message":""}`) + len(id) + len(message.CodeOK.Text())
	for i, sub := range data {
		entry := len(`{"ProductSN":"","DeviceSN":""},`) + len(sub.ProductSN) + len(sub.DeviceSN)
		if sub.DeviceSecret != "" {
			entry += len(`,"DeviceSecret":""`) + len(sub.DeviceSecret)
		}
		if size += entry; size > limit && i > 0 {
			return i
		}
	}
	return len(data)
}
