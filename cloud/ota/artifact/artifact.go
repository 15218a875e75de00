// Package artifact is the hub's repository of signed firmware: root documents of products, releases that are signed by those who may, and the
// files that devices download of them.
//
// A release is a signed manifest (firmware/manifest) and, for each of its images, the image itself, its chunk index, its full pack and the deltas
// from images that devices run. Manifest and images come from outside; index and pack are made here when they do not, and deltas are made
// in the background, one at a time, for what the most devices run.
//
// It promises that a release is taken only when enough release keys of the product's newest root have signed it, that a file is there only
// when its bytes are those that the manifest names, that no byte of an image is kept twice, that nothing is removed
// which a release names, and that knowing the digest of another product's image is not enough to have it. It
// holds no image in memory. The hub's director key is made and kept here, sealed; a release key never is. Which device gets what is
// cloud/ota's business, and how bytes reach it that of cloud/ingress.
package artifact

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/hawser-iot/hawser/cloud/blob"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/lru"
	"github.com/hawser-iot/hawser/firmware/failure"
)

// Errors that callers branch on.
var (
	ErrNotFound = errors.New("artifact: no such release")
	// ErrNoRoot is returned for a release of a product that has no root document yet.
	ErrNoRoot = errors.New("artifact: the product has no root document: set one first (hawserctl firmware trust set)")
	// ErrNoFile is returned for a file that the release does not have, or that is not there yet.
	ErrNoFile = errors.New("artifact: no such file")
	// ErrTooLarge is returned for a file that is longer than the manifest says, or than is allowed.
	ErrTooLarge = errors.New("artifact: the file is longer than the manifest says")
	// ErrBusy is returned for a file whose older copy is just being removed.
	ErrBusy = errors.New("artifact: the file is just being removed: try again")
)

// RefusedError is returned for what is not signed by those who may, or is not what was signed. Its class is that of firmware/failure.
type RefusedError struct {
	What string // root, manifest, image, index or pack, with its component
	Err  error
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s refused (%s): %v", e.What, failure.Of(e.Err), e.Err)
}

func (e *RefusedError) Unwrap() error { return e.Err }

// Config bounds the work.
type Config struct {
	MaxSize int64 // bytes of an image
	// Deltas is from how many images of a module there are deltas to a release; 0 makes none.
	Deltas int
	// Rest is how long the making of deltas rests for each time that it works: 1 is half of one processor.
	Rest    float64
	TempDir string        // where a delta is gathered; empty is the system's
	Poll    time.Duration // how often Run looks for work
	Keep    time.Duration // how long a blob that no release names is kept
}

// DefaultConfig makes deltas from the four most common images.
func DefaultConfig() Config {
	return Config{MaxSize: 1 << 30, Deltas: 4, Rest: 1, Poll: 10 * time.Second, Keep: 24 * time.Hour}
}

// Deps are what a Repository stands on.
type Deps struct {
	Store   *store.DB
	Blobs   blob.Store
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil: not exported
}

// Repository is safe for concurrent use.
type Repository struct {
	cfg Config
	Deps
	now  func() time.Time
	wake chan struct{} // has room for one: more would wake nobody else
	// served remembers what paths stand for: ranges come by the thousand for the same file.
	served *lru.Cache[served, Content]
	roots  *lru.Cache[string, *Chain]
	done   func()
	made   *prometheus.CounterVec
	bytes  *prometheus.CounterVec
}

// cached bounds the memory for paths and for root documents.
const cached = 1000

// New returns a Repository. Run must run for packs and deltas to be made.
func New(cfg Config, d Deps) *Repository {
	f := promauto.With(d.Metrics)
	return &Repository{cfg: cfg, Deps: d, now: time.Now, wake: make(chan struct{}, 1), done: func() {}, served: lru.New[served, Content](cached), roots: lru.New[string, *Chain](cached),
		made:  f.NewCounterVec(prometheus.CounterOpts{Name: "hawser_ota_made_total", Help: "Packs and deltas that were made, by kind and result."}, []string{"kind", "result"}),
		bytes: f.NewCounterVec(prometheus.CounterOpts{Name: "hawser_ota_made_bytes_total", Help: "Bytes of packs and deltas that were made, by kind."}, []string{"kind"})}
}

// Watch has f called when the hub has made a file. It is called before Run.
func (r *Repository) Watch(f func()) { r.done = f }

// kick has Run look for work at once.
func (r *Repository) kick() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// update is a transaction with what it was for in its error.
func (r *Repository) update(ctx context.Context, what string, fn func(tx *store.Tx) error) error {
	if err := r.Store.Update(ctx, fn); err != nil {
		return fmt.Errorf("artifact: %s: %w", what, err)
	}
	return nil
}
