package mqttconform

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"
)

// Target is a server under test. Everybody may do everything there, but for topics that begin with "denied/"
// and for the user "nobody"; User with Password is somebody.
type Target struct {
	Name           string
	Addr           string // TCP, host:port
	WebSocket      string // URL
	User, Password string
	Auth           *Auth // nil: it has no enhanced authentication

	// ID, if set, gives a name its client id, and Login a client id its user name and password: for servers where nobody is
	// welcome without.
	// Restricted says that its clients have permissions: a check that needs a subscription which they do not give is left out.
	Restricted bool
	ID         func(name string) string
	Login      func(clientID string) (user, password string)
}

// run is one check's life: what it fails with, the connections that it opened, and names of its own.
type run struct {
	target    Target
	level     byte
	webSocket bool
	patience  time.Duration
	prefix    string
	open      []*client
}

// failure is what a check that failed panics with, restricted one that needs something which the target does not have.
type (
	failure    string
	restricted string
)

var runs atomic.Int64

// try runs a check and returns what it found wrong, "" when nothing, and why it was left out, "" when it was not.
func (r *run) try(c check) (wrong, leftOut string) {
	r.rename()
	defer func() {
		for _, c := range r.open {
			c.cut()
		}
		switch p := recover().(type) {
		case nil:
		case failure:
			wrong = string(p)
		case restricted:
			leftOut = "needs " + string(p)
		default:
			panic(p)
		}
	}()
	c(r)
	return "", ""
}

// rename gives the run topics and client ids that nobody used before.
func (r *run) rename() { r.prefix = fmt.Sprintf("r%d", runs.Add(1)) }

func (r *run) failf(format string, args ...any) { panic(failure(fmt.Sprintf(format, args...))) }

// topic is a topic name that no other run uses.
func (r *run) topic(name string) string { return r.prefix + "/" + name }

// id is a client id that no other run uses.
func (r *run) id(name string) string {
	if r.target.ID != nil {
		return r.target.ID(r.prefix + name)
	}
	return r.prefix + name
}

// hello is a CONNECT with what the target wants of everybody.
func (r *run) hello(k con) []byte {
	if r.target.Login == nil || k.user != nil {
		return k.bytes(r.level)
	}
	user, password := r.target.Login(k.id)
	k.user, k.password = &user, &password
	if k.keepAlive == 0 {
		k.keepAlive = 60
	}
	return k.bytes(r.level)
}

// dial opens a connection and says nothing.
func (r *run) dial() *client {
	var nc net.Conn
	var err error
	if r.webSocket {
		nc, err = dialWebSocket(r.target.WebSocket)
	} else {
		nc, err = net.DialTimeout("tcp", r.target.Addr, limit)
	}
	if err != nil {
		r.failf("connect: %v", err)
	}
	c := &client{r: r, level: r.level, nc: nc, in: bufio.NewReader(nc)}
	r.open = append(r.open, c)
	return c
}

// join connects and must be welcome.
func (r *run) join(k con) *client {
	c := r.dial()
	c.send(r.hello(k))
	p, err := c.read() // the first packet, whatever it is
	if err != nil {
		r.failf("no CONNACK: %v", err)
	}
	if p.typ != tConnack {
		r.failf("first packet is %s, want CONNACK", p)
	}
	if c.hello = c.connack(p); c.hello.code != 0 {
		r.failf("CONNACK with code %#x", c.hello.code)
	}
	return c
}

// client joins with a clean session.
func (r *run) client(name string) *client { return r.join(con{id: r.id(name), clean: true}) }

// keeper is the CONNECT of a session that outlives its connection; in 5.0 for five minutes.
func (r *run) keeper(name string) con {
	k := con{id: r.id(name)}
	if r.level >= v5 {
		k.props = num(pSessionExpiry, 300)
	}
	return k
}

// refused sends bytes on a fresh connection and waits until it is closed; a CONNACK may say no, never yes.
func (r *run) refused(what string, b ...[]byte) []packet {
	c := r.dial()
	c.send(b...)
	return c.refused(what)
}

// breaks sends bytes on a connection that is logged in and waits until it is closed.
func (r *run) breaks(what string, b ...[]byte) []packet {
	c := r.client("x" + strings.Map(alnum, what))
	c.send(b...)
	return c.refused(what)
}

func alnum(c rune) rune {
	if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
		return c
	}
	return -1
}

// refused waits until the connection is closed. Before that a server may say why, in a CONNACK or 5.0's DISCONNECT.
func (c *client) refused(what string) (said []packet) {
	defer func() {
		if p, ok := recover().(failure); ok {
			panic(failure(what + ": " + string(p)))
		}
	}()
	said = c.closed()
	for _, p := range said {
		switch {
		case p.typ == tConnack:
			if a := c.connack(p); a.code == 0 {
				c.r.failf("CONNACK welcomes it")
			}
		case p.typ == tDisconnect && c.level >= v5:
			a := c.ack(p)
			if err := allowed(tDisconnect, a.code); err != nil {
				c.r.failf("%v", err)
			}
			if a.code < 0x80 {
				c.r.failf("DISCONNECT with code %#x", a.code)
			}
		default:
			c.r.failf("the server sent %s", p)
		}
	}
	return said
}
