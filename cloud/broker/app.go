package broker

import (
	"context"
	"errors"
	"strings"

	"github.com/hawser-iot/hawser/cloud/application"
	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// app is an application's session, if it is one.
func app(es *server.Session) (*application.Session, bool) {
	s, ok := es.Data().(*application.Session)
	return s, ok
}

// connectApp is the login of an application. Its client id is its own business; its rate is bounded by back-pressure alone.
func (b *Broker) connectApp(ctx context.Context, c *server.Connect, l credential.Login) (server.Welcome, error) {
	grant, err := b.Auth.Application(ctx, l, c.Password, c.Remote)
	if err != nil {
		return server.Welcome{}, err
	}
	s, present, err := b.Applications.Connect(ctx, grant, c.ClientID, c.SessionExpiry > 0, c.Clean)
	if err != nil {
		return server.Welcome{}, err
	}
	w := server.Welcome{Identity: s.Identity, Data: s, Present: present, KeepAlive: b.keepAlive(c), Limits: server.Limits{Rate: -1, ByteRate: -1}}
	for _, f := range s.Filters() {
		w.Subscriptions = append(w.Subscriptions, server.Subscription(f))
	}
	return w, nil
}

// attachedApp makes an application reachable. A key that was deleted since the login ends it within Recheck.
func (b *Broker) attachedApp(es *server.Session, s *application.Session) {
	ctx, cancel := context.WithTimeout(context.Background(), b.cfg.StoreWait)
	defer cancel()
	if err := b.Applications.Attach(ctx, s, es); err != nil {
		b.Log.Warn("queued messages not sent", "application", s.Identity, "err", err)
	}
}

// subscribeApp grants filters and makes those of a persistent session durable before SUBACK.
func (b *Broker) subscribeApp(es *server.Session, s *application.Session, req []server.Subscription) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), b.cfg.StoreWait)
	defer cancel()
	codes := make([]byte, len(req))
	all, granted := filters(es), 0
	for i, r := range req {
		if !b.Applications.MaySubscribe(ctx, s, r.Filter) {
			codes[i] = packet.SubackFailure
			b.metrics.denied.WithLabelValues("subscribe").Inc()
			b.Log.Info("subscription refused", "application", s.Identity, "topic", r.Filter)
			continue
		}
		codes[i] = min(r.QoS, 1)
		granted++
		all = put(all, downlink.Filter{Filter: r.Filter, QoS: codes[i], Options: r.Options, ID: r.ID})
	}
	b.subscribed(ofApp(s), req, codes)
	if granted == 0 {
		return codes, nil
	}
	return codes, b.Applications.Subscribe(ctx, s, all)
}

// Subscribed implements server.Follower.
func (b *Broker) Subscribed(es *server.Session) {
	if a, ok := app(es); ok {
		b.Applications.Joined(a)
		return
	}
	if b.Listening != nil {
		b.Listening(session(es).Device.ID)
	}
}

func (b *Broker) unsubscribeApp(es *server.Session, s *application.Session, names []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), b.cfg.StoreWait)
	defer cancel()
	all := filters(es)
	for _, name := range names {
		all = drop(all, name)
	}
	return b.Applications.Subscribe(ctx, s, all)
}

// publishApp sends a message of an application to a device, on a custom topic: what goes out on system topics is the hub's business. Its topic, and
// with it the device's name, gets memory of its own: the connection's is over with Done, and receipts, watchers and rows that are late keep them.
func (b *Broker) publishApp(s *application.Session, p *server.Publish) {
	name := strings.Clone(p.Topic)
	t, err := topic.Parse(name)
	if err == nil && t.Kind != topic.Custom && t.Kind != topic.TopoFoundReply { // the latter is an application's answer
		err = application.ErrForbidden
	}
	if err == nil {
		err = b.sendApp(s, p, t, name)
	}
	if err != nil && !errors.Is(err, server.ErrUnavailable) {
		b.metrics.denied.WithLabelValues("publish").Inc()
		b.Log.Info("publish refused", "application", s.Identity, "topic", p.Topic, "err", err)
		b.refusedApp(s, p, err)
	}
	p.Done(err)
}

// sendApp keeps the message, if it is to be retained, and sends it.
func (b *Broker) sendApp(s *application.Session, p *server.Publish, t topic.Topic, name string) error {
	ctx := b.wait()
	defer ctx.end()
	if p.Retain {
		product, err := b.Applications.Target(ctx, s, t.Device)
		if err == nil {
			err = b.retainApp(ctx, p, product, t.Device.SN)
		}
		if err != nil {
			return err
		}
	}
	return b.Applications.Publish(ctx, s, downlink.Message{Device: t.Device, Topic: name, Payload: p.Payload, QoS: min(p.QoS, 1), Retain: p.Retain,
		By: s.Name()})
}

// runApps looks after applications, if there may be any.
func (b *Broker) runApps(ctx context.Context) error {
	if b.Applications == nil {
		<-ctx.Done()
		return nil
	}
	return b.Applications.Run(ctx, func(identity string) { b.engine.Kick(identity, server.CauseKicked) })
}
