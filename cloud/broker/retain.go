package broker

import (
	"context"
	"errors"
	"strings"

	"github.com/hawser-iot/hawser/cloud/application"
	"github.com/hawser-iot/hawser/cloud/presence"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/retained"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// Reasons for which a retained message is refused.
var (
	errRetainFull = &server.Rejection{Code: packet.QuotaExceeded, Reason: "the product keeps as many retained messages as it may"}
	errRetainOff  = &server.Rejection{Code: packet.Unauthorized, Reason: "the product keeps no retained messages"}
)

// toRetain is what is kept of a publish.
func toRetain(p *server.Publish, product string, device int64) *retained.Message {
	m := p.Message()
	return &retained.Message{Product: product, Device: device, Topic: m.Topic, Payload: m.Payload, QoS: m.QoS,
		Properties: m.Properties, Expiry: m.Expiry, Late: p.Will}
}

// retain has what a device wants to be retained kept in the unit of the message itself. A product that has switched that off since the
// login, or a will of such a one, is an ordinary message.
func (b *Broker) retain(s *presence.Session, m *uplink.Message, p *server.Publish) error {
	if !p.Retain || !registry.Allows(m.Product.Settings.Retain) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), b.cfg.StoreWait)
	defer cancel()
	m.ID = b.Path.IDs.Next()
	keep := toRetain(p, s.Device.Identity.Product, s.Device.ID)
	keep.ID = m.ID
	c, err := b.Kept.Change(ctx, keep)
	if err != nil {
		return retainError(err)
	}
	m.Retain, m.Also = true, c.Stage
	return nil
}

// retainError is what the publisher is told.
func retainError(err error) error {
	if errors.Is(err, retained.ErrFull) {
		return errRetainFull
	}
	return errors.Join(server.ErrUnavailable, err)
}

// retainApp keeps what an application wants to be retained of a device's topic. It is safe when it returns.
func (b *Broker) retainApp(ctx context.Context, p *server.Publish, product *registry.Product, sn string) error {
	if !registry.Allows(product.Settings.Retain) {
		return errRetainOff
	}
	id := ident.Device{Product: product.SN, SN: strings.Clone(sn)}
	dev, err := b.Registry.Device(ctx, id)
	switch {
	case errors.Is(err, registry.ErrDeviceNotFound):
		return errors.Join(application.ErrForbidden, err)
	case err != nil:
		return errors.Join(server.ErrUnavailable, err)
	}
	keep := toRetain(p, id.Product, dev.ID)
	keep.ID, keep.QoS, keep.Late = b.Path.IDs.Next(), min(p.QoS, 1), true
	if err := b.Kept.Keep(ctx, keep); err != nil {
		return retainError(err)
	}
	return nil
}

// Retained implements server.Retainer: it sends what is kept of the topics of a new subscription, as far as the device takes it.
func (b *Broker) Retained(es *server.Session, filter string, send func(*server.Message)) {
	ctx, cancel := context.WithTimeout(context.Background(), b.cfg.StoreWait)
	defer cancel()
	may := func(string) bool { return true } // a device's filters were judged whole
	take := send
	if a, ok := app(es); ok {
		may = func(product string) bool { return b.Applications.MayHear(ctx, a, product) }
	} else {
		buffer := session(es).Buffer()
		take = func(m *server.Message) {
			if len(m.Payload) <= uplink.PayloadLimit(buffer, m.Topic) {
				send(m)
			}
		}
	}
	if err := b.Kept.Each(ctx, filter, may, take); err != nil {
		b.Log.Warn("retained messages not sent", "session", es.Identity(), "filter", filter, "err", err)
	}
}
