package mqttconform

import (
	"bytes"
	"time"
)

// Section 3.1: CONNECT, and 3.2: CONNACK.

// connectFirst: nothing is taken before CONNECT.
func connectFirst(r *run) {
	r.refused("PUBLISH first", pub{topic: r.topic("a")}.bytes(r.level))
	r.refused("SUBSCRIBE first", subscribePacket(r.level, 1, nil, sub{r.topic("a"), 0}))
	r.refused("PINGREQ first", pingreq)
	r.refused("DISCONNECT first", disconnect)
}

// connectOnce: a second CONNECT ends the connection, and gets no CONNACK.
func connectOnce(r *run) {
	k := con{id: r.id("a"), clean: true}
	c := r.join(k)
	c.send(r.hello(k))
	for _, p := range c.refused("second CONNECT") {
		if p.typ == tConnack {
			r.failf("a second CONNACK")
		}
	}
}

func protocolName(r *run) {
	for _, name := range []string{"MQTX", "mqtt", "MQTTT", ""} {
		r.refused("protocol name "+name, rawConnect(name, r.level, 2, 0, propsOf(r.level, nil), text(r.id("a"))))
	}
}

// protocolLevel: a level that the server does not know is answered in words, then closed.
func protocolLevel(r *run) {
	said := r.refused("level 9", rawConnect("MQTT", 9, 2, 0, propsOf(r.level, nil), text(r.id("a"))))
	if r.level >= v5 { // saying it is allowed, closing is required
		return
	}
	if len(said) != 1 || said[0].typ != tConnack || !bytes.Contains([]byte{0x01, 0x84}, said[0].body[1:2]) {
		r.failf("level 9 was answered with %v, want CONNACK with code 1", said)
	}
}

func reservedConnectFlag(r *run) {
	r.refused("reserved flag", rawConnect("MQTT", r.level, 3, 0, propsOf(r.level, nil), text(r.id("a"))))
}

// connectLacks checks that a CONNECT whose flags and fields do not agree is refused. Fields follow the client id.
func connectLacks(what string, flags byte, fields ...string) check {
	return func(r *run) {
		b := [][]byte{text(r.id("a"))}
		if flags&4 != 0 {
			b = append(b, propsOf(r.level, nil))
		}
		for _, f := range fields {
			b = append(b, text(f))
		}
		r.refused(what, rawConnect("MQTT", r.level, flags, 0, propsOf(r.level, nil), b...))
	}
}

func all(checks ...check) check {
	return func(r *run) {
		for _, c := range checks {
			r.rename() // the sessions that one check leaves behind are none of the next one's
			c(r)
		}
	}
}

var (
	userWithoutFlag     = connectLacks("user name without its flag", 0x02, "u")
	flagWithoutUser     = connectLacks("user name flag without a name", 0x82)
	passwordWithoutFlag = connectLacks("password without its flag", 0x82, "u", "p")
	flagWithoutPassword = connectLacks("password flag without a password", 0xC2, "u")
	passwordAlone       = connectLacks("password without a user name", 0x42, "p")
	flagWithoutWill     = all(connectLacks("will flag without a topic", 0x06), connectLacks("will flag without a message", 0x06, "t"))
	willWithoutFlag     = connectLacks("will without its flag", 0x02, "t", "m")
	willQoSAlone        = all(connectLacks("will QoS 1 without the will flag", 0x0A), connectLacks("will QoS 2 without the will flag", 0x12))
	willRetainAlone     = connectLacks("will retain without the will flag", 0x22)
	willQoS3            = connectLacks("will QoS 3", 0x1E, "t", "m")
)

// everyField: the fields of CONNECT are read in their order.
func everyField(r *run) {
	w := r.client("watch")
	topic := r.topic("will")
	w.granted(topic, 1)
	r.join(con{id: r.id("a"), clean: true, keepAlive: 60, user: &r.target.User, password: &r.target.Password,
		will: &will{topic: topic, payload: "bye", qos: 1}}).cut()
	w.expect(topic, "bye", 1)
}

// noClientID: the client id is not left out.
func noClientID(r *run) {
	r.refused("no client id", rawConnect("MQTT", r.level, 2, 0, propsOf(r.level, nil)))
}

// plainClientIDs: ids of 1 to 23 letters and digits are welcome.
func plainClientIDs(r *run) {
	id := r.id("0123456789abcdefghijklmnopqrstuvwxyz")[:23]
	for _, id := range []string{id, r.id("ABCDEFGHIJKLMNOPQRSTUVWXYZ")[:23], r.id("Z")} {
		r.join(con{id: id, clean: true}).leave()
	}
}

// emptyClientID: clients without an id get one each, and live side by side.
func emptyClientID(r *run) {
	a, b := r.join(con{clean: true}), r.join(con{clean: true})
	a.ping()
	b.ping()
	if r.level < v5 {
		return
	}
	ida, idb := a.hello.props.str(pAssignedID), b.hello.props.str(pAssignedID)
	if ida == "" || ida == idb {
		r.failf("assigned client ids %q and %q, want two different ones", ida, idb)
	}
}

// emptyClientIDKept: 3.1.1 has no name for such a session.
func emptyClientIDKept(r *run) {
	said := r.refused("no client id with a kept session", r.hello(con{}))
	if len(said) != 1 || !bytes.Equal(said[0].body, []byte{0, 2}) {
		r.failf("answered with %v, want CONNACK with code 2", said)
	}
}

// malformedConnect: a CONNECT that does not keep to its format is closed; 3.1.1 forbids a CONNACK.
func malformedConnect(r *run) {
	good := r.hello(con{id: r.id("a"), clean: true})
	for _, c := range []struct {
		what  string
		bytes []byte
	}{
		{"CONNECT with bytes behind its end", frame(0x10, good[2:], []byte("x"))},
		{"CONNECT without a keep-alive", frame(0x10, text("MQTT"), []byte{r.level, 2})},
		{"CONNECT with a client id that is too long for it", rawConnect("MQTT", r.level, 2, 0, propsOf(r.level, nil), []byte{0, 9, 'a'})},
		{"reserved connect flag", rawConnect("MQTT", r.level, 3, 0, propsOf(r.level, nil), text(r.id("a")))},
	} {
		if said := r.refused(c.what, c.bytes); len(said) > 0 && r.level < v5 {
			r.failf("%s was answered with %s", c.what, said[0])
		}
	}
}

// wrongUser: a login that is refused gets a code other than 0 without a session, then the end.
func wrongUser(r *run) {
	nobody, secret := "nobody", "wrong"
	c := r.dial()
	c.send(r.hello(con{id: r.id("a"), clean: true, user: &nobody, password: &secret}))
	a := c.connack(c.want(tConnack))
	if a.code == 0 || a.present {
		r.failf("CONNACK code %#x, session present %v, want a refusal without a session", a.code, a.present)
	}
	if r.level >= v5 {
		if err := allowed(tConnack, a.code); err != nil || a.code < 0x80 {
			r.failf("CONNACK refuses with code %#x", a.code)
		}
	}
	if rest := c.closed(); len(rest) > 0 {
		r.failf("%s behind the refusal", rest[0])
	}
}

// nothingAfterRefusal: what comes behind a refused CONNECT is not looked at.
func nothingAfterRefusal(r *run) {
	nobody, secret := "nobody", "wrong"
	topic := r.topic("a")
	w := r.client("watch")
	w.granted(topic, 0)
	c := r.dial()
	c.send(r.hello(con{id: r.id("a"), clean: true, user: &nobody, password: &secret}), pub{topic: topic}.bytes(r.level))
	c.refused("wrong user")
	w.quiet("a message behind a refused CONNECT must not be taken")
}

// takenOver: a second connection of a client id ends the first one; 5.0 says why.
func takenOver(r *run) {
	a := r.client("a")
	b := r.client("a")
	said := a.closed()
	b.ping()
	if r.level < v5 {
		return
	}
	if len(said) != 1 || said[0].typ != tDisconnect || a.ack(said[0]).code != 0x8E {
		r.failf("the first connection got %v, want DISCONNECT with 0x8E", said)
	}
}

// welcomed: a good CONNECT gets CONNACK with code 0, and it is the first packet, queued messages or not.
func welcomed(r *run) {
	k := r.keeper("a")
	c := r.join(k)
	c.granted(r.topic("a"), 1)
	c.leave()
	r.client("p").publish(pub{topic: r.topic("a"), qos: 1})
	r.join(k).receive() // join fails when the first packet is another one
}

// keepAlive: silence of 1.5 times the keep-alive ends the connection, not earlier, and the will is published.
func keepAlive(r *run) {
	w := r.client("watch")
	w.granted(r.topic("will"), 0)
	start := time.Now()
	c := r.join(con{id: r.id("a"), clean: true, keepAlive: 1, will: &will{topic: r.topic("will")}})
	c.closedWithin(2 * limit) // some servers look at their clients every few seconds only
	if took := time.Since(start); took < 1490*time.Millisecond {
		r.failf("closed after %v, keep-alive is 1 s", took)
	}
	w.expect(r.topic("will"), "", 0)
}
