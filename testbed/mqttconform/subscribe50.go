package mqttconform

import (
	"fmt"
	"slices"
)

// Section 3.8 of 5.0: options, subscription identifiers, shared subscriptions.

// notLocal: with No Local a client does not get what it published; others do.
func notLocal(r *run) {
	a, b := r.client("a"), r.client("b")
	topic := r.topic("a")
	a.granted(topic, 1|noLocal)
	b.granted(topic, 1)
	a.publish(pub{topic: topic, payload: "own", qos: 1})
	b.expect(topic, "own", 1)
	b.publish(pub{topic: topic, payload: "other", qos: 1})
	a.expect(topic, "other", 1)
	a.quiet("its own message is not for it")
}

func sharedNotLocal(r *run) {
	r.breaks("No Local on a shared subscription", subscribePacket(v5, 1, nil, sub{"$share/g/" + r.topic("a"), 1 | noLocal}))
}

// retainHandling: 0 sends retained messages with each SUBSCRIBE, 1 with a new subscription, 2 never.
func retainHandling(option byte, first, again int) check {
	return func(r *run) {
		topic := r.topic("a")
		r.client("p").publish(pub{topic: topic, payload: "x", qos: 1, retain: true})
		s := r.client("s")
		for _, want := range []int{first, again} {
			s.granted(topic, 1|option)
			got := s.drain()
			if len(got) != want {
				r.failf("retain handling %d: %d retained messages, want %d", option>>4, len(got), want)
			}
			for _, m := range got {
				s.accept(m)
			}
		}
	}
}

// asPublished: RETAIN arrives as the publisher set it with Retain As Published, else 0.
func asPublished(r *run) {
	plain, as := r.client("plain"), r.client("as")
	topic := r.topic("a")
	plain.granted(topic, 1)
	as.granted(topic, 1|retainAsPub)
	p := r.client("p")
	for _, retain := range []bool{true, false} {
		p.publish(pub{topic: topic, payload: "x", qos: 1, retain: retain})
		if plain.expect(topic, "x", 1).retain {
			r.failf("RETAIN without Retain As Published")
		}
		if as.expect(topic, "x", 1).retain != retain {
			r.failf("RETAIN %v arrived otherwise with Retain As Published", retain)
		}
	}
}

// subscriptionIDs: a message carries the identifiers of the subscriptions that it matches, over one copy or several.
func subscriptionIDs(r *run) {
	s := r.client("s")
	topic := r.topic("a")
	s.subscribeTo(num(pSubscriptionID, 1), sub{topic, 1})
	s.subscribeTo(num(pSubscriptionID, 268_435_455), sub{r.topic("+"), 1})
	s.subscribeTo(nil, sub{r.topic("#"), 1})
	r.client("p").publish(pub{topic: topic, payload: "x", qos: 1})
	var ids []int
	copies := s.drain()
	for _, m := range copies {
		for _, p := range m.got.all(pSubscriptionID) {
			ids = append(ids, p.n)
		}
	}
	slices.Sort(ids)
	if !slices.Equal(ids, []int{1, 268_435_455}) {
		r.failf("subscription identifiers %v in %d copies, want 1 and 268435455", ids, len(copies))
	}
	s.unsubscribe(r.topic("+"), r.topic("#"))
	s.subscribeTo(nil, sub{topic, 1}) // replaces the identifier too
	r.client("p").publish(pub{topic: topic, payload: "y", qos: 1})
	for _, m := range s.drain() {
		if m.got.has(pSubscriptionID) {
			r.failf("a subscription without an identifier kept the one of its predecessor")
		}
	}
}

func subscriptionIDFromClient(r *run) {
	r.breaks("PUBLISH with a subscription identifier", pub{topic: r.topic("a"), props: num(pSubscriptionID, 1)}.bytes(v5))
}

// sharedNames: a share has a name without wildcards and separators, and a filter behind it.
func sharedNames(r *run) {
	for _, bad := range []string{"$share//" + r.topic("a"), "$share/g", "$share/g/", "$share/g+/a", "$share/#/a"} {
		c := r.client("f")
		c.send(subscribePacket(v5, 1, nil, sub{bad, 0}))
		p, err := c.read()
		if err != nil || p.typ == tDisconnect {
			continue
		}
		if a := c.suback(p); len(a.codes) != 1 || a.codes[0] < 0x80 {
			r.failf("the share %q was granted", bad)
		}
		c.leave()
	}
}

// shared: each message goes to one of a share's subscribers, with at most its granted QoS, and to ordinary ones as ever.
func shared(r *run) {
	topic := r.topic("a")
	members := []*client{r.client("a"), r.client("b")}
	for i, m := range members {
		m.granted("$share/g/"+topic, byte(i))
	}
	plain := r.client("plain")
	plain.granted(topic, 1)
	p := r.client("p")
	const n = 20
	for i := range n {
		p.publish(pub{topic: topic, payload: fmt.Sprint(i), qos: 1})
		plain.expect(topic, fmt.Sprint(i), 1)
	}
	seen := map[string]int{}
	for i, m := range members {
		for _, got := range m.drain() {
			if seen[got.payload]++; int(got.qos) > i {
				r.failf("QoS %d to a subscriber with QoS %d", got.qos, i)
			}
		}
	}
	for i := range n {
		if seen[fmt.Sprint(i)] != 1 {
			r.failf("message %d came %d times to the share", i, seen[fmt.Sprint(i)])
		}
	}
}

// sharedCompletes: what was begun with a member at QoS 2 is completed with that member when it comes back.
func sharedCompletes(r *run) {
	topic := r.topic("a")
	k := r.keeper("a")
	a := r.join(k)
	a.granted("$share/g/"+topic, 2)
	p := r.client("p")
	p.publish(pub{topic: topic, payload: "x", qos: 2})
	m := a.got()
	a.cut()
	b := r.client("b")
	b.granted("$share/g/"+topic, 2)
	a = r.join(k)
	again := a.got()
	if again.id != m.id || again.payload != "x" {
		r.failf("%q id %d came again, want id %d", again.payload, again.id, m.id)
	}
	a.accept(again)
	b.quiet("the message was begun with another member")
}

// sharedNotMoved: what a member had begun when its session ended, or refused, goes to nobody else.
func sharedNotMoved(refuse bool) check {
	return func(r *run) {
		topic := r.topic("a")
		k := r.keeper("a")
		a := r.join(k)
		a.granted("$share/g/"+topic, 2)
		r.client("p").publish(pub{topic: topic, payload: "x", qos: 2})
		m := a.got()
		b := r.client("b")
		b.granted("$share/g/"+topic, 2)
		if refuse {
			a.send(reasonPacket(tPubrec, m.id, 0x80))
			a.ping()
		} else {
			a.cut()
			r.join(con{id: k.id, clean: true}).leave() // ends the session
		}
		b.quiet("the message was begun with another member")
	}
}
