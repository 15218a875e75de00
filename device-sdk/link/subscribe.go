package link

import (
	"context"
	"fmt"
	"slices"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/hawser-iot/hawser/protocol/topic"
)

// Handler is called with each message of a subscription, one at a time and in
// the order of arrival. The message is acknowledged when it returns, and other
// messages wait meanwhile: hand long work to a goroutine. ctx ends with Run.
type Handler func(ctx context.Context, m Message)

// route is a wanted subscription.
type route struct {
	filter string
	qos    byte
	handle Handler
	on     *conn // the connection it was last subscribed on; Link.mu
}

// maxFilters is how many filters go into one SUBSCRIBE, so that the packet stays
// small.
const maxFilters = 20

// Subscribe wants the messages of filter to go to h, on this connection and all
// later ones. Connected, it returns after the hub's answer, with a
// *SubscribeError when the hub refused. Not connected, it returns nil at once
// and the subscription comes into force with the next login. A second call with
// the same filter replaces the handler.
func (l *Link) Subscribe(ctx context.Context, filter string, qos byte, h Handler) error {
	if err := topic.ValidFilter(filter); err != nil {
		return fmt.Errorf("link: subscribe %q: %w", filter, err)
	}
	r := &route{filter: filter, qos: min(qos, 1), handle: h}
	l.mu.Lock()
	l.dropRouteLocked(filter)
	l.routes = append(l.routes, r)
	c := l.cur
	r.on = c
	l.mu.Unlock()
	if c == nil {
		return nil
	}
	refused, err := c.subscribe(ctx, []*route{r})
	switch {
	case len(refused) > 0:
		l.mu.Lock()
		l.dropRouteLocked(filter)
		l.mu.Unlock()
		return &SubscribeError{Filter: filter}
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	}
	// A connection that was lost meanwhile brings the subscription back itself.
	return nil
}

// Unsubscribe ends the subscription to filter.
func (l *Link) Unsubscribe(ctx context.Context, filter string) error {
	l.mu.Lock()
	l.dropRouteLocked(filter)
	c := l.cur
	l.mu.Unlock()
	if c == nil {
		return nil
	}
	return c.await(ctx, c.client.Unsubscribe(filter))
}

func (l *Link) dropRouteLocked(filter string) {
	l.routes = slices.DeleteFunc(l.routes, func(r *route) bool { return r.filter == filter })
}

// handlers returns what wants a message of this topic, in order of subscription.
func (l *Link) handlers(name string) []Handler {
	l.mu.Lock()
	defer l.mu.Unlock()
	var hs []Handler
	for _, r := range l.routes {
		if topic.Match(r.filter, name) {
			hs = append(hs, r.handle)
		}
	}
	return hs
}

// subscribe asks for the routes and returns the filters that were refused.
func (c *conn) subscribe(ctx context.Context, routes []*route) (refused []string, err error) {
	for part := range slices.Chunk(routes, maxFilters) {
		want := make(map[string]byte, len(part))
		for _, r := range part {
			want[r.filter] = r.qos
		}
		tok := c.client.SubscribeMultiple(want, nil).(*mqtt.SubscribeToken)
		if err := c.await(ctx, tok); err != nil {
			return refused, fmt.Errorf("subscribe: %w", err)
		}
		for filter, code := range tok.Result() {
			if code == 0x80 {
				refused = append(refused, filter)
			}
		}
	}
	return refused, nil
}

// await waits for the answer to a SUBSCRIBE or UNSUBSCRIBE.
func (c *conn) await(ctx context.Context, tok mqtt.Token) error {
	timer := time.NewTimer(c.link.cfg.AckTimeout)
	defer timer.Stop()
	select {
	case <-tok.Done():
		return tok.Error()
	case <-c.lost:
		return ErrConnectionLost
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		c.end(ErrAckTimeout)
		return ErrAckTimeout
	}
}

// take runs on paho's reading goroutine and must not block, or acknowledgements
// and ping replies would stop with it.
func (c *conn) take(m mqtt.Message) {
	select {
	case c.link.inbox <- m:
		c.link.stats.received.Add(1)
		return
	default:
	}
	if m.Qos() == 0 {
		c.link.stats.dropped.Add(1)
		return
	}
	select {
	case c.fault <- ErrOverrun:
		c.link.stats.overruns.Add(1)
	default:
	}
}

// dispatch hands messages to their handlers until ctx ends. It outlives the
// connections: a handler may wait for the next one in Publish.
func (l *Link) dispatch(ctx context.Context) {
	for {
		select {
		case m := <-l.inbox:
			l.handle(ctx, m)
		case <-ctx.Done():
			return
		}
	}
}

func (l *Link) handle(ctx context.Context, m mqtt.Message) {
	hs := l.handlers(m.Topic())
	if len(hs) == 0 && l.rest != nil {
		hs = append(hs, l.rest)
	}
	if len(hs) == 0 {
		l.stats.unhandled.Add(1)
		l.log.Debug("message without a handler", "topic", m.Topic())
	}
	for _, h := range hs {
		h(ctx, Message{Topic: m.Topic(), Payload: m.Payload(), QoS: m.Qos(), Duplicate: m.Duplicate()})
	}
	m.Ack()
}

// HandleRest sends messages that no subscription wants to h: those that come
// unasked, or were asked for with SubscribeOnce. Call it before Run.
func (l *Link) HandleRest(h Handler) { l.rest = h }

// SubscribeOnce asks the hub for a filter on the present connection only;
// HandleRest says where the messages go. A gateway uses it for the topics of a sub-device,
// which the hub grants only after that one's login. It returns a *SubscribeError
// when the hub refuses, ErrOffline without a connection.
func (l *Link) SubscribeOnce(ctx context.Context, filter string, qos byte) error {
	l.mu.Lock()
	c := l.cur
	l.mu.Unlock()
	if c == nil {
		return ErrOffline
	}
	refused, err := c.subscribe(ctx, []*route{{filter: filter, qos: min(qos, 1)}})
	if len(refused) > 0 {
		return &SubscribeError{Filter: filter}
	}
	return err
}
