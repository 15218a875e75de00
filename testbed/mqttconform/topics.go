package mqttconform

import "strings"

// Section 4.7: topic names and filters.

// badFilters: a wildcard that is not a whole level, or # before the end, is not taken.
func badFilters(filters ...string) check {
	return func(r *run) {
		for _, f := range filters {
			c := r.client("f")
			c.send(subscribePacket(r.level, 1, nil, sub{r.topic(f), 0}))
			p, err := c.read()
			if err != nil || p.typ == tDisconnect {
				continue // closed, which is an answer too
			}
			if a := c.suback(p); len(a.codes) != 1 || a.codes[0] < 0x80 {
				r.failf("filter %q was granted", f)
			}
			c.leave()
		}
	}
}

var (
	hashFilters = all(badFilters("a/#/b", "a#", "#a", "#/"), matching)
	plusFilters = all(badFilters("a+", "+a", "a/b+/c"), matching)
)

// matching: which filters match which topics, level by level and character by character.
func matching(r *run) {
	s, p := r.client("s"), r.client("p")
	for _, c := range []struct {
		filter, topic string
		match         bool
	}{
		{"a", "a", true}, {"a", "b", false}, {"a", "a/", false}, {"a/", "a", false}, {"a/b", "a/b", true},
		{"#", "a", true}, {"#", "a/b/c", true}, {"a/#", "a", true}, {"a/#", "a/b/c", true}, {"a/#", "ab", false},
		{"+", "a", true}, {"+", "a/b", false}, {"+", "", true}, {"a/+", "a/b", true}, {"a/+", "a", false}, {"a/+", "a/", true},
		{"a/+/c", "a/b/c", true}, {"a/+/c", "a/b/d", false}, {"+/+", "/b", true}, {"/+", "/b", true}, {"+", "/b", false},
		{"a/+/#", "a/b", true}, {"a/+/#", "a", false}, {"a//b", "a//b", true}, {"a//b", "a/b", false}, {"a/+/b", "a//b", true},
		{"A", "a", false}, {" a", "a", false}, {"a b", "a b", true}, {"é", "e\u0301", false}, {"é", "é", true}, {"a/../b", "b", false},
	} {
		s.granted(r.topic(c.filter), 0)
		p.publish(pub{topic: r.topic(c.topic), payload: c.filter, qos: 1})
		got := s.drain()
		if (len(got) == 1) != c.match {
			r.failf("filter %q and topic %q: %d messages, want a match: %v", c.filter, c.topic, len(got), c.match)
		}
		if c.match && got[0].topic != r.topic(c.topic) {
			r.failf("topic %q arrived as %q", r.topic(c.topic), got[0].topic)
		}
		s.unsubscribe(r.topic(c.filter))
	}
}

// dollarTopics: a wildcard at the beginning does not match topics that begin with $.
func dollarTopics(r *run) {
	plus, hash, exact := r.client("plus"), r.client("hash"), r.client("exact")
	plus.granted("+/"+r.topic("#"), 0)
	hash.granted("#", 0)
	exact.granted("$conform/"+r.topic("#"), 0)
	p := r.client("p")
	p.publish(pub{topic: "$conform/" + r.topic("x"), payload: "hidden", qos: 1})
	p.publish(pub{topic: "c/" + r.topic("x"), payload: "seen", qos: 1})
	plus.expect("c/"+r.topic("x"), "seen", 0)
	exact.expect("$conform/"+r.topic("x"), "hidden", 0)
	for {
		m := hash.receive()
		if strings.HasPrefix(m.topic, "$") {
			r.failf("filter # matched %q", m.topic)
		}
		if m.topic == "c/"+r.topic("x") {
			return
		}
	}
}

// emptyTopic: topics and filters have a character at least.
func emptyTopic(r *run) {
	r.breaks("empty topic", pub{}.bytes(r.level))
	c := r.client("f")
	c.send(subscribePacket(r.level, 1, nil, sub{"", 0}))
	if p, err := c.read(); err == nil && p.typ == tSuback {
		if a := c.suback(p); len(a.codes) != 1 || a.codes[0] < 0x80 {
			r.failf("an empty filter was granted")
		}
	}
}
