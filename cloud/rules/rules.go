// Package rules lets people say in SQL which messages go where: SELECT fields FROM topic filters WHERE condition, and
// up to ten actions (sinks) that get the result.
//
// A rule is evaluated at the door, on the node that took the message, and keeps no state. Its outputs are records of the
// outbox, committed together with all else that the message causes. Run reads the outbox and delivers. The package promises:
//
//   - rules whose filters do not match cost a message nothing; all that match share one decode;
//   - a record that is committed is delivered at least once, or is a dead letter with the reason, over restarts too; the
//     records of one device reach a sink in order (but for those that became dead letters);
//   - a sink that is slow or dead holds up no other and no device: what it does not take stays in the outbox;
//   - the books balance: for each action matched = delivered + queued + dead + dropped.
//
// Deliveries can repeat after a crash; Record.Key is the same each time, for sinks that can use it. One process delivers
// what a store's outbox holds: Run must not run twice over one store.
//
// It leaves the language to protocol/rulesql, the durable queue to cloud/store, and each kind of target to a package below
// cloud/rules/sink. DESIGN.md has how Run works.
package rules

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hawser-iot/hawser/cloud/monitor"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
)

// Config bounds delivery.
type Config struct {
	LaneRecords int           // records in memory for one action and shard; more stay in the outbox
	LaneBytes   int           // the same in bytes
	RetryMin    time.Duration // first pause after a failure
	RetryMax    time.Duration // longest pause; each pause is 50 to 100 % of its length, at random
	MaxAttempts int           // failures of the kind that may be the record's own fault, before it is a dead letter
	SaveEvery   time.Duration // how often progress is saved: what was delivered since is repeated after a crash
	MaxHops     int           // how often a message may be republished
}

// DefaultConfig is what a hub uses.
func DefaultConfig() Config {
	return Config{LaneRecords: 512, LaneBytes: 256 << 10, RetryMin: 100 * time.Millisecond, RetryMax: 30 * time.Second,
		MaxAttempts: 16, SaveEvery: 200 * time.Millisecond, MaxHops: 4}
}

func (c Config) withDefaults() Config {
	d := DefaultConfig()
	set := func(v *int, def int) {
		if *v <= 0 {
			*v = def
		}
	}
	set(&c.LaneRecords, d.LaneRecords)
	set(&c.LaneBytes, d.LaneBytes)
	set(&c.MaxAttempts, d.MaxAttempts)
	set(&c.MaxHops, d.MaxHops)
	for v, def := range map[*time.Duration]time.Duration{&c.RetryMin: d.RetryMin, &c.RetryMax: d.RetryMax, &c.SaveEvery: d.SaveEvery} {
		if *v <= 0 {
			*v = def
		}
	}
	return c
}

// Sender is what rules need of the way to a device, for republished messages.
type Sender interface {
	// Publish sends a message on a custom topic of a device that exists, kept for a persistent session that is away. That
	// nobody receives it is not an error.
	Publish(ctx context.Context, dev ident.Device, topicName string, payload []byte, qos byte) error
}

// Deps are what Rules stand on.
type Deps struct {
	Store    *store.DB
	Registry *registry.Registry
	IDs      *message.IDs // numbers rules, actions and dead letters
	Sender   Sender       // nil: republishing fails
	Kinds    map[string]Factory
	// Quota holds, within the transaction that makes them, that n more rules fit into a project; nil: no limits.
	Quota   func(ctx context.Context, tx *store.Tx, project string, n int64) error
	Feed    *monitor.Feed // nil: nobody watches
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil: not exported
}

// Rules is safe for concurrent use.
type Rules struct {
	cfg     Config
	Deps    Deps
	outbox  *store.Outbox
	metrics *metrics
	now     func() time.Time
	scratch sync.Pool // of *scratch

	set atomic.Pointer[set] // what is in force; replaced whole

	// changing is held over each change of the rules, from reading them in the store to replacing set.
	changing sync.Mutex
	shards   [store.Shards]*shard
	running  atomic.Bool
}

var _ uplink.Matcher = (*Rules)(nil)

// consumer is the name of the outbox's cursors of what all actions have got.
const consumer = "rules"

// New returns the Rules of d.Store, those that are enabled in force. It must be called before the first message is taken.
func New(ctx context.Context, cfg Config, d Deps) (*Rules, error) {
	r := &Rules{cfg: cfg.withDefaults(), Deps: d, outbox: d.Store.Outbox(), metrics: newMetrics(d.Metrics), now: time.Now}
	r.scratch.New = func() any { return &scratch{} }
	for i := range r.shards {
		r.shards[i] = &shard{rules: r, number: i}
	}
	if err := r.outbox.Register(ctx, consumer); err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	list, err := r.readAll(ctx)
	if err != nil {
		return nil, err
	}
	s := newSet()
	for _, rule := range list {
		s.put(r.compileStored(rule, nil))
	}
	s.build()
	r.set.Store(s)
	return r, nil
}
