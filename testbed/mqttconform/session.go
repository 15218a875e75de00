package mqttconform

import "time"

// Sections 3.1.2.4 and 4.1: sessions.

// resumed: a kept session goes on where it was: subscriptions and messages are there.
func resumed(r *run) {
	k := r.keeper("a")
	topic := r.topic("a")
	c := r.join(k)
	if c.hello.present {
		r.failf("a new client id has a session")
	}
	c.granted(topic, 1)
	c.leave()
	if c = r.join(k); !c.hello.present {
		r.failf("the session was not kept")
	}
	r.client("p").publish(pub{topic: topic, payload: "x", qos: 1})
	c.expect(topic, "x", 1)
	if r.join(r.keeper("b")).hello.present {
		r.failf("another client id has a session")
	}
}

// storedOffline: QoS 1 and 2 messages wait for a kept session without a connection.
func storedOffline(r *run) {
	k := r.keeper("a")
	c := r.join(k)
	c.granted(r.topic("#"), 2)
	c.leave()
	p := r.client("p")
	p.publish(pub{topic: r.topic("1"), payload: "one", qos: 1})
	p.publish(pub{topic: r.topic("2"), payload: "two", qos: 2})
	c = r.join(k)
	got := map[string]byte{}
	for range 2 {
		m := c.receive()
		got[m.payload] = m.qos
	}
	if got["one"] != 1 || got["two"] != 2 {
		r.failf("got %v, want one with QoS 1 and two with QoS 2", got)
	}
	c.quiet("there were two messages")
}

// discarded: a clean start forgets the old session, and its own state is not used again.
func discarded(r *run) {
	k := r.keeper("a")
	topic := r.topic("a")
	c := r.join(k)
	c.granted(topic, 1)
	c.leave()
	p := r.client("p")
	p.publish(pub{topic: topic, qos: 1})
	c = r.join(con{id: k.id, clean: true})
	if c.hello.present {
		r.failf("a clean start found a session")
	}
	p.publish(pub{topic: topic, qos: 1})
	c.quiet("a clean start has no subscriptions")
	c.granted(topic, 1)
	c.leave()
	if c = r.join(k); c.hello.present {
		r.failf("the state of a clean session was kept")
	}
	p.publish(pub{topic: topic, qos: 1})
	c.quiet("the state of a clean session must not be used again")
}

// retainedOutlives: retained messages do not end with the session that published them.
func retainedOutlives(r *run) {
	topic := r.topic("a")
	p := r.client("p")
	p.publish(pub{topic: topic, payload: "x", qos: 1, retain: true})
	p.leave()
	r.client("p").leave()
	s := r.client("s")
	s.granted(topic, 1)
	s.expect(topic, "x", 1)
}

// lastsWhileConnected (5.0): the expiry begins with the end of the connection.
func lastsWhileConnected(r *run) {
	k := con{id: r.id("a"), props: num(pSessionExpiry, 1)}
	c := r.join(k)
	c.granted(r.topic("a"), 1)
	r.wait(2500 * time.Millisecond)
	r.client("p").publish(pub{topic: r.topic("a"), payload: "x", qos: 1})
	c.expect(r.topic("a"), "x", 1)
}

// expires (5.0): the session ends when its expiry has passed, or with the connection when it has none.
func expires(r *run) {
	k := con{id: r.id("a"), props: num(pSessionExpiry, 1)}
	c := r.join(k)
	c.granted(r.topic("a"), 1)
	c.leave()
	none := con{id: r.id("b")}
	c = r.join(none)
	c.granted(r.topic("a"), 1)
	c.leave()
	if r.join(none).hello.present {
		r.failf("a session without an expiry outlived its connection")
	}
	r.wait(2500 * time.Millisecond)
	if r.join(k).hello.present {
		r.failf("a session with an expiry of 1 s lives after 2.5 s")
	}
}

// wait lets time pass where a check is about time that has passed.
func (r *run) wait(d time.Duration) { <-time.After(d) }
