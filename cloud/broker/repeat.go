package broker

import (
	"context"

	"github.com/hawser-iot/hawser/cloud/presence"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// origin is how a publish is known when it comes again: one at QoS 1 in a persistent session.
func origin(es *server.Session, p *server.Publish) uplink.Origin {
	if p.QoS != 1 || p.Will || !session(es).Persistent() {
		return uplink.Origin{}
	}
	return uplink.OriginOf(session(es).Device.ID, p.PacketID, p.Topic, p.Payload)
}

// repeated ends a publish that is marked as a repeat of one that is committed. It is false for all others, which is nearly all: then p goes on.
func (b *Broker) repeated(es *server.Session, s *presence.Session, p *server.Publish) bool {
	if !p.Dup {
		return false
	}
	o := origin(es, p)
	if o.Packet == 0 {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), b.cfg.StoreWait)
	defer cancel()
	id, ok, err := b.Presence.Seen(ctx, session(es), o)
	if err != nil {
		b.Log.Warn("repeat not taken", "product", s.Device.Identity.Product, "device", s.Device.Identity.SN, "topic", p.Topic, "err", err)
		p.Done(server.ErrUnavailable)
		return true
	}
	if !ok {
		return false
	}
	b.metrics.repeats.Inc()
	b.Log.Debug("repeat of a message that is stored", "product", s.Device.Identity.Product, "device", s.Device.Identity.SN, "topic", p.Topic, "message_id", id)
	b.behaved(Behaviour{Device: s.Device.Identity, Action: ActionPublish, Result: uplink.OK, Reason: "repeat", Detail: id.String(), Topic: p.Topic,
		Payload: p.Payload, QoS: p.QoS})
	p.Done(nil)
	return true
}
