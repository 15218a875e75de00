package gateway

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// owner is the Gateway as its engine sees it. A session's data is its *member or its *application.
type owner Gateway

var _ server.Owner = (*owner)(nil)

// Connect admits the sub-devices of the registry with their own secrets, and applications.
func (o *owner) Connect(_ context.Context, c *server.Connect) (server.Welcome, error) {
	if name, ok := strings.CutPrefix(c.UserName, "app|"); ok {
		return o.connectApplication(c, name)
	}
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
	o.mu.Lock()
	defer o.mu.Unlock()
	m := o.members[login.Device]
	switch {
	case m == nil && o.cfg.Report:
		(*Gateway)(o).foundLocked(login.Device)
		return server.Welcome{}, refuse(packet.BadCredentials, "not a sub-device of this gateway")
	case m == nil || m.secret == "" || !m.secret.Equal(string(c.Password)):
		return server.Welcome{}, refuse(packet.BadCredentials, "not a sub-device of this gateway, or wrong secret")
	case m.barred():
		return server.Welcome{}, refuse(packet.NotAuthorized, "the hub does not let it in")
	case m.port != nil:
		return server.Welcome{}, refuse(packet.NotAuthorized, "a driver of the gateway speaks for it")
	}
	w := server.Welcome{Identity: c.ClientID, Data: m}
	if len(m.said.Filters) > 0 && !c.Clean {
		w.Present, w.Subscriptions = true, slices.Clone(m.said.Filters)
	}
	return w, nil
}

func refuse(code packet.ConnackCode, why string) error {
	return &server.Refusal{Code: code, Reason: why}
}

// Attached passes a login on, and the filters that a kept session still has; what waited goes out.
func (o *owner) Attached(s *server.Session) {
	m, ok := s.Data().(*member)
	if !ok {
		return
	}
	o.log.Info("sub-device connected", "product", m.device.Product, "device", m.device.SN, "remote", s.Remote())
	g := (*Gateway)(o)
	subs := s.Subscriptions()
	o.mu.Lock()
	m.wakeLocked()
	if len(subs) == 0 {
		g.discardLocked(m) // of a session that is over
	}
	g.keepFiltersLocked(s, m, subs)
	o.mu.Unlock()
	o.up.Attached(m.device)
	if len(subs) > 0 {
		o.up.Wanted(m.device, subs)
	}
	g.hand(s, m)
}

// keepFiltersLocked remembers the filters of a session that outlives its connection.
func (g *Gateway) keepFiltersLocked(s *server.Session, m *member, subs []server.Subscription) {
	if s.Clean() {
		subs = nil
	}
	if slices.Equal(subs, m.said.Filters) {
		return
	}
	m.said.Filters, m.said.Left = slices.Clone(subs), 0
	g.saveLocked(m)
}

// Subscribe grants a sub-device its own topics and its product's broadcasts. The
// hub is asked for them by the way up, now or when it is in reach again.
func (o *owner) Subscribe(s *server.Session, req []server.Subscription) ([]byte, error) {
	if a, ok := s.Data().(*application); ok {
		return o.subscribeApplication(a, req), nil
	}
	m := s.Data().(*member)
	codes := make([]byte, len(req))
	want := s.Subscriptions()
	for i, r := range req {
		if !m.perms.Subscribe(r.Filter) {
			codes[i] = byte(packet.Unauthorized)
			o.log.Warn("sub-device may not subscribe", "product", m.device.Product, "device", m.device.SN, "topic", r.Filter)
			continue
		}
		codes[i] = min(r.QoS, 1)
		want = slices.DeleteFunc(want, func(w server.Subscription) bool { return w.Filter == r.Filter })
		want = append(want, server.Subscription{Filter: r.Filter, QoS: codes[i]})
	}
	o.wanted(s, m, want)
	return codes, nil
}

// Unsubscribe tells the way up what is left.
func (o *owner) Unsubscribe(s *server.Session, filters []string) error {
	if m, ok := s.Data().(*member); ok {
		o.wanted(s, m, slices.DeleteFunc(s.Subscriptions(), func(w server.Subscription) bool { return slices.Contains(filters, w.Filter) }))
	}
	return nil
}

func (o *owner) wanted(s *server.Session, m *member, subs []server.Subscription) {
	o.mu.Lock()
	(*Gateway)(o).keepFiltersLocked(s, m, subs)
	o.mu.Unlock()
	o.up.Wanted(m.device, subs)
}

// Publish takes a sub-device's message when the topic is its own.
func (o *owner) Publish(s *server.Session, p *server.Publish) {
	if a, ok := s.Data().(*application); ok {
		o.publishApplication(a, p)
		return
	}
	m := s.Data().(*member)
	if err := m.mayPublish(p.Topic); err != nil {
		o.log.Warn("sub-device's message dropped", "product", m.device.Product, "device", m.device.SN, "topic", p.Topic, "err", err)
		p.Done(&server.Rejection{Code: packet.Unauthorized, Reason: err.Error()})
		return
	}
	// What the way up keeps has QoS 0 and 1; delivered once more is allowed on the way of a QoS 2 message that the hub gets at QoS 1.
	(*Gateway)(o).forward(m, p.Topic, p.Payload, min(p.QoS, 1), p.Done)
}

// Delivered forgets a letter.
func (o *owner) Delivered(s *server.Session, tag uint64) {
	if m, ok := s.Data().(*member); ok {
		o.mu.Lock()
		(*Gateway)(o).dropLocked(m, tag)
		o.mu.Unlock()
	}
}

// Disconnect passes the end on. A sub-device that sleeps has not left.
func (o *owner) Disconnect(s *server.Session, why server.Cause) {
	m, ok := s.Data().(*member)
	if !ok {
		return
	}
	o.log.Info("sub-device disconnected", "product", m.device.Product, "device", m.device.SN, "cause", why.String())
	o.mu.Lock()
	m.online = false
	sleeps := m.sleep > 0 && !s.Clean() && len(m.said.Filters) > 0 && !m.barred()
	if sleeps && why != server.CauseTakenOver {
		m.said.Left = time.Now().Unix()
		(*Gateway)(o).saveLocked(m)
		(*Gateway)(o).sleepLocked(m, m.sleep)
	}
	o.mu.Unlock()
	if s.Clean() {
		o.up.Wanted(m.device, nil)
	}
	// A take-over has no gap: the new connection's Attached comes right behind.
	if why != server.CauseTakenOver && !sleeps {
		o.up.Detached(m.device)
	}
}
