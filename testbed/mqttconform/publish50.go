package mqttconform

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Section 3.3 of 5.0: what properties do.

// sameUserProps compares a message's user properties, order included, with "name=value name=value".
func sameUserProps(r *run, m pub, want string) {
	var got []string
	for _, p := range m.got.all(pUser) {
		got = append(got, p.s+"="+p.v)
	}
	if strings.Join(got, " ") != want {
		r.failf("user properties %v, want %s", got, want)
	}
}

// passedOn: what a publisher says about a message reaches its subscribers as it was.
func passedOn(r *run) {
	s, p := r.client("s"), r.client("p")
	topic := r.topic("a")
	s.granted(topic, 1)
	props := slices.Concat(num(pPayloadFormat, 1), str(pContentType, "text/plain; é"), str(pResponseTopic, "answer/here"),
		str(pCorrelation, "\x00\xff\x01"), userProp("b", "1"), userProp("a", "2"), userProp("b", "3"), userProp("", ""))
	for _, retain := range []bool{false, true} {
		p.publish(pub{topic: topic, payload: "x", qos: 1, retain: retain, props: props})
		if retain {
			s = r.client("late")
			s.granted(topic, 1)
		}
		m := s.expect(topic, "x", 1)
		if m.got.num(pPayloadFormat, 0) != 1 || m.got.str(pContentType) != "text/plain; é" || m.got.str(pResponseTopic) != "answer/here" ||
			m.got.str(pCorrelation) != "\x00\xff\x01" {
			r.failf("properties arrived as %v", m.got)
		}
		sameUserProps(r, m, "b=1 a=2 b=3 =")
	}
}

func wildcardResponse(r *run) {
	for _, bad := range []string{"a/+", "#"} {
		r.breaks("response topic "+bad, pub{topic: r.topic("a"), props: str(pResponseTopic, bad)}.bytes(r.level))
	}
}

// messageExpires: a message that waits longer than its expiry is dropped; one that comes in time says what is left.
func messageExpires(r *run) {
	k := r.keeper("a")
	c := r.join(k)
	c.granted(r.topic("#"), 2)
	c.leave()
	p := r.client("p")
	begin := time.Now()
	p.publish(pub{topic: r.topic("short"), payload: "short", qos: 1, props: num(pMessageExpiry, 1)})
	p.publish(pub{topic: r.topic("long"), payload: "long", qos: 1, props: num(pMessageExpiry, 100)})
	r.wait(2200 * time.Millisecond)
	c = r.join(k)
	m := c.expect(r.topic("long"), "long", 1)
	took := time.Since(begin)
	if left := m.got.num(pMessageExpiry, -1); left > 98 || left < 98-int(took.Seconds()) {
		r.failf("expiry %d s after %v of 100 s", left, took)
	}
	c.quiet("the other message had expired")
}

// expiryAfterSend: once PUBLISH was sent, its expiry counts no more: QoS 2 goes on to its end.
func expiryAfterSend(r *run) {
	k := r.keeper("a")
	c := r.join(k)
	c.granted(r.topic("a"), 2)
	r.client("p").publish(pub{topic: r.topic("a"), payload: "x", qos: 2, props: num(pMessageExpiry, 1)})
	m := c.got()
	r.wait(2200 * time.Millisecond)
	c.accept(m)
}

// inboundAfterExpiry: a received QoS 2 message that has expired meanwhile is acknowledged to its end.
func inboundAfterExpiry(r *run) {
	p := r.client("p")
	p.send(pub{topic: r.topic("a"), qos: 2, id: 3, props: num(pMessageExpiry, 1)}.bytes(r.level))
	p.wantAck(tPubrec, 3)
	r.wait(1500 * time.Millisecond)
	p.send(ackPacket(tPubrel, 3))
	p.wantAck(tPubcomp, 3)
}

// aliasIn: the server takes aliases up to the maximum that it named, and forgets them with the connection.
func aliasIn(r *run) {
	s, p := r.client("s"), r.client("p")
	s.granted(r.topic("#"), 0)
	top := p.hello.props.num(pAliasMax, 0)
	for _, alias := range slices.Compact([]int{1, top}) {
		if alias > top {
			return // it takes none
		}
		p.publish(pub{topic: r.topic("a"), payload: "named", qos: 1, props: num(pAlias, alias)})
		p.publish(pub{payload: "by alias", qos: 1, props: num(pAlias, alias)})
		p.publish(pub{topic: r.topic("b"), payload: "named", qos: 1, props: num(pAlias, alias)})
		p.publish(pub{payload: "by alias", qos: 1, props: num(pAlias, alias)})
		for _, topic := range []string{"a", "b"} {
			s.expect(r.topic(topic), "named", 0)
			s.expect(r.topic(topic), "by alias", 0)
		}
	}
	p.leave()
	p = r.client("p")
	p.send(pub{payload: "unknown", qos: 1, id: 9, props: num(pAlias, 1)}.bytes(r.level))
	p.refused("an alias of an earlier connection")
	s.quiet("an alias of an earlier connection names nothing")
}

func aliasZero(r *run) {
	r.breaks("alias 0", pub{topic: r.topic("a"), props: num(pAlias, 0)}.bytes(r.level))
}

// aliasAbove: an alias above the server's maximum ends the connection.
func aliasAbove(r *run) {
	p := r.client("p")
	if top := p.hello.props.num(pAliasMax, 0); top < 0xffff {
		p.send(pub{topic: r.topic("a"), props: num(pAlias, top+1)}.bytes(r.level))
		p.refused("an alias above the maximum")
	}
}

// aliasOut: the server uses no alias above the client's maximum, none without one; those that it uses can be resolved.
func aliasOut(r *run) {
	for _, top := range []int{0, 2} {
		var props []byte
		if top > 0 {
			props = num(pAliasMax, top)
		}
		s := r.join(con{id: r.id(fmt.Sprint("s", top)), clean: true, props: props})
		s.granted(r.topic("#"), 0)
		p := r.client("p")
		names := map[int]string{}
		for i := range 12 {
			topic := r.topic(fmt.Sprint(i % 4))
			p.publish(pub{topic: topic, qos: 1})
			m := s.receive()
			alias := m.got.num(pAlias, -1)
			if alias == 0 || alias > top {
				r.failf("alias %d, the client's maximum is %d", alias, top)
			}
			if m.topic == "" {
				m.topic = names[alias]
			}
			names[alias] = m.topic
			if m.topic != topic {
				r.failf("topic %q, want %q", m.topic, topic)
			}
		}
	}
}

// inFlight joins a subscriber with a receive maximum of 2 and sends it n messages, QoS 1 and 2 in turn.
func (r *run) inFlight(n int) *client {
	s := r.join(con{id: r.id("s"), clean: true, props: num(pReceiveMax, 2)})
	s.granted(r.topic("a"), 2)
	p := r.client("p")
	for i := range n {
		p.publish(pub{topic: r.topic("a"), payload: fmt.Sprint(i), qos: byte(1 + i%2)})
	}
	return s
}

// firstQuota: before the first acknowledgement no more messages come than the client allows.
func firstQuota(r *run) {
	if n := len(r.inFlight(5).drain()); n == 0 || n > 2 {
		r.failf("%d messages in flight, the client allows 2", n)
	}
}

// othersPass: what is no PUBLISH is answered although the quota is used up, and messages of QoS 0 need none.
func othersPass(r *run) {
	s := r.inFlight(5)
	s.drain()
	s.granted(r.topic("other"), 0)
	s.unsubscribe(r.topic("none"))
	s.publish(pub{topic: r.topic("x"), qos: 2})
	s.ping()
}

// receiveMax: at no time more messages are in flight than the client allows; what is acknowledged makes room.
func receiveMax(r *run) {
	const n = 8
	s := r.inFlight(n)
	flight := s.drain()
	for seen := 0; seen < n; seen++ {
		if len(flight) > 2 {
			r.failf("%d messages in flight, the client allows 2", len(flight))
		}
		if len(flight) == 0 {
			r.failf("%d of %d messages came", seen, n)
		}
		s.accept(flight[0])
		flight = append(flight[1:], s.drain()...)
	}
}

// quotaAfterError: a PUBACK or PUBREC with an error ends the delivery and gives the quota back.
func quotaAfterError(r *run) {
	s := r.join(con{id: r.id("s"), clean: true, props: num(pReceiveMax, 1)})
	s.granted(r.topic("#"), 2)
	p := r.client("p")
	for qos := byte(1); qos <= 2; qos++ {
		p.publish(pub{topic: r.topic("a"), payload: "refused", qos: qos})
		s.send(reasonPacket(tPuback+qos-1, s.got().id, 0x80))
		p.publish(pub{topic: r.topic("b"), payload: "next", qos: qos})
		s.expect(r.topic("b"), "next", qos)
	}
}

// refusedOnce: a message that the client acknowledged with an error does not come again.
func refusedOnce(r *run) {
	k := r.keeper("s")
	s := r.join(k)
	s.granted(r.topic("#"), 2)
	p := r.client("p")
	for qos := byte(1); qos <= 2; qos++ {
		p.publish(pub{topic: r.topic("a"), qos: qos})
		s.send(reasonPacket(tPuback+qos-1, s.got().id, 0x80))
	}
	s.ping()
	s.cut()
	s = r.join(k)
	s.quiet("a refused message is not sent again")
	if len(s.stash) > 0 {
		r.failf("%s for a refused message", s.stash[0])
	}
}

// tooLarge: what is larger than the client's maximum is left out, as if it had been sent.
func tooLarge(r *run) {
	s := r.join(con{id: r.id("s"), clean: true, props: slices.Concat(num(pMaxPacket, 120), num(pReceiveMax, 2))})
	topic := r.topic("a")
	s.granted(topic, 2)
	p := r.client("p")
	for qos := range byte(3) {
		for range 3 {
			p.publish(pub{topic: topic, payload: strings.Repeat("x", 200), qos: qos})
		}
		p.publish(pub{topic: topic, payload: "small", qos: qos})
		if m := s.expect(topic, "small", qos); m.size > 120 {
			r.failf("a packet of %d bytes, the client allows 120", m.size)
		}
	}
	s.quiet("the large messages are left out")
}
