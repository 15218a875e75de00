package mqttconform

// Section 3.3: PUBLISH, what both versions say.

// dupIsOurs: DUP of what the server sends says whether the server repeats, not whether the publisher did.
func dupIsOurs(r *run) {
	s, p := r.client("s"), r.client("p")
	s.granted(r.topic("a"), 2)
	for qos := byte(1); qos <= 2; qos++ {
		p.publish(pub{topic: r.topic("a"), qos: qos, dup: true})
		if s.receive().dup {
			r.failf("QoS %d: the publisher's DUP was passed on", qos)
		}
	}
}

// dupAtQoS0: DUP has no meaning at QoS 0 and is malformed there.
func dupAtQoS0(r *run) {
	r.breaks("PUBLISH QoS 0 with DUP", pub{topic: r.topic("a"), dup: true}.bytes(r.level))
}

func qos3(r *run) {
	r.breaks("PUBLISH QoS 3", frame(0x36, text(r.topic("a")), id16(1), propsOf(r.level, nil)))
}

// wildcardTopic: topic names have no wildcards.
func wildcardTopic(r *run) {
	for _, bad := range []string{"#", "+", "a/+/b", "a/#"} {
		r.breaks("topic "+bad, pub{topic: r.topic(bad)}.bytes(r.level))
	}
}

// answersByQoS: nothing at QoS 0, PUBACK at 1, PUBREC and PUBCOMP at 2.
func answersByQoS(r *run) {
	c := r.client("a")
	c.send(pub{topic: r.topic("a")}.bytes(r.level), pingreq)
	if p := c.next("PINGRESP"); p.typ != tPingresp {
		r.failf("a QoS 0 PUBLISH was answered with %s", p)
	}
	c.publish(pub{topic: r.topic("a"), qos: 1})
	c.publish(pub{topic: r.topic("a"), qos: 2})
}

// highestOfOverlapping: of several filters that match, the highest QoS counts.
func highestOfOverlapping(r *run) {
	s := r.client("s")
	s.granted(r.topic("+"), 0)
	s.granted(r.topic("a"), 2)
	s.granted(r.topic("#"), 1)
	r.client("p").publish(pub{topic: r.topic("a"), qos: 2})
	for _, m := range s.drain() {
		if m.qos == 2 {
			return
		}
	}
	r.failf("no copy came with QoS 2")
}

// lowerQoS: a message comes with the lower of its own QoS and the granted one.
func lowerQoS(r *run) {
	p := r.client("p")
	for granted := range byte(3) {
		s := r.client("s" + string('0'+rune(granted)))
		s.granted(r.topic("a"), granted)
		for qos := range byte(3) {
			p.publish(pub{topic: r.topic("a"), payload: "x", qos: qos})
			s.expect(r.topic("a"), "x", min(qos, granted))
		}
		s.leave()
	}
}

// notAllowed: a publish that is not allowed reaches nobody; 3.1.1 has no other word for it than the usual answer, or none.
func notAllowed(r *run) {
	topic := "denied/" + r.topic("a")
	s := r.client("s")
	s.subscribe(topic, 0)
	c := r.client("p")
	id := c.nextID()
	c.send(pub{topic: topic, qos: 1, id: id}.bytes(r.level))
	if p, err := c.read(); err == nil {
		a := c.ack(p)
		if p.typ != tPuback || a.id != id {
			r.failf("the publish was answered with %s", p)
		}
		if r.level >= v5 && a.code < 0x80 {
			r.failf("PUBACK with %#x for a publish that is not allowed", a.code)
		}
	}
	s.quiet("the publish is not allowed")
}

// retainStored: a retained message comes to later subscribers with its QoS and RETAIN; the last one counts.
func retainStored(r *run) {
	p := r.client("p")
	topic := r.topic("a")
	for qos := range byte(3) {
		payload := string('0' + rune(qos))
		p.publish(pub{topic: topic, payload: payload, qos: qos, retain: true})
		s := r.client("s" + payload)
		s.granted(topic, 2)
		if !s.expect(topic, payload, qos).retain {
			r.failf("a retained message came to a new subscription without RETAIN")
		}
	}
	s := r.client("wild")
	s.granted(r.topic("+"), 1)
	s.expect(topic, "2", 1)
	s.quiet("one message is retained")
}

// retainCleared: to a subscription that stands, RETAIN is 0.
func retainCleared(r *run) {
	s := r.client("s")
	s.granted(r.topic("a"), 1)
	r.client("p").publish(pub{topic: r.topic("a"), payload: "x", qos: 1, retain: true})
	if s.expect(r.topic("a"), "x", 1).retain {
		r.failf("RETAIN was passed on to a subscription that stood")
	}
}

// retainRemoved: a retained message without a payload is passed on, and what was retained is gone.
func retainRemoved(r *run) {
	p, s := r.client("p"), r.client("s")
	topic := r.topic("a")
	p.publish(pub{topic: topic, payload: "x", qos: 1, retain: true})
	s.granted(topic, 1)
	s.expect(topic, "x", 1)
	p.publish(pub{topic: topic, qos: 1, retain: true})
	s.expect(topic, "", 1)
	late := r.client("late")
	late.granted(topic, 1)
	late.quiet("nothing is retained any more, the empty message neither")
}

// notRetained: without RETAIN nothing is stored, replaced or removed.
func notRetained(r *run) {
	p := r.client("p")
	p.publish(pub{topic: r.topic("b"), payload: "x", qos: 1})
	p.publish(pub{topic: r.topic("a"), payload: "old", qos: 1, retain: true})
	p.publish(pub{topic: r.topic("a"), payload: "new", qos: 1})
	p.publish(pub{topic: r.topic("a"), qos: 1})
	s := r.client("s")
	s.granted(r.topic("+"), 1)
	s.expect(r.topic("a"), "old", 1)
	s.quiet("only the first message was retained")
}
