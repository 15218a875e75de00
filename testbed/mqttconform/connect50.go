package mqttconform

import "slices"

// Sections 3.1, 3.2, 3.4 to 3.7, 3.14, 3.15 and 4.12 of 5.0.

// keepsSmall: every packet keeps to the client's maximum, whatever the server would like to say in it.
func keepsSmall(r *run) {
	const most = 64
	c := r.join(con{id: r.id("a"), clean: true, props: num(pMaxPacket, most)})
	k := con{id: r.id("b"), clean: true, props: num(pMaxPacket, most)}
	within := func(size int, what string) {
		if size > most {
			r.failf("%s of %d bytes, the client allows %d", what, size, most)
		}
	}
	within(c.hello.size, "CONNACK")
	for qos := byte(1); qos <= 2; qos++ {
		within(c.publish(pub{topic: r.topic("a"), qos: qos}).size, "answer to PUBLISH")
		within(r.deny(k, qos).size, "answer to a refused PUBLISH")
	}
	within(c.subscribeTo(nil, sub{"denied/" + r.topic("a"), 0}).size, "SUBACK")
	within(c.unsubscribe(r.topic("none")).size, "UNSUBACK")
	c.send(ackPacket(tPubrel, 77))
	within(c.wantAck(tPubcomp, 77).size, "PUBCOMP")
	c.send(frame(0x20, []byte{0, 0, 0}))
	for _, p := range c.closed() {
		within(p.size, "DISCONNECT")
	}
	c = r.dial()
	nobody, wrong := "nobody", "wrong"
	k.user, k.password = &nobody, &wrong
	c.send(r.hello(k))
	for _, p := range c.refused("wrong user") {
		within(p.size, "refusing CONNACK")
	}
}

// deny publishes what is not allowed on a fresh connection and returns the first answer. A server may close instead of one, or behind it.
func (r *run) deny(k con, qos byte) (a ack) {
	c := r.join(k)
	c.send(pub{topic: "denied/" + r.topic("a"), qos: qos, id: 1}.bytes(v5))
	if p, err := c.read(); err == nil {
		a = c.ack(p)
	}
	c.cut()
	return a
}

// answersHaveReasons: acknowledgements carry reason codes of their tables.
func answersHaveReasons(r *run) {
	c := r.client("a")
	check := func(typ byte, code byte) {
		if err := allowed(typ, code); err != nil {
			r.failf("%v", err)
		}
	}
	for qos := byte(1); qos <= 2; qos++ {
		check(tPuback+qos-1, c.publish(pub{topic: r.topic("a"), qos: qos}).code)
		check(tPuback+qos-1, r.deny(con{id: r.id("b"), clean: true}, qos).code)
	}
	for _, code := range c.subscribeTo(nil, sub{r.topic("a"), 2}, sub{"denied/" + r.topic("a"), 2}).codes {
		check(tSuback, code)
	}
	for _, code := range c.unsubscribe(r.topic("a"), r.topic("none")).codes {
		check(tUnsuback, code)
	}
	c.send(ackPacket(tPubrel, 99)) // nothing has this id
	check(tPubcomp, c.wantAck(tPubcomp, 99).code)
	c.granted(r.topic("a"), 2)
	c.publish(pub{topic: r.topic("a"), qos: 2})
	m := c.got()
	c.send(ackPacket(tPubrec, m.id))
	check(tPubrel, c.wantAck(tPubrel, m.id).code)
	c.send(ackPacket(tPubcomp, m.id), ackPacket(tPubrec, 1234))
	check(tPubrel, c.wantAck(tPubrel, 1234).code)
}

// noProblemInfo: without Request Problem Information only PUBLISH, CONNACK and DISCONNECT explain themselves.
func noProblemInfo(r *run) {
	k := con{id: r.id("a"), clean: true, props: num(pRequestProblem, 0)}
	silent := func(what string, ps props) {
		if ps.has(pReason) || ps.has(pUser) {
			r.failf("%s explains itself: %v", what, ps)
		}
	}
	for qos := byte(1); qos <= 2; qos++ {
		silent("the answer to PUBLISH", r.deny(k, qos).props)
	}
	c := r.join(k)
	silent("SUBACK", c.subscribeTo(nil, sub{"denied/" + r.topic("a"), 0}).props)
	silent("UNSUBACK", c.unsubscribe(r.topic("none")).props)
}

// noResponseInfo: nobody asked for response information.
func noResponseInfo(r *run) {
	for _, props := range [][]byte{nil, num(pRequestResponse, 0)} {
		if c := r.join(con{id: r.id("a"), clean: true, props: props}); c.hello.props.has(pResponseInfo) {
			r.failf("CONNACK with response information")
		}
	}
}

// violations: packets whose properties break the rules end the connection.
func violations(r *run) {
	topic := r.topic("a")
	for _, c := range []struct {
		what  string
		bytes []byte
	}{
		{"a property twice", pub{topic: topic, props: slices.Concat(num(pPayloadFormat, 0), num(pPayloadFormat, 0))}.bytes(v5)},
		{"a property of another packet", pub{topic: topic, props: num(pReceiveMax, 3)}.bytes(v5)},
		{"an unknown property", pub{topic: topic, props: []byte{0x7e, 0}}.bytes(v5)},
		{"properties past the end", frame(0x30, text(topic), []byte{20}, num(pPayloadFormat, 1))},
		{"subscription identifier 0", subscribePacket(v5, 1, num(pSubscriptionID, 0), sub{topic, 1})},
		{"an acknowledgement without its id", frame(0x40, []byte{0})},
	} {
		r.breaks(c.what, c.bytes)
	}
}

// connectViolations: so do those of CONNECT.
func connectViolations(r *run) {
	for _, c := range []struct {
		what  string
		props []byte
	}{
		{"receive maximum 0", num(pReceiveMax, 0)}, {"maximum packet size 0", num(pMaxPacket, 0)}, {"request problem 2", num(pRequestProblem, 2)},
		{"session expiry twice", slices.Concat(num(pSessionExpiry, 1), num(pSessionExpiry, 1))},
		{"authentication data without a method", str(pAuthData, "x")}, {"a property of another packet", num(pAlias, 1)},
	} {
		r.refused(c.what, r.hello(con{id: r.id("a"), clean: true, props: c.props}))
	}
}

// refusalsSayWhy checks what DISCONNECT says, where the server sends it: a code of the table, no session expiry, nothing behind it.
func refusalsSayWhy(r *run) {
	first := r.client("a")
	r.client("a") // takes over
	broken := r.client("b")
	broken.send(subscribePacket(v5, 0, nil, sub{r.topic("a"), 0}))
	for _, c := range []*client{first, broken} {
		said := c.closed()
		for i, p := range said {
			if p.typ != tDisconnect || i > 0 {
				r.failf("the server sent %v", said)
			}
			a := c.ack(p)
			if err := allowed(tDisconnect, a.code); err != nil || a.code < 0x80 {
				r.failf("DISCONNECT with code %#x", a.code)
			}
			if a.props.has(pSessionExpiry) {
				r.failf("DISCONNECT with a session expiry from the server")
			}
		}
	}
}

// connackFirst: DISCONNECT is no answer to a CONNECT.
func connackFirst(r *run) {
	nobody, wrong := "nobody", "wrong"
	for _, b := range [][]byte{
		r.hello(con{id: r.id("a"), clean: true, user: &nobody, password: &wrong}),
		rawConnect("MQTT", v5, 3, 0, []byte{0}, text(r.id("a"))),
		pub{topic: r.topic("a")}.bytes(v5),
	} {
		for _, p := range r.refused("no good CONNECT", b) {
			if p.typ == tDisconnect {
				r.failf("DISCONNECT before CONNACK")
			}
		}
	}
}

// disconnectExpiry: DISCONNECT may change the session's expiry, but not from 0.
func disconnectExpiry(r *run) {
	k := r.keeper("a")
	c := r.join(k)
	c.send(frame(0xE0, []byte{0}, propsOf(v5, num(pSessionExpiry, 0))))
	c.closed()
	if r.join(k).hello.present {
		r.failf("DISCONNECT set the expiry to 0, and the session was kept")
	}
	r.breaks("DISCONNECT that makes a session last", frame(0xE0, []byte{0}, propsOf(v5, num(pSessionExpiry, 10))))
}

// unknownMethod: an authentication method that the server does not have is refused.
func unknownMethod(r *run) {
	c := r.dial()
	c.send(r.hello(con{id: r.id("a"), clean: true, props: str(pAuthMethod, "X-UNKNOWN")}))
	for _, p := range c.refused("an unknown method") {
		if a := c.connack(p); p.typ == tConnack && a.code != 0x8C && a.code != 0x87 {
			r.failf("CONNACK with code %#x, want 0x8C or 0x87", a.code)
		}
	}
}

// noAuth: who named no method gets none, and no AUTH.
func noAuth(r *run) {
	c := r.client("a")
	if c.hello.props.has(pAuthMethod) || c.hello.props.has(pAuthData) {
		r.failf("CONNACK with an authentication method that nobody asked for")
	}
	c.ping()
	if len(c.stash) > 0 {
		r.failf("the server sent %s", c.stash[0])
	}
}

// authUnasked: AUTH without a method, or with wrong flags, ends the connection.
func authUnasked(r *run) {
	r.breaks("AUTH without a method", frame(0xF0, []byte{0x19}, propsOf(v5, str(pAuthMethod, "X"))))
}

func authFlags(r *run) { r.breaks("AUTH with flags 1", frame(0xF1, []byte{0x19}, propsOf(v5, nil))) }

// noExtras: a packet without properties says so with a length of 0, which the reader of each packet insists on.
func noExtras(r *run) {
	c := r.client("a")
	c.granted(r.topic("a"), 2)
	for qos := range byte(3) {
		c.publish(pub{topic: r.topic("a"), payload: "x", qos: qos})
		c.expect(r.topic("a"), "x", qos)
	}
	c.unsubscribe(r.topic("a"))
}
