package device

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Gateway is a device that carries sub-devices over its connection (section 8 of the device protocol): it adds them to its topology,
// logs them in, and again after each lost connection, and publishes and subscribes for them.
type Gateway struct {
	*Device
	onNotice func(ctx context.Context, n Notice)

	// children guards the fields below.
	children sync.Mutex
	members  map[ident.Device]*child
}

// Subdevice is a device behind a gateway. Secret proves to the hub that the gateway knows it, where its product asks for that; it
// may be empty.
type Subdevice struct {
	Product, SN string
	Secret      credential.Secret
}

func (s Subdevice) id() ident.Device { return ident.Device{Product: s.Product, SN: s.SN} }

// child is a sub-device that is to be logged in.
type child struct {
	sub     Subdevice
	handles map[string]func(ctx context.Context, m Message) // by filter
}

// Notice is what the hub tells a gateway of its sub-devices: "add" and "remove" of the topology, "enable", "disable", and "delete"
// of the devices themselves.
type Notice struct {
	What       string
	Subdevices []Subdevice
}

// notices are the topics of notices.
var notices = map[topic.Kind]string{topic.TopoNotifyAdd: "add", topic.TopoNotifyDelete: "remove", topic.SubdevEnable: "enable",
	topic.SubdevDisable: "disable", topic.SubdevDelete: "delete"}

// NewGateway is New for a device of a product of kind gateway.
func NewGateway(cfg Config, log *slog.Logger) (*Gateway, error) {
	d, err := New(cfg, log)
	if err != nil {
		return nil, err
	}
	g := &Gateway{Device: d, members: map[ident.Device]*child{}}
	d.link.OnUp(g.up)
	d.link.HandleRest(g.deliver)
	return g, nil
}

// HandleNotices has the hub's notices handled by f. Call it before Run.
func (g *Gateway) HandleNotices(ctx context.Context, f func(ctx context.Context, n Notice)) error {
	g.onNotice = f
	var errs []error
	for kind, what := range notices {
		errs = append(errs, g.listen(ctx, kind, func(ctx context.Context, payload []byte) { g.notice(ctx, what, payload) }))
	}
	return errors.Join(errs...)
}

func (g *Gateway) notice(ctx context.Context, what string, payload []byte) {
	var req message.SubdevRequest
	if err := codec.Unmarshal(payload, &req); err != nil {
		g.log.Warn("a notice about sub-devices can't be decoded", "err", err)
		return
	}
	n := Notice{What: what}
	for _, p := range req.Params {
		n.Subdevices = append(n.Subdevices, Subdevice{p.ProductSN, p.DeviceSN, credential.Secret(p.DeviceSecret)})
	}
	g.onNotice(ctx, n)
}

// Add puts sub-devices into the gateway's topology; a gateway that had one loses it. A product that wants an operator's consent
// refuses until that is given.
func (g *Gateway) Add(ctx context.Context, subs ...Subdevice) error {
	return g.topology(ctx, topic.TopoAdd, subs, nil)
}

// Remove takes sub-devices out of the topology; those that are logged in are logged out.
func (g *Gateway) Remove(ctx context.Context, subs ...Subdevice) error {
	g.forget(subs)
	return g.topology(ctx, topic.TopoDelete, subs, nil)
}

// Subdevices lists the topology, without secrets.
func (g *Gateway) Subdevices(ctx context.Context) ([]Subdevice, error) {
	id := g.requestID()
	var reply message.SubdevReply
	if err := g.request(ctx, topic.TopoGet, topic.TopoGetReply, id, message.Request{RequestID: id}, &reply); err != nil {
		return nil, err
	}
	list := make([]Subdevice, 0, len(reply.Data))
	for _, d := range reply.Data {
		list = append(list, Subdevice{Product: d.ProductSN, SN: d.DeviceSN})
	}
	return list, nil
}

// Login brings sub-devices online, and again after each lost connection until Logout.
func (g *Gateway) Login(ctx context.Context, subs ...Subdevice) error {
	if err := g.topology(ctx, topic.SubdevLogin, subs, nil); err != nil {
		return err
	}
	g.children.Lock()
	defer g.children.Unlock()
	for _, s := range subs {
		if g.members[s.id()] == nil {
			g.members[s.id()] = &child{sub: s, handles: map[string]func(context.Context, Message){}}
		}
	}
	return nil
}

// Logout takes sub-devices offline.
func (g *Gateway) Logout(ctx context.Context, subs ...Subdevice) error {
	g.forget(subs)
	return g.topology(ctx, topic.SubdevLogout, subs, nil)
}

func (g *Gateway) forget(subs []Subdevice) {
	g.children.Lock()
	defer g.children.Unlock()
	for _, s := range subs {
		delete(g.members, s.id())
	}
}

func (g *Gateway) topology(ctx context.Context, kind topic.Kind, subs []Subdevice, reply any) error {
	req := message.SubdevRequest{RequestID: g.requestID()}
	for _, s := range subs {
		p := message.NewSubdev(s.id())
		if s.Secret != "" {
			p.Sign = credential.SignSubdev(s.Secret, s.id())
		}
		req.Params = append(req.Params, p)
	}
	return g.request(ctx, kind, kind.Reply(), req.RequestID, req, reply)
}

// PublishFor sends a payload on a custom topic of a sub-device that is logged in, with QoS 1, and returns when the hub has
// acknowledged it.
func (g *Gateway) PublishFor(ctx context.Context, s Subdevice, path string, payload []byte) error {
	return g.publish(ctx, topic.Name(s.id(), path), 1, payload)
}

// SubscribeFor hands the messages of a custom topic of a sub-device that is logged in to handle; path may hold + and #.
func (g *Gateway) SubscribeFor(ctx context.Context, s Subdevice, path string, handle func(ctx context.Context, m Message)) error {
	filter := topic.Name(s.id(), path)
	g.children.Lock()
	c := g.members[s.id()]
	if c != nil {
		c.handles[filter] = handle
	}
	g.children.Unlock()
	if c == nil {
		return fmt.Errorf("device: sub-device %s is not logged in", s.id())
	}
	return g.link.SubscribeOnce(ctx, filter, 1)
}

// up logs the sub-devices in again over a new connection.
func (g *Gateway) up(ctx context.Context) {
	g.children.Lock()
	var subs []Subdevice
	var filters []string
	for _, c := range g.members {
		subs = append(subs, c.sub)
		filters = slices.AppendSeq(filters, maps.Keys(c.handles))
	}
	g.children.Unlock()
	if len(subs) == 0 {
		return
	}
	if err := g.topology(ctx, topic.SubdevLogin, subs, nil); err != nil {
		g.log.Warn("sub-devices are not logged in again", "err", err)
		return
	}
	for _, f := range filters {
		if err := g.link.SubscribeOnce(ctx, f, 1); err != nil {
			g.log.Warn("a sub-device's subscription is not taken", "topic", f, "err", err)
		}
	}
}

// deliver takes what comes for sub-devices.
func (g *Gateway) deliver(ctx context.Context, m link.Message) {
	t, err := topic.Parse(m.Topic)
	if err != nil {
		return
	}
	g.children.Lock()
	var to []func(context.Context, Message)
	if c := g.members[t.Device]; c != nil {
		for f, handle := range c.handles {
			if topic.Match(f, m.Topic) {
				to = append(to, handle)
			}
		}
	}
	g.children.Unlock()
	for _, handle := range to {
		handle(ctx, Message{Topic: m.Topic, Path: t.Tail, Payload: m.Payload, QoS: m.QoS})
	}
}
