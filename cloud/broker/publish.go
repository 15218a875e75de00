package broker

import (
	"context"
	"errors"

	"github.com/hawser-iot/hawser/cloud/presence"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Reasons for which a publish is refused before the path. Before MQTT 5.0, which has the codes, the engine acknowledges and counts it.
var (
	errForeignTopic = &server.Rejection{Code: packet.Unauthorized, Reason: "the device may not publish to this topic"}
	errNoScript     = &server.Rejection{Code: packet.ImplementationSpecific, Reason: "the product has no parse script"}
)

// Publish implements server.Owner.
func (b *Broker) Publish(es *server.Session, p *server.Publish) {
	if a, ok := app(es); ok {
		b.publishApp(a, p)
		return
	}
	s, t, ok := session(es).MayPublish(p.Topic)
	if !ok {
		b.deny(session(es), p, "publish", errForeignTopic)
		return
	}
	if err := tooLarge(s, p); err != nil {
		b.deny(s, p, "size", err)
		return
	}
	if t.Parse {
		b.deny(s, p, "parse", errNoScript)
		return
	}
	m := b.fill(es, s, t, p)
	switch err := b.retain(s, m, p); {
	case errors.Is(err, server.ErrUnavailable):
		p.Done(err)
		return
	case err != nil:
		b.deny(s, p, "retain", err)
		return
	}
	b.Path.Take(context.Background(), m, p) // the message outlives the connection, the store bounds its wait
}

// fill makes the path's message of a publish. It allocates nothing: the message is pooled, p is its own Ack.
func (b *Broker) fill(es *server.Session, s *presence.Session, t topic.Topic, p *server.Publish) *uplink.Message {
	m := b.Path.New()
	m.Device, m.DeviceID, m.Epoch = s.Device.Identity, s.Device.ID, s.Epoch
	m.Product = s.Product()
	m.Topic, m.Name, m.Payload, m.QoS = t, p.Topic, p.Payload, p.QoS
	m.CBOR, m.Buffer = s.CBOR(), s.Buffer()
	m.From = es
	if p.QoS == 2 && !p.Will && session(es).Persistent() {
		m.Receipt = uplink.Receipt{Device: session(es).Device.ID, Packet: p.PacketID}
	}
	if p.Will {
		m.Epoch = 0 // a take-over, whose epoch is newer, is one of the reasons for a will
	}
	return m
}

func (b *Broker) deny(s *presence.Session, p *server.Publish, what string, err error) {
	b.metrics.denied.WithLabelValues(what).Inc()
	b.Log.Info("publish refused", "product", s.Device.Identity.Product, "device", s.Device.Identity.SN, "topic", p.Topic, "err", err)
	p.Done(err)
}
