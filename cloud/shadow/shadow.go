// Package shadow keeps the devices' shadows: it gives the messages on
// shadow/upstream and shadow/get their meaning and lets applications read a
// shadow and change what they desire.
//
// It promises that the requests of one device are handled in order, each
// answered exactly once, after its change is committed; that no change is lost
// when the device and applications write at the same moment, on whichever node;
// and that rules see the whole document after every change in the same commit.
// The last changes are remembered with who made them (history.go).
// A steady stream of updates does not read the store: the documents used last
// are held in memory, as they are committed.
//
// What a request makes of a document is protocol/shadowdoc's business, the row
// of a device the store's, the way to the device the Sender's.
package shadow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/lru"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/shadowdoc"
)

// Errors that callers branch on. Devices and products that are not there are
// the registry's errors.
var (
	// ErrDisabled is returned for a device whose product has no shadows.
	ErrDisabled = errors.New("shadow: shadows are switched off for the product")
	// ErrRevision is returned when the shadow has changed since the caller read it: read it again.
	ErrRevision = errors.New("shadow: the shadow has another revision")
	// ErrVersion is ErrRevision for the version that devices see.
	ErrVersion = errors.New("shadow: the shadow has another version")
	// ErrTooLarge is returned for a change that would make the document too large or too deep.
	ErrTooLarge = fmt.Errorf("shadow: the document would have more than %d bytes or %d levels", shadowdoc.DefaultMaxSize, shadowdoc.DefaultMaxDepth)
	// ErrTooLargeForDevice is returned for a desired key that no message to the device can hold.
	ErrTooLargeForDevice = errors.New("shadow: the desired value is too large for the device")
	// ErrBusy is returned when others changed the shadow each time that a change was tried.
	ErrBusy = errors.New("shadow: the shadow is changing all the time: try again")
)

// ErrInvalid is returned for a body that is no JSON object.
type ErrInvalid struct{ Field, Reason string }

func (e *ErrInvalid) Error() string { return fmt.Sprintf("shadow: %s: %s", e.Field, e.Reason) }

// Sender is what shadow needs of the way to a device.
type Sender interface {
	// Control sends control messages in this order on the device's topic topicName, QoS 1, kept for a persistent session
	// that is away. That the device is away is not an error.
	Control(ctx context.Context, dev ident.Device, topicName string, payloads [][]byte) error
	// Buffer is the largest packet in bytes that the device has announced to take; 0 when it announced nothing.
	Buffer(ctx context.Context, dev ident.Device) int
}

// cachedDocuments bounds the memory: a document of a few keys takes half a kilobyte.
const cachedDocuments = 50_000

// Deps are what Shadows stand on.
type Deps struct {
	Store    *store.DB
	Registry *registry.Registry
	Sender   Sender
	// Rules and applications that listen see the document after an application's change; nil: there are none. (After a device's, uplink asks
	// them.)
	Rules    uplink.Matcher
	Audience uplink.Audience
	IDs      *message.IDs // numbers applications' changes; needed when one of the two is given
	// History bounds what is remembered of changes.
	History HistoryConfig
	Log     *slog.Logger
}

// Shadows is safe for concurrent use.
type Shadows struct {
	Deps
	now func() time.Time

	docs  *lru.Cache[int64, *shadowdoc.Document] // by device id, as committed
	turns turns
	// wishes orders the applications of one device. Lock order: wishes, then turns.
	wishes turns
}

// New returns the Shadows of d.Store.
func New(d Deps) *Shadows {
	s := &Shadows{Deps: d, now: time.Now, docs: lru.New[int64, *shadowdoc.Document](cachedDocuments)}
	d.Registry.Watch(s.changed)
	return s
}

// changed forgets the document of a device that is gone.
func (s *Shadows) changed(c registry.Change) {
	if c.Kind == registry.DeviceDeleted {
		s.docs.Remove(c.DeviceID)
	}
}

// upsert is guarded by the revision: of two changes of the same document one misses.
var upsert = store.NewStmt(`INSERT INTO shadow (device, revision, version, doc, updated_at) VALUES (?, ?, ?, ?, ?)
	ON CONFLICT (device) DO UPDATE SET revision = excluded.revision, version = excluded.version, doc = excluded.doc,
		updated_at = excluded.updated_at
	WHERE shadow.revision = excluded.revision - 1`)

// load returns the committed document of a device; a new one when there is none.
func (s *Shadows) load(ctx context.Context, deviceID int64) (*shadowdoc.Document, error) {
	if d, ok := s.docs.Get(deviceID); ok {
		return d, nil
	}
	ticket := s.docs.Ticket(deviceID)
	d, err := s.read(ctx, deviceID)
	if err != nil {
		return nil, err
	}
	s.docs.Fill(deviceID, ticket, d)
	return d, nil
}

func (s *Shadows) read(ctx context.Context, deviceID int64) (*shadowdoc.Document, error) {
	var stored []byte
	err := s.Store.QueryRow(ctx, `SELECT doc FROM shadow WHERE device = ?`, deviceID).Scan(&stored)
	if errors.Is(err, store.ErrNoRows) {
		return shadowdoc.New(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("shadow: read document of device %d: %w", deviceID, err)
	}
	d, err := shadowdoc.Decode(stored)
	if err != nil {
		return nil, fmt.Errorf("shadow: document of device %d: %w", deviceID, err)
	}
	return d, nil
}

// device returns the device, and what its product chose, if the product has shadows.
func (s *Shadows) device(ctx context.Context, dev ident.Device) (*registry.Device, shadowdoc.Options, error) {
	p, err := s.Registry.Product(ctx, dev.Product)
	if err != nil {
		return nil, shadowdoc.Options{}, err
	}
	d, err := s.Registry.Device(ctx, dev)
	if err != nil {
		return nil, shadowdoc.Options{}, err
	}
	if !p.Shadow {
		return nil, shadowdoc.Options{}, ErrDisabled
	}
	return d, options(p), nil
}

// Get returns a device's shadow. Another node's change of the last moment may be missing.
func (s *Shadows) Get(ctx context.Context, dev ident.Device) (*shadowdoc.Document, error) {
	d, _, err := s.device(ctx, dev)
	if err != nil {
		return nil, err
	}
	return s.read(ctx, d.ID)
}
