package mqttconform

import "fmt"

// Sections 4.3 to 4.6: delivery, repeats and order.

// firstSend: what is sent for the first time has DUP 0, whatever the QoS.
func firstSend(r *run) {
	s, p := r.client("s"), r.client("p")
	s.granted(r.topic("a"), 2)
	for qos := range byte(3) {
		p.publish(pub{topic: r.topic("a"), payload: "x", qos: qos})
		if s.expect(r.topic("a"), "x", qos).dup {
			r.failf("QoS %d: DUP on a first send", qos)
		}
	}
}

// repeats: unacknowledged messages come again on the next connection, at once, in order, with their ids and DUP; acknowledged, never again.
func repeats(r *run) {
	k := r.keeper("a")
	topic := r.topic("a")
	c := r.join(k)
	c.granted(topic, 1)
	p := r.client("p")
	var sent []pub
	for i := range 5 {
		p.publish(pub{topic: topic, payload: fmt.Sprint(i), qos: 1})
		sent = append(sent, c.got())
	}
	c.send(ackPacket(tPuback, sent[1].id))
	c.ping()
	c.cut()
	c = r.join(k)
	for i, want := range sent {
		if i == 1 {
			continue
		}
		if m := c.receive(); m.payload != want.payload || m.id != want.id || !m.dup {
			r.failf("got %q id %d DUP %v, want %q id %d with DUP", m.payload, m.id, m.dup, want.payload, want.id)
		}
	}
	c.quiet("all is acknowledged")
	c.cut()
	r.join(k).quiet("all was acknowledged")
}

// noRepeats: while the connection stands nothing is sent again.
func noRepeats(r *run) {
	s := r.client("s")
	s.granted(r.topic("a"), 2)
	p := r.client("p")
	p.publish(pub{topic: r.topic("a"), qos: 1})
	p.publish(pub{topic: r.topic("a"), qos: 2})
	s.got()
	s.got()
	for range 3 {
		s.quiet("a message is sent again on the same connection")
	}
}

// outbound2: the server's side of QoS 2 goes on over new connections from where it was.
func outbound2(r *run) {
	k := r.keeper("a")
	c := r.join(k)
	c.granted(r.topic("a"), 2)
	r.client("p").publish(pub{topic: r.topic("a"), payload: "x", qos: 2})
	first := c.got()
	c.cut()
	c = r.join(k)
	again := c.got()
	if again.id != first.id || !again.dup || again.payload != "x" || again.qos != 2 {
		r.failf("the repeat has id %d DUP %v %q, want id %d with DUP", again.id, again.dup, again.payload, first.id)
	}
	c.send(ackPacket(tPubrec, first.id))
	c.wantAck(tPubrel, first.id)
	c.cut()
	c = r.join(k)
	c.wantAck(tPubrel, first.id)
	c.quiet("PUBLISH is not repeated once PUBREL was sent")
	c.send(ackPacket(tPubcomp, first.id))
	c.ping()
	c.cut()
	c = r.join(k)
	c.ping()
	if len(c.stash) > 0 {
		r.failf("%s after PUBCOMP", c.stash[0])
	}
}

// inbound2: the server's side of a received QoS 2: repeats are acknowledged and reach nobody, until PUBREL frees the id.
func inbound2(r *run) {
	s := r.client("s")
	topic := r.topic("a")
	s.granted(topic, 2)
	k := r.keeper("p")
	p := r.join(k)
	m := pub{topic: topic, payload: "x", qos: 2, id: 7}
	p.send(m.bytes(r.level))
	p.wantAck(tPubrec, 7)
	m.dup = true
	p.send(m.bytes(r.level))
	p.wantAck(tPubrec, 7)
	p.cut()
	p = r.join(k)
	p.send(m.bytes(r.level))
	p.wantAck(tPubrec, 7)
	p.send(ackPacket(tPubrel, 7))
	p.wantAck(tPubcomp, 7)
	s.expect(topic, "x", 2)
	s.quiet("repeats of QoS 2 reach nobody")
	p.publish(pub{topic: topic, payload: "y", qos: 2, id: 7})
	s.expect(topic, "y", 2)
}

// newAfterPuback: once acknowledged, the id is free, and DUP does not make the next message an old one.
func newAfterPuback(r *run) {
	s, p := r.client("s"), r.client("p")
	topic := r.topic("a")
	s.granted(topic, 1)
	p.publish(pub{topic: topic, payload: "x", qos: 1, id: 5})
	p.publish(pub{topic: topic, payload: "y", qos: 1, id: 5, dup: true})
	s.expect(topic, "x", 1)
	s.expect(topic, "y", 1)
}

// toAllMatching: a message goes to every session that matches, connected or kept.
func toAllMatching(r *run) {
	k := r.keeper("kept")
	kept := r.join(k)
	kept.granted(r.topic("a"), 1)
	kept.leave()
	var online []*client
	for i := range 3 {
		s := r.client(fmt.Sprint("s", i))
		s.granted(r.topic("#"), 1)
		online = append(online, s)
	}
	r.client("p").publish(pub{topic: r.topic("a"), payload: "x", qos: 1})
	for _, s := range append(online, r.join(k)) {
		s.expect(r.topic("a"), "x", 1)
	}
}

// inOrder: messages of a topic and QoS arrive in the order in which one client sent them, connected or not.
func inOrder(r *run) {
	const n = 50
	p := r.client("p")
	for qos := range byte(3) {
		topic := r.topic(fmt.Sprint("q", qos))
		s := r.client(fmt.Sprint("s", qos))
		s.granted(topic, qos)
		for i := range n {
			p.publish(pub{topic: topic, payload: fmt.Sprint(i), qos: qos})
		}
		for i := range n {
			s.expect(topic, fmt.Sprint(i), qos)
		}
	}
	k := r.keeper("kept")
	c := r.join(k)
	c.granted(r.topic("k"), 1)
	c.leave()
	for i := range n {
		p.publish(pub{topic: r.topic("k"), payload: fmt.Sprint(i), qos: 1})
	}
	c = r.join(k)
	for i := range n {
		c.expect(r.topic("k"), fmt.Sprint(i), 1)
	}
}

// refused2 (5.0): after a PUBREC with an error the id is free at once, also on a next connection.
func refused2(r *run) {
	s := r.client("s")
	topic := r.topic("a")
	s.granted(topic, 2)
	k := r.keeper("p")
	p := r.join(k)
	p.send(pub{topic: "denied/" + topic, qos: 2, id: 4}.bytes(r.level))
	if a := p.wantAck(tPubrec, 4); a.code < 0x80 {
		r.failf("PUBREC with code %#x for a publish that is not allowed", a.code)
	}
	p.cut() // some servers close behind it
	p = r.join(k)
	p.publish(pub{topic: topic, payload: "x", qos: 2, id: 4})
	s.expect(topic, "x", 2)
}
