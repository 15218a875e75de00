package broker

import (
	"fmt"
	"slices"

	"github.com/hawser-iot/hawser/cloud/auth"
	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/presence"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// What a product sets for itself of the hub's limits. The engine takes rates and switches at the login and when the product changes
// (refresh); the size of a publish and the number of subscriptions are judged here, by the product's snapshot of the moment.

// limits are the product's settings as the engine takes them.
func limits(s registry.Settings) server.Limits {
	l := server.Limits{NoQoS2: !registry.Allows(s.QoS2), NoRetain: !registry.Allows(s.Retain)}
	if s.PublishRate != nil {
		l.Rate = *s.PublishRate
	}
	if s.PublishBytes != nil {
		l.ByteRate = float64(*s.PublishBytes)
	}
	return l
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

// full tells that a device has as many subscriptions as its product lets it have, unless it has that one already.
func full(s *presence.Session, all []downlink.Filter, name string) bool {
	most := s.Product().Settings.MaxSubscriptions
	return most != nil && int64(len(all)) >= *most && !slices.ContainsFunc(all, func(f downlink.Filter) bool { return f.Filter == name })
}
