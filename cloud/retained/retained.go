// Package retained keeps the retained messages of MQTT: of each topic the last one that was published with RETAIN, for those who
// subscribe later.
//
// A message is kept by operations that go into the unit of the message itself, so that its acknowledgement covers both. It promises
// that what is kept outlives the hub's process and every session, that a product keeps no more than its bounds, that what is
// refused is counted, and that a SUBSCRIBE reads nothing while the product has nothing: how much each product keeps is known in memory,
// and other nodes are told over the bus when a topic comes. What other nodes add counts against the bounds at the next Trim.
//
// Who may publish and subscribe is decided by the doors, and a retained message goes with its device (registry).
package retained

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hawser-iot/hawser/cloud/bus"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
)

// Config bounds what is kept.
type Config struct {
	MaxCount int64         // messages of a product
	MaxBytes int64         // of their topics, payloads and properties
	Recheck  time.Duration // for how long "nothing" and "full" are believed without a look at the store
}

// DefaultConfig keeps 100,000 messages and 64 MiB for each product.
func DefaultConfig() Config {
	return Config{MaxCount: 100_000, MaxBytes: 64 << 20, Recheck: 30 * time.Second}
}

// Deps are what a Retained stands on.
type Deps struct {
	Store    *store.DB
	Registry *registry.Registry
	Bus      *bus.Bus
	Log      *slog.Logger
	Metrics  prometheus.Registerer // nil: not exported
}

// ErrFull is returned for a message that exceeds what its product may keep.
var ErrFull = errors.New("retained: the product keeps as many retained messages as it may")

// Message is a message to keep. One without a payload removes what is kept of its topic.
type Message struct {
	ID         message.ID
	Product    string // ProductSN
	Device     int64
	Topic      string
	Payload    []byte
	QoS        byte
	Properties packet.Properties // what the publisher gave and subscribers are to get
	Expiry     time.Time         // zero: never

	// Late: it may come after its device was deleted, as a will does.
	Late bool
}

func (m *Message) size() int64 { return int64(len(m.Topic) + len(m.Payload) + len(m.Properties)) }

// Retained is safe for concurrent use.
type Retained struct {
	cfg Config
	Deps
	metrics *metrics
	now     func() time.Time

	mu       sync.Mutex // guards the fields below
	products map[string]*usage
	changes  uint64 // counts changes, so that a reading of "nothing" that one may have overtaken is not believed
}

// usage is how much a product keeps, as far as this node knows. A count of 0 comes from the store alone, never from counting.
type usage struct {
	count, bytes int64
	read         time.Time
}

// New returns the Retained of a node. Run must be running for other nodes to be heard.
func New(cfg Config, d Deps) *Retained {
	r := &Retained{cfg: cfg, Deps: d, metrics: newMetrics(d.Metrics), now: time.Now, products: map[string]*usage{}}
	d.Registry.Watch(func(c registry.Change) {
		if c.Kind == registry.DeviceDeleted || c.Kind == registry.ProductDeleted {
			r.forget(c.Product)
		}
	})
	return r
}

// subject is where nodes tell each other of a product that keeps a new topic.
const subject = "hawser.retained"

// Run hears other nodes until ctx ends.
func (r *Retained) Run(ctx context.Context) error {
	stop, err := r.Bus.Subscribe(subject, func(_ string, product []byte) []byte { r.grown(string(product)); return nil })
	if err != nil {
		return err
	}
	defer stop()
	<-ctx.Done()
	return nil
}

// forget has the product's usage read anew.
func (r *Retained) forget(product string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes++
	delete(r.products, product)
}

// grown is told that a product keeps something: who thought that it does not looks again.
func (r *Retained) grown(product string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes++
	if u := r.products[product]; u != nil && u.count == 0 {
		delete(r.products, product)
	}
}

// usage returns how much a product keeps. What is in memory is good, but for an old "nothing".
func (r *Retained) usage(ctx context.Context, product string) (usage, error) {
	r.mu.Lock()
	u, at := r.products[product], r.changes
	if u != nil && (u.count > 0 || r.now().Sub(u.read) < r.cfg.Recheck) {
		defer r.mu.Unlock()
		return *u, nil
	}
	r.mu.Unlock()
	fresh := usage{read: r.now()}
	err := r.Store.QueryRow(ctx, `SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM retained WHERE product = ?`, product).Scan(&fresh.count, &fresh.bytes)
	if err != nil {
		return fresh, fmt.Errorf("count retained messages: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if fresh.count > 0 || r.changes == at {
		r.products[product] = &fresh
	}
	return fresh, nil
}

// old tells whether it is long ago that a product's usage was read.
func (r *Retained) old(product string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	u := r.products[product]
	return u != nil && r.now().Sub(u.read) >= r.cfg.Recheck
}

// add changes what is known of a product.
func (r *Retained) add(product string, count, bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes++
	u := r.products[product]
	if u == nil {
		return
	}
	if u.count, u.bytes = u.count+count, u.bytes+bytes; u.count <= 0 {
		delete(r.products, product)
	}
}

// Change is a message that is to be kept, or removed, with the message that it comes with.
type Change struct {
	r            *Retained
	product      string
	ops          []store.Op
	count, bytes int64 // by how much the product keeps more
}

var (
	insertRow = store.NewStmt(`INSERT INTO retained (product, topic, device, message_id, payload, qos, properties, size, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (product, topic) DO UPDATE SET device = excluded.device, message_id = excluded.message_id, payload = excluded.payload, qos = excluded.qos,
		properties = excluded.properties, size = excluded.size, expires_at = excluded.expires_at`)
	deleteRow    = store.NewStmt(`DELETE FROM retained WHERE product = ? AND topic = ?`)
	deleteOrphan = store.NewStmt(`DELETE FROM retained WHERE product = ? AND topic = ? AND NOT EXISTS (SELECT 1 FROM device WHERE device.id = retained.device)`)
)

// Change judges a message and prepares its keeping. It fails with ErrFull, or when the store does not answer.
func (r *Retained) Change(ctx context.Context, m *Message) (*Change, error) {
	c, err := r.change(ctx, m)
	if errors.Is(err, ErrFull) && r.old(m.Product) {
		r.forget(m.Product) // other nodes may have removed some
		c, err = r.change(ctx, m)
	}
	if errors.Is(err, ErrFull) {
		r.metrics.refused.Inc()
	}
	return c, err
}

func (r *Retained) change(ctx context.Context, m *Message) (*Change, error) {
	u, err := r.usage(ctx, m.Product)
	if err != nil {
		return nil, err
	}
	c := &Change{r: r, product: m.Product}
	var old int64
	err = r.Store.QueryRow(ctx, `SELECT size FROM retained WHERE product = ? AND topic = ?`, m.Product, m.Topic).Scan(&old)
	switch {
	case err == nil:
		c.count, c.bytes = -1, -old
	case !errors.Is(err, store.ErrNoRows):
		return nil, fmt.Errorf("read retained message: %w", err)
	}
	name := strings.Clone(m.Topic)
	if len(m.Payload) == 0 {
		c.ops = []store.Op{deleteRow.Op(m.Product, name)}
		return c, nil
	}
	c.count, c.bytes = c.count+1, c.bytes+m.size()
	if u.count+c.count > r.cfg.MaxCount || u.bytes+c.bytes > r.cfg.MaxBytes {
		return nil, ErrFull
	}
	var until int64
	if !m.Expiry.IsZero() {
		until = m.Expiry.UnixMilli()
	}
	c.ops = []store.Op{insertRow.Op(m.Product, name, m.Device, int64(m.ID), bytes.Clone(m.Payload), int64(m.QoS), append([]byte{}, m.Properties...), m.size(), until)}
	if m.Late {
		c.ops = append(c.ops, deleteOrphan.Op(m.Product, name))
	}
	return c, nil
}

// Stage puts the change into the unit of m. It is called for each try of m.
func (c *Change) Stage(m *uplink.Message) {
	m.Stage(c.ops...)
	c.r.add(c.product, c.count, c.bytes)
	m.After(c.end)
}

// end is called with the unit's end.
func (c *Change) end(err error) {
	if err != nil {
		c.r.add(c.product, -c.count, -c.bytes)
		return
	}
	c.r.metrics.changed.Inc()
	if c.count <= 0 {
		return
	}
	c.r.grown(c.product)
	if err := c.r.Bus.Publish(subject, []byte(c.product)); err != nil {
		c.r.Log.Warn("other nodes not told of a retained message", "product", c.product, "err", err)
	}
}

// Keep keeps a message that is no message of a device on its way up, and waits until it is safe.
func (r *Retained) Keep(ctx context.Context, m *Message) error {
	c, err := r.Change(ctx, m)
	if err != nil {
		return err
	}
	r.add(c.product, c.count, c.bytes)
	err = r.Store.Do(ctx, &store.Unit{Device: m.Device, Ops: c.ops})
	if err != nil && ctx.Err() != nil { // it may be committed still
		r.forget(c.product)
		return errors.Join(store.ErrUnavailable, err)
	}
	c.end(err)
	return err
}

// Trim removes what has expired.
func (r *Retained) Trim(ctx context.Context, now time.Time) (removed int, err error) {
	err = r.Store.Update(ctx, func(tx *store.Tx) error {
		res, err := tx.Exec(ctx, `DELETE FROM retained WHERE expires_at <> 0 AND expires_at <= ?`, now.UnixMilli())
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		removed = int(n)
		return err
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes++
	clear(r.products) // also what has drifted apart from the store
	if err != nil {
		return 0, fmt.Errorf("trim retained messages: %w", err)
	}
	return removed, nil
}
