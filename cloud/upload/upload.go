// Package upload takes files from devices into the blob store.
//
// A file begins with a permission (Grant): a row that names the device, the file, its size and its MD5, and a short URL for it. What
// is then sent to that URL (Receive) goes straight into the blob store while its size and checksum are watched. Only when both fit
// does the file become one that is listed, and in the same commit the rules see it on upload/document. A permission that is not used
// within its time, and a file that is older than its keep, are removed with their bytes (Trim).
//
// It promises that what is listed is there whole and has the checksum that the device named; that sending again what has arrived is
// answered as the first time; and that a device's files stay within its limits.
//
// A file of any size may come in parts instead (Call): a session, found again by its resume key, whose parts devices PUT to the object store
// by pre-signed URLs or to the hub (PutPart), or which comes by the relay, one patch behind the other (Patch), or both in turn. What is stored
// is what the blob store and the rows of chunks say, so that any node goes on with it after any crash. When the device says that it is complete,
// the hub reads the whole of it once, and only then lists it. A session that makes no progress for a week ends.
//
// Every file is one blob under one row, however it came, and is listed in the same kind of commit. The package leaves to ingress what HTTP
// looks like, and to shortlink what is in the URL.
package upload

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/hawser-iot/hawser/cloud/blob"
	"github.com/hawser-iot/hawser/cloud/keyring"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/shortlink"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/message"
)

// ErrNotFound is returned for a file that a device does not have.
var ErrNotFound = errors.New("upload: no such file")

// Config bounds what devices may send.
type Config struct {
	MaxSize   int64         // bytes of a file
	MaxFiles  int           // files of a device, permissions included
	MaxBytes  int64         // bytes of all files of a device
	GrantLife time.Duration // how long a permission may be used
	Keep      time.Duration // how long a file is kept; 0 is for ever
	// SessionLife is how long a file that comes in parts may make no progress, CheckWait how long an answer to complete waits for the check.
	SessionLife, CheckWait time.Duration
	// StageDir is a folder of this node's in which patches of the relay become parts; "" for a hub of several nodes, where each patch goes to the
	// blob store so that any node goes on behind it.
	StageDir string
}

// DefaultConfig takes files of 256 MiB, 1,000 a device with 2 GiB together, and keeps them for 90 days.
func DefaultConfig() Config {
	return Config{MaxSize: 256 << 20, MaxFiles: 1000, MaxBytes: 2 << 30, GrantLife: time.Hour, Keep: 90 * 24 * time.Hour,
		SessionLife: 7 * 24 * time.Hour, CheckWait: 3 * time.Second}
}

// Validate names the field that is wrong.
func (c Config) Validate() error {
	if c.MaxSize < 1 || c.MaxFiles < 1 || c.MaxBytes < c.MaxSize {
		return fmt.Errorf("upload: max size %d, files %d, bytes %d: each at least 1, and all files of a device as large as one may be", c.MaxSize, c.MaxFiles, c.MaxBytes)
	}
	return nil
}

// Deps are what Uploads stand on.
type Deps struct {
	Store    *store.DB
	Registry *registry.Registry
	Blobs    blob.Store
	Links    *shortlink.Links
	Ring     *keyring.Keyring // signs the URLs of parts
	Sender   uplink.Sender    // answers requests over MQTT
	// Rules see a file that has arrived; nil: no rules.
	Rules   uplink.Matcher
	IDs     uplink.Numberer
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil: not exported
}

// Uploads is safe for concurrent use.
type Uploads struct {
	cfg Config
	Deps
	now      func() time.Time
	multi    blob.Multipart // nil: the blob store takes no parts from others
	locks    *locks         // of sessions
	devices  *locks         // of devices that begin a file
	stage    *stage         // nil: each patch of the relay goes to the blob store
	received *prometheus.CounterVec
	bytes    prometheus.Counter
	sessions *prometheus.CounterVec
	pieced   *prometheus.CounterVec
	coming   prometheus.Gauge

	checks chan *check
	asked  chan asked
	// checkMu guards checking, the checks that wait or go on by file.
	checkMu  sync.Mutex
	checking map[int64]*check
}

// New returns the Uploads of a store; cfg must be valid.
func New(cfg Config, d Deps) *Uploads {
	f := promauto.With(d.Metrics)
	multi, _ := d.Blobs.(blob.Multipart)
	stage := newStage(cfg.StageDir, multi != nil)
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "hawser_upload_staged_bytes", Help: "Bytes of uploads that wait on this node's disk to become parts, of those in hand."}, stage.total)
	return &Uploads{cfg: cfg, Deps: d, now: time.Now, multi: multi, locks: newLocks(), devices: newLocks(), stage: stage, checking: map[int64]*check{},
		checks: make(chan *check, maxChecks), asked: make(chan asked, maxAsked),
		sessions: f.NewCounterVec(prometheus.CounterOpts{Name: "hawser_upload_sessions_total", Help: "Uploads in parts, by what became of them."}, []string{"result"}),
		pieced:   f.NewCounterVec(prometheus.CounterOpts{Name: "hawser_upload_pieces_bytes_total", Help: "Bytes of parts that came through the hub, by way."}, []string{"way"}),
		coming:   f.NewGauge(prometheus.GaugeOpts{Name: "hawser_upload_sessions_open", Help: "Uploads in parts that go on, counted every ten minutes."}),
		received: f.NewCounterVec(prometheus.CounterOpts{Name: "hawser_upload_files_total", Help: "Files that devices sent, by what became of them."}, []string{"result"}),
		bytes:    f.NewCounter(prometheus.CounterOpts{Name: "hawser_upload_bytes_total", Help: "Bytes of the files that arrived whole."})}
}

// File is a file of a device that is there whole, or one that it may still send.
type File struct {
	ID          int64
	Device      int64  // id
	DeviceSN    string // in what Search returns
	Product     string
	Name        string // as the device called it
	Size        int64
	MD5         string // lower-case hex; "" of a file that came in parts
	SHA256      string // lower-case hex; "" of a file that came by one PUT
	Class       string // what the device says it is, "" if nothing
	ContentType string
	Received    time.Time // zero: it is not there yet
	Expires     time.Time // zero: never
}

// Blob is the name under which the file lies in the blob store.
func (f *File) Blob() string { return fmt.Sprintf("device-file/%s/%d", f.Product, f.ID) }

// maxName is the longest name that is taken, in bytes. Devices name whole paths.
const maxName = 512

// goodName tells whether a name can be shown and stored: text without control characters.
func goodName(name string) bool {
	return name != "" && len(name) <= maxName && !strings.ContainsFunc(name, message.HiddenRune)
}

// refuse counts what is refused.
func (u *Uploads) refuse(code message.Code, reason string) error {
	u.received.WithLabelValues("refused").Inc()
	return uplink.Refuse(code, reason)
}
