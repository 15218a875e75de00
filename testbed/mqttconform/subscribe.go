package mqttconform

import "fmt"

// Sections 3.8 to 3.12 and 3.14: what clients ask for.

// nothingAsked: SUBSCRIBE and UNSUBSCRIBE name a filter at least.
func nothingAsked(r *run) {
	r.breaks("SUBSCRIBE without a filter", subscribePacket(r.level, 1, nil))
}

func nothingUnasked(r *run) {
	r.breaks("UNSUBSCRIBE without a filter", unsubscribePacket(r.level, 1))
}

// reservedInOptions: QoS 3 and the reserved bits of a subscription are malformed.
func reservedInOptions(r *run) {
	bad := []byte{3, 0x40, 0x80}
	if r.level < v5 {
		bad = append(bad, 0x04, 0x10)
	} else {
		bad = append(bad, 0x30) // retain handling 3
	}
	for _, o := range bad {
		r.breaks(fmt.Sprintf("options %#x", o), subscribePacket(r.level, 1, nil, sub{r.topic("a"), o}))
	}
}

// answeredEach: one SUBACK for all filters, with a code for each, in their order, that says the granted QoS or a failure.
// What is not allowed may be refused here, or granted and never served.
func answeredEach(r *run) {
	c := r.client("a")
	a := c.subscribeTo(nil, sub{r.topic("0"), 0}, sub{"denied/" + r.topic("a"), 1}, sub{r.topic("2"), 2}, sub{r.topic("1"), 1})
	if a.codes[0] != 0 || a.codes[2] != 2 || a.codes[3] != 1 {
		r.failf("codes % x, want 0, any, 2, 1", a.codes)
	}
	err := allowed(tSuback, a.codes[1])
	if r.level < v5 && a.codes[1] > 1 && a.codes[1] != 0x80 || r.level >= v5 && err != nil {
		r.failf("code %#x for a filter that is not allowed", a.codes[1])
	}
	p := r.client("p")
	for i := range byte(3) {
		p.publish(pub{topic: r.topic(string('0' + rune(i))), qos: 2})
		if m := c.receive(); m.qos != i {
			r.failf("%s came with QoS %d", m.topic, m.qos)
		}
	}
}

// subscribedAgain: the same filter again replaces the subscription: one copy, the new QoS, retained messages once more, nothing lost.
func subscribedAgain(r *run) {
	s, p := r.client("s"), r.client("p")
	topic := r.topic("a")
	p.publish(pub{topic: topic, payload: "kept", qos: 1, retain: true})
	s.granted(topic, 0)
	s.expect(topic, "kept", 0)
	s.granted(topic, 1)
	if !s.expect(topic, "kept", 1).retain {
		r.failf("the retained message came again without RETAIN")
	}
	p.publish(pub{topic: topic, payload: "x", qos: 1})
	s.expect(topic, "x", 1)
	s.quiet("one subscription gives one copy")
}

// exactFilter: UNSUBSCRIBE ends the subscription with the same characters and no other.
func exactFilter(r *run) {
	s, p := r.client("s"), r.client("p")
	s.granted(r.topic("+"), 0)
	s.granted(r.topic("a/#"), 0)
	s.unsubscribe(r.topic("a"), r.topic("#"), r.topic("A/#"), r.topic("a/+"))
	p.publish(pub{topic: r.topic("x"), payload: "1", qos: 1})
	p.publish(pub{topic: r.topic("a/b"), payload: "2", qos: 1})
	s.expect(r.topic("x"), "1", 0)
	s.expect(r.topic("a/b"), "2", 0)
	s.unsubscribe(r.topic("+"))
	p.publish(pub{topic: r.topic("x"), qos: 1})
	p.publish(pub{topic: r.topic("a/b"), payload: "3", qos: 1})
	s.expect(r.topic("a/b"), "3", 0)
	s.quiet("the filter was unsubscribed")
}

// severalAtOnce: several filters of one UNSUBSCRIBE all end, with one answer; also when there was nothing to end.
func severalAtOnce(r *run) {
	s := r.client("s")
	s.granted(r.topic("a"), 0)
	s.granted(r.topic("b"), 0)
	a := s.unsubscribe(r.topic("a"), r.topic("none"), r.topic("b"))
	if r.level >= v5 && string(a.codes) != "\x00\x11\x00" {
		r.failf("UNSUBACK codes % x, want 00 11 00", a.codes)
	}
	s.unsubscribe(r.topic("a"))
	p := r.client("p")
	p.publish(pub{topic: r.topic("a"), qos: 1})
	p.publish(pub{topic: r.topic("b"), qos: 1})
	s.quiet("both filters were unsubscribed")
	s.ping()
	if len(s.stash) > 0 {
		r.failf("a second answer: %s", s.stash[0])
	}
}

// flightEnds: what was in flight when the client unsubscribed is delivered to the end.
func flightEnds(r *run) {
	k := r.keeper("a")
	c := r.join(k)
	c.granted(r.topic("a"), 2)
	p := r.client("p")
	p.publish(pub{topic: r.topic("a"), payload: "one", qos: 1})
	p.publish(pub{topic: r.topic("a"), payload: "two", qos: 2})
	c.got()
	c.got()
	c.unsubscribe(r.topic("a"))
	p.publish(pub{topic: r.topic("a"), payload: "new", qos: 1})
	c.cut()
	c = r.join(k)
	c.expect(r.topic("a"), "one", 1)
	c.expect(r.topic("a"), "two", 2)
	c.quiet("messages after UNSUBSCRIBE are not for it")
}

func pinged(r *run) {
	c := r.client("a")
	for range 3 {
		c.ping()
	}
}

// disconnectFlags: a DISCONNECT with reserved flags is none: the will is published.
func disconnectFlags(r *run) {
	w := r.watch(0)
	c := r.join(r.dying(0, false))
	c.send(frame(0xE1))
	c.refused("DISCONNECT with flags 1")
	w.expect(r.topic("will"), "bye", 0)
}
