package server

import (
	"errors"
	"fmt"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
)

var errGrants = errors.New("owner returned another number of codes than of requests")

// handle acts on one packet of an established session.
func (c *conn) handle(h packet.Header, body []byte) error {
	if err := c.heard(); err != nil {
		return err
	}
	switch h.Type {
	case packet.PUBLISH:
		return c.publish(h.Flags, body)
	case packet.PUBACK, packet.PUBREC, packet.PUBREL, packet.PUBCOMP:
		return c.ackOf(h.Type, body)
	case packet.SUBSCRIBE:
		return c.subscribe(body)
	case packet.UNSUBSCRIBE:
		return c.unsubscribe(body)
	case packet.PINGREQ:
		if err := packet.DecodeEmpty(body); err != nil {
			return err
		}
		c.ping()
		return nil
	case packet.DISCONNECT:
		return c.disconnect(body)
	case packet.AUTH:
		return c.renew(body)
	}
	return endWith(CauseProtocol, fmt.Errorf("%s from a client", h.Type))
}

// heard ends what was closed meanwhile, and waits until a client that does not read takes what it was sent, so that nobody can make the answers pile up.
func (c *conn) heard() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed { // taken over, say, with packets in hand
		return endWith(c.cause, nil)
	}
	if c.waitingBytesLocked() < highWater {
		return nil
	}
	c.srv.stats.paused.Add(1)
	return c.waitUntilLocked(never, func() bool { return c.waitingBytesLocked() < highWater })
}

// readSubscribe decodes a SUBSCRIBE in the connection's version.
func (c *conn) readSubscribe(body []byte) (id uint16, all []Subscription, err error) {
	var filters packet.Filters
	var p packet.Properties
	if c.version == packet.V5 {
		id, p, filters, err = packet.DecodeSubscribe5(body)
	} else {
		id, filters, err = packet.DecodeSubscribe(body)
	}
	if err != nil {
		return 0, nil, err
	}
	name, _ := p.Int(packet.SubscriptionID)
	for {
		filter, o, ok := filters.Next()
		if !ok {
			return id, all, nil
		}
		options := packet.Options(o)
		all = append(all, Subscription{Filter: string(filter), QoS: options.QoS(), Options: options &^ 3, ID: name})
	}
}

// subscribe answers a SUBSCRIBE: in force and acknowledged in one step, before the next packet is looked at.
func (c *conn) subscribe(body []byte) error {
	id, all, err := c.readSubscribe(body)
	if err != nil {
		return err
	}
	codes := make([]byte, len(all))
	asked := c.s.withinLimit(all, c.limits.Load().subscriptions(c.srv.cfg.MaxSubscriptions), codes)
	if len(asked) > 0 {
		c.uncork() // the owner may block
		granted, err := c.srv.owner.Subscribe(c.s, asked)
		c.cork()
		if err == nil && len(granted) != len(asked) {
			err = errGrants
		}
		if err != nil {
			return endWith(CauseOwner, fmt.Errorf("subscribe: %w", err))
		}
		spread(codes, all, granted)
	}
	for _, code := range codes {
		if code >= packet.SubackFailure {
			c.srv.stats.denied.Add(1)
		}
	}
	retained := c.s.subscribed(c, id, all, codes)
	if f, ok := c.srv.owner.(Follower); ok {
		f.Subscribed(c.s)
	}
	c.sendRetained(retained)
	return nil
}

// sendRetained sends what the owner has retained for new subscriptions: the first of it before the connection's next packet is read.
func (c *conn) sendRetained(subs []Subscription) {
	if _, ok := c.srv.owner.(Retainer); ok && c.s.beginBacklog(subs) {
		c.uncork()                 // the owner may block
		c.s.refill(c, 2*len(subs)) // with one filter and few messages: those, and the end
		c.cork()
	}
}

// spread puts the owner's answers where codes does not already refuse, never above what was asked.
func spread(codes []byte, all []Subscription, granted []byte) {
	for i := range codes {
		if codes[i] >= packet.SubackFailure {
			continue
		}
		codes[i] = granted[0]
		if codes[i] < packet.SubackFailure {
			codes[i] = min(codes[i], all[i].QoS)
		}
		granted = granted[1:]
	}
}

func (c *conn) unsubscribe(body []byte) error {
	var id uint16
	var filters packet.Filters
	var err error
	if c.version == packet.V5 {
		id, _, filters, err = packet.DecodeUnsubscribe5(body)
	} else {
		id, filters, err = packet.DecodeUnsubscribe(body)
	}
	if err != nil {
		return err
	}
	var names []string
	for {
		name, _, ok := filters.Next()
		if !ok {
			break
		}
		names = append(names, string(name))
	}
	c.uncork() // the owner may block
	defer c.cork()
	if err := c.srv.owner.Unsubscribe(c.s, names); err != nil {
		return endWith(CauseOwner, fmt.Errorf("unsubscribe: %w", err))
	}
	c.unsuback(id, c.s.unsubscribed(names))
	return nil
}

func (c *conn) unsuback(id uint16, codes []byte) {
	if c.version != packet.V5 {
		c.reply(packet.UNSUBACK, id)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		o := c.outLocked()
		o.b = packet.AppendSuback5(o.b, packet.UNSUBACK, id, nil, codes)
	}
}

// uncork writes what is in hand and lets other goroutines write while this one may be blocked, until cork.
func (c *conn) uncork() {
	c.mu.Lock()
	c.flushLocked()
	c.corked = false
	c.mu.Unlock()
}

// cork leaves what is in hand from now on to the next read.
func (c *conn) cork() {
	c.mu.Lock()
	c.corked = true
	c.mu.Unlock()
}

// ping answers, unless that was done ahead.
func (c *conn) ping() {
	if c.early > 0 {
		c.early--
		return
	}
	c.reply(packet.PINGRESP, 0)
}
