// Package application is for programs that connect over MQTT with an API key: they hear what devices publish and send to devices.
//
// A message costs one atomic load while no application subscribes, and a walk down a tree of filters when one does. What an
// application may hear is decided by its key for each message, so that a wildcard gives nothing away. A persistent session gets
// QoS 1 messages by rows of the queue that are committed with the message itself, before the device is told that it arrived;
// other sessions, and QoS 0, get what they get while they are connected. So it is with what the hub derives of a message or says of a
// device. A session is handed rows as it takes them: what is beyond its window is read from the store later.
//
// A shared subscription, $share/group/filter, has one group for all keys of the same reach, over all nodes. Its rows are the group's: each goes to
// one member, and from one that leaves, or whose node dies, to another. Nodes know each other's persistent sessions from the store, and
// other subscriptions by notes on the bus.
//
// It leaves who an application is to auth, and connections to broker.
package application

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hawser-iot/hawser/cloud/auth"
	"github.com/hawser-iot/hawser/cloud/bus"
	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/mqtt/trie"
)

// Config bounds sessions.
type Config struct {
	Node     string        // this node's name
	QueueMax int           // messages kept for a persistent session, the oldest give way
	QueueTTL time.Duration // how long they are kept
	Recheck  time.Duration // how soon a session ends whose key does not hold any more
	Announce time.Duration // how often nodes tell each other what their applications listen to
}

// DefaultConfig keeps 10,000 messages for three days.
func DefaultConfig() Config {
	return Config{Node: "hub", QueueMax: 10_000, QueueTTL: 72 * time.Hour, Recheck: time.Second, Announce: 5 * time.Second}
}

// Sender is the way to a device.
type Sender interface {
	Send(ctx context.Context, m downlink.Message) (downlink.Outcome, error)
}

// Deps are what Applications stand on.
type Deps struct {
	Store    *store.DB
	Registry *registry.Registry
	Bus      *bus.Bus
	Sender   Sender
	IDs      uplink.Numberer // numbers what is derived
	Keys     auth.Keys       // asked again and again whether a key still holds; nil: not asked
	Log      *slog.Logger
	Metrics  prometheus.Registerer // nil: not exported
}

// Link is an application's connection; *server.Session is one.
type Link interface {
	Send(server.Message) error
}

// Session is one application's, connected here, or a persistent one that is known from the store.
type Session struct {
	App      auth.App
	Identity string // what the engine knows it by
	ID       int64  // of its queue rows; 0 unless it is persistent
	node     string // that held it last, of one that is known from the store

	order sync.Mutex // held while rows are handed; taken before mu

	mu      sync.Mutex // guards the fields below
	link    Link       // nil: not connected here
	filters []downlink.Filter
	handing handing
}

// subscription is somebody who listens to a filter: a session, another node for its sessions that are not persistent, or a group, of which
// member is to get the message.
type subscription struct {
	session *Session
	node    string
	group   *group
	member  *member
	qos     byte
}

// Applications is safe for concurrent use.
type Applications struct {
	cfg Config
	Deps
	metrics *metrics
	now     func() time.Time

	keys      chan struct{}  // a key has changed: recheck at once
	work      sync.WaitGroup // goroutines that read rows
	listening atomic.Bool    // the tree is not empty
	tree      trie.Tree[[]subscription]

	mu       sync.Mutex // guards the fields below, and changes of the tree
	local    map[string]*Session
	stored   map[int64]*Session // persistent sessions, here or not
	nodes    map[string]*peer
	buried   time.Time // when it was last looked which of them are silent
	groups   map[groupKey]*group
	orphans  map[int64]bool // groups with rows and without members, as Trim saw them last
	read     time.Time      // up to where changes of the store were read
	deletion time.Time      // when the whole table was last compared
}

var _ uplink.Audience = (*Applications)(nil)

// New returns the Applications of a node. Run must be running for other nodes to be heard.
func New(cfg Config, d Deps) *Applications {
	return &Applications{cfg: cfg, Deps: d, metrics: newMetrics(d.Metrics), now: time.Now, local: map[string]*Session{}, stored: map[int64]*Session{},
		nodes: map[string]*peer{}, groups: map[groupKey]*group{}, orphans: map[int64]bool{}, keys: make(chan struct{}, 1)}
}

// KeysChanged has sessions end soon whose key does not hold any more. It does not wait.
func (a *Applications) KeysChanged() {
	select {
	case a.keys <- struct{}{}:
	default: // it is about to look
	}
}

// Identity is what the engine knows an application's session by: the key's and the client's id, so that nobody takes over another's.
func Identity(keyID, clientID string) string { return "app:" + keyID + ":" + clientID }

// Name is what people know a session by: its key's id and its client id, with a colon between them.
func (s *Session) Name() string { return strings.TrimPrefix(s.Identity, "app:") }

// may tells whether the key may hear of, or with write send to, devices of a product.
func may(app *auth.App, p *registry.Product, write bool) bool {
	if app.Project != "" && app.Project != p.Project {
		return false
	}
	on := app.On(p.SN)
	return write && on.Write || !write && on.Read
}

// MaySubscribe judges a filter, shared or not. One with a wildcard for the product is granted: what the application hears is decided for each
// message. One that names a product which the key does not have, or no topic of a device at all, is refused.
func (a *Applications) MaySubscribe(ctx context.Context, s *Session, filter string) bool {
	_, filter, _, ok := packet.Share(filter)
	if !ok || !s.App.Hears() || !trie.Fits(filter) || strings.HasPrefix(filter, "$") {
		return false
	}
	levels := strings.SplitN(filter, "/", 4)
	if filter == "#" || levels[0] == "+" && len(levels) > 1 {
		return true
	}
	if levels[0] != "" || len(levels) < 2 {
		return false
	}
	product := levels[1]
	if product == "$system" && len(levels) > 2 {
		product = levels[2]
	}
	if product == "+" || product == "#" {
		return true
	}
	p, err := a.Registry.Product(ctx, product)
	return err == nil && may(&s.App, p, false)
}

// MayHear tells whether the session hears of devices of a product.
func (a *Applications) MayHear(ctx context.Context, s *Session, product string) bool {
	p, err := a.Registry.Product(ctx, product)
	return err == nil && may(&s.App, p, false)
}

// Target returns the product of a device that the session may send to; ErrForbidden says that it may not.
func (a *Applications) Target(ctx context.Context, s *Session, dev ident.Device) (*registry.Product, error) {
	p, err := a.Registry.Product(ctx, dev.Product)
	if err != nil || !may(&s.App, p, true) {
		return nil, errors.Join(ErrForbidden, err)
	}
	return p, nil
}

// Listening tells whether anybody subscribes at all.
func (a *Applications) Listening() bool { return a.listening.Load() }

// Match finds the subscribers of a message and of what was derived of it: it stages rows for persistent sessions and groups, and has all
// served after the commit.
func (a *Applications) Match(m *uplink.Message) {
	for _, d := range m.Emitted() {
		if to := a.find(d.Topic, m.Product); len(to) > 0 {
			a.send(m, to, &wireMessage{Topic: d.Topic, Payload: d.Payload, QoS: 1, Seq: int64(a.IDs.Next())})
		}
	}
	if to := a.find(m.Name, m.Product); len(to) > 0 {
		a.send(m, to, &wireMessage{Topic: m.Name, Payload: m.Payload, QoS: m.QoS, Retain: m.Retain, Seq: int64(m.ID)})
	}
}

// send stages the rows of one message in the unit of m, and has it delivered after the commit.
func (a *Applications) send(m *uplink.Message, to []subscription, w *wireMessage) {
	w.Product, w.SN = m.Device.Product, m.Device.SN
	var name string
	var payload []byte
	until := m.At.Add(a.cfg.QueueTTL).UnixMilli()
	for i := range to {
		s := &to[i]
		if s.group != nil {
			s.member = s.group.pick()
		}
		if m.Journaled() {
			m.Hop(uplink.Hop{Name: "application", Result: uplink.OK, Detail: s.name()})
		}
		if !s.durable(w.QoS) {
			continue
		}
		if payload == nil { // the message's own are the connection's memory
			name, payload = strings.Clone(w.Topic), append([]byte{}, w.Payload...)
		}
		device, qos, member := s.row()
		m.Stage(store.Op{Stmt: insertRow, Want: -1, Args: []any{device, w.Seq, int64(m.ID), name, payload, int64(min(qos, w.QoS)), until, flag(w.Retain), member}})
	}
	m.After(func(err error) {
		if err == nil {
			a.deliver(w, to)
		}
	})
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// find returns who listens to a topic and may hear of the product, each once. Other nodes judge their own.
func (a *Applications) find(name string, p *registry.Product) (to []subscription) {
	a.tree.Match(name, func(list []subscription) bool {
		for _, s := range list {
			switch {
			case s.session != nil && !may(&s.session.App, p, false), s.group != nil && !may(&s.group.app, p, false):
			default:
				to = add(to, s)
			}
		}
		return true
	})
	return to
}

// durable tells whether a message of that quality of service is a row for the subscriber.
func (s *subscription) durable(qos byte) bool {
	return qos > 0 && s.qos > 0 && (s.group != nil || s.session != nil && s.session.ID != 0)
}

// name is whom a message for the subscriber is handed to.
func (s *subscription) name() string {
	switch {
	case s.group != nil && s.member == nobody:
		return "nobody of a shared subscription yet"
	case s.group != nil:
		return strings.TrimPrefix(s.member.identity, "app:")
	case s.session != nil:
		return s.session.Name()
	}
	return "those of node " + s.node
}

// row is whose row a message for the subscriber is.
func (s *subscription) row() (device int64, qos byte, member string) {
	if s.group != nil {
		return s.group.id, s.qos, s.member.identity
	}
	return s.session.ID, s.qos, ""
}

// add keeps one entry for each session, node and group, with the highest quality of service.
func add(to []subscription, s subscription) []subscription {
	for i := range to {
		if to[i].session == s.session && to[i].node == s.node && to[i].group == s.group {
			to[i].qos = max(to[i].qos, s.qos)
			return to
		}
	}
	return append(to, s)
}

// deliver hands a committed message out. It does not block.
func (a *Applications) deliver(w *wireMessage, to []subscription) {
	for i := range to {
		s := &to[i]
		switch {
		case s.node != "":
			a.metrics.forwarded.Inc()
			a.tell(s.node, note{Message: w})
		case s.group != nil:
			a.deliverGroup(s, w)
		case s.durable(w.QoS):
			if !s.session.hand(ref{s.session.ID, w.Seq}, w.message()) {
				a.wake(s.session, w)
			}
		default:
			a.pass(s.session, w.message())
		}
	}
}

// message is what a client is sent.
func (w *wireMessage) message() server.Message {
	return server.Message{Topic: w.Topic, Payload: w.Payload, QoS: w.QoS, Retain: w.Retain}
}

// pass gives a message that is no row to a session that is connected here; elsewhere it is the other node's.
func (a *Applications) pass(s *Session, m server.Message) {
	s.mu.Lock()
	link := s.link
	s.mu.Unlock()
	if link == nil {
		return
	}
	m.Volatile = true
	if err := link.Send(m); err != nil {
		a.metrics.dropped.Inc()
		return
	}
	a.metrics.sent.Inc()
}

// Publish sends an application's message to a device. Its error says that the application may not; that nobody receives it is none.
func (a *Applications) Publish(ctx context.Context, s *Session, m downlink.Message) error {
	if _, err := a.Target(ctx, s, m.Device); err != nil {
		return err
	}
	m.Queue = m.QoS > 0
	_, err := a.Sender.Send(ctx, m)
	switch {
	case errors.Is(err, registry.ErrDeviceNotFound):
		return errors.Join(ErrForbidden, err)
	case errors.Is(err, store.ErrUnavailable):
		return errors.Join(server.ErrUnavailable, err)
	case err != nil:
		a.metrics.undelivered.Inc()
	}
	return nil
}

// ErrForbidden is returned for a topic that the key does not reach.
var ErrForbidden = errors.New("application: the key does not reach this topic")
