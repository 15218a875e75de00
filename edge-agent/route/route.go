// Package route decides on the gateway, without the hub, where messages go: a route takes those of a source that match a rule in the hub's own
// language (protocol/rulesql) and sends what the rule makes of them to the cloud, to sub-devices or to applications on the gateway.
//
// It promises: a message of a sub-device is acknowledged only when all that goes up because of it is durable; a table that is
// wrong never comes into force, and the last good one stays; what a route sends to the gateway itself may be taken by further routes, at most
// MaxHops deep. Messages that no route consumes go the way that they would have gone without routes.
//
// It leaves durability to the way up and sessions to gateway. What a route sends to a sub-device or an application is as lasting as gateway
// makes it.
package route

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/rulesql"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Up is the way to the hub.
type Up interface {
	Forward(d ident.Device, name string, payload []byte, qos byte, done func(error))
	// ForwardTo is Forward into the stream of the buffer that has that name.
	ForwardTo(stream string, d ident.Device, name string, payload []byte, qos byte, done func(error))
	Attached(d ident.Device)
	Detached(d ident.Device)
	Wanted(d ident.Device, subs []server.Subscription)
	Admitted(d ident.Device, secret credential.Secret)
	Found(d ident.Device)
}

// Down is the gateway with its sub-devices and applications.
type Down interface {
	Deliver(d ident.Device, name string, payload []byte, qos byte) error
	Publish(name string, payload []byte, qos byte)
	Notice(k topic.Kind, subs []message.Subdev)
	Carries(d ident.Device) bool
}

// MaxHops bounds how often what a route has made is routed again.
const MaxHops = 4

// LocalPrefix begins the topics that do not leave the gateway.
const LocalPrefix = "local/"

// Router stands between the gateway and the way up: to each it looks like the other. Make it with New, give it its Down with Serve.
type Router struct {
	Up // what is not about messages passes through

	cfg   Config
	down  Down
	log   *slog.Logger
	owner rulesql.Owner
	ids   *message.IDs
	table atomic.Pointer[Table]
	fresh chan struct{} // holds one token: the table was replaced

	overrun atomic.Int64
}

// Config is what routes may speak of.
type Config struct {
	// Own is the gateway itself.
	Own ident.Device
	// Streams are those of the buffer that a route may name.
	Streams []string
}

// New returns a Router without routes. shadow, if not nil, returns a device's shadow document, for the rules.
func New(cfg Config, up Up, shadow func(ident.Device) ([]byte, bool), log *slog.Logger) *Router {
	r := &Router{Up: up, cfg: cfg, log: log, ids: message.NewIDs(0, 0, time.Now), fresh: make(chan struct{}, 1)}
	if shadow != nil {
		r.owner.Shadow = func(e *rulesql.Env) (any, error) {
			b, ok := shadow(e.Device)
			if !ok {
				return nil, nil
			}
			doc, err := codec.Decode(b, codec.DefaultLimits())
			if err != nil {
				return nil, err
			}
			defer doc.Release()
			return doc.Root().Any(), nil
		}
	}
	r.table.Store(&Table{})
	return r
}

// Serve names the gateway. Call it once, before messages come.
func (r *Router) Serve(down Down) { r.down = down }

// Notice passes the hub's word on.
func (r *Router) Notice(k topic.Kind, subs []message.Subdev) { r.down.Notice(k, subs) }

// Carries asks the gateway.
func (r *Router) Carries(d ident.Device) bool { return r.down.Carries(d) }

// msg is a message on its way.
type msg struct {
	source Source
	device ident.Device
	topic  string
	body   []byte
	qos    byte
	hops   int
}

// Forward takes a message of a sub-device, or of the gateway itself.
func (r *Router) Forward(d ident.Device, name string, payload []byte, qos byte, done func(error)) {
	t := r.table.Load()
	if len(t.bySource[FromSubdevice]) == 0 {
		r.Up.Forward(d, name, payload, qos, done)
		return
	}
	m := msg{source: FromSubdevice, device: d, topic: name, body: payload, qos: qos}
	join := newJoin(done)
	if !r.apply(t, &m, join) {
		r.Up.Forward(d, name, payload, qos, join.branch())
	}
	join.end()
}

// Local takes a message of an application or a timer.
func (r *Router) Local(name string, payload []byte, qos byte, done func(error)) {
	join := newJoin(done)
	r.apply(r.table.Load(), &msg{source: FromLocal, device: r.cfg.Own, topic: name, body: payload, qos: qos}, join)
	join.end()
}

// Deliver takes a message from the hub.
func (r *Router) Deliver(d ident.Device, name string, payload []byte, qos byte) error {
	t := r.table.Load()
	if len(t.bySource[FromCloud]) > 0 {
		m := msg{source: FromCloud, device: d, topic: name, body: payload, qos: qos}
		failed := func(err error) {
			if err != nil {
				r.log.Warn("what a route made of the hub's message is lost", "topic", name, "err", err)
			}
		}
		join := newJoin(failed)
		consumed := r.apply(t, &m, join)
		join.end()
		if consumed {
			return nil
		}
	}
	return r.down.Deliver(d, name, payload, qos)
}

// apply runs the routes of the message's source. It reports whether one of those that matched consumes the message.
func (r *Router) apply(t *Table, m *msg, join *join) (consumed bool) {
	var e *rulesql.Env
	var doc *codec.Doc
	for _, route := range t.bySource[m.source] {
		if !route.listens(m.topic) {
			continue
		}
		if e == nil {
			e = &rulesql.Env{Device: m.device, Topic: m.topic, MessageID: r.ids.Next(), QoS: m.qos, Time: time.Now(), Raw: m.body}
		}
		if doc == nil && route.program.UsesPayload() {
			if doc, _ = codec.Decode(m.body, codec.DefaultLimits()); doc != nil { // what is no document has no fields
				e.Payload = doc.Root()
				defer doc.Release()
			}
		}
		if r.run(route, e, m, join) {
			consumed = consumed || route.Consume
		}
	}
	return consumed
}

// run sends what a route makes of a message; it reports whether the route matched.
func (r *Router) run(route *Route, e *rulesql.Env, m *msg, join *join) bool {
	var rows rulesql.Rows
	ok, err := route.program.Match(e)
	if ok && err == nil {
		err = route.program.Select(e, &rows)
	}
	if err != nil {
		if route.failed.Add(1) == 1 {
			r.log.Warn("a route failed with a message", "route", route.Name, "topic", m.topic, "err", err)
		}
		return false
	}
	if !ok {
		return false
	}
	route.matched.Add(1)
	for i := range rows.Len() {
		for _, to := range route.To {
			r.send(route, to, m, rows.Row(i), join)
		}
	}
	return true
}

// send hands one result to one target. What it hands over asynchronously has memory of its own.
func (r *Router) send(route *Route, to Target, m *msg, row []byte, join *join) {
	name := to.name(m.device)
	row = append([]byte(nil), row...)
	switch to.Where {
	case ToCloud:
		d, _ := topic.DeviceOf(name)
		up := join.branch()
		route.waiting.Add(1)
		r.ForwardTo(to.Stream, d, name, row, to.QoS, func(err error) {
			route.waiting.Add(-1)
			route.ended(err)
			up(err)
		})
	case ToSubdevice:
		d, _ := topic.DeviceOf(name)
		err := r.down.Deliver(d, name, row, to.QoS)
		route.ended(err)
		if err != nil && !errors.Is(err, server.ErrNotSubscribed) && !route.warned.Swap(true) {
			r.log.Warn("a route could not deliver to a sub-device", "route", route.Name, "topic", name, "err", err)
		}
	case ToLocal:
		r.down.Publish(name, row, to.QoS)
		route.sent.Add(1)
		if m.hops+1 >= MaxHops {
			if r.overrun.Add(1) == 1 {
				r.log.Warn("routes feed each other in a circle", "route", route.Name, "topic", name)
			}
			return
		}
		r.apply(r.table.Load(), &msg{source: FromLocal, device: m.device, topic: name, body: row, qos: to.QoS, hops: m.hops + 1}, join)
	}
}

// Replace puts another table into force.
func (r *Router) Replace(t *Table) {
	r.table.Store(t)
	select {
	case r.fresh <- struct{}{}:
	default:
	}
}

// Stats are the counters of a route since its table came into force.
type Stats struct {
	Name        string `json:"name"`
	Matched     int64  `json:"matched"`
	Failed      int64  `json:"failed"`      // messages on which its rule ended with an error
	Sent        int64  `json:"sent"`        // results that a target has taken: of those for the hub, the buffer
	Waiting     int64  `json:"waiting"`     // results for the hub that the buffer is still writing
	Undelivered int64  `json:"undelivered"` // results that nobody took: the sub-device is not there or wants none, the buffer is full
}

// Stats returns the counters of the routes in force, and how many results went round too often.
func (r *Router) Stats() (list []Stats, overrun int64) {
	for _, route := range r.table.Load().Routes {
		list = append(list, Stats{route.Name, route.matched.Load(), route.failed.Load(), route.sent.Load(), route.waiting.Load(), route.undelivered.Load()})
	}
	return list, r.overrun.Load()
}

// join calls done once all branches have ended, with the first error.
type join struct {
	left atomic.Int64
	err  atomic.Pointer[error]
	done func(error)
}

func newJoin(done func(error)) *join {
	j := &join{done: done}
	j.left.Store(1)
	return j
}

func (j *join) branch() func(error) {
	j.left.Add(1)
	return func(err error) {
		if err != nil {
			j.err.CompareAndSwap(nil, &err)
		}
		j.end()
	}
}

func (j *join) end() {
	if j.left.Add(-1) > 0 {
		return
	}
	if err := j.err.Load(); err != nil {
		j.done(fmt.Errorf("route: %w", *err))
		return
	}
	j.done(nil)
}

// listens tells whether the topic is one of the route's.
func (r *Route) listens(name string) bool {
	for _, f := range r.program.Filters() {
		if topic.Match(f, name) {
			return true
		}
	}
	return false
}

// name is the target's topic, with ${product} and ${device} replaced by the source's.
func (t Target) name(d ident.Device) string {
	if !strings.Contains(t.Topic, "${") {
		return t.Topic
	}
	return strings.NewReplacer("${product}", d.Product, "${device}", d.SN).Replace(t.Topic)
}
