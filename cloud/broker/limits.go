package broker

import (
	"fmt"
	"math"

	"github.com/hawser-iot/hawser/cloud/auth"
	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/presence"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// What a product sets for itself of the hub's limits. The engine takes rates and switches at the login and when the product changes
// (refresh); the size of a publish and the number of subscriptions are judged here, by the product's snapshot of the moment.

// limits are the product's settings as the engine takes them. On a gateway's connection they hold for each identity that is logged in
// there: the engine asks whose rate a publish counts against, and leaves the number of subscriptions to Subscribe.
func (b *Broker) limits(s *presence.Session, product *registry.Product) server.Limits {
	l := server.Limits{NoQoS2: !registry.Allows(product.Settings.QoS2), NoRetain: !registry.Allows(product.Settings.Retain)}
	if product.Settings.PublishRate != nil {
		l.Rate = *product.Settings.PublishRate
	}
	if product.Settings.PublishBytes != nil {
		l.ByteRate = float64(*product.Settings.PublishBytes)
	}
	if product.Kind == registry.KindGateway && !s.Restricted {
		l.Subscriptions = math.MaxInt32
		l.RateOf = func(name string) *server.Rate { return b.rateOf(s, name) }
	}
	return l
}

// rateOf is the rate of the sub-device that a topic belongs to; nil: it is none that is logged in.
func (b *Broker) rateOf(gateway *presence.Session, name string) *server.Rate {
	if gateway.OwnTopic(name) {
		return nil
	}
	sub, ok := gateway.SubOf(name)
	if !ok {
		return nil
	}
	return sub.Rate(func(p *registry.Product) *server.Rate {
		rate, bytes := b.cfg.Engine.Rate, b.cfg.Engine.ByteRate
		if p.Settings.PublishRate != nil {
			rate = *p.Settings.PublishRate
		}
		if p.Settings.PublishBytes != nil {
			bytes = float64(*p.Settings.PublishBytes)
		}
		return server.NewRate(rate, bytes)
	})
}

// allowWill refuses a connection with a will for a product that takes none.
func (b *Broker) allowWill(c *server.Connect, grant *auth.Grant) error {
	if c.Will == nil || registry.Allows(grant.Product.Settings.Will) {
		return nil
	}
	return b.Auth.Refuse(grant.Device.Identity, c.Remote, packet.NotAuthorized, auth.NoWill)
}

// tooLarge judges the size of a publish.
func tooLarge(s *presence.Session, p *server.Publish) error {
	most := s.Product().Settings.MaxPacket
	if most == nil || int64(len(p.Topic)+len(p.Payload)) <= *most {
		return nil
	}
	return &server.Rejection{Code: packet.QuotaExceeded, Reason: fmt.Sprintf("topic and payload are longer than the product's %d bytes", *most)}
}

// full tells that a device has as many subscriptions as it may have, unless it has that one already. On a gateway's connection the
// filters of each identity count for it alone; those over several sub-devices are the gateway's.
func (b *Broker) full(s *presence.Session, all []downlink.Filter, name string) bool {
	of := s
	if sub, ok := s.SubOf(name); ok {
		of = sub
	}
	most := int64(b.cfg.Engine.MaxSubscriptions)
	if set := of.Product().Settings.MaxSubscriptions; set != nil {
		most = min(most, *set)
	}
	if int64(len(all)) < most {
		return false
	}
	have := int64(0)
	for i := range all {
		sub, isSub := s.SubOf(all[i].Filter)
		switch {
		case all[i].Filter == name:
			return false
		case isSub && sub == of, !isSub && of == s:
			have++
		}
	}
	return have >= most
}
