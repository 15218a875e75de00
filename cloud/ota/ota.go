// Package ota brings firmware to devices.
//
// A firmware is a file of one version for one module of a product. A task brings it to devices: each of them has a deployment, which
// goes from initial over pending (the firmware was offered), downloading and burning to its end: succeeded, failed, cancelled or
// rolled_back (state.go has the whole table). A device hears of it when it asks (request_firmware), when it says what it runs
// (report_version), and, when it is online, by itself.
//
// It promises:
//   - a deployment that has ended is never offered again, whatever the device says later, and a device has at most one that has not
//     for a module;
//   - an update is not offered twice in one session of a device: stock devices acknowledge the offer after the whole download, and
//     would begin anew with a second one. A device that comes back without the new version is offered it again, some times;
//   - every state has a deadline, because a device may never say what became of it;
//   - a success with another version than the one that was to come is a failure.
//
// Every change of a deployment is one conditional write under its revision, so that reports, offers, cancellations and deadlines may
// come at the same moment and on different nodes. The URL of the file is shortlink's, what is behind it ingress serves. A device that verifies
// manifests is offered a signed release (artifact), asks for an assignment with a nonce of its own, and is done when it attests what it has
// booted: handshake.go.
package ota

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/hawser-iot/hawser/cloud/blob"
	"github.com/hawser-iot/hawser/cloud/ota/artifact"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/shortlink"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/lru"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// Errors that callers branch on. Devices and products that are not there are the registry's errors.
var (
	ErrFirmwareNotFound = errors.New("ota: no such firmware")
	ErrTaskNotFound     = errors.New("ota: no such task")
	// ErrExists is returned for a version that the module has already.
	ErrExists = errors.New("ota: the module has a firmware of that version already")
	// ErrInUse is returned for the deletion of a firmware that devices are still to get.
	ErrInUse = errors.New("ota: a task that has not ended brings this firmware: cancel it first")
	// ErrTooLarge is returned for a file that is larger than Config.MaxSize.
	ErrTooLarge = errors.New("ota: the file is too large")
	// ErrPlain is returned for a task on a hub that gives devices URLs without TLS, when the operator does not allow that.
	ErrPlain = errors.New("ota: devices would download over plain HTTP: set an https --device-base-url, or allow it with --firmware-plain-http")
	// ErrNotReady is returned for a task with a release whose files are not all there.
	ErrNotReady = errors.New("ota: the release is not complete: send its images, or wait until the hub has made its packs")
	// ErrEnded is returned for the cancellation of a task all of whose devices are done.
	ErrEnded = errors.New("ota: the task has ended")
)

// ErrInvalid is returned for a value that will not do. Field is the parameter's name as the API has it.
type ErrInvalid struct{ Field, Reason string }

func (e *ErrInvalid) Error() string { return fmt.Sprintf("ota: %s: %s", e.Field, e.Reason) }

// Sender is what ota needs of the way to a device.
type Sender interface {
	// Send sends a message, in JSON or CBOR whatever the device speaks, on one of the device's system topics with QoS 1. With queue it is kept for a persistent session that is
	// away; without, it reaches the device now or is an error, and is not sent again by itself.
	Send(ctx context.Context, dev ident.Device, topicName string, payload []byte, queue bool) error
	// Subscribed tells whether the device is connected to this node and listens to the topic.
	Subscribed(dev ident.Device, topicName string) bool
	// Verifies tells whether the device has announced at its login that it verifies manifests.
	Verifies(ctx context.Context, dev ident.Device) (bool, error)
}

// Config bounds firmwares and tasks.
type Config struct {
	MaxSize      int64         // bytes of a firmware
	MaxModules   int           // modules of a product
	MaxFirmwares int           // firmwares of a module
	MaxDevices   int           // devices of a task
	MaxTargets   int           // devices that are named for a campaign
	MaxAttempts  int           // how often a device is offered one firmware
	URLLife      time.Duration // how long the URL of an offer may be used
	// AssignmentLife is how long a device that was assigned a release may begin and download: a weekly window must fit.
	AssignmentLife time.Duration
	Timeout        time.Duration // how long a device that was offered a firmware may be silent, if the task does not say
	TaskLife       time.Duration // how long a task waits for devices, if it does not say
	HistoryLife    time.Duration // how long the moments of what has ended are kept
	HistoryTasks   int           // … and of how many tasks and campaigns of a product
	AllowPlain     bool          // firmware may be downloaded without TLS
	Poll           time.Duration // how often Run looks for devices that are there and for deadlines
}

// DefaultConfig has the protocol's limits.
func DefaultConfig() Config {
	return Config{MaxSize: 1 << 30, MaxModules: 10, MaxFirmwares: 10, MaxDevices: 10_000, MaxTargets: 100_000, MaxAttempts: 10, URLLife: 24 * time.Hour,
		AssignmentLife: 8 * 24 * time.Hour,
		Timeout:        time.Hour, TaskLife: 7 * 24 * time.Hour, HistoryLife: 90 * 24 * time.Hour, HistoryTasks: 100, Poll: 10 * time.Second}
}

// Deps are what OTA stands on.
type Deps struct {
	Store    *store.DB
	Registry *registry.Registry
	Blobs    blob.Store
	Links    *shortlink.Links
	// Artifacts is where signed releases are.
	Artifacts *artifact.Repository
	Sender    Sender
	Rules     uplink.Matcher // nil: no rules
	Feed      uplink.Feed    // nil: nobody watches
	IDs       uplink.Numberer
	Log       *slog.Logger
	Metrics   prometheus.Registerer // nil: not exported
}

// cachedFirmwares bounds the memory for downloads, which come by the thousand for the same file.
const cachedFirmwares = 1000

// OTA is safe for concurrent use.
type OTA struct {
	cfg Config
	Deps
	now       func() time.Time
	firmwares *lru.Cache[int64, *Firmware]
	// ending lets one change at a time end deployments together: rules read while its transaction is open, which takes a second connection to the database, and if all
	// were held by such transactions none would be left.
	ending   sync.Mutex
	lives    lives
	sampled  time.Time     // the hour of which Run knows that versions were counted
	wake     chan struct{} // has room for one: more would wake nobody else
	sooner   soonest       // when Run pushes before its next poll
	offered  prometheus.Counter
	assigned prometheus.Counter
	refused  *prometheus.CounterVec
	ended    *prometheus.CounterVec
}

var _ uplink.Handler = (*OTA)(nil)

// New returns an OTA. Run must run for devices to be offered what they do not ask for, and for deadlines.
func New(cfg Config, d Deps) *OTA {
	f := promauto.With(d.Metrics)
	o := &OTA{cfg: cfg, Deps: d, now: time.Now, lives: lives{byID: map[int64]*live{}}, firmwares: lru.New[int64, *Firmware](cachedFirmwares), wake: make(chan struct{}, 1),
		offered:  f.NewCounter(prometheus.CounterOpts{Name: "hawser_ota_offers_total", Help: "Firmware that devices were offered."}),
		assigned: f.NewCounter(prometheus.CounterOpts{Name: "hawser_ota_assignments_total", Help: "Assignments of releases to devices that verify manifests."}),
		refused:  f.NewCounterVec(prometheus.CounterOpts{Name: "hawser_ota_assignments_refused_total", Help: "Requests for assignments that were refused, by reason."}, []string{"reason"}),
		ended:    f.NewCounterVec(prometheus.CounterOpts{Name: "hawser_ota_deployments_total", Help: "Updates of devices that ended, by how."}, []string{"state"})}
	d.Artifacts.Watch(o.kick)
	return o
}

// DefaultModule is what a device means that names no module.
const DefaultModule = "default"

// word is the form of versions, and of modules.
var word = regexp.MustCompile(`^[A-Za-z0-9._-]{1,32}$`)

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
