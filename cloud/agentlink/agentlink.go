// Package agentlink is the hub's side of the agent channel (docs/formats/agent-channel.md): what comes on agent/up.
//
// It promises: the records of a batch go the same way as single messages, those of one device in their order, and the batch is acknowledged
// when all that they cause is committed; a record that has come before causes nothing again, over reconnections, crashes and restarts of either
// side, because its number is stored in the commit of what it causes; the numbers of a stream are kept as at most agentmsg.MaxRanges ranges, which a
// hello is answered with, so that the agent of a hub that was restored from a copy brings what is missing; each gap that an agent reports is one
// event on agent/event.
//
// A record that caused nothing (no rule, no state, no listener) may be handled twice after a crash: nobody can tell.
//
// What the messages mean is the path's business, who may publish what the session's.
package agentlink

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hawser-iot/hawser/cloud/presence"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/agentmsg"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// Config is what Links need to know.
type Config struct {
	Version string // of the hub, for the agents
	// MaxBytes is the largest message that the door takes.
	MaxBytes int
	// Logins is how many logins a second a node is to take when all agents come back at once: it makes the retry window.
	Logins int
	// SlowAt is how many units may wait for the store before agents are asked for SlowRate records a second, for SlowFor.
	SlowAt   int
	SlowRate float64
	SlowFor  time.Duration
	// Gaps is how many reported gaps are kept of a device, the newest.
	Gaps int
	// StoreWait is how long a message waits for the store's answer to a question.
	StoreWait time.Duration
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{MaxBytes: 256 << 10, Logins: 1000, SlowAt: 2048, SlowRate: 50, SlowFor: 5 * time.Second, Gaps: 100, StoreWait: 10 * time.Second}
}

// Path is the way of messages; *uplink.Path is one.
type Path interface {
	New() *uplink.Message
	Take(ctx context.Context, m *uplink.Message, ack uplink.Ack)
}

// Requests are those of applications that wait for a device's message; *downlink.Downlink is one.
type Requests interface {
	Awaits() bool
	Awaited(dev ident.Device, topicName string, correlation []byte) bool
	Answer(dev ident.Device, requestID string, payload []byte) bool
}

// Configs is who keeps what agents are to work with; *agentconf.Configs is one.
type Configs interface {
	// Offer returns what an agent is to be offered now, signed; nil for nothing.
	Offer(ctx context.Context, device int64, id ident.Device) ([]byte, error)
	// Told takes what an agent says of its configuration, and returns the operations that store it.
	Told(ctx context.Context, device int64, said agentmsg.ConfigState, at time.Time) ([]store.Op, error)
}

// Sender sends a message to a device that may be connected to any node. What it sends is in no log: configurations hold secrets.
type Sender interface {
	Send(ctx context.Context, id ident.Device, topicName string, payload []byte) error
}

// Deps are the rooms around.
type Deps struct {
	Store    *store.DB
	Configs  Configs          // nil: no configuration is offered
	Sender   Sender           // nil: nothing is offered or asked for
	Requests Requests         // nil: nobody asks
	Now      func() time.Time // nil: time.Now
	Log      *slog.Logger
	Metrics  prometheus.Registerer // nil: not exported
}

// Links are the agents of this node.
type Links struct {
	cfg Config
	Deps
	metrics *metrics
	path    Path
	running sync.WaitGroup // batches whose records have ended
	agents  atomic.Int64   // connections that have said hello
	// calls are agents that something may have to be said to. When it is full they are left out: the next hello calls again.
	calls chan call

	// mu guards all.
	mu  sync.Mutex
	all map[int64]*gateway // by the device's id
}

// New returns Links; Serve names the path before anything is taken.
func New(cfg Config, deps Deps) *Links {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	l := &Links{cfg: cfg, Deps: deps, all: make(map[int64]*gateway), calls: make(chan call, 1024)}
	l.metrics = newMetrics(deps.Metrics, l)
	return l
}

// Serve names the way of the records, which in turn has Links as the handler of agent/up. Call it once.
func (l *Links) Serve(p Path) { l.path = p }

// Run says to agents what is to be said until ctx ends, and waits then for batches whose records have ended.
func (l *Links) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		select {
		case c := <-l.calls:
			l.serve(ctx, c)
		case <-ctx.Done():
		}
	}
	l.running.Wait()
	return nil
}

// Take takes a message of the connection's own device on agent/up: m is filled, ack ends it.
func (l *Links) Take(s *presence.Session, m *uplink.Message, ack uplink.Ack) {
	g := l.of(s)
	if b, err := agentmsg.Parse(m.Payload); err == nil {
		if b, ok := b.(*agentmsg.Batch); ok && l.batch(g, s, m, b, ack) {
			return
		}
	}
	l.path.Take(context.Background(), m, ack) // to Handle; the message outlives the connection
}

// of is what is known of the connection.
func (l *Links) of(s *presence.Session) *gateway {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.all[s.Device.ID]
	if g != nil && g.epoch == s.Epoch {
		return g
	}
	fresh := &gateway{device: s.Device.ID, epoch: s.Epoch}
	if g != nil && g.epoch > s.Epoch {
		return fresh // the device has connected anew: this is what was still under way
	}
	if g != nil {
		l.forgetLocked(g)
	}
	l.all[fresh.device] = fresh
	return fresh
}

// Gone forgets a connection that has ended.
func (l *Links) Gone(s *presence.Session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g := l.all[s.Device.ID]; g != nil && g.epoch == s.Epoch {
		l.forgetLocked(g)
	}
}

func (l *Links) forgetLocked(g *gateway) {
	delete(l.all, g.device)
	if g.greeted.Load() {
		l.agents.Add(-1)
	}
}

// get is what is known of a device's connection, nil when it speaks no channel over this node.
func (l *Links) get(device, epoch int64) *gateway {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g := l.all[device]; g != nil && g.epoch == epoch {
		return g
	}
	return nil
}

// Connected is how many agents are connected to this node.
func (l *Links) Connected() int { return int(l.agents.Load()) }

// Window is how many seconds the agents' return after an outage is to be spread over.
func (l *Links) Window() int { return int(l.agents.Load())/max(l.cfg.Logins, 1) + 1 }

// pressed asks an agent for less when the store does not keep up; slow does it at most once in half the time that it asks for.
func (l *Links) pressed(g *gateway, down server.Message, from uplink.Link) {
	if l.cfg.SlowAt > 0 && l.Store.Queued() >= l.cfg.SlowAt {
		l.slow(g, down, from)
	}
}

func (l *Links) slow(g *gateway, down server.Message, from uplink.Link) {
	now := l.Now()
	if last := g.slowed.Load(); now.UnixMilli()-last < l.cfg.SlowFor.Milliseconds()/2 || !g.slowed.CompareAndSwap(last, now.UnixMilli()) {
		return
	}
	l.metrics.slowed.Inc()
	l.send(down, from, &agentmsg.Slow{Rate: l.cfg.SlowRate, ForMs: l.cfg.SlowFor.Milliseconds()})
}

// send says something to an agent; what it misses it hears again, or does without.
func (l *Links) send(down server.Message, from uplink.Link, m agentmsg.Message) {
	b, err := agentmsg.Marshal(m)
	if err == nil {
		down.Payload, down.QoS, down.Volatile = b, 1, true
		err = from.Send(down)
	}
	if err != nil {
		l.Log.Debug("an agent was not told", "topic", down.Topic, "err", err)
	}
}
