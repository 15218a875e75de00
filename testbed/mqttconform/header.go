package mqttconform

import (
	"fmt"
	"slices"
)

// Chapter 2: the fixed header and packet ids.

// wrongFlags checks that a packet of another fixed header ends the connection; the first byte is what is wrong with it.
func wrongFlags(first byte, body func(r *run) []byte) check {
	return func(r *run) {
		r.breaks(fmt.Sprintf("%s with flags %d", typeNames[first>>4], first&15), frame(first, body(r)))
	}
}

func noBody(*run) []byte { return nil }
func idBody(*run) []byte { return id16(1) }

func subscribeBody(r *run) []byte {
	return subscribePacket(r.level, 1, nil, sub{r.topic("a"), 0})[2:]
}

func unsubscribeBody(r *run) []byte { return unsubscribePacket(r.level, 1, r.topic("a"))[2:] }

// Flags of the fixed header that are not as they must be end the connection.
var (
	connectFlags = check(func(r *run) {
		r.refused("CONNECT with flags 1", frame(0x11, r.hello(con{id: r.id("a"), clean: true})[2:]))
	})
	subscribeFlags   = all(wrongFlags(0x80, subscribeBody), wrongFlags(0x83, subscribeBody), wrongFlags(0x8A, subscribeBody))
	unsubscribeFlags = all(wrongFlags(0xA0, unsubscribeBody), wrongFlags(0xA3, unsubscribeBody))
	pubrelFlags      = all(wrongFlags(0x60, idBody), wrongFlags(0x63, idBody))
	reservedFlags    = all(connectFlags, subscribeFlags, unsubscribeFlags, pubrelFlags, wrongFlags(0x41, idBody),
		wrongFlags(0x52, idBody), wrongFlags(0x74, idBody), wrongFlags(0xC1, noBody))
)

// zeroID: a packet that needs an id has another one than 0.
func zeroID(r *run) {
	r.breaks("SUBSCRIBE with id 0", subscribePacket(r.level, 0, nil, sub{r.topic("a"), 0}))
	r.breaks("UNSUBSCRIBE with id 0", unsubscribePacket(r.level, 0, r.topic("a")))
	r.breaks("PUBLISH QoS 1 with id 0", pub{topic: r.topic("a"), qos: 1}.bytes(r.level))
	r.breaks("PUBLISH QoS 2 with id 0", pub{topic: r.topic("a"), qos: 2}.bytes(r.level))
}

// serverIDs: what the server has in flight has ids that differ and are not 0, whatever ids the client uses itself.
func serverIDs(r *run) {
	s, p := r.client("s"), r.client("p")
	topic := r.topic("a")
	s.granted(topic, 2)
	var ids []uint16
	for i := range 10 {
		p.publish(pub{topic: topic, qos: byte(1 + i%2)})
		m := s.got()
		if slices.Contains(ids, m.id) {
			r.failf("packet id %d is in flight twice", m.id)
		}
		ids = append(ids, m.id)
		s.publish(pub{topic: r.topic("b"), qos: 1, id: m.id}) // the client's ids are its own
	}
}

// noIDAtQoS0: a QoS 0 PUBLISH has no packet id: the payload begins behind the topic.
func noIDAtQoS0(r *run) {
	s := r.client("s")
	topic := r.topic("a")
	s.granted(topic, 0)
	r.client("p").publish(pub{topic: topic, payload: "\x00\x01x"})
	s.expect(topic, "\x00\x01x", 0)
}

// answersKeepID: each acknowledgement has the id of what it acknowledges.
func answersKeepID(r *run) {
	c := r.client("a")
	topic := r.topic("a")
	for _, id := range []uint16{1, 255, 256, 0x7fff, 0xffff} {
		c.publish(pub{topic: topic, qos: 1, id: id})
		c.publish(pub{topic: topic, qos: 2, id: id})
		c.lastID = id - 1
		c.subscribe(topic, 0)
		c.lastID = id - 1
		c.unsubscribe(topic)
	}
}

// serverPacketsOnly: packets that only servers send, or nobody, end the connection.
func serverPacketsOnly(r *run) {
	for _, c := range []struct {
		what  string
		bytes []byte
	}{
		{"CONNACK", frame(0x20, []byte{0, 0})}, {"SUBACK", frame(0x90, []byte{0, 1, 0})}, {"UNSUBACK", frame(0xB0, []byte{0, 1})},
		{"PINGRESP", frame(0xD0)}, {"type 0", frame(0x00)},
		{"a length of five bytes", []byte{0x30, 0x80, 0x80, 0x80, 0x80, 0x01}},
		{"PUBLISH that ends in its topic", frame(0x30, []byte{0, 9, 'a'})},
		{"PUBLISH QoS 1 without an id", frame(0x32, text(r.topic("a")))},
	} {
		r.breaks(c.what, c.bytes)
	}
	if r.level < v5 {
		r.breaks("type 15", frame(0xF0))
	}
}
