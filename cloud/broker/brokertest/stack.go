// Package brokertest is the way of a message from an MQTT connection to the store and back, put together for tests of the
// doors and paths with the real rooms: store, registry, bus, engine. What belongs to the domain (thing model, shadow, rules) a
// test hands in.
package brokertest

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hawser-iot/hawser/cloud/agentlink"
	"github.com/hawser-iot/hawser/cloud/application"
	"github.com/hawser-iot/hawser/cloud/auth"
	"github.com/hawser-iot/hawser/cloud/auth/authority"
	"github.com/hawser-iot/hawser/cloud/broker"
	"github.com/hawser-iot/hawser/cloud/bus"
	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/presence"
	"github.com/hawser-iot/hawser/cloud/provision"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/retained"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Config is what a test may choose.
type Config struct {
	Store        *store.DB
	Bus          *bus.Bus // nil: one of its own
	Node         string   // default "a"
	Number       uint16   // of the node, default 1
	Handlers     map[topic.Kind]uplink.Handler
	Rules        uplink.Matcher             // default a Recorder
	Parser       func(*Stack) uplink.Parser // of a stack whose ground is there; nil: none
	Keys         auth.Keys                  // of applications; nil: none may connect
	Journal      broker.Journal             // of what happens at the door; nil: nothing is kept
	Receipts     downlink.Journal           // of messages down; nil: nothing is kept. With one, what applications send is numbered
	Broker       func(*broker.Config)
	Downlink     func(*downlink.Config)
	Presence     func(*presence.Config)
	Applications func(*application.Config)
	Retained     func(*retained.Config)
}

// Stack is one node.
type Stack struct {
	Store    *store.DB
	Bus      *bus.Bus
	Registry *registry.Registry
	// Authorities know the keyring of storetest, which Store must have been opened with.
	Authorities  *authority.Authorities
	Auth         *auth.Service
	Nonces       *auth.Nonces
	Presence     *presence.Presence
	Downlink     *downlink.Downlink
	Path         *uplink.Path
	Provision    *provision.Provision
	Broker       *broker.Broker
	Applications *application.Applications
	Retained     *retained.Retained
	Agents       *agentlink.Links
	Rules        *Recorder // what rules saw, unless the test has its own
	Metrics      *prometheus.Registry
	Listener     *server.MemListener

	stop func()
	once sync.Once
}

// hears is how many subjects a node subscribes to: 34 are downlink's, two the applications', and one each presence's, the broker's and that of
// what is retained.
const hears = 39

// New starts a node, which hears the others when New returns; it ends with the test, or by Stop.
func New(t testing.TB, c Config) *Stack {
	t.Helper()
	s := build(t, &c)
	before := s.Bus.Subscriptions()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	run := func(f func(context.Context) error) {
		wg.Go(func() {
			if err := f(ctx); err != nil {
				t.Errorf("part of the stack ended: %v", err)
			}
		})
	}
	run(s.Path.Run)
	run(s.Agents.Run)
	run(s.Presence.Run)
	run(s.Downlink.Run)
	run(s.Provision.Run)
	run(s.Broker.Run)
	run(s.Retained.Run)
	wg.Go(func() { _ = s.Broker.Serve(ctx, s.Listener, "mem") }) // ends by Close
	s.stop = func() {
		closing, done := context.WithTimeout(context.Background(), Wait)
		defer done()
		if err := s.Broker.Close(closing); err != nil {
			t.Errorf("close broker: %v", err)
		}
		cancel()
		wg.Wait()
		if c.Bus == nil {
			if err := s.Bus.Close(); err != nil {
				t.Errorf("close bus: %v", err)
			}
		}
	}
	t.Cleanup(s.Stop)
	Eventually(t, "the node hears the others", func() bool { return s.Bus.Subscriptions() >= before+hears })
	return s
}

// Stop ends the node in order, as a hub does; the store stays open.
func (s *Stack) Stop() { s.once.Do(s.stop) }

func build(t testing.TB, c *Config) *Stack {
	t.Helper()
	if c.Node == "" {
		c.Node = "a"
	}
	if c.Number == 0 {
		c.Number = 1
	}
	log := slog.New(slog.DiscardHandler)
	s := &Stack{Store: c.Store, Bus: c.Bus, Rules: &Recorder{}, Metrics: prometheus.NewRegistry(), Listener: server.NewMemListener()}
	if c.Rules == nil {
		c.Rules = s.Rules
	}
	var err error
	check := func(what string) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	if s.Bus == nil {
		s.Bus, err = bus.Open(t.Context(), bus.Config{Name: c.Node}, log)
		check("bus")
	}
	s.Registry, err = registry.New(t.Context(), s.Store, log)
	check("registry")
	ids := message.NewIDs(c.Number, 0, time.Now)
	s.Authorities = authority.New(authority.DefaultConfig(), s.Store, storetest.Keyring, log)
	s.Nonces = auth.NewNonces(s.Store, storetest.Keyring)
	s.Auth = auth.New(auth.DefaultConfig(), auth.Deps{Registry: s.Registry, Authorities: s.Authorities, Nonces: s.Nonces,
		Keys: c.Keys, Log: log, Metrics: s.Metrics})
	here := presence.Config{Node: c.Node}
	if c.Presence != nil {
		c.Presence(&here)
	}
	s.Presence = presence.New(here, presence.Deps{Audience: audience{s}, Store: s.Store, Registry: s.Registry, Bus: s.Bus, IDs: ids,
		Rules: c.Rules, Log: log, Metrics: s.Metrics})
	down := downlink.DefaultConfig()
	down.Node = c.Node
	if c.Downlink != nil {
		c.Downlink(&down)
	}
	s.Downlink = downlink.New(down, downlink.Deps{Store: s.Store, Registry: s.Registry, Bus: s.Bus, Directory: s.Presence, Journal: c.Receipts, Log: log, Metrics: s.Metrics})
	s.Provision = provision.New(provision.DefaultConfig(), provision.Deps{Store: s.Store, Registry: s.Registry, Presence: s.Presence,
		Downlink: s.Downlink, Log: log, Metrics: s.Metrics})
	handlers := s.Provision.Handlers()
	s.Agents = agentlink.New(agentlink.DefaultConfig(), agentlink.Deps{Store: s.Store, Requests: s.Downlink, Log: log, Metrics: s.Metrics})
	handlers[topic.AgentUp] = s.Agents
	maps.Copy(handlers, c.Handlers)
	apps := application.DefaultConfig()
	apps.Node = c.Node
	if c.Applications != nil {
		c.Applications(&apps)
	}
	s.Applications = application.New(apps, application.Deps{Store: s.Store, Registry: s.Registry, Bus: s.Bus, Sender: numbered{s.Downlink, ids}, IDs: ids, Keys: c.Keys, Log: log, Metrics: s.Metrics})
	var parser uplink.Parser
	if c.Parser != nil {
		parser = c.Parser(s)
	}
	s.Path = uplink.New(uplink.Config{Store: s.Store, IDs: ids, Handlers: handlers, Parser: parser, Rules: c.Rules, Audience: s.Applications, Sender: s.Downlink, Log: log, Metrics: s.Metrics})
	s.Agents.Serve(s.Path)
	keep := retained.DefaultConfig()
	if c.Retained != nil {
		c.Retained(&keep)
	}
	s.Retained = retained.New(keep, retained.Deps{Store: s.Store, Registry: s.Registry, Bus: s.Bus, Log: log, Metrics: s.Metrics})
	door := broker.DefaultConfig()
	door.Node, door.Engine.Rate = c.Node, 0
	if c.Broker != nil {
		c.Broker(&door)
	}
	s.Broker = broker.New(door, broker.Deps{Auth: s.Auth, Presence: s.Presence, Downlink: s.Downlink, Path: s.Path, Registry: s.Registry, Kept: s.Retained,
		Applications: s.Applications, Agents: s.Agents, Journal: c.Journal, Bus: s.Bus, Log: log, Metrics: s.Metrics})
	return s
}

// numbered gives what is sent a number, as the hub's log wants it.
type numbered struct {
	*downlink.Downlink
	ids uplink.Numberer
}

func (n numbered) Send(ctx context.Context, m downlink.Message) (downlink.Outcome, error) {
	return n.Downlink.Send(message.WithID(ctx, n.ids.Next()), m)
}

// audience is the applications for presence, which are made after it.
type audience struct{ s *Stack }

func (a audience) Listening() bool         { return a.s.Applications.Listening() }
func (a audience) Match(m *uplink.Message) { a.s.Applications.Match(m) }

// Product makes a product.
func (s *Stack) Product(t testing.TB, n registry.NewProduct) *registry.Product {
	t.Helper()
	if n.Name == "" {
		n.Name = "p"
	}
	p, err := s.Registry.CreateProduct(t.Context(), n)
	if err != nil {
		t.Fatalf("create product: %v", err)
	}
	return p
}

// Device makes a device.
func (s *Stack) Device(t testing.TB, product *registry.Product, sn string) *registry.Device {
	t.Helper()
	d, err := s.Registry.CreateDevice(t.Context(), registry.NewDevice{Product: product.SN, SN: sn})
	if err != nil {
		t.Fatalf("create device: %v", err)
	}
	return d
}

// New makes a product of plain devices and one of them.
func (s *Stack) New(t testing.TB) *registry.Device {
	t.Helper()
	return s.Device(t, s.Product(t, registry.NewProduct{}), "dev-0001")
}

// Of is the usual login of a device.
func Of(d *registry.Device) Login { return Login{Device: d.Identity, Password: d.Secret.Reveal()} }

// Eventually polls until cond holds.
func Eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(Wait)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("not reached: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// Seen is one message as rules saw it.
type Seen struct {
	Device  ident.Device
	Topic   string
	Payload string
	ID      int64
	At      time.Time
}

// Recorder is a Matcher that keeps what it sees; its outbox record of a message is the payload.
type Recorder struct {
	mu   sync.Mutex // guards list
	list []Seen
}

// Match implements uplink.Matcher.
func (r *Recorder) Match(m *uplink.Message, topicName string, payload func() (codec.Value, error), out [][]byte) [][]byte {
	seen := Seen{Device: m.Device, Topic: string(append([]byte{}, topicName...)), ID: int64(m.ID), At: m.At}
	if v, err := payload(); err == nil {
		seen.Payload = string(v.AppendJSON(nil))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, seen)
	return append(out, append([]byte{}, seen.Payload...))
}

// Of returns what was seen on a topic, in order.
func (r *Recorder) Of(topicName string) []Seen {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []Seen
	for _, s := range r.list {
		if s.Topic == topicName {
			list = append(list, s)
		}
	}
	return list
}
