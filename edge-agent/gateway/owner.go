package gateway

import (
	"context"
	"fmt"

	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// owner is the Gateway as its engine sees it.
type owner Gateway

var _ server.Owner = (*owner)(nil)

// Connect admits the sub-devices of the configuration with their own secrets.
func (o *owner) Connect(_ context.Context, c *server.Connect) (server.Welcome, error) {
	login, err := credential.ParseUserName(c.UserName)
	if err != nil {
		return server.Welcome{}, refuse(packet.BadCredentials, err.Error())
	}
	if login.Mode != credential.ModeSecret {
		return server.Welcome{}, refuse(packet.NotAuthorized, "only logins with a device's own secret are served here")
	}
	if c.ClientID != login.Device.ClientID() {
		return server.Welcome{}, refuse(packet.IdentifierRejected, "the client id is not ProductSN.DeviceSN of the user name")
	}
	m, disabled := (*Gateway)(o).member(login.Device)
	switch {
	case m == nil || !m.secret.Equal(string(c.Password)):
		return server.Welcome{}, refuse(packet.BadCredentials, "not a sub-device of this gateway, or wrong secret")
	case disabled:
		return server.Welcome{}, refuse(packet.NotAuthorized, "disabled by the hub")
	}
	return server.Welcome{Identity: c.ClientID, Data: m}, nil
}

func refuse(code packet.ConnackCode, why string) error {
	return &server.Refusal{Code: code, Reason: why}
}

// Attached passes a login on, and the filters that a kept session still has.
func (o *owner) Attached(s *server.Session) {
	m := s.Data().(*member)
	o.log.Info("sub-device connected", "product", m.device.Product, "device", m.device.SN, "remote", s.Remote())
	o.up.Attached(m.device)
	if subs := s.Subscriptions(); len(subs) > 0 {
		o.up.Wanted(m.device, subs)
	}
}

// Subscribe grants a sub-device its own topics and its product's broadcasts. The
// hub is asked for them by the way up, now or when it is in reach again.
func (o *owner) Subscribe(s *server.Session, req []server.Subscription) ([]byte, error) {
	m := s.Data().(*member)
	codes := make([]byte, len(req))
	want := make(map[string]server.Subscription)
	for _, sub := range s.Subscriptions() {
		want[sub.Filter] = sub
	}
	for i, r := range req {
		if !m.perms.Subscribe(r.Filter) {
			codes[i] = byte(packet.Unauthorized)
			o.log.Warn("sub-device may not subscribe", "product", m.device.Product, "device", m.device.SN, "topic", r.Filter)
			continue
		}
		codes[i] = min(r.QoS, 1)
		want[r.Filter] = server.Subscription{Filter: r.Filter, QoS: codes[i]}
	}
	o.wanted(m.device, want)
	return codes, nil
}

// Unsubscribe tells the way up what is left.
func (o *owner) Unsubscribe(s *server.Session, filters []string) error {
	m := s.Data().(*member)
	want := make(map[string]server.Subscription)
	for _, sub := range s.Subscriptions() {
		want[sub.Filter] = sub
	}
	for _, f := range filters {
		delete(want, f)
	}
	o.wanted(m.device, want)
	return nil
}

func (o *owner) wanted(d ident.Device, want map[string]server.Subscription) {
	subs := make([]server.Subscription, 0, len(want))
	for _, s := range want {
		subs = append(subs, s)
	}
	o.up.Wanted(d, subs)
}

// Publish takes a sub-device's message when the topic is its own.
func (o *owner) Publish(s *server.Session, p *server.Publish) {
	m := s.Data().(*member)
	if err := m.mayPublish(p.Topic); err != nil {
		o.log.Warn("sub-device's message dropped", "product", m.device.Product, "device", m.device.SN, "topic", p.Topic, "err", err)
		p.Done(&server.Rejection{Code: packet.Unauthorized, Reason: err.Error()})
		return
	}
	o.up.Forward(m.device, p.Topic, p.Payload, p.QoS, p.Done)
}

// mayPublish checks what can be checked here; which custom topics its product
// has, only the hub knows.
func (m *member) mayPublish(name string) error {
	if len(name) > topic.MaxBytes {
		return topic.ErrLong
	}
	t, err := topic.Parse(name)
	switch {
	case err != nil:
		return err
	case t.Device != m.device:
		return fmt.Errorf("gateway: the topic is not of %s", m.device)
	case t.Kind.Direction()&topic.Pub == 0 || t.Kind.GatewayOnly():
		return fmt.Errorf("gateway: a sub-device may not publish %s", t.Kind)
	}
	return nil
}

// Delivered is not needed: the gateway sends without tags.
func (o *owner) Delivered(*server.Session, uint64) {}

// Disconnect passes the end on.
func (o *owner) Disconnect(s *server.Session, why server.Cause) {
	m := s.Data().(*member)
	o.log.Info("sub-device disconnected", "product", m.device.Product, "device", m.device.SN, "cause", why.String())
	if s.Clean() {
		o.up.Wanted(m.device, nil)
	}
	// A take-over has no gap: the new connection's Attached comes right behind.
	if why != server.CauseTakenOver {
		o.up.Detached(m.device)
	}
}
