// Package messagelog explains messages afterwards: what devices and applications did (logins, refusals), each message up and down with every
// hop of its way, what each hop made of it, why, and how long it took; what became of the records of rules; and the lines that
// devices log themselves.
//
// It promises:
//   - It never holds up a path. A record is encoded into pooled memory and copied into the bounded queue of a segment.Log. When that
//     fills, messages that went well are sampled, then left out; how many is a record of the log itself and a metric.
//   - What is left out, truncated or masked says so. Secrets that messages carry (ProductSecret, DeviceSecret, Password) are masked.
//   - Each product decides how much (off, errors, all) and the hub what holds for the others; off costs a message one comparison.
//   - Records of one node have strictly growing times, so that a cursor is a time. A hub of several nodes asks them all and merges;
//     who did not answer is told (Page.Missing).
//
// It leaves to segment what is kept for how long, and to callers who may see what. The log is no promise: a crash may lose its last
// second.
package messagelog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/hawser-iot/hawser/cloud/bus"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/segment"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/message"
)

// Config says how much is kept.
type Config struct {
	Node    string         // this node's name
	Segment segment.Config // where, how long, how much
	Payload int            // bytes of a payload that are kept
	// Level is for products that say nothing of their own. LevelOff keeps nothing of anybody.
	Level uplink.Level
}

// DefaultConfig keeps everything for a week, at most 1 GiB, in dir, and 1 KiB of a payload.
func DefaultConfig(dir string) Config {
	return Config{Node: "hub", Segment: segment.DefaultConfig(dir), Payload: 1 << 10, Level: uplink.LevelAll}
}

// Deps are what a Log stands on.
type Deps struct {
	Store    *store.DB // which nodes there are
	Registry *registry.Registry
	Bus      *bus.Bus
	Log      *slog.Logger
	Metrics  prometheus.Registerer // nil: not exported
}

// Log is safe for concurrent use.
type Log struct {
	cfg Config
	Deps
	records *segment.Log
	metrics *metrics
	scratch sync.Pool // of *scratch
	now     func() time.Time
	out     atomic.Uint64 // left out, and not yet written down
	turn    atomic.Uint64 // counts what is sampled

	mu   sync.Mutex // guards last, and is held while a record is appended: times are in the order of appends
	last int64      // time of the newest record, µs
}

// New opens the log. Nothing is written before Run.
func New(cfg Config, d Deps) (*Log, error) {
	records, err := segment.Open(cfg.Segment, d.Log)
	if err != nil {
		return nil, fmt.Errorf("message log: %w", err)
	}
	l := &Log{cfg: cfg, Deps: d, records: records, now: time.Now}
	l.scratch.New = func() any { return &scratch{} }
	l.metrics = newMetrics(d.Metrics, records)
	return l, l.resume()
}

// resume goes on behind the newest record, also when the clock has stepped back.
func (l *Log) resume() error {
	err := l.records.Scan(context.Background(), segment.Query{Backward: true}, func(r segment.Record) bool {
		l.last = min(r.Time.UnixMicro(), l.now().Add(time.Hour).UnixMicro())
		return false
	})
	var damage *segment.CorruptionError
	if err != nil && !errors.As(err, &damage) {
		return fmt.Errorf("message log: %w", err)
	}
	return nil
}

// leftOutEvery is how often what was left out is written down.
const leftOutEvery = time.Second

// Run writes, answers other nodes and removes what is old, until ctx ends.
func (l *Log) Run(ctx context.Context) error {
	stop, err := l.serve(ctx)
	if err != nil {
		return fmt.Errorf("message log: %w", err)
	}
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return l.records.Run(ctx) })
	g.Go(func() error { l.announce(ctx); return nil })
	g.Go(func() error {
		tick := time.NewTicker(leftOutEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
				l.tellLeftOut()
			}
		}
	})
	return g.Wait()
}

var _ uplink.Journal = (*Log)(nil)

// Level implements uplink.Journal.
func (l *Log) Level(p *registry.Product) uplink.Level {
	if l.cfg.Level == uplink.LevelOff || p == nil || p.Settings.MessageLog == nil {
		return l.cfg.Level
	}
	level, _ := ParseLevel(*p.Settings.MessageLog)
	return level
}

// LevelOf is the level of a product that is known by its number only.
func (l *Log) LevelOf(ctx context.Context, productSN string) uplink.Level {
	if l.cfg.Level == uplink.LevelOff || productSN == "" {
		return l.cfg.Level
	}
	p, err := l.Registry.Product(ctx, productSN)
	if err != nil {
		return l.cfg.Level
	}
	return l.Level(p)
}

// ParseLevel reads off, errors or all.
func ParseLevel(s string) (uplink.Level, error) {
	switch s {
	case "off":
		return uplink.LevelOff, nil
	case "errors":
		return uplink.LevelErrors, nil
	case "all":
		return uplink.LevelAll, nil
	}
	return uplink.LevelAll, fmt.Errorf("must be off, errors or all, not %q", s)
}

// wants tells whether a record with that result is kept at a level.
func wants(level uplink.Level, r uplink.Result) bool {
	return level == uplink.LevelAll || level == uplink.LevelErrors && r != uplink.OK && r != uplink.Waiting
}

// Add keeps a record of something that happened off the messages' path. Products that want less are heeded.
func (l *Log) Add(ctx context.Context, r *Record) {
	if wants(l.LevelOf(ctx, r.Product), r.Result) {
		l.add(r)
	}
}

// add keeps a record.
func (l *Log) add(r *Record) {
	s := l.scratch.Get().(*scratch)
	s.b = r.append(s.b[:0], l.cfg.Payload)
	l.put(l.now(), s.b, r.Result, keysOf(r.Product, r.Device, r.ID))
	l.scratch.Put(s)
}

// scratch is memory to encode a record in.
type scratch struct{ b []byte }

// keys are what a record can be found by.
type keys struct {
	k [segment.MaxKeys]uint64
	n int
}

const (
	keyDevice = iota
	keyProduct
	keyMessage
)

func keysOf(product, device string, id message.ID) (k keys) {
	k.k[keyProduct] = hash(hashStart, product)
	k.k[keyDevice] = hash(hash(k.k[keyProduct], "."), device)
	k.n = 2
	if id != 0 {
		k.k[keyMessage], k.n = uint64(id), 3
	}
	return k
}

// hashStart and hash are FNV-1a: the same on every node and in every year.
const hashStart = 14695981039346656037

func hash(h uint64, s string) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// From which fill of the queue on messages that went well are sampled, one of sampleOf.
const (
	busy     = 0.75
	sampleOf = 16
)

// put appends an encoded record of now, or leaves it out.
func (l *Log) put(now time.Time, b []byte, result uplink.Result, k keys) {
	if (result == uplink.OK || result == uplink.Waiting) && l.records.Backlog() > busy && l.turn.Add(1)%sampleOf != 0 {
		l.leaveOut()
		return
	}
	l.mu.Lock()
	t := max(now.UnixMicro(), l.last+1)
	err := l.records.Append(time.UnixMicro(t), b, k.k[:k.n]...)
	if err == nil {
		l.last = t
	}
	l.mu.Unlock()
	if err != nil {
		l.leaveOut()
		return
	}
	l.metrics.written.Inc()
}

func (l *Log) leaveOut() {
	l.out.Add(1)
	l.metrics.left.Inc()
}

// tellLeftOut writes down how many records are missing here, as soon as there is room again.
func (l *Log) tellLeftOut() {
	n := l.out.Swap(0)
	if n == 0 {
		return
	}
	r := Record{Kind: KindLeftOut, Result: uplink.Failed, At: l.now(), LeftOut: n}
	b := r.append(nil, 0)
	k := keysOf("", "", 0)
	l.mu.Lock()
	defer l.mu.Unlock()
	t := max(l.now().UnixMicro(), l.last+1)
	if l.records.Append(time.UnixMicro(t), b, k.k[:k.n]...) != nil {
		l.out.Add(n)
		return
	}
	l.last = t
}
