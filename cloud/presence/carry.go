package presence

import (
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// What a connection may publish and subscribe to: the session's own topics, and over a gateway's those of the sub-devices that are
// logged in there.

// MayPublish finds the device that may publish to the topic name over this connection: the session's own or a logged-in
// sub-device.
func (s *Session) MayPublish(name string) (*Session, topic.Topic, bool) {
	if t, ok := s.mayPublish(name); ok {
		return s, t, true
	}
	sub, ok := s.SubOf(name)
	if !ok {
		return nil, topic.Topic{}, false
	}
	t, ok := sub.mayPublish(name)
	return sub, t, ok
}

// MaySubscribe tells whether the filter belongs to the session's device, to one of its logged-in sub-devices, or to a gateway over
// all of them.
func (s *Session) MaySubscribe(filter string) bool {
	if s.Covers(filter) {
		return true
	}
	if s.Product().Kind != registry.KindGateway || s.Restricted {
		return false
	}
	if topic.OverDevices(filter) {
		return true
	}
	product, ok := topic.BroadcastProduct(filter)
	if !ok {
		return false
	}
	for _, sub := range s.Subs() {
		if sub.Device.Identity.Product == product {
			return sub.maySubscribe(filter)
		}
	}
	return false
}

// Covers tells whether all that the filter takes is of the session's device or of one of its logged-in sub-devices.
func (s *Session) Covers(filter string) bool {
	if s.maySubscribe(filter) {
		return true
	}
	sub, ok := s.SubOf(filter)
	return ok && sub.maySubscribe(filter)
}

// MayHear tells whether a topic belongs to the session's device or to one of its logged-in sub-devices.
func (s *Session) MayHear(name string) bool {
	if s.OwnTopic(name) {
		return true
	}
	_, ok := s.SubOf(name)
	return ok
}

// Carries tells whether the session's device, or a sub-device that is logged in there, is of a product.
func (s *Session) Carries(product string) bool {
	if s.Device.Identity.Product == product {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for dev := range s.subsLocked() {
		if dev.Product == product {
			return true
		}
	}
	return false
}

// OwnTopic tells whether a topic or filter names the session's own device.
func (s *Session) OwnTopic(name string) bool {
	dev, ok := topic.DeviceOf(name)
	return ok && dev == s.Device.Identity
}

// SubOf returns the session of the logged-in sub-device that a topic or filter names.
func (s *Session) SubOf(name string) (*Session, bool) {
	if dev, ok := topic.DeviceOf(name); ok {
		return s.Sub(dev)
	}
	return nil, false
}

// Rate is a sub-device's own rate on its gateway's connection. It is made when its product is another than the last time.
func (s *Session) Rate(rate func(*registry.Product) *server.Rate) *server.Rate {
	product := s.Product()
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.moreLocked()
	if m.rated != product {
		m.rated, m.rate = product, rate(product)
	}
	return m.rate
}
