// Package rules lets people say in SQL which messages go where: SELECT fields FROM topic filters WHERE condition, and
// up to ten actions (sinks) that get the result.
//
// A rule is evaluated at the door, on the node that took the message, and keeps no state. Its outputs are records of the
// outbox, committed together with all else that the message causes. Run reads the outbox and delivers. The package promises:
//
//   - rules whose filters do not match cost a message nothing; all that match share one decode;
//   - a record that is committed is delivered at least once, or is a dead letter with the reason, over restarts too; the
//     records of one device reach a sink in order (but for those that became dead letters);
//   - a sink that is slow or dead holds up no other, and no device unless its action says so: what it does not take stays in the outbox,
//     up to a bound; beyond it the oldest are given up to a fallback action or the dead letters, which have a bound too, or the
//     door takes no more (Options.WhenFull);
//   - the books balance: for each action matched = delivered + in flight + queued + late + dead + fallen back + dropped;
//   - nodes that share a store share out its shards: each is delivered by one of them, another takes over within 10 s when that dies.
//
// Deliveries can repeat after a crash; Record.Key is the same each time, for sinks that can use it.
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
	"github.com/hawser-iot/hawser/cloud/monitor/meter"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/rulesql"
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
	QueueBytes  int64         // what may wait for an action, unless it says so itself
	OutboxBytes int64         // how much of the outbox one action that lags may keep from being trimmed, whosever records that are
	DeadLetters int64         // dead letters of an action
	DeadBytes   int64         // the same in bytes
	DeadAge     time.Duration // how long they are kept
}

// DefaultConfig is what a hub uses.
func DefaultConfig() Config {
	return Config{LaneRecords: 512, LaneBytes: 256 << 10, RetryMin: 100 * time.Millisecond, RetryMax: 30 * time.Second,
		MaxAttempts: 16, SaveEvery: 200 * time.Millisecond, MaxHops: 4, QueueBytes: 256 << 20, OutboxBytes: 1 << 30,
		DeadLetters: 100_000, DeadBytes: 64 << 20, DeadAge: 30 * 24 * time.Hour}
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
	for v, def := range map[*int64]int64{&c.QueueBytes: d.QueueBytes, &c.OutboxBytes: d.OutboxBytes, &c.DeadLetters: d.DeadLetters, &c.DeadBytes: d.DeadBytes} {
		if *v <= 0 {
			*v = def
		}
	}
	for v, def := range map[*time.Duration]time.Duration{&c.RetryMin: d.RetryMin, &c.RetryMax: d.RetryMax, &c.SaveEvery: d.SaveEvery, &c.DeadAge: d.DeadAge} {
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
	Store *store.DB
	// Node is this process's name among those that share the store, the same over restarts; "" will do for one that is alone.
	Node string
	// Announce tells the other nodes that rules have changed, for Changed there; nil: they see it within a second or two.
	Announce func()
	Registry *registry.Registry
	IDs      *message.IDs // numbers rules, actions and dead letters
	Sender   Sender       // nil: republishing fails
	Kinds    map[string]Factory
	// Connectors are those that actions may use; nil: none.
	Connectors Connectors
	// Quota holds, within the transaction that makes them, that n more rules fit into a project; nil: no limits.
	Quota   func(ctx context.Context, tx *store.Tx, project string, n int64) error
	Feed    *monitor.Feed // nil: nobody watches
	Journal Journal       // nil: nothing is kept of what became of records
	Meter   *meter.Meter  // nil: nothing is counted by product
	Devices Devices       // nil: no get_shadow and get_property
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
	owner   rulesql.Owner // what queries have of the hub beside the language
	scratch sync.Pool     // of *scratch
	trying  chan struct{} // holds one for each trial that is evaluated

	set atomic.Pointer[set] // what is in force; replaced whole

	// changing is held over each change of the rules, from reading them in the store to replacing set.
	changing sync.Mutex
	shards   [store.Shards]*shard
	running  atomic.Bool

	keeper  *keeper
	totals  totals
	seen    atomic.Int64 // the version of the rules that was read last
	stale   atomic.Bool  // it is known to have changed
	blocked atomic.Pointer[map[int64]bool]
	again   chan struct{}  // has distribute look at all shards
	heard   chan struct{}  // has housekeep look for changes of rules
	recount chan struct{}  // has housekeep count dead letters
	gone    map[int64]bool // actions that are known to be gone; of distribute alone
	told    map[int64]bool // the actions of this node that the others know to be full; of housekeep alone
	closing sync.WaitGroup // sinks that are being closed; added to under changing
}

var _ uplink.Matcher = (*Rules)(nil)

// consumer is the name of the outbox's cursors of what all actions have got.
const consumer = "rules"

// New returns the Rules of d.Store, those that are enabled in force. It must be called before the first message is taken.
func New(ctx context.Context, cfg Config, d Deps) (*Rules, error) {
	r := &Rules{cfg: cfg.withDefaults(), Deps: d, outbox: d.Store.Outbox(), now: time.Now, owner: queries(d.Devices), gone: make(map[int64]bool),
		again: make(chan struct{}, 1), recount: make(chan struct{}, 1), heard: make(chan struct{}, 1)}
	r.metrics = newMetrics(d.Metrics, r)
	r.keeper = newKeeper(r)
	r.blocked.Store(&map[int64]bool{})
	r.trying = make(chan struct{}, maxTrials)
	r.scratch.New = func() any { return &scratch{} }
	for i := range r.shards {
		r.shards[i] = &shard{rules: r, number: i}
	}
	if err := r.outbox.Register(ctx, consumer); err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	if err := r.loadTotals(ctx); err != nil {
		return nil, err
	}
	r.set.Store(&set{})
	if err := r.Refresh(ctx); err != nil {
		return nil, err
	}
	return r, nil
}
