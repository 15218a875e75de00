// Package application is for programs that connect over MQTT with an API key: they hear what devices publish and send to devices.
//
// A message costs one atomic load while no application subscribes, and a walk down a tree of filters when one does. What an
// application may hear is decided by its key for each message, so that a wildcard gives nothing away. A persistent session gets
// QoS 1 messages by rows of the queue that are committed with the message itself, before the device is told that it arrived;
// other sessions, and QoS 0, get what they get while they are connected. Nodes know each other's persistent sessions from the
// store, and other subscriptions by notes on the bus.
//
// It leaves who an application is to auth, connections to broker, and the rows' deletion to downlink.
package application

import (
	"context"
	"errors"
	"log/slog"
	"slices"
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
	Keys     auth.Keys // asked again and again whether a key still holds; nil: not asked
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

	mu      sync.Mutex // guards the fields below
	link    Link       // nil: not connected here
	waiting bool       // the replay is not over: tagged messages are held back
	held    []server.Message
	filters []downlink.Filter
}

// subscription is somebody who listens to a filter: a session, or another node for its sessions that are not persistent.
type subscription struct {
	session *Session
	node    string
	qos     byte
}

// Applications is safe for concurrent use.
type Applications struct {
	cfg Config
	Deps
	metrics *metrics
	now     func() time.Time

	keys      chan struct{} // a key has changed: recheck at once
	listening atomic.Bool   // the tree is not empty
	tree      trie.Tree[[]subscription]

	mu       sync.Mutex // guards the fields below, and changes of the tree
	local    map[string]*Session
	stored   map[int64]*Session // persistent sessions, here or not
	nodes    map[string]*peer
	read     time.Time // up to where changes of the store were read
	deletion time.Time // when the whole table was last compared
}

var _ uplink.Audience = (*Applications)(nil)

// New returns the Applications of a node. Run must be running for other nodes to be heard.
func New(cfg Config, d Deps) *Applications {
	return &Applications{cfg: cfg, Deps: d, metrics: newMetrics(d.Metrics), now: time.Now, local: map[string]*Session{}, stored: map[int64]*Session{},
		nodes: map[string]*peer{}, keys: make(chan struct{}, 1)}
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

// may tells whether the key may hear of, or with write send to, devices of a product.
func may(app *auth.App, p *registry.Product, write bool) bool {
	if write && !app.Write || !write && !app.Read || app.Project != "" && app.Project != p.Project {
		return false
	}
	return app.Products == nil || slices.Contains(app.Products, p.SN)
}

// MaySubscribe judges a filter. One with a wildcard for the product is granted: what the application hears is decided for each
// message. One that names a product which the key does not have, or no topic of a device at all, is refused.
func (a *Applications) MaySubscribe(ctx context.Context, s *Session, filter string) bool {
	if !s.App.Read || !trie.Fits(filter) || strings.HasPrefix(filter, "$") {
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

// Match finds the subscribers of a message and of what was derived of it: it stages rows for persistent sessions, and has the others
// served after the commit. What was derived has no rows: it is heard by who is connected.
func (a *Applications) Match(m *uplink.Message) {
	for _, d := range m.Emitted() {
		if to := a.find(d.Topic, m.Product); len(to) > 0 {
			m.After(func(err error) {
				if err == nil {
					a.live(to, &wireMessage{Product: m.Device.Product, SN: m.Device.SN, Topic: d.Topic, Payload: d.Payload, QoS: 1, Live: true})
				}
			})
		}
	}
	to := a.find(m.Name, m.Product)
	if len(to) == 0 {
		return
	}
	until := m.At.Add(a.cfg.QueueTTL)
	for _, s := range to {
		if s.durable(m.QoS) {
			m.Stage(store.Op{Stmt: insertRow, Want: -1, Args: []any{s.session.ID, int64(m.ID), int64(m.ID), strings.Clone(m.Name),
				append([]byte{}, m.Payload...), int64(min(s.qos, m.QoS)), until.UnixMilli()}})
		}
	}
	m.After(func(err error) {
		if err == nil {
			a.deliver(m, to)
		}
	})
}

// find returns who listens to a topic and may hear of the product, each once. Other nodes judge their own.
func (a *Applications) find(name string, p *registry.Product) (to []subscription) {
	a.tree.Match(name, func(list []subscription) bool {
		for _, s := range list {
			if s.session == nil || may(&s.session.App, p, false) {
				to = add(to, s)
			}
		}
		return true
	})
	return to
}

// Hear lets applications that are connected hear what the hub itself says of a device, such as its status. It does not block.
func (a *Applications) Hear(ctx context.Context, dev ident.Device, name string, payload []byte) {
	if !a.Listening() {
		return
	}
	p, err := a.Registry.Product(ctx, dev.Product)
	if err != nil {
		return // it is gone
	}
	a.live(a.find(name, p), &wireMessage{Product: dev.Product, SN: dev.SN, Topic: name, Payload: payload, QoS: 1, Live: true})
}

// live hands out a message that is no row for anybody.
func (a *Applications) live(to []subscription, m *wireMessage) {
	for _, s := range to {
		if s.node != "" {
			a.metrics.forwarded.Inc()
			a.tell(s.node, note{Message: m})
			continue
		}
		a.send(s.session, server.Message{Topic: m.Topic, Payload: m.Payload, QoS: m.QoS, Volatile: true})
	}
}

// durable tells whether a message of that quality of service is a row for the subscriber.
func (s subscription) durable(qos byte) bool {
	return s.session != nil && s.session.ID != 0 && qos > 0 && s.qos > 0
}

// add keeps one entry for each session and node, with the highest quality of service.
func add(to []subscription, s subscription) []subscription {
	for i := range to {
		if to[i].session == s.session && to[i].node == s.node {
			to[i].qos = max(to[i].qos, s.qos)
			return to
		}
	}
	return append(to, s)
}

// deliver hands a committed message out. It does not block.
func (a *Applications) deliver(m *uplink.Message, to []subscription) {
	for _, s := range to {
		switch {
		case s.node != "":
			a.forward(s.node, m)
		case s.durable(m.QoS):
			if !s.session.offer(server.Message{Topic: m.Name, Payload: m.Payload, QoS: m.QoS, Retain: m.Retain, Tag: uint64(m.ID)}) {
				a.wake(s.session, int64(m.ID))
			}
		default:
			a.send(s.session, server.Message{Topic: m.Name, Payload: m.Payload, QoS: m.QoS, Retain: m.Retain, Volatile: true})
		}
	}
}

// send gives a message to a session that is connected here; elsewhere it is the other node's.
func (a *Applications) send(s *Session, m server.Message) {
	s.mu.Lock()
	link := s.link
	s.mu.Unlock()
	if link == nil {
		return
	}
	if err := link.Send(m); err != nil {
		a.metrics.dropped.Inc()
		return
	}
	a.metrics.sent.Inc()
}

// offer hands a message with a committed row to the session's connection; it reports false when it has none here.
func (s *Session) offer(m server.Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link == nil {
		return false
	}
	if s.waiting {
		m.Topic, m.Payload = strings.Clone(m.Topic), append([]byte{}, m.Payload...)
		s.held = append(s.held, m)
		return true
	}
	_ = s.link.Send(m) // what is not taken stays a row, for the next connection
	return true
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
