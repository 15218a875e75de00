package provision

import (
	"context"
	"errors"

	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// named is devs as messages name them, with or without their secrets.
func named(devs []*registry.Device, secrets bool) []message.Subdev {
	list := message.NoSubdevs()
	for _, dev := range devs {
		sub := message.NewSubdev(dev.Identity)
		if secrets {
			sub.DeviceSecret = dev.Secret.Reveal()
		}
		list = append(list, sub)
	}
	return list
}

// notice is a message to a gateway about as many of list as fit limit, and what is left of list.
func (p *Provision) notice(list []message.Subdev, limit int) (message.SubdevRequest, []message.Subdev) {
	id := message.RequestID(p.Downlink.NextRequestID())
	n := fitting(id, list, limit)
	return message.SubdevRequest{RequestID: id, Params: list[:n]}, list[n:]
}

// notify tells a gateway what the cloud did to sub-devices. A gateway that is away with a persistent session is told when it comes
// back; one without finds it with its next topo/get or login.
func (p *Provision) notify(ctx context.Context, gateway int64, kind topic.Kind, devs []*registry.Device) {
	p.tell(ctx, gateway, kind, named(devs, kind == topic.TopoNotifyAdd || kind == topic.TopoNotifyDelete))
}

func (p *Provision) tell(ctx context.Context, gateway int64, kind topic.Kind, list []message.Subdev) {
	gw, err := p.Registry.DeviceByID(ctx, gateway)
	if err != nil {
		if !errors.Is(err, registry.ErrDeviceNotFound) { // then nobody is left to tell
			p.Log.Warn("gateway not told of its sub-devices", "gateway", gateway, "topic", kind.String(), "err", err)
		}
		return
	}
	name := topic.System(gw.Identity, kind)
	buffer, err := p.Downlink.Buffer(ctx, gw.Identity)
	if err != nil {
		buffer = 0 // what every device takes
	}
	for len(list) > 0 {
		var body message.SubdevRequest
		body, list = p.notice(list, uplink.PayloadLimit(buffer, name))
		payload, err := codec.Marshal(codec.JSON, body)
		if err == nil {
			_, err = p.Downlink.Send(ctx, downlink.Message{Device: gw.Identity, Topic: name, Payload: payload, QoS: 1, Queue: true})
		}
		if err != nil {
			p.Log.Info("gateway not told of its sub-devices", "product", gw.Identity.Product, "device", gw.Identity.SN, "topic", kind.String(), "err", err)
		}
	}
}

// changesMax bounds the changes of sub-devices that wait for Run to tell their gateways. More are dropped and counted; the sessions
// end all the same.
const changesMax = 8192

// changed takes note of what an operator did to a sub-device, on the node where it was done.
func (p *Provision) changed(c registry.Change) {
	if c.Remote || noticeOf(c.Kind) == topic.Invalid || c.Kind == registry.DeviceDeleted && c.Gateway == 0 {
		return
	}
	if product, err := p.Registry.Product(context.Background(), c.Product); err == nil && product.Kind != registry.KindSubdevice {
		return
	}
	select {
	case p.changes <- c:
	default:
		p.dropped.Inc()
	}
}

// noticeOf is the topic on which a gateway is told of a change, Invalid for changes that do not concern it.
func noticeOf(k registry.ChangeKind) topic.Kind {
	switch k {
	case registry.DeviceEnabled:
		return topic.SubdevEnable
	case registry.DeviceDisabled:
		return topic.SubdevDisable
	case registry.DeviceDeleted:
		return topic.SubdevDelete
	}
	return topic.Invalid
}

// noticesAtOnce is how many changes are told in one go, so that a bulk action makes few messages.
const noticesAtOnce = 256

// Run tells gateways what operators did to their sub-devices until ctx ends.
func (p *Provision) Run(ctx context.Context) error {
	for {
		var list []registry.Change
		select {
		case <-ctx.Done():
			return nil
		case c := <-p.changes:
			list = append(list, c)
		}
		for len(list) < noticesAtOnce && len(p.changes) > 0 {
			list = append(list, <-p.changes)
		}
		p.report(ctx, list)
	}
}

// report tells each gateway of its sub-devices' changes, in order; neighbours of one kind make one message.
func (p *Provision) report(ctx context.Context, list []registry.Change) {
	type run struct {
		gateway int64
		kind    topic.Kind
		subs    []message.Subdev
	}
	var runs []*run
	last := map[int64]*run{}
	for _, c := range list {
		gateway := p.gatewayOf(ctx, c)
		if gateway == 0 {
			continue
		}
		r := last[gateway]
		if kind := noticeOf(c.Kind); r == nil || r.kind != kind {
			r = &run{gateway: gateway, kind: kind}
			runs, last[gateway] = append(runs, r), r
		}
		r.subs = append(r.subs, message.NewSubdev(c.Device))
	}
	for _, r := range runs {
		p.tell(ctx, r.gateway, r.kind, r.subs)
	}
}

// gatewayOf is the device id of the gateway that has, or had, a changed sub-device; 0 for none.
func (p *Provision) gatewayOf(ctx context.Context, c registry.Change) int64 {
	if c.Kind == registry.DeviceDeleted {
		return c.Gateway
	}
	owners, err := p.owners(ctx, []*registry.Device{{ID: c.DeviceID}})
	if err != nil {
		p.Log.Warn("gateway of a changed sub-device not found", "device", c.Device, "err", err)
	}
	return owners[c.DeviceID]
}
