package broker

import (
	"context"
	"errors"
	"slices"

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
	m.ID = b.Path.IDs.Next()
	if m.Topic.Parse {
		m.Retain, m.Also = true, func(m *uplink.Message) { b.retainParsed(s, m, p) }
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), b.cfg.StoreWait)
	defer cancel()
	keep := toRetain(p, s.Device.Identity.Product, s.Device.ID)
	keep.ID = m.ID
	c, err := b.Kept.Change(ctx, keep)
	if err != nil {
		return retainError(err)
	}
	m.Retain, m.Also = true, c.Stage
	return nil
}

// retainParsed has kept what a parse script has made of a message, which is known only now. It is too late to refuse the message: one
// that cannot be kept is an ordinary one.
func (b *Broker) retainParsed(s *presence.Session, m *uplink.Message, p *server.Publish) {
	ctx, cancel := context.WithTimeout(context.Background(), b.cfg.StoreWait)
	defer cancel()
	keep := toRetain(p, s.Device.Identity.Product, s.Device.ID)
	keep.ID, keep.Topic, keep.Payload = m.ID, m.Name, m.Payload
	c, err := b.Kept.Change(ctx, keep)
	if err != nil {
		b.metrics.denied.WithLabelValues("retain").Inc()
		b.Log.Info("parsed message not retained", "product", s.Device.Identity.Product, "device", s.Device.Identity.SN, "topic", m.Name, "err", err)
		return
	}
	c.Stage(m)
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
	id := ident.Device{Product: product.SN, SN: sn}
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

// Retained implements server.Retainer: it returns what is kept of the topics of a new subscription, as far as the client takes it.
func (b *Broker) Retained(es *server.Session, sub server.Subscription, after string, most int) ([]server.Message, error) {
	ctx, cancel := context.WithTimeout(context.Background(), b.cfg.StoreWait)
	defer cancel()
	if a, ok := app(es); ok {
		return b.Kept.Page(ctx, sub.Filter, after, most, func(product string) bool { return b.Applications.MayHear(ctx, a, product) })
	}
	s := session(es)
	buffer := s.Buffer()
	own := s.Covers(sub.Filter) // a device's filters were judged whole, but for those of a gateway over its sub-devices
	may := func(product string) bool { return own || s.Carries(product) }
	for {
		page, err := b.Kept.Page(ctx, sub.Filter, after, most, may)
		if err != nil || len(page) == 0 {
			return nil, err
		}
		after = page[len(page)-1].Topic
		page = slices.DeleteFunc(page, func(m server.Message) bool {
			return len(m.Payload) > uplink.PayloadLimit(buffer, m.Topic) || !own && !s.MayHear(m.Topic)
		})
		if len(page) > 0 {
			return page, b.deposit(ctx, es, sub, page)
		}
	}
}

// deposit makes rows of what a persistent session is to get exactly once.
func (b *Broker) deposit(ctx context.Context, es *server.Session, sub server.Subscription, page []server.Message) error {
	if sub.QoS < 2 || es.Clean() {
		return nil
	}
	once := make([]server.Message, 0, len(page))
	var at []int
	for i := range page {
		if page[i].QoS == 2 {
			once, at = append(once, page[i]), append(at, i)
		}
	}
	if len(once) == 0 {
		return nil
	}
	err := b.Downlink.Deposit(ctx, session(es).Device.ID, once)
	for i, m := range once {
		page[at[i]] = m
	}
	return err
}
