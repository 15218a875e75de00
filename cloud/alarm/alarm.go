// Package alarm watches metrics, properties of devices and their presence, opens alarms and clears them, and has people told.
//
// A rule says when there is an alarm (Condition), for how long or how often that must be so first (Debounce), how bad it is, and which channels
// are told. It promises that of one rule and device one alarm is open at a time, over all nodes and restarts; that a device's message is held up
// by no alarm, and costs no allocation while none of its product's conditions is true; that an alarm and what is to be told of it are one
// transaction; and that no rule floods anybody: a channel gets one message at a time, with all that has gathered, and a rule has Config.MaxOpen
// open alarms at most. The end of a presence is a row of the presence's own commit; the reports of properties wait in a bounded queue, and
// what the queue does not take is counted, and judged with the next report.
//
// It leaves the counting to cloud/monitor, and the ways to people to cloud/alarm/notify.
package alarm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hawser-iot/hawser/cloud/bus"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/message"
)

// Errors that callers branch on.
var (
	ErrNotFound = errors.New("alarm: no such alarm")
	// ErrRuleNotFound and ErrChannelNotFound are of things that do not exist, or are another project's.
	ErrRuleNotFound    = errors.New("alarm: no such alarm rule")
	ErrChannelNotFound = errors.New("alarm: no such alarm channel")
	ErrExists          = errors.New("alarm: one of that name exists already in the project")
	ErrRevision        = errors.New("alarm: it has been changed in the meantime: read it again")
	// ErrInUse is wrapped by the error of a deletion of a channel that rules use.
	ErrInUse   = errors.New("alarm: alarm rules use it")
	ErrTooMany = errors.New("alarm: the project has as many as it may have: delete some")
	// ErrCleared is returned for an alarm that is over.
	ErrCleared = errors.New("alarm: it was cleared already")
)

// ErrInvalid is returned for what cannot be used. Field is the name as the API has it.
type ErrInvalid struct{ Field, Reason string }

func (e *ErrInvalid) Error() string { return fmt.Sprintf("alarm: %s: %s", e.Field, e.Reason) }

// Config bounds alarms.
type Config struct {
	Node          string
	Alone         bool // there are no other nodes
	MaxPerProject int  // rules, and channels, of a project
	MaxOpen       int  // open alarms of a rule; more are counted
	Queue         int  // judgements that wait
	// How long, and how many, alarms that were cleared are kept in a project.
	MaxAge  time.Duration
	MaxRows int
	// Gather is how long the first notice waits for others, Interval the time between two messages of a channel.
	Gather, Interval time.Duration
	SendTimeout      time.Duration // of one message
	// RetryMin and RetryMax bound the pause after a message that could not be sent; it doubles each time. What is older than GiveUp is not sent.
	RetryMin, RetryMax, GiveUp time.Duration
	Recheck                    time.Duration // how often a node looks for what it was not told of
}

// DefaultConfig keeps alarms for 90 days, 10,000 of a project.
func DefaultConfig() Config {
	return Config{Node: "hub", Alone: true, MaxPerProject: 200, MaxOpen: 1000, Queue: 10_000, MaxAge: 90 * 24 * time.Hour, MaxRows: 10_000,
		Gather: 3 * time.Second, Interval: 30 * time.Second, SendTimeout: 30 * time.Second, RetryMin: 5 * time.Second, RetryMax: 15 * time.Minute, GiveUp: 24 * time.Hour,
		Recheck: 15 * time.Second}
}

// Metrics is what alarms need of the metrics.
type Metrics interface {
	// Known tells whether there is a metric of that name.
	Known(name string) bool
	// Window is a counter's sum, or a gauge's mean, of the last full minutes: d of them. known is false when nobody has written any.
	Window(ctx context.Context, scope, name string, d time.Duration) (v float64, known bool, err error)
	// Turn takes a minute for this node; it is true on one node of all.
	Turn(ctx context.Context, what string, minute time.Time) (bool, error)
}

// Scopes name what metrics are of.
type Scopes struct {
	Project, Product func(string) string
	Rule             func(int64) string
}

// Kind is a way to people; those of cloud/alarm/notify are.
type Kind struct {
	Secrets []string // members of the configuration that are never shown
	Address []string // members that say where it goes: with others, secrets must be given again
	// Open reads a configuration; it connects nowhere.
	Open func(config []byte) (Sender, error)
}

// Sender sends one message; an error means that it may not have arrived and is sent again.
type Sender interface {
	Send(ctx context.Context, m Message) error
}

// Deps are what Alarms stand on.
type Deps struct {
	Store   *store.DB
	Bus     *bus.Bus
	IDs     *message.IDs
	Metrics Metrics
	Scopes  Scopes
	Kinds   map[string]Kind
	// Product is the project of a product, false for one that is not there.
	Product func(ctx context.Context, sn string) (project string, ok bool)
	// RuleProject is the project of a rule of cloud/rules.
	RuleProject func(ctx context.Context, id int64) (project string, ok bool)
	Log         *slog.Logger
	Registerer  prometheus.Registerer // nil: not exported
}

// Alarms is safe for concurrent use.
type Alarms struct {
	cfg Config
	Deps
	now     func() time.Time
	metrics *metrics

	set    atomic.Pointer[set] // the rules in force; replaced whole
	loads  sync.Mutex          // held while set is replaced
	active *active
	queue  chan judgement // what is full is counted
}

// New returns the alarms of d.Store. It starts nothing; Run must be running for anything to be judged.
func New(ctx context.Context, cfg Config, d Deps) (*Alarms, error) {
	a := &Alarms{cfg: cfg, Deps: d, now: time.Now, active: newActive(), queue: make(chan judgement, cfg.Queue)}
	a.metrics = newMetrics(d.Registerer)
	return a, a.load(ctx)
}

// changedSubject is where nodes tell each other that rules have changed, and which subjects are active.
const changedSubject = "hawser.alarm.changed"

// Run judges, sends and hears of other nodes until ctx ends.
func (a *Alarms) Run(ctx context.Context) error {
	if !a.cfg.Alone {
		stop, err := a.Bus.Subscribe(changedSubject, func(_ string, b []byte) []byte { a.heard(ctx, b); return nil })
		if err != nil {
			return fmt.Errorf("alarm: %w", err)
		}
		defer stop()
	}
	var wg sync.WaitGroup
	wg.Go(func() { a.judge(ctx) })
	wg.Go(func() { a.every(ctx, time.Second, "mature", a.mature) })
	wg.Go(func() { a.every(ctx, a.cfg.Recheck, "look for changes", a.recheck) })
	wg.Go(func() { a.minutes(ctx) })
	wg.Go(func() { a.send(ctx) })
	wg.Wait()
	return nil
}

// every calls f now and then until ctx ends.
func (a *Alarms) every(ctx context.Context, d time.Duration, what string, f func(context.Context) error) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := f(ctx); err != nil && ctx.Err() == nil {
				a.Log.Warn("alarms: it is tried again", "what", what, "err", err)
			}
		}
	}
}
