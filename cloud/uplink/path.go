package uplink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hawser-iot/hawser/cloud/monitor/meter"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Store is what the path needs of the store: units of one device end in the order of their submission.
type Store interface {
	Submit(*store.Unit)
}

// Numberer gives message ids, each greater than all before it; *message.IDs is one, and the hub's survives a restart.
type Numberer interface {
	Next() message.ID
}

// Config is what a Path is made of.
type Config struct {
	Store    Store
	IDs      Numberer
	Handlers map[topic.Kind]Handler // system topics without one are refused; custom topics need none
	Parser   Parser                 // nil: messages that want a parse script are refused
	Rules    Matcher                // nil: no rules
	Audience Audience               // nil: no applications
	Feed     Feed                   // nil: nobody watches
	Journal  Journal                // nil: nothing is kept of what became of messages
	Meter    *meter.Meter           // nil: nothing is counted by product
	Sender   Sender                 // takes answers to messages that no connection carries; nil: they are dropped
	Now      func() time.Time       // nil: time.Now
	Log      *slog.Logger           // nil: slog.Default()
	Metrics  prometheus.Registerer  // nil: not exported
}

// Path takes messages up. It is safe for concurrent use; one device's messages must be handed in one after the other.
type Path struct {
	Config
	handlers [256]Handler // Handlers, by kind
	metrics  *metrics
	lanes    lanes
	parses   parses
	pool     sync.Pool
}

// maxTries bounds how often a message is handled anew after a conflict; only an application that changes the same state
// in a tight loop comes near it.
const maxTries = 100

// New returns a Path. It starts nothing.
func New(c Config) *Path {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	p := &Path{Config: c, metrics: newMetrics(c.Metrics)}
	p.lanes.path, p.parses.path = p, p
	for k, h := range c.Handlers {
		p.handlers[k] = h
	}
	p.pool.New = func() any { return &Message{flight: flight{pooled: true}} }
	return p
}

// New returns an empty message, from a pool. It goes back there by itself when its Ack has been called.
func (p *Path) New() *Message { return p.pool.Get().(*Message) }

// Take carries m up. It may block while the store pushes back, and returns before the commit; ack is called exactly once,
// from any goroutine, with nil, a *Refusal, or server.ErrUnavailable when the message could not be stored. m belongs to the
// path from here on.
func (p *Path) Take(ctx context.Context, m *Message, ack Ack) {
	m.begin(p, ctx, ack)
	p.number(m)
	p.beginTrace(m)
	if p.parses.join(m) {
		return // it is being parsed, or waits behind one that is
	}
	p.enter(m)
}

// enter begins with the steps, unless m has to wait.
func (p *Path) enter(m *Message) {
	if p.lanes.join(m) {
		return // an earlier message of this device is being handled anew: this one waits behind it
	}
	p.run(m)
}

// Do carries m up and waits for its end. A message made by a literal can be looked at afterwards.
func (p *Path) Do(ctx context.Context, m *Message) error {
	end := make(chan error, 1)
	p.Take(ctx, m, AckFunc(func(err error) { end <- err }))
	return <-end
}

// Run waits for ctx and then for the messages that are being parsed or handled anew.
func (p *Path) Run(ctx context.Context) error {
	<-ctx.Done()
	p.parses.wait()
	p.lanes.running.Wait()
	return nil
}

// run takes m through the steps up to the commit; settle goes on from there.
func (p *Path) run(m *Message) {
	err := p.handle(m)
	if m.lane == nil && p.lanes.join(m) {
		return // the lane opened while the message was being handled
	}
	p.handled(m, err)
	if err != nil {
		p.fail(m, err)
		return
	}
	p.match(m)
	if held := m.held; held != nil {
		m.held = nil
		p.settle(m, fmt.Errorf("%w: %w: %w", server.ErrUnavailable, ErrHeld, held))
		return
	}
	if p.Audience != nil && p.Audience.Listening() {
		p.Audience.Match(m)
	}
	if m.Also != nil {
		m.Also(m)
	}
	p.commit(m)
}

// number gives the message its time and id.
func (p *Path) number(m *Message) {
	if m.At.IsZero() {
		m.At = p.Now()
		m.trace.begun = m.At
	}
	if m.Came.IsZero() {
		m.Came = m.At
	}
	if m.ID == 0 {
		m.ID = p.IDs.Next()
	}
}

// handle lets the kind's handler look at the message. Custom topics mean nothing to the hub itself.
func (p *Path) handle(m *Message) error {
	if h := p.handlers[m.Topic.Kind]; h != nil {
		return h.Handle(m.ctx, m)
	}
	if m.Topic.Kind == topic.Custom {
		return nil
	}
	return errNoHandler
}

var errNoHandler = Refuse(message.CodeNoPermission, "nobody handles this topic")

// match finds the rules for the message and for what was derived of it; their outputs go into the same unit.
func (p *Path) match(m *Message) {
	if p.Rules == nil {
		return
	}
	at := len(m.trace.hops)
	m.Hop(Hop{Name: "rules", Result: OK})
	m.unit.Out = p.Rules.Match(m, m.Name, m.root, m.unit.Out)
	for i := range m.derived {
		m.lazy.use(m.derived[i].Payload)
		m.unit.Out = p.Rules.Match(m, m.derived[i].Topic, m.lazy.root, m.unit.Out)
	}
	m.lazy.use(nil)
	p.matched(m, at)
}

// commit hands the unit to the store, which calls settle. A message that only asks goes there too: its answer must not
// overtake those of the messages before it. What causes nothing at all has nothing to wait for.
func (p *Path) commit(m *Message) {
	if m.Receipt.Packet != 0 && m.refused == nil {
		m.ops = append(m.ops, store.Op{Stmt: noteReceipt, Want: -1, Args: []any{m.Receipt.Device, int64(m.Receipt.Packet)}})
	}
	if m.Origin.Packet != 0 && len(m.ops)+len(m.unit.Out) > 0 && m.refused == nil { // what causes nothing may come twice
		m.ops = append(m.ops, m.Origin.note(m.ID))
	}
	if m.Mark.Op.Stmt != nil && (m.Mark.Always || len(m.ops)+len(m.unit.Out) > 0) && m.refused == nil {
		m.ops = append(m.ops, m.Mark.Op)
	}
	if len(m.ops)+len(m.unit.Out)+len(m.replies) == 0 {
		p.settle(m, nil)
		return
	}
	m.trace.asked = true
	m.unit.Device, m.unit.Epoch, m.unit.Ops, m.unit.Done, m.unit.Patient = m.DeviceID, m.Epoch, m.ops, m.settled, m.patient()
	p.Store.Submit(&m.unit)
}

// patient tells that nobody waits for the commit: a property post, which the next one makes old, at QoS 0, whose sender does not
// listen to the answer.
func (m *Message) patient() bool {
	if m.QoS != 0 || m.Topic.Kind != topic.PropertyPost || m.From == nil {
		return false
	}
	for i := range m.replies {
		if _, ok := m.From.Subscribed(m.replies[i].Topic); ok {
			return false
		}
	}
	return true
}

var noteReceipt = store.NewStmt(`INSERT INTO receipt (device, packet) VALUES (?, ?) ON CONFLICT (device, packet) DO NOTHING`)

// settle is called with the unit's end: it answers, shows and acknowledges, or does what the error asks for.
func (p *Path) settle(m *Message, err error) {
	if errors.Is(err, store.ErrConflict) && m.tries < maxTries {
		m.tries++
		p.metrics.conflicts.Inc()
		p.lanes.retry(m, err)
		return
	}
	p.stored(m, err)
	for _, f := range m.after {
		f(err)
	}
	switch {
	case err == nil:
		p.answer(m)
		p.show(m)
		p.end(m, m.outcome())
	case errors.Is(err, store.ErrFenced):
		// The session has been taken over: what it still had to say is void, and nobody waits for the answer.
		p.metrics.count(m.Topic.Kind, resultFenced)
		p.end(m, server.ErrUnavailable)
	case isUnavailable(err):
		p.unavailable(m, err)
	default:
		p.fault(m, err)
	}
}

// answer sends the staged replies to where the message came from.
func (p *Path) answer(m *Message) {
	for i := range m.replies {
		err := p.send(m, &m.replies[i])
		p.answered(m, &m.replies[i], err)
		if err == nil {
			p.Meter.Of(m.Device.Product).Message(meter.Down, len(m.replies[i].Payload))
		} else {
			p.metrics.unanswered.Inc()
			if p.Log.Enabled(m.ctx, slog.LevelDebug) { // asked first: to name the message allocates, and most devices listen to no answers
				p.Log.Debug("answer not sent", "device", m.Device, "topic", m.replies[i].Topic, "message_id", m.ID, "err", err)
			}
		}
	}
}

// send gives one answer to the message's connection, or to whoever reaches the device when it came over none.
func (p *Path) send(m *Message, r *Reply) error {
	if m.From != nil {
		return m.From.Send(server.Message{Topic: r.Topic, Payload: r.Payload, QoS: 1, Volatile: true})
	}
	if p.Sender == nil {
		return nil
	}
	return p.Sender.Reply(m.Device, r.Topic, r.Payload)
}

// show lets watchers see an accepted message and what was derived of it.
func (p *Path) show(m *Message) {
	if p.Feed == nil || m.refused != nil || !p.Feed.Watched() {
		return
	}
	p.Feed.Publish(m.event(m.Name, m.Payload))
	for i := range m.derived {
		p.Feed.Publish(m.event(m.derived[i].Topic, m.derived[i].Payload))
	}
}

// end acknowledges the message; it is not touched afterwards.
func (p *Path) end(m *Message, err error) {
	switch {
	case err == nil:
		p.metrics.count(m.Topic.Kind, resultAccepted)
		p.metrics.seconds.Observe(p.over(m).Sub(m.Came).Seconds())
	case m.refused != nil:
		p.metrics.count(m.Topic.Kind, resultRefused)
	}
	p.meter(m, err)
	p.journal(m, err)
	ack, l := m.ack, m.lane
	m.release(p)
	ack.Done(err)
	if l != nil {
		l.next()
	}
}
