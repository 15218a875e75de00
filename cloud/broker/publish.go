package broker

import (
	"context"
	"errors"
	"strings"

	"github.com/hawser-iot/hawser/cloud/presence"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// errForeignTopic is why a publish is refused before the path. Before MQTT 5.0, which has the codes, the engine acknowledges and counts it.
var errForeignTopic = &server.Rejection{Code: packet.Unauthorized, Reason: "the device may not publish to this topic"}

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
	agent := t.Kind == topic.AgentUp && b.Agents != nil && s == session(es)
	if err := tooLarge(s, p); err != nil && !agent { // the agent channel has bounds of its own, and measures the records of a batch one by one
		b.deny(s, p, "size", err)
		return
	}
	if b.repeated(es, s, p) {
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
	if agent {
		b.Agents.Take(s, m, p)
		return
	}
	if t.Kind == topic.Custom && b.Downlink.Awaits() {
		b.answer(s, m, p)
	}
	b.Path.Take(context.Background(), m, p) // the message outlives the connection, the store bounds its wait
}

// answer has a request of an application that waits for this message get it when it is committed.
func (b *Broker) answer(s *presence.Session, m *uplink.Message, p *server.Publish) {
	correlation, _ := p.Properties.Bytes(packet.CorrelationData)
	if !b.Downlink.Awaited(s.Device.Identity, p.Topic, correlation) {
		return
	}
	also, name := m.Also, strings.Clone(p.Topic)
	m.Also = func(m *uplink.Message) {
		if also != nil {
			also(m)
		}
		m.After(func(err error) {
			if err == nil {
				b.Downlink.Answer(m.Device, name, m.Payload)
			}
		})
	}
}

// fill makes the path's message of a publish. It allocates nothing: the message is pooled, p is its own Ack.
func (b *Broker) fill(es *server.Session, s *presence.Session, t topic.Topic, p *server.Publish) *uplink.Message {
	m := b.Path.New()
	m.Device, m.DeviceID, m.Epoch = s.Device.Identity, s.Device.ID, s.Epoch
	m.Product = s.Product()
	m.Topic, m.Name, m.Payload, m.QoS = t, p.Topic, p.Payload, p.QoS
	m.CBOR, m.Buffer, m.Verifies = s.CBOR(), s.Buffer(), s.Verifies()
	m.From = es
	if p.QoS == 2 && !p.Will && session(es).Persistent() {
		m.Receipt = uplink.Receipt{Device: session(es).Device.ID, Packet: p.PacketID}
	}
	m.Origin = origin(es, p)
	session(es).Sent(&m.Origin)
	if p.Will {
		m.Epoch = 0 // a take-over, whose epoch is newer, is one of the reasons for a will
	}
	return m
}

func (b *Broker) deny(s *presence.Session, p *server.Publish, what string, err error) {
	b.metrics.denied.WithLabelValues(what).Inc()
	b.Log.Info("publish refused", "product", s.Device.Identity.Product, "device", s.Device.Identity.SN, "topic", p.Topic, "err", err)
	if b.Journal != nil {
		b.behaved(Behaviour{Device: s.Device.Identity, Action: ActionPublish, Result: uplink.Refused, Reason: err.Error(), Detail: what,
			Topic: p.Topic, Payload: p.Payload, QoS: p.QoS})
	}
	p.Done(err)
}
