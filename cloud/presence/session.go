package presence

import (
	"sync"
	"sync/atomic"

	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Link is the connection of a session; *server.Session is one.
type Link interface {
	Send(server.Message) error
	Subscribed(topic string) (qos byte, ok bool)
}

// Proof names the certificate of a login: who signed it, and its serial number.
type Proof struct{ Authority, Serial string }

// Session is one login: a device's own connection, or a sub-device's place on its gateway's connection. The exported
// fields do not change.
type Session struct {
	Device     *registry.Device // as it was at the login
	Options    credential.Options
	Epoch      int64    // the fence of its row; 0 for a restricted session, which has none
	Restricted bool     // a dynamic registration: it can do nothing else
	Proof      Proof    // what a login by certificate stands on
	Gateway    *Session // whose connection carries it; nil: its own
	KeepAlive  uint16   // seconds

	// What the history says of the connection.
	remote, transport, protocol string

	persistent bool
	expiry     uint32 // seconds that a persistent session outlives its connection
	link       Link   // set by Attach, before anybody can find the session
	product    atomic.Pointer[registry.Product]
	perms      atomic.Pointer[topic.Permissions]

	mu      sync.Mutex                // guards the fields below. Lock order: a sub-device before its gateway
	waiting bool                      // Replay has not been called yet
	held    []server.Message          // what Queued keeps until then
	subs    map[ident.Device]*Session // logged-in sub-devices
	tags    map[uint64]int64          // queued messages under way to sub-devices: tag → device id
	ended   bool
}

var _ downlink.Target = (*Session)(nil)

// Product is the product's snapshot; it changes when the product does.
func (s *Session) Product() *registry.Product { return s.product.Load() }

// SetProduct gives the session a new snapshot of its product and the permissions that follow from it.
func (s *Session) SetProduct(p *registry.Product, perms *topic.Permissions) {
	s.product.Store(p)
	s.perms.Store(perms)
}

// MayPublish finds the device that may publish to the topic name over this connection: the session's own or a logged-in
// sub-device.
func (s *Session) MayPublish(name string) (*Session, topic.Topic, bool) {
	if t, ok := s.perms.Load().Publish(name); ok {
		return s, t, true
	}
	t, err := topic.Parse(name)
	if err != nil {
		return nil, topic.Topic{}, false
	}
	sub, ok := s.Sub(t.Device)
	if !ok {
		return nil, topic.Topic{}, false
	}
	t, ok = sub.perms.Load().Publish(name)
	return sub, t, ok
}

// MaySubscribe tells whether the filter belongs to the session's device or to one of its logged-in sub-devices.
func (s *Session) MaySubscribe(filter string) bool {
	if s.perms.Load().Subscribe(filter) {
		return true
	}
	for _, sub := range s.Subs() {
		if sub.perms.Load().Subscribe(filter) {
			return true
		}
	}
	return false
}

// Sub returns the session of a logged-in sub-device.
func (s *Session) Sub(dev ident.Device) (*Session, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub, ok := s.subs[dev]
	return sub, ok
}

// Subs returns the sessions of the logged-in sub-devices.
func (s *Session) Subs() []*Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*Session, 0, len(s.subs))
	for _, sub := range s.subs {
		list = append(list, sub)
	}
	return list
}

// addSub takes a sub-device in; it reports false when the connection has ended in the meantime.
func (s *Session) addSub(sub *Session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	if s.subs == nil {
		s.subs = map[ident.Device]*Session{}
	}
	s.subs[sub.Device.Identity] = sub
	return true
}

func (s *Session) dropSub(sub *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.subs[sub.Device.Identity] == sub {
		delete(s.subs, sub.Device.Identity)
	}
}

// end closes the table of sub-devices and returns who was in it.
func (s *Session) end() []*Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*Session, 0, len(s.subs))
	for _, sub := range s.subs {
		list = append(list, sub)
	}
	s.ended, s.subs, s.held = true, nil, nil
	return list
}

// carrier is the session whose connection it is.
func (s *Session) carrier() *Session {
	if s.Gateway != nil {
		return s.Gateway
	}
	return s
}

// DeviceID implements downlink.Target.
func (s *Session) DeviceID() int64 { return s.Device.ID }

// CBOR implements downlink.Target; the connection's login decides.
func (s *Session) CBOR() bool { return s.carrier().Options.CBOR }

// Buffer implements downlink.Target.
func (s *Session) Buffer() int { return s.carrier().Options.Buffer }

// Persistent implements downlink.Target.
func (s *Session) Persistent() bool { return s.persistent }

// Subscribed implements downlink.Target.
func (s *Session) Subscribed(name string) (byte, bool) { return s.carrier().link.Subscribed(name) }

// Send implements downlink.Target.
func (s *Session) Send(m server.Message) error { return s.carrier().link.Send(m) }

// Queued implements downlink.Target.
func (s *Session) Queued(m server.Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return server.ErrOffline
	}
	if s.waiting {
		s.held = append(s.held, m)
		return nil
	}
	return s.sendTagged(m)
}

// Replay implements downlink.Target.
func (s *Session) Replay(list []server.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sent := make(map[uint64]bool, len(list))
	for _, m := range append(list, s.held...) {
		if sent[m.Tag] {
			continue
		}
		sent[m.Tag] = true
		if s.sendTagged(m) != nil {
			break // gone or full: the rows stay for the next time
		}
	}
	s.waiting, s.held = false, nil
}

// sendTagged sends a queued message; for a sub-device the connection notes whose tag it is.
func (s *Session) sendTagged(m server.Message) error {
	if s.Gateway != nil {
		s.Gateway.noteTag(m.Tag, s.Device.ID)
	}
	err := s.carrier().link.Send(m)
	if err != nil && s.Gateway != nil {
		s.Gateway.TagOwner(m.Tag)
	}
	return err
}

func (s *Session) noteTag(tag uint64, device int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tags == nil {
		s.tags = map[uint64]int64{}
	}
	s.tags[tag] = device
}

// TagOf tells whose queue a tag belongs to that is under way.
func (s *Session) TagOf(tag uint64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, ok := s.tags[tag]; ok {
		return id
	}
	return s.Device.ID
}

// TagOwner tells whose queue a tag that was acknowledged belongs to, and forgets it.
func (s *Session) TagOwner(tag uint64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, ok := s.tags[tag]
	if !ok {
		return s.Device.ID
	}
	delete(s.tags, tag)
	return id
}
