// Package registry knows the products and the devices: who may exist, under
// which secret, in which state, and what a product's devices are (thing model,
// custom topics, switches).
//
// It promises that what it hands out is an immutable snapshot, that a snapshot
// read after a change's call returned shows that change on this node, and that
// watchers are told of every change once it is committed and before the call
// that made it returns. ProductSN, DeviceSN when none is given, and the secrets
// are generated here and nowhere else.
//
// It leaves the online state to presence, which writes a device's row with its
// own statements and tells the registry by Touch or Invalidate, and the closing
// of sessions to those who Watch.
package registry

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/lru"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// Limits of the registry.
const (
	MaxTopics       = 50     // custom topics a product
	MaxBatch        = 10_000 // devices one CreateDevices makes
	MaxName         = 128    // characters of a name
	MaxDescription  = 1024   // characters of a description
	MaxTemplateSize = 1 << 20
)

// DefaultProject is the project of what names none.
const DefaultProject = "default"

const (
	cachedProducts = 10_000
	cachedDevices  = 50_000
)

// Registry is safe for concurrent use.
type Registry struct {
	db    *store.DB
	quota Quota // nil: no limits
	log   *slog.Logger
	now   func() time.Time
	ids   *idSource

	gather     int                  // gatherMax
	countProbe int                  // countProbeMax
	partsMin   int                  // partsMin
	cutMin     int                  // cutMin
	cuts       atomic.Pointer[cuts] // nil: few devices, or Run has not begun
	refused    *prometheus.CounterVec

	products *lru.Cache[string, *Product]
	devices  *deviceCache

	mu       sync.RWMutex // guards watchers
	watchers []func(Change)
}

// New returns a Registry over db, whose schema is current.
func New(ctx context.Context, db *store.DB, log *slog.Logger) (*Registry, error) {
	r := &Registry{
		db:     db,
		log:    log,
		now:    time.Now,
		gather: gatherMax, countProbe: countProbeMax, partsMin: partsMin, cutMin: cutMin,
		refused:  newRefused(),
		products: lru.New[string, *Product](cachedProducts),
		devices:  newDeviceCache(cachedDevices),
	}
	var highest int64
	if err := db.QueryRow(ctx, `SELECT COALESCE(MAX(id), 0) FROM device`).Scan(&highest); err != nil {
		return nil, fmt.Errorf("registry: read the highest device id: %w", err)
	}
	r.ids = newIDSource(highest, r.now)
	return r, nil
}

// ChangeKind says what happened to a product or a device.
type ChangeKind uint8

// The kinds of Change. For a product's kinds Change.Device is zero.
const (
	ProductCreated ChangeKind = iota + 1
	ProductUpdated            // name, switches, published
	TemplateChanged
	TopicsChanged
	ProductDeleted
	DeviceCreated
	DeviceUpdated // name, description
	DeviceEnabled
	DeviceDisabled
	DeviceReset // inactive again, perhaps with a new secret
	DeviceDeleted
)

var changeNames = [...]string{"", "product created", "product updated", "template changed", "topics changed", "product deleted",
	"device created", "device updated", "device enabled", "device disabled", "device reset", "device deleted"}

func (k ChangeKind) String() string {
	if int(k) < len(changeNames) {
		return changeNames[k]
	}
	return fmt.Sprintf("change %d", uint8(k))
}

// Ends tells whether a change of this kind ends the device's session: it is
// disabled, deleted or has a new secret.
func (k ChangeKind) Ends() bool {
	return k == DeviceDisabled || k == DeviceDeleted || k == DeviceReset
}

// Change is one committed change.
type Change struct {
	Kind     ChangeKind
	Product  string       // ProductSN
	Device   ident.Device // zero for a change of a product
	DeviceID int64        // 0 for a change of a product
	Gateway  int64        // of a sub-device that was deleted: the device id of the gateway that had it; 0 for none
	Remote   bool         `json:"-"` // it was made on another node: what is to be done once only has been done there
}

// Watch has f called for every change after its commit, on the goroutine that
// made it, before that call returns: f must be quick and must not change the
// registry. Watchers are called in the order in which they were added and
// cannot be removed.
func (r *Registry) Watch(f func(Change)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watchers = append(r.watchers, f)
}

// Apply drops what is cached of a change and tells the watchers. It is for
// changes that another node made; this node's own go through it already.
func (r *Registry) Apply(c Change) {
	switch {
	case c.Device != (ident.Device{}):
		r.devices.remove(c.Device)
	case c.Kind == ProductDeleted:
		r.products.Remove(c.Product)
		r.devices.removeProduct(c.Product)
	default:
		r.products.Remove(c.Product)
	}
	r.mu.RLock()
	watchers := r.watchers
	r.mu.RUnlock()
	for _, f := range watchers {
		f(c)
	}
}

// Touch applies change to a copy of the cached snapshot of a device and returns
// it, nil when there is none. It is for presence, after the commit of its own
// write of the row.
func (r *Registry) Touch(deviceID int64, change func(*Device)) *Device {
	return r.devices.touch(deviceID, change)
}

// Invalidate forgets the cached snapshot of a device.
func (r *Registry) Invalidate(deviceID int64) {
	r.devices.invalidate(deviceID)
}

// millis is a time as it is stored: Unix milliseconds, 0 for the zero time.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
