// Package script keeps the parse scripts of products and puts messages through them: rawDataToJSON turns what a device that cannot
// afford JSON has sent into an object, jsonToRawData an application's object into bytes for such a device.
//
// It promises that a script is stored only when it compiles and defines one of the two, with who changed it and when, and the versions
// before it; that a message goes through the script as it is stored (after a change on another node: within Recheck); that a message
// whose script fails is never passed on raw, but logged with the line, counted and refused; and that what cannot run just now, because
// the workers are not available, is not acknowledged.
//
// Scripts run in processes of their own: package pool says how that is kept from harming anybody.
package script

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/hawser-iot/hawser/cloud/bus"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/script/pool"
	"github.com/hawser-iot/hawser/cloud/script/wire"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/lru"
)

// Bounds of what is stored.
const (
	MaxSource   = 64 << 10 // bytes of a script
	MaxNote     = 512      // bytes of a note to a version
	MaxVersions = 20       // versions that are kept of a product's script
)

// Errors that callers branch on.
var (
	ErrNotFound        = errors.New("script: the product has no parse script")
	ErrVersionNotFound = errors.New("script: no such version is kept")
	// ErrRevision is returned for a change under the condition of a revision that has passed.
	ErrRevision = errors.New("script: it has been changed in the meantime: read it again")
	// ErrBusy is returned when the workers are not available.
	ErrBusy = errors.New("script: the workers are not available just now")
	// ErrPaused is returned for a script that has crossed its bounds again and again.
	ErrPaused = pool.ErrPaused
)

// InvalidError is returned for a value that cannot be stored. Field is the parameter's name as the API has it.
type InvalidError struct{ Field, Reason string }

func (e *InvalidError) Error() string { return fmt.Sprintf("script: %s: %s", e.Field, e.Reason) }

// Fault is how a script failed.
type Fault struct {
	Kind         string // "syntax", "thrown", "timeout", …
	Line, Column int    // 0: not known
	Reason       string
	Console      string // what it printed before
	status       wire.Status
}

func (f *Fault) Error() string {
	if f.Line == 0 {
		return "script: " + f.Reason
	}
	return fmt.Sprintf("script: line %d, column %d: %s", f.Line, f.Column, f.Reason)
}

// Script is one version of a product's script.
type Script struct {
	Product  string
	Revision int64
	Source   string // "" in a list, and of a version that took the script away
	Up, Down bool   // it defines rawDataToJSON, jsonToRawData
	Note, By string
	At       time.Time
}

// Config bounds Scripts.
type Config struct {
	Pool    pool.Config
	Cached  int           // scripts kept in memory
	Recheck time.Duration // for how long a script is used without a look at whether another node has changed it
	Wait    time.Duration // how long a message waits for its turn before it is not acknowledged
}

// DefaultConfig keeps 2,048 scripts in memory.
func DefaultConfig() Config {
	return Config{Pool: pool.DefaultConfig(), Cached: 2048, Recheck: 30 * time.Second, Wait: 10 * time.Second}
}

// Deps are what Scripts stand on.
type Deps struct {
	Store    *store.DB
	Registry *registry.Registry
	Bus      *bus.Bus
	Log      *slog.Logger
	Metrics  prometheus.Registerer // nil: not exported
}

// Scripts is safe for concurrent use.
type Scripts struct {
	cfg Config
	Deps
	pool    *pool.Pool
	cache   *lru.Cache[string, *current]
	metrics *metrics
	now     func() time.Time
}

// current is a product's script as it was read at some time; script is nil when there was none.
type current struct {
	script *Script
	run    *pool.Script
	read   time.Time
}

// New returns the Scripts of a node. Run must be running for any to run.
func New(cfg Config, d Deps) *Scripts {
	s := &Scripts{cfg: cfg, Deps: d, pool: pool.New(cfg.Pool, d.Log, d.Metrics), cache: lru.New[string, *current](cfg.Cached),
		metrics: newMetrics(d.Metrics), now: time.Now}
	d.Registry.Watch(func(c registry.Change) {
		if c.Kind == registry.ProductDeleted {
			s.cache.Remove(c.Product)
		}
	})
	return s
}

// subject is where nodes tell each other of a script that has changed.
const subject = "hawser.script"

// Run runs scripts and hears other nodes until ctx ends.
func (s *Scripts) Run(ctx context.Context) error {
	stop, err := s.Bus.Subscribe(subject, func(_ string, product []byte) []byte { s.cache.Remove(string(product)); return nil })
	if err != nil {
		return err
	}
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.pool.Run(ctx) })
	return g.Wait()
}

// changed has this node and the others read a product's script anew.
func (s *Scripts) changed(product string) {
	s.cache.Remove(product)
	if err := s.Bus.Publish(subject, []byte(product)); err != nil {
		s.Log.Warn("other nodes not told of a changed script; they see it within the time of their next look", "product", product, "err", err)
	}
}

// of returns a product's script, from memory when that is not too old.
func (s *Scripts) of(ctx context.Context, product string) (*current, error) {
	c, ok := s.cache.Get(product)
	if ok && s.now().Sub(c.read) < s.cfg.Recheck {
		return c, nil
	}
	ticket := s.cache.Ticket(product)
	fresh := &current{read: s.now()}
	script, err := s.Get(ctx, product)
	switch {
	case errors.Is(err, ErrNotFound):
	case err != nil:
		return nil, err
	case ok && c.script != nil && c.script.Revision == script.Revision:
		fresh.script, fresh.run = c.script, c.run
	default:
		fresh.script = script
		fresh.run = &pool.Script{Key: pool.Key{Product: product, Revision: script.Revision}, Source: script.Source}
	}
	s.cache.Fill(product, ticket, fresh)
	return fresh, nil
}
