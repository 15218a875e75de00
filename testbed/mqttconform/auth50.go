package mqttconform

import "slices"

// Enhanced authentication of 5.0, sections 3.15 and 4.12, for targets that have a method.

// Auth is a target's enhanced authentication: the client names User in CONNECT, is asked in an AUTH, and answers with Prove.
type Auth struct {
	Method, User string
	Prove        func(challenge string) string
}

// ofMethod are the statements whose checks need a method.
var ofMethod = []string{"3.15.2-1", "3.15.2-2", "3.15.2-3", "4.12.0-2", "4.12.0-5", "4.12.1-1", "4.12.1-2"}

// NeedsMethod reports whether the statement says something only of servers with an enhanced authentication method.
func (s Statement) NeedsMethod() bool { return slices.Contains(ofMethod, s.Number) }

// method is the target's; a check that needs one is left out without.
func (r *run) method() *Auth {
	if r.target.Auth == nil {
		panic(restricted("an authentication method"))
	}
	return r.target.Auth
}

const (
	authContinue = 0x18
	authAgain    = 0x19
)

func authPacket(code byte, method, data string) []byte {
	return frame(0xF0, []byte{code}, propsOf(v5, append(str(pAuthMethod, method), str(pAuthData, data)...)))
}

// challenged sends a CONNECT with the method and reads the server's AUTH.
func (r *run) challenged(name string, more []byte) (c *client, a ack) {
	m := r.method()
	c = r.dial()
	c.send(r.hello(con{id: r.id(name), clean: true, props: slices.Concat(str(pAuthMethod, m.Method), str(pAuthData, m.User), more)}))
	return c, c.asked()
}

// asked reads the server's AUTH, which must be the next packet, and ask for more.
func (c *client) asked() ack {
	p, err := c.read()
	if err != nil || p.typ != tAuth {
		c.r.failf("got %s, %v, want AUTH", p, err)
	}
	a := c.ack(p)
	if err := allowed(tAuth, a.code); err != nil {
		c.r.failf("%v", err)
	}
	if a.code != authContinue {
		c.r.failf("AUTH with %#x, want 0x18", a.code)
	}
	if got := a.props.str(pAuthMethod); got != c.r.target.Auth.Method {
		c.r.failf("AUTH with method %q", got)
	}
	return a
}

// authenticated goes through the whole exchange.
func (r *run) authenticated(name string, more []byte) *client {
	c, a := r.challenged(name, more)
	c.send(authPacket(authContinue, r.method().Method, r.method().Prove(a.props.str(pAuthData))))
	c.hello = c.connack(c.want(tConnack))
	if c.hello.code != 0 {
		r.failf("CONNACK with code %#x", c.hello.code)
	}
	if got := c.hello.props.str(pAuthMethod); got != r.method().Method {
		r.failf("CONNACK with method %q", got)
	}
	return c
}

// challenge: the server asks for more with AUTH 0x18, with its method, and CONNACK comes after it.
func challenge(r *run) {
	c := r.authenticated("a", nil)
	c.granted(r.topic("a"), 1)
	c.publish(pub{topic: r.topic("a"), payload: "x", qos: 1})
	c.expect(r.topic("a"), "x", 1)
}

// authCodes: the server's codes are those of the table, and a client's that are not end the connection.
func authCodes(r *run) {
	c := r.authenticated("a", nil)
	r.again(c)
	for _, code := range []byte{0x00, 0x01, 0x18, 0x80, 0x87} {
		c := r.authenticated("b", nil)
		c.send(authPacket(code, r.method().Method, "x"))
		c.refused("AUTH out of turn")
	}
	c, _ = r.challenged("c", nil)
	c.send(authPacket(0x42, r.method().Method, "x"))
	c.refused("AUTH with an unknown code")
}

// again authenticates anew and returns the server's last word.
func (r *run) again(c *client) {
	m := r.method()
	c.send(authPacket(authAgain, m.Method, m.User))
	a := c.asked()
	c.send(authPacket(authContinue, m.Method, m.Prove(a.props.str(pAuthData))))
	p := c.want(tAuth)
	last := c.ack(p)
	if last.code != 0 || last.props.str(pAuthMethod) != m.Method {
		r.failf("AUTH with %#x and method %q, want 0 and %q", last.code, last.props.str(pAuthMethod), m.Method)
	}
}

// authSmall: AUTH keeps to the client's maximum, whatever the server would like to say in it.
func authSmall(r *run) {
	const most = 100
	c, a := r.challenged("a", num(pMaxPacket, most))
	if a.size > most {
		r.failf("AUTH of %d bytes, the client allows %d", a.size, most)
	}
	c.send(authPacket(authContinue, r.method().Method, "wrong"))
	for _, p := range c.refused("a wrong proof") {
		if p.size > most {
			r.failf("%s of %d bytes, the client allows %d", p, p.size, most)
		}
	}
}

// authSameMethod: another method in the middle of an exchange ends it.
func authSameMethod(r *run) {
	r.authenticated("a", nil)
	c, a := r.challenged("b", nil)
	c.send(authPacket(authContinue, "X-OTHER", r.method().Prove(a.props.str(pAuthData))))
	c.refused("another method")
}

// authFails: who cannot prove it is refused, before CONNACK and by it.
func authFails(r *run) {
	unknownMethod(r)
	if r.target.Auth == nil {
		return
	}
	c, _ := r.challenged("a", nil)
	c.send(authPacket(authContinue, r.method().Method, "wrong"))
	for _, p := range c.refused("a wrong proof") {
		if a := c.connack(p); p.typ == tConnack && a.code < 0x80 {
			r.failf("CONNACK with code %#x", a.code)
		}
	}
	c, _ = r.challenged("b", nil)
	c.send(pub{topic: r.topic("a"), payload: "x", qos: 0}.bytes(v5))
	c.refused("PUBLISH before CONNACK")
}

// reauthenticates: with its method a client may authenticate again, and its session goes on; with another it may not.
func reauthenticates(r *run) {
	c := r.authenticated("a", nil)
	c.granted(r.topic("a"), 1)
	for range 2 {
		r.again(c)
	}
	c.publish(pub{topic: r.topic("a"), payload: "x", qos: 1})
	c.expect(r.topic("a"), "x", 1)
	c.send(authPacket(authAgain, "X-OTHER", r.method().User))
	c.refused("reauthentication by another method")
}

// reauthenticationFails ends the connection.
func reauthenticationFails(r *run) {
	m := r.method()
	c := r.authenticated("a", nil)
	c.send(authPacket(authAgain, m.Method, m.User))
	c.asked()
	c.send(authPacket(authContinue, m.Method, "wrong"))
	c.refused("a wrong proof")
	c = r.authenticated("b", nil)
	c.send(authPacket(authAgain, m.Method, "nobody"))
	c.refused("an unknown user")
}
