package mqttconform

import (
	"bufio"
	"errors"
	"net"
	"slices"
	"time"
)

// limit is how long a connection may take.
const limit = time.Minute

// client is a connection of a check. Its methods end the check when the server does not do what they wait for.
type client struct {
	r      *run
	level  byte
	nc     net.Conn
	in     *bufio.Reader
	stash  []packet // came while another type was waited for
	hello  connack
	lastID uint16
}

// send writes the packets with one call.
func (c *client) send(parts ...[]byte) {
	_ = c.nc.SetWriteDeadline(time.Now().Add(limit))
	if _, err := c.nc.Write(slices.Concat(parts...)); err != nil {
		c.r.failf("write: %v", err)
	}
}

// read returns the next packet, or the error that ended the connection.
func (c *client) read() (packet, error) { return c.readWithin(c.r.patience) }

func (c *client) readWithin(d time.Duration) (packet, error) {
	_ = c.nc.SetReadDeadline(time.Now().Add(d))
	p, err := readPacket(c.in)
	if errors.Is(err, errWire) {
		c.r.failf("%v", err)
	}
	return p, err
}

// next returns the next packet, one that was passed over first.
func (c *client) next(want string) packet {
	if len(c.stash) > 0 {
		p := c.stash[0]
		c.stash = c.stash[1:]
		return p
	}
	p, err := c.read()
	if err != nil {
		c.r.failf("want %s, got: %v", want, err)
	}
	return p
}

// want returns the next packet of a type; others wait in the stash for their turn.
func (c *client) want(typ byte) packet {
	for i, p := range c.stash {
		if p.typ == typ {
			c.stash = slices.Delete(c.stash, i, i+1)
			return p
		}
	}
	for {
		p, err := c.read()
		if err != nil {
			c.r.failf("want %s, got: %v", typeNames[typ], err)
		}
		if p.typ == typ {
			return p
		}
		c.stash = append(c.stash, p)
	}
}

// wantAck waits for an acknowledgement of id.
func (c *client) wantAck(typ byte, id uint16) ack {
	a := c.ack(c.want(typ))
	if a.id != id {
		c.r.failf("%s of id %d, want %d", typeNames[typ], a.id, id)
	}
	return a
}

func (c *client) nextID() uint16 { c.lastID++; return c.lastID }

// subscribe asks for one filter and returns the server's code.
func (c *client) subscribe(filter string, options byte) byte {
	return c.subscribeTo(nil, sub{filter, options}).codes[0]
}

// subscribeTo asks for filters in one packet.
func (c *client) subscribeTo(props []byte, subs ...sub) suback {
	id := c.nextID()
	c.send(subscribePacket(c.level, id, props, subs...))
	a := c.suback(c.want(tSuback))
	if a.id != id || len(a.codes) != len(subs) {
		c.r.failf("SUBACK of id %d with codes % x, want id %d and %d codes", a.id, a.codes, id, len(subs))
	}
	return a
}

// granted subscribes and fails unless the whole QoS was granted.
func (c *client) granted(filter string, options byte) {
	got := c.subscribe(filter, options)
	if c.r.target.Restricted && (got == 0x80 || got == 0x87) {
		panic(restricted("a subscription to " + filter))
	}
	if got != options&3 {
		c.r.failf("subscription of %q: code %#x, want %d", filter, got, options&3)
	}
}

func (c *client) unsubscribe(filters ...string) suback {
	id := c.nextID()
	c.send(unsubscribePacket(c.level, id, filters...))
	a := c.suback(c.want(tUnsuback))
	if a.id != id {
		c.r.failf("UNSUBACK of id %d, want %d", a.id, id)
	}
	return a
}

// publish sends m under a fresh packet id and goes through its acknowledgement; it returns the first answer.
func (c *client) publish(m pub) (answer ack) {
	if m.qos > 0 && m.id == 0 {
		m.id = c.nextID()
	}
	c.send(m.bytes(c.level))
	switch m.qos {
	case 0:
		c.ping() // whatever came before the answer is with the server
	case 1:
		answer = c.wantAck(tPuback, m.id)
	case 2:
		if answer = c.wantAck(tPubrec, m.id); answer.code < 0x80 {
			c.send(ackPacket(tPubrel, m.id))
			c.wantAck(tPubcomp, m.id)
		}
	}
	return answer
}

// got waits for a PUBLISH and leaves it unacknowledged.
func (c *client) got() pub { return c.pub(c.want(tPublish)) }

// receive waits for a PUBLISH and acknowledges it.
func (c *client) receive() pub {
	m := c.got()
	c.accept(m)
	return m
}

// accept goes through the acknowledgement of a message.
func (c *client) accept(m pub) {
	switch m.qos {
	case 1:
		c.send(ackPacket(tPuback, m.id))
	case 2:
		c.send(ackPacket(tPubrec, m.id))
		c.wantAck(tPubrel, m.id)
		c.send(ackPacket(tPubcomp, m.id))
	}
}

// expect receives a message and compares topic, payload and QoS.
func (c *client) expect(topic, payload string, qos byte) pub {
	m := c.receive()
	if m.topic != topic || m.payload != payload || m.qos != qos {
		c.r.failf("got %q %q QoS %d, want %q %q QoS %d", m.topic, m.payload, m.qos, topic, payload, qos)
	}
	return m
}

func (c *client) ping() {
	c.send(pingreq)
	c.want(tPingresp)
}

// drain returns the messages that the server sends before it answers a ping, unacknowledged.
func (c *client) drain() (ms []pub) {
	c.ping()
	c.stash = slices.DeleteFunc(c.stash, func(p packet) bool {
		if p.typ == tPublish {
			ms = append(ms, c.pub(p))
		}
		return p.typ == tPublish
	})
	return ms
}

// quiet fails when a message has come.
func (c *client) quiet(why string) {
	if ms := c.drain(); len(ms) > 0 {
		c.r.failf("%s, but got %q %q", why, ms[0].topic, ms[0].payload)
	}
}

// closed waits for the end of the connection and returns what came before it.
func (c *client) closed() []packet { return c.closedWithin(c.r.patience) }

func (c *client) closedWithin(d time.Duration) []packet {
	all := c.stash
	c.stash = nil
	for {
		p, err := c.readWithin(d)
		if err == nil {
			all = append(all, p)
			continue
		}
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			c.r.failf("the connection is still open after %v; it sent %v", d, all)
		}
		return all
	}
}

// cut ends the connection without a word.
func (c *client) cut() { _ = c.nc.Close() }

// leave disconnects and waits until the server has closed.
func (c *client) leave() {
	c.send(disconnect)
	c.closed()
}
