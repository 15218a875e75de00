// Package metric keeps what a hub has counted over time: a point each minute of the hub as a whole, of each project, product and rule, and
// live points each second for who watches.
//
// It promises that counting is not held up by it (it reads the counters of cloud/monitor/meter once a minute), that points survive a
// restart, that each node writes what it has counted itself and readers get the sum, and that what is kept is bounded: minutes for
// Config.MinuteAge, then quarters of an hour until Config.Age. A hub that is killed loses what it has counted since the last full minute.
// What is of the store and not of a node (how many devices there are, and are online) is written once a minute by one node of all.
//
// A point of a counter is what happened in its time; a minute that nobody wrote counts nothing. A point of a gauge is what was so at the
// minute's end, and the mean of the minutes in a longer step.
//
// It also keeps which errors there were in each hour, and how each node says that it is doing.
package metric

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/cloud/bus"
	"github.com/hawser-iot/hawser/cloud/monitor/meter"
	"github.com/hawser-iot/hawser/cloud/store"
)

// Config bounds what is kept.
type Config struct {
	Node  string // this node's name, the same over restarts
	Alone bool   // there are no other nodes
	// MinuteAge is how long minutes are kept. Then they become quarters of an hour, which are kept until Age; with MinuteAge from Age on
	// they never do.
	MinuteAge, Age time.Duration
}

// DefaultConfig keeps minutes for three months.
func DefaultConfig() Config {
	return Config{Node: "hub", Alone: true, MinuteAge: 93 * 24 * time.Hour, Age: 93 * 24 * time.Hour}
}

// Devices are how many devices a product has.
type Devices struct {
	Product            string
	Registered, Online int64
}

// Rule is what one rule has done on this node so far. The numbers only grow, Waiting apart, or begin anew.
type Rule struct {
	ID                                        int64
	Project                                   string
	Matched, Delivered, Dead, Dropped, Failed int64
	Retries, Waiting                          int64
}

// Deps are what a History stands on. All but Log must be given.
type Deps struct {
	Store *store.DB
	Bus   *bus.Bus
	Meter *meter.Meter
	// Devices counts the devices of the store by product.
	Devices func(context.Context) ([]Devices, error)
	// Project is the project of a product, "" for one that is not there. It must be quick.
	Project func(product string) string
	// Rules calls f for each rule that is in force.
	Rules       func(f func(Rule))
	Connections func() int // MQTT connections of this node
	// Health is how this node is doing.
	Health func() Health
	Log    *slog.Logger
}

// History is safe for concurrent use.
type History struct {
	cfg Config
	Deps
	now func() time.Time

	minutes cursor // what was counted up to the last point; of Run alone, as the three below
	own     pages  // this node's rows
	devices gauges
	errors  hourErrors

	live live
}

// New returns a History. Run must be running for points to be kept.
func New(cfg Config, d Deps) *History {
	def := DefaultConfig()
	if cfg.Age <= 0 {
		cfg.Age = def.Age
	}
	if cfg.MinuteAge <= 0 {
		cfg.MinuteAge = min(def.MinuteAge, cfg.Age)
	}
	if d.Log == nil {
		d.Log = slog.Default()
	}
	h := &History{cfg: cfg, Deps: d, now: time.Now}
	h.live.history, h.live.subs, h.live.wake = h, make(map[*liveSub]struct{}), make(chan struct{}, 1)
	return h
}

// lastTimeout bounds writing what was counted when the hub stops.
const lastTimeout = 10 * time.Second

// Run writes a point each minute, and what is left when ctx ends.
func (h *History) Run(ctx context.Context) error {
	if err := h.load(ctx, h.now()); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	stop, err := h.live.listen()
	if err != nil {
		return err
	}
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { h.beat(ctx) })
	wg.Go(func() { h.live.run(ctx) })
	for {
		minute := h.now().Truncate(time.Minute)
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTimeout)
			defer cancel()
			h.point(last, h.now().Truncate(time.Minute), true)
			return nil
		case <-time.After(minute.Add(time.Minute).Sub(h.now())):
			h.point(ctx, minute, false)
		}
	}
}

// point writes what was counted in a minute. What cannot be written now is written with the next minute.
func (h *History) point(ctx context.Context, minute time.Time, last bool) {
	errs := []error{h.count(ctx, minute), h.saveErrors(ctx, minute)}
	if !last {
		errs = append(errs, h.countDevices(ctx, minute))
	}
	if err := errors.Join(errs...); err != nil && ctx.Err() == nil {
		h.Log.Warn("point of the metrics not written, trying again with the next", "minute", minute.UTC().Format(time.RFC3339), "err", err)
	}
}

// load goes on with what this node had written of the hour before it was restarted.
func (h *History) load(ctx context.Context, now time.Time) (err error) {
	if h.own, err = h.readPages(ctx, hourOf(now), h.cfg.Node); err != nil {
		return fmt.Errorf("metric: read the hour: %w", err)
	}
	h.minutes = newCursor()
	h.delta(&h.minutes) // what was counted before is nobody's minute
	return h.loadErrors(ctx, now)
}

// count adds what was counted since the last point to a minute's slots.
func (h *History) count(ctx context.Context, minute time.Time) error {
	start := hourOf(minute)
	slot := slotOf(minute)
	for scope, p := range h.delta(&h.minutes) {
		h.own.page(scope, start).addPoint(slot, p)
	}
	err := h.savePages(ctx, h.own, h.cfg.Node)
	h.own.forget(start)
	return err
}

func hourOf(t time.Time) int64 { return t.Unix() / 3600 * 3600 }

// slotOf is a minute's place in its hour.
func slotOf(t time.Time) int { return int(t.Unix() % 3600 / 60) }
