package presence

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"unique"

	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/uplink"
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
// fields do not change. There is one for each connected device, most of which are silent: what few of them have is behind pointers.
type Session struct {
	Device  *registry.Device // as it was at the login
	Epoch   int64            // the fence of its row; 0 for a restricted session, which has none
	Gateway *Session         // whose connection carries it; nil: its own
	proof   *Proof           // what a login by certificate stands on, nil for others

	KeepAlive  uint16 // seconds
	Restricted bool   // a dynamic registration: it can do nothing else
	persistent bool
	cbor, suit bool   // as in credential.Options
	buffer     int32  // bytes, as there
	expiry     uint32 // seconds that a persistent session outlives its connection

	since since         // complete once it has its row
	link  Link          // set by Attach, before anybody can find the session
	notes *uplink.Notes // of earlier publishes, once a repeat came; the connection's goroutine has it

	product atomic.Pointer[registry.Product]
	rules   atomic.Pointer[topic.Rules] // what the device may publish and subscribe to; nil: nothing

	mu      sync.Mutex // guards the fields below. Lock order: a sub-device before its gateway
	waiting bool       // Replay has not been called yet
	ended   bool
	more    *more // nil for most
}

// more is what a session has while messages wait for its Replay, on a gateway's connection, and as a sub-device.
type more struct {
	held  []server.Message          // what Queued keeps until Replay
	subs  map[ident.Device]*Session // logged-in sub-devices
	tags  map[uint64]int64          // queued messages under way to sub-devices: tag → device id
	rated *registry.Product         // whose rate is
	rate  *server.Rate              // of a sub-device: its share of the gateway's connection
}

// since is a session's past, in less room: a hub's sessions have few manners.
type since struct {
	at     int64
	remote string
	manner unique.Handle[manner]
}

// past is what the history says of the session.
func (s *Session) past() past { return past{s.since.at, s.since.remote, s.since.manner.Value()} }

func (s *Session) setPast(p past) { s.since = since{p.at, p.remote, unique.Make(p.manner)} }

// Proof is what a login by certificate stands on, else zero.
func (s *Session) Proof() Proof {
	if s.proof == nil {
		return Proof{}
	}
	return *s.proof
}

// moreLocked is what few sessions have, made when it is missing.
func (s *Session) moreLocked() *more {
	if s.more == nil {
		s.more = &more{}
	}
	return s.more
}

// subsLocked are the logged-in sub-devices, nil without any.
func (s *Session) subsLocked() map[ident.Device]*Session {
	if s.more == nil {
		return nil
	}
	return s.more.subs
}

var _ downlink.Target = (*Session)(nil)

// Product is the product's snapshot; it changes when the product does.
func (s *Session) Product() *registry.Product { return s.product.Load() }

// SetProduct gives the session a new snapshot of its product and the permissions that follow from it.
func (s *Session) SetProduct(p *registry.Product, perms *topic.Permissions) {
	s.mu.Lock() // both of one call
	defer s.mu.Unlock()
	s.product.Store(p)
	if perms == nil {
		s.rules.Store(nil)
		return
	}
	s.rules.Store(perms.Rules)
}

// mayPublish judges a topic by the device's own permissions.
func (s *Session) mayPublish(name string) (topic.Topic, bool) {
	r := s.rules.Load()
	if r == nil {
		return topic.Topic{}, false
	}
	return r.For(s.Device.Identity).Publish(name)
}

// maySubscribe judges a filter by the device's own permissions.
func (s *Session) maySubscribe(filter string) bool {
	r := s.rules.Load()
	return r != nil && r.For(s.Device.Identity).Subscribe(filter)
}

// Sub returns the session of a logged-in sub-device.
func (s *Session) Sub(dev ident.Device) (*Session, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub, ok := s.subsLocked()[dev]
	return sub, ok
}

// Subs returns the sessions of the logged-in sub-devices.
func (s *Session) Subs() []*Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.subsLocked()))
}

// addSub takes a sub-device in; it reports false when the connection has ended in the meantime.
func (s *Session) addSub(sub *Session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	m := s.moreLocked()
	if m.subs == nil {
		m.subs = map[ident.Device]*Session{}
	}
	m.subs[sub.Device.Identity] = sub
	return true
}

func (s *Session) dropSub(sub *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if subs := s.subsLocked(); subs[sub.Device.Identity] == sub {
		delete(subs, sub.Device.Identity)
	}
}

// end closes the table of sub-devices and returns who was in it.
func (s *Session) end() []*Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.Collect(maps.Values(s.subsLocked()))
	if s.ended = true; s.more != nil {
		s.more.subs, s.more.held = nil, nil
	}
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
func (s *Session) CBOR() bool { return s.carrier().cbor }

// Verifies implements downlink.Target. A gateway's announcement is about itself.
func (s *Session) Verifies() bool { return s.suit }

// Buffer implements downlink.Target.
func (s *Session) Buffer() int { return int(s.carrier().buffer) }

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
		more := s.moreLocked()
		more.held = append(more.held, m)
		return nil
	}
	return s.sendTagged(m)
}

// Replay implements downlink.Target.
func (s *Session) Replay(list []server.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.more != nil {
		list = append(list, s.more.held...)
		s.more.held = nil
	}
	s.waiting = false
	if len(list) == 0 {
		return
	}
	sent := make(map[uint64]bool, len(list))
	for _, m := range list {
		if sent[m.Tag] {
			continue
		}
		sent[m.Tag] = true
		if s.sendTagged(m) != nil {
			break // gone or full: the rows stay for the next time
		}
	}
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
	m := s.moreLocked()
	if m.tags == nil {
		m.tags = map[uint64]int64{}
	}
	m.tags[tag] = device
}

// TagOf tells whose queue a tag belongs to that is under way.
func (s *Session) TagOf(tag uint64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tagLocked(tag)
}

// TagOwner tells whose queue a tag that was acknowledged belongs to, and forgets it.
func (s *Session) TagOwner(tag uint64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.tagLocked(tag)
	if s.more != nil {
		delete(s.more.tags, tag)
	}
	return id
}

func (s *Session) tagLocked(tag uint64) int64 {
	if s.more != nil {
		if id, ok := s.more.tags[tag]; ok {
			return id
		}
	}
	return s.Device.ID
}
