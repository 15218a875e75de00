package uplink

import (
	"context"
	"errors"

	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// deliver takes what comes down on topics that are not the gateway's own.
func (u *Uplink) deliver(_ context.Context, m link.Message) {
	t, err := topic.Parse(m.Topic)
	if err != nil {
		u.log.Warn("a message with an unknown topic came down", "topic", m.Topic, "err", err)
		return
	}
	if t.Kind == topic.AgentDown && t.Device == u.link.Device() {
		u.hear(m.Payload)
		return
	}
	if t.Kind == topic.NTPResponse && t.Device == u.link.Device() && u.clock.answer(m.Payload) {
		return
	}
	if t.Kind == topic.Broadcast {
		u.broadcast(t.Device.Product, m)
		return
	}
	u.deliverTo(t.Device, m)
}

// broadcast hands a product's broadcast to all its sub-devices that want it.
func (u *Uplink) broadcast(product string, m link.Message) {
	u.mu.Lock()
	var to []ident.Device
	for d := range u.wanted {
		if d.Product == product {
			to = append(to, d)
		}
	}
	u.mu.Unlock()
	for _, d := range to {
		u.deliverTo(d, m)
	}
}

func (u *Uplink) deliverTo(d ident.Device, m link.Message) {
	err := u.down.Deliver(d, m.Topic, m.Payload, m.QoS)
	if errors.Is(err, server.ErrNotSubscribed) {
		return // a filter that was just given up, or a broadcast it does not want
	}
	if err != nil {
		u.log.Warn("a message for a sub-device is dropped", "product", d.Product, "device", d.SN, "topic", m.Topic, "err", err)
	}
}

// listenNotices follows what the hub decides about sub-devices.
func (u *Uplink) listenNotices() error {
	for k, enabled := range map[topic.Kind]bool{
		topic.SubdevEnable: true, topic.SubdevDisable: false, topic.SubdevDelete: false,
		topic.TopoNotifyAdd: true, topic.TopoNotifyDelete: false,
	} {
		name := topic.System(u.link.Device(), k)
		err := u.link.Subscribe(context.Background(), name, 1, func(_ context.Context, m link.Message) {
			u.notice(k, m, enabled)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (u *Uplink) notice(k topic.Kind, m link.Message, enabled bool) {
	subs, err := subdevsOf(m.Payload)
	if err != nil {
		u.log.Warn("a notice about sub-devices can't be decoded", "topic", m.Topic, "err", err)
		return
	}
	u.mu.Lock()
	for _, s := range subs {
		u.revoked[s.Device()] = !enabled
	}
	u.mu.Unlock()
	u.down.Notice(k, subs)
	u.wake()
}
