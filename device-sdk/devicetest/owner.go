package devicetest

import (
	"context"
	"fmt"
	"strings"

	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// owner is the Hub as its engine sees it.
type owner Hub

var _ server.Owner = (*owner)(nil)

// member is a session's own data.
type member struct {
	id         ident.Device
	restricted *topic.Permissions // dynamic registration only
	gone       chan struct{}      // closed when the connection has ended, and is noted
}

// Connect checks credentials as a hub does.
func (o *owner) Connect(_ context.Context, c *server.Connect) (server.Welcome, error) {
	login, err := credential.ParseUserName(c.UserName)
	if err != nil {
		return server.Welcome{}, refuse(packet.BadCredentials, err.Error())
	}
	if c.ClientID != login.Device.ClientID() {
		return server.Welcome{}, refuse(packet.IdentifierRejected, "client id and user name differ")
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	d := o.devices[login.Device]
	m := &member{id: login.Device, gone: make(chan struct{})}
	switch {
	case d == nil:
		return server.Welcome{}, refuse(packet.BadCredentials, "unknown device")
	case d.disabled || d.Kind == Subdevice:
		return server.Welcome{}, refuse(packet.NotAuthorized, "disabled, or only behind a gateway")
	case login.Mode == credential.ModeRegister && d.ProductSecret.Equal(string(c.Password)):
		m.restricted = topic.Compile(login.Device, nil, topic.Scope{Restricted: true})
	case login.Mode == credential.ModeSecret && d.Secret.Equal(string(c.Password)):
	default:
		return server.Welcome{}, refuse(packet.BadCredentials, "wrong secret")
	}
	return server.Welcome{Identity: c.ClientID, Data: m}, nil
}

func refuse(code packet.ConnackCode, why string) error {
	return &server.Refusal{Code: code, Reason: why}
}

// Attached marks the device online.
func (o *owner) Attached(s *server.Session) { o.setOnline(s, true) }

// Disconnect marks it offline, and with a gateway all that it carries.
func (o *owner) Disconnect(s *server.Session, why server.Cause) {
	if why != server.CauseTakenOver {
		o.setOnline(s, false)
	}
	close(s.Data().(*member).gone)
}

func (o *owner) setOnline(s *server.Session, online bool) {
	m := s.Data().(*member)
	if m.restricted != nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if d := o.devices[m.id]; d != nil {
		d.online = online
	}
	for _, d := range o.devices {
		if !online && d.gateway == m.id {
			d.online = false
		}
	}
	(*Hub)(o).changedLocked()
}

// Subscribe grants what the device, or a sub-device that it has logged in, may read.
func (o *owner) Subscribe(s *server.Session, req []server.Subscription) ([]byte, error) {
	codes := make([]byte, len(req))
	for i, r := range req {
		codes[i] = packet.SubackFailure
		for _, p := range o.permissions(s) {
			if p.Subscribe(r.Filter) {
				codes[i] = min(r.QoS, 1)
			}
		}
	}
	return codes, nil
}

// Unsubscribe needs nothing.
func (o *owner) Unsubscribe(*server.Session, []string) error { return nil }

// Delivered needs nothing.
func (o *owner) Delivered(*server.Session, uint64) {}

// permissions are the session's own and those of the sub-devices that it carries.
func (o *owner) permissions(s *server.Session) []*topic.Permissions {
	m := s.Data().(*member)
	if m.restricted != nil {
		return []*topic.Permissions{m.restricted}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	var ps []*topic.Permissions
	for _, d := range o.devices {
		if d.ID == m.id || d.gateway == m.id && d.online {
			ps = append(ps, d.perms)
		}
	}
	return ps
}

// Publish notes the message, acknowledges it and answers it.
func (o *owner) Publish(s *server.Session, p *server.Publish) {
	h := (*Hub)(o)
	for _, perms := range o.permissions(s) {
		t, ok := perms.Publish(p.Topic)
		if !ok {
			continue
		}
		// What the engine handed over is gone after Done.
		t, name := cloneTopic(t), strings.Clone(p.Topic)
		m := Message{
			From: t.Device, By: s.Data().(*member).id, Topic: t, Name: name,
			Payload: append([]byte(nil), p.Payload...), QoS: p.QoS, Dup: p.Dup,
		}
		h.take(m, func() { p.Done(nil) })
		return
	}
	p.Done(fmt.Errorf("devicetest: %s may not publish %s", s.Identity(), p.Topic))
}

func cloneTopic(t topic.Topic) topic.Topic {
	t.Device = ident.Device{Product: strings.Clone(t.Device.Product), SN: strings.Clone(t.Device.SN)}
	t.Tail = strings.Clone(t.Tail)
	return t
}

// take acknowledges a message, now or when acknowledgements flow again, and then
// does what it asks for.
func (h *Hub) take(m Message, done func()) {
	h.mu.Lock()
	if h.holding {
		h.held = append(h.held, func() { h.take(m, done) })
		h.mu.Unlock()
		return
	}
	h.messages = append(h.messages, m)
	h.changedLocked()
	h.mu.Unlock()
	done()
	h.answer(m)
}
