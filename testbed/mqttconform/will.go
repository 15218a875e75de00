package mqttconform

import (
	"fmt"
	"time"
)

// Section 3.1.2.5: wills.

// watch subscribes a client to the will's topic.
func (r *run) watch(options byte) *client {
	w := r.client("watch")
	w.granted(r.topic("will"), options)
	return w
}

// dying is a CONNECT with a will.
func (r *run) dying(qos byte, retain bool) con {
	return con{id: r.id("a"), clean: true, will: &will{topic: r.topic("will"), payload: "bye", qos: qos, retain: retain}}
}

// gone waits until the server is through with the end of a clean client's connection: it tells no newcomer of the same id before.
func (r *run) gone(name string) { r.client(name).leave() }

// willPublished: the connection ends without DISCONNECT, or by a protocol error, and the will is published, once.
func willPublished(r *run) {
	w := r.watch(2)
	for qos := range byte(3) {
		r.join(r.dying(qos, false)).cut()
		w.expect(r.topic("will"), "bye", qos)
	}
	c := r.join(r.dying(1, false))
	c.send(frame(0x20, []byte{0, 0}))
	c.closed()
	w.expect(r.topic("will"), "bye", 1)
	r.gone("a")
	w.quiet("the will was published already")
}

// willForgotten: DISCONNECT drops the will.
func willForgotten(r *run) {
	w := r.watch(0)
	r.join(r.dying(1, false)).leave()
	r.gone("a")
	w.quiet("DISCONNECT drops the will")
}

// noWill: without the flag nothing is published, not even the will of an earlier connection.
func noWill(r *run) {
	w := r.watch(0)
	r.join(r.dying(0, false)).leave()
	r.client("a").cut()
	r.gone("a")
	w.quiet("the connection had no will")
}

// willKeepsRetain returns a check that the will is published retained or not, as it says.
func willKeepsRetain(retain bool) check {
	return func(r *run) {
		w := r.watch(0)
		r.join(r.dying(1, retain)).cut()
		w.expect(r.topic("will"), "bye", 0)
		late := r.client("late")
		late.granted(r.topic("will"), 1)
		if !retain {
			late.quiet("the will is not retained")
		} else if !late.expect(r.topic("will"), "bye", 1).retain {
			r.failf("the retained will came without RETAIN")
		}
	}
}

// willDelayed (5.0): the will waits for its delay, and a connection within it drops the will.
func willDelayed(r *run) {
	w := r.watch(0)
	k := r.keeper("a")
	k.will = &will{topic: r.topic("will"), payload: "late", props: num(pWillDelay, 2)}
	start := time.Now()
	r.join(k).cut()
	w.expect(r.topic("will"), "late", 0)
	if took := time.Since(start); took < 1900*time.Millisecond {
		r.failf("the will came after %v, its delay is 2 s", took)
	}
	for n := 0; ; n++ { // until it is back in time, which on a busy machine it may not be
		k.will.topic = r.topic(fmt.Sprint("will", n))
		w = r.client(fmt.Sprint("watch", n))
		w.granted(k.will.topic, 0)
		start = time.Now()
		r.join(k).cut()
		r.join(r.keeper("a"))
		if time.Since(start) < 1900*time.Millisecond {
			break
		}
	}
	r.wait(2800 * time.Millisecond)
	w.quiet("the client came back within the will's delay")
}

// willWithSession (5.0): a session that ends before the delay takes the will with it, published.
func willWithSession(r *run) {
	w := r.watch(0)
	k := con{id: r.id("a"), clean: true, will: &will{topic: r.topic("will"), payload: "now", props: num(pWillDelay, 100)}}
	r.join(k).cut()
	w.expect(r.topic("will"), "now", 0)
}

// willProps (5.0): the will's user properties arrive in their order.
func willProps(r *run) {
	w := r.watch(0)
	props := append(append(userProp("b", "1"), userProp("a", "2")...), userProp("b", "3")...)
	r.join(con{id: r.id("a"), clean: true, will: &will{topic: r.topic("will"), props: props}}).cut()
	sameUserProps(r, w.receive(), "b=1 a=2 b=3")
}

// willOnRequest (5.0): DISCONNECT with reason 4 asks for the will.
func willOnRequest(r *run) {
	w := r.watch(0)
	c := r.join(r.dying(0, false))
	c.send(frame(0xE0, []byte{4}))
	c.closed()
	w.expect(r.topic("will"), "bye", 0)
}
