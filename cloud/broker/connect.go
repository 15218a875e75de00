package broker

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/application"
	"github.com/hawser-iot/hawser/cloud/auth"
	"github.com/hawser-iot/hawser/cloud/auth/authority"
	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/presence"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// Connect implements server.Owner: who is it, may it, and since when.
func (b *Broker) Connect(ctx context.Context, c *server.Connect) (server.Welcome, error) {
	who := Behaviour{At: time.Now(), Action: ActionLogin}
	l, err := b.parse(c)
	who.Device = l.Device
	var w server.Welcome
	switch {
	case err != nil:
	case l.Mode == credential.ModeApp:
		if w, err = b.connectApp(ctx, c, l); err == nil {
			s := w.Data.(*application.Session)
			who.Application, who.Project = s.Name(), s.App.Project
		}
	default:
		w, err = b.connectDevice(ctx, c, l)
	}
	if l.Mode == credential.ModeRegister {
		who.Action = ActionRegister
	}
	err = refusal(err)
	b.login(c, who, err)
	return w, err
}

// connectDevice logs a device in.
func (b *Broker) connectDevice(ctx context.Context, c *server.Connect, l credential.Login) (server.Welcome, error) {
	grant, err := b.Auth.Login(ctx, auth.Attempt{Login: l, ClientID: c.ClientID, Password: c.Password, Peer: peer(c), Remote: c.Remote})
	if err != nil {
		return server.Welcome{}, err
	}
	if err := b.allowWill(c, grant); err != nil {
		return server.Welcome{}, err
	}
	s, kept, err := b.Presence.Connect(ctx, presence.Login{
		Device: grant.Device, Product: grant.Product, Perms: grant.Perms, Options: grant.Options, Restricted: grant.Restricted,
		Proof:      presence.Proof{Authority: grant.Proof.Authority, Serial: grant.Proof.Serial},
		Persistent: c.SessionExpiry > 0, Expiry: c.SessionExpiry, Fresh: c.Clean,
		Remote: c.Remote, Transport: c.Transport, Protocol: protocol(c.Version), KeepAlive: b.keepAlive(c),
	})
	if err != nil {
		return server.Welcome{}, err
	}
	w := server.Welcome{Identity: identity(s), Data: s, Present: kept.Present, Received: kept.Received, KeepAlive: s.KeepAlive,
		Limits: b.limits(s, grant.Product)}
	for _, f := range kept.Filters {
		w.Subscriptions = append(w.Subscriptions, server.Subscription(f))
	}
	return w, nil
}

// protocol names a version of MQTT as people know it.
func protocol(version byte) string {
	switch version {
	case packet.V31:
		return "MQTT 3.1"
	case packet.V311:
		return "MQTT 3.1.1"
	case packet.V5:
		return "MQTT 5.0"
	}
	return fmt.Sprintf("MQTT %d", version)
}

// parse reads what CONNECT says of who it is.
func (b *Broker) parse(c *server.Connect) (credential.Login, error) {
	l, err := parseLogin(c)
	if err != nil {
		return l, b.Auth.Refuse(ident.Device{}, c.Remote, packet.BadCredentials, auth.BadUserName)
	}
	if ka := b.keepAlive(c); ka < b.cfg.KeepAliveMin || ka > b.cfg.KeepAliveMax {
		return l, b.Auth.Refuse(l.Device, c.Remote, packet.IdentifierRejected, auth.BadKeepAlive)
	}
	return l, nil
}

// keepAlive is what silence is judged by: what the client says, or with MQTT 5.0, where it can be told, the nearest that is allowed.
func (b *Broker) keepAlive(c *server.Connect) uint16 {
	switch {
	case c.Version != packet.V5:
		return c.KeepAlive
	case c.KeepAlive == 0: // none at all
		return b.cfg.KeepAliveMax
	}
	return min(max(c.KeepAlive, b.cfg.KeepAliveMin), b.cfg.KeepAliveMax)
}

// peer is what the client presented over TLS. The listener asks for certificates and does not verify them: auth does.
func peer(c *server.Connect) []*x509.Certificate {
	if c.TLS == nil {
		return nil
	}
	return c.TLS.PeerCertificates
}

// parseLogin reads the user name; one who shows a certificate needs none.
func parseLogin(c *server.Connect) (credential.Login, error) {
	if c.UserName == "" && len(peer(c)) > 0 {
		product, sn, _ := strings.Cut(c.ClientID, ".")
		l := credential.Login{Device: ident.Device{Product: product, SN: sn}, Mode: credential.ModeX509}
		return l, l.Device.Check()
	}
	return credential.ParseUserName(c.UserName)
}

// identity is what the engine knows the session by. A registration has one of its own: whoever holds the product's secret
// must not be able to push a device off that logs in for the first time at that moment.
func identity(s *presence.Session) string {
	id := s.Device.Identity.ClientID()
	if s.Restricted {
		return "register:" + id
	}
	return id
}

// refusal puts an error into the engine's form; what is no refusal becomes "server unavailable" there.
func refusal(err error) error {
	var r *auth.Refusal
	if errors.As(err, &r) {
		return &server.Refusal{Code: r.Code, Reason: string(r.Reason)}
	}
	return err
}

// Attached implements server.Owner: from here on the device can be reached.
func (b *Broker) Attached(es *server.Session) {
	if a, ok := app(es); ok {
		b.attachedApp(es, a)
		return
	}
	s := session(es)
	if s.Restricted {
		return
	}
	b.Presence.Attach(s, es)
	ctx, cancel := context.WithTimeout(context.Background(), b.cfg.StoreWait)
	defer cancel()
	b.recheck(ctx, s)
	if err := b.Presence.Greet(s); err != nil {
		b.Log.Debug("status not sent", "device", s.Device.Identity, "err", err)
	}
	if err := b.Downlink.Replay(ctx, s.Device.Identity, s); err != nil {
		b.Log.Warn("queued messages not sent", "device", s.Device.Identity, "err", err)
	}
}

// recheck looks at the registry once more: a change between login and now found no session to cut off or to renew.
func (b *Broker) recheck(ctx context.Context, s *presence.Session) {
	proof := authority.Proof{Authority: s.Proof().Authority, Serial: s.Proof().Serial}
	if errors.Is(b.Auth.Holds(ctx, proof, s.Device.Identity.Product), authority.ErrRevoked) {
		b.engine.Kick(identity(s), server.CauseKicked)
		return
	}
	dev, err := b.Registry.Device(ctx, s.Device.Identity)
	switch {
	case errors.Is(err, registry.ErrDeviceNotFound):
		b.engine.Kick(identity(s), server.CauseDeleted)
	case err == nil && (dev.ID != s.Device.ID || dev.State == registry.Disabled || !dev.Secret.Equal(s.Device.Secret.Reveal())):
		b.engine.Kick(identity(s), server.CauseKicked)
	default:
		b.renew(ctx, s)
	}
}

// Disconnect implements server.Owner.
func (b *Broker) Disconnect(es *server.Session, why server.Cause) {
	if a, ok := app(es); ok {
		b.logout(ofApp(a), why)
		b.Applications.Detach(a)
		return
	}
	s := session(es)
	b.logout(of(s), why)
	if b.Agents != nil {
		b.Agents.Gone(s)
	}
	b.Presence.SetExpiry(s, es.Expiry())
	b.Presence.Disconnect(s, why)
}

// Expired implements server.Expirer: the device has not come back in time. Nothing is stored of applications.
func (b *Broker) Expired(es *server.Session) {
	if _, ok := app(es); !ok {
		b.Presence.Expire(session(es))
	}
}

// Released implements server.Keeper: the device will not repeat a QoS 2 publish.
func (b *Broker) Released(es *server.Session, id uint16, done func(error)) {
	if _, ok := app(es); ok {
		done(nil)
		return
	}
	b.Presence.Released(session(es), id, done)
}

// Received implements server.Keeper: the device holds a queued QoS 2 message.
func (b *Broker) Received(es *server.Session, tag uint64, done func(error)) {
	if _, ok := app(es); ok {
		done(nil)
		return
	}
	b.Downlink.Received(session(es).TagOf(tag), tag, done)
}

// Delivered implements server.Owner: a queued message has arrived.
func (b *Broker) Delivered(es *server.Session, tag uint64) {
	if a, ok := app(es); ok {
		b.Applications.Delivered(a, tag)
		return
	}
	b.Downlink.Acknowledged(session(es).TagOwner(tag), tag)
}

// Confirmed implements server.Confirmer: a device has acknowledged a message.
func (b *Broker) Confirmed(_ *server.Session, receipt uint64) { b.Downlink.Confirmed(receipt) }

// session is what Connect gave the engine to keep.
func session(es *server.Session) *presence.Session { return es.Data().(*presence.Session) }

// Subscribe implements server.Owner. The filters of a persistent session are in the store before SUBACK.
func (b *Broker) Subscribe(es *server.Session, req []server.Subscription) ([]byte, error) {
	if a, ok := app(es); ok {
		return b.subscribeApp(es, a, req)
	}
	s := session(es)
	codes := make([]byte, len(req))
	all := filters(es)
	granted := 0
	for i, r := range req {
		codes[i] = b.grant(s, r)
		if b.full(s, all, r.Filter) {
			codes[i] = byte(packet.QuotaExceeded)
			b.metrics.denied.WithLabelValues("subscriptions").Inc()
		}
		if codes[i] >= packet.SubackFailure {
			continue
		}
		granted++
		all = put(all, downlink.Filter{Filter: r.Filter, QoS: codes[i], Options: r.Options, ID: r.ID})
	}
	b.subscribed(of(s), req, codes)
	if granted == 0 {
		return codes, nil
	}
	return codes, b.save(s, all)
}

// grant judges one filter; the QoS is granted as asked.
func (b *Broker) grant(s *presence.Session, r server.Subscription) byte {
	if !s.MaySubscribe(r.Filter) {
		b.metrics.denied.WithLabelValues("subscribe").Inc()
		b.Log.Info("subscription refused", "product", s.Device.Identity.Product, "device", s.Device.Identity.SN, "topic", r.Filter)
		return byte(packet.Unauthorized)
	}
	return r.QoS
}

// Unsubscribe implements server.Owner.
func (b *Broker) Unsubscribe(es *server.Session, names []string) error {
	if a, ok := app(es); ok {
		return b.unsubscribeApp(es, a, names)
	}
	all := filters(es)
	for _, name := range names {
		all = drop(all, name)
	}
	return b.save(session(es), all)
}

func (b *Broker) save(s *presence.Session, all []downlink.Filter) error {
	ctx, cancel := context.WithTimeout(context.Background(), b.cfg.StoreWait)
	defer cancel()
	if err := b.Presence.SaveFilters(ctx, s, all); err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	return nil
}

func filters(es *server.Session) []downlink.Filter {
	subs := es.Subscriptions()
	all := make([]downlink.Filter, 0, len(subs)+1)
	for _, sub := range subs {
		all = append(all, downlink.Filter(sub))
	}
	return all
}

// put adds a filter, or replaces the one of its name.
func put(all []downlink.Filter, f downlink.Filter) []downlink.Filter {
	return append(drop(all, f.Filter), f)
}

func drop(all []downlink.Filter, name string) []downlink.Filter {
	kept := all[:0]
	for _, f := range all {
		if f.Filter != name {
			kept = append(kept, f)
		}
	}
	return kept
}

// cutWait bounds the reading of a product after a change.
const cutWait = 5 * time.Second
