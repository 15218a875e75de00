// Package job runs long work: an import of a hundred thousand devices, a change of every device that a filter takes.
//
// A job is a row in the store, its work is done in steps by a Kind. What a step does, the outcome of each of its rows and
// the place where the next step begins are stored in one transaction: a hub that dies goes on where it was, and no row is
// done twice. Several nodes may run; a job is leased by one of them, and a node that lost its lease cannot store a step,
// because each of a job's claims has an epoch that its transactions compare. Rows that fail are counted by class and
// listed in the result; they do not end the job.
//
// It leaves to the kinds what the rows mean, and to its callers who may see and start what.
package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hawser-iot/hawser/cloud/store"
)

// Errors that callers branch on.
var (
	ErrNotFound = errors.New("job: no such job")
	// ErrUnknownKind is returned by Create.
	ErrUnknownKind = errors.New("job: no such kind of job")
	// ErrNotFinished is returned for the result of a job that still runs.
	ErrNotFinished = errors.New("job: the job has not ended yet: its result can be had when it has")
	// ErrFinished is returned by Cancel.
	ErrFinished = errors.New("job: the job has ended already")
	// ErrTooMany is returned by Create.
	ErrTooMany = errors.New("job: too many jobs wait: try again when some have ended")
	// ErrInputTooLarge is returned by Create.
	ErrInputTooLarge = errors.New("job: the file is too large: send it in parts")
	// ErrLost is returned by Save when another node has taken the job over, or it was deleted.
	ErrLost = errors.New("job: the lease was lost")
)

// State is where a job is in its life. The numbers are stored.
type State uint8

// The states of a job.
const (
	Uploading State = 0 // its input is still coming in
	Queued    State = 1
	Running   State = 2
	Done      State = 3 // every row was looked at
	Failed    State = 4 // it could not go on; Job.Error says why
	Cancelled State = 5
)

var stateNames = [...]string{"uploading", "queued", "running", "done", "failed", "cancelled"}

func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// Ended tells whether nothing will happen any longer.
func (s State) Ended() bool { return s >= Done }

// Job is a snapshot.
type Job struct {
	ID, Kind, Project string
	Product           string // ProductSN when it is about one product
	Owner             string // who started it
	Spec              json.RawMessage
	DryRun            bool // nothing is changed, only the result says what would be
	State             State
	Total             int64 // rows; -1 while nobody knows
	Succeeded, Failed int64 // rows done
	Errors            map[string]int64
	Error             string // why it failed
	Cancelling        bool   // somebody wants it to end
	Node              string
	Busy              time.Duration // how long it was worked on
	// The zero time means not yet.
	Created, Started, Updated, Finished time.Time

	place  string
	epoch  int64
	tries  int64
	chunks int64
}

// Done is the number of rows that were looked at.
func (j *Job) Done() int64 { return j.Succeeded + j.Failed }

// Rate is rows a second while it was worked on, 0 when that is not known yet.
func (j *Job) Rate() float64 {
	if j.Busy <= 0 {
		return 0
	}
	return float64(j.Done()) / j.Busy.Seconds()
}

// Remaining is how long the rest will take at that rate; false when nobody knows.
func (j *Job) Remaining() (time.Duration, bool) {
	rate := j.Rate()
	if j.State != Running || j.Total < 0 || rate == 0 {
		return 0, false
	}
	return time.Duration(float64(max(j.Total-j.Done(), 0)) / rate * float64(time.Second)), true
}

// Row is the outcome of one row of the work.
type Row struct {
	Code  string   // "" is success; else the stable class of the error
	Cells []string // as Kind.Columns names them
}

// Batch is the outcome of one step.
type Batch struct {
	Place string // where the next step begins
	Total int64  // what is known of the number of rows; 0 leaves it
	Rows  []Row
}

// Save stores the outcome of a step in the transaction that does the step's work. A transaction may be run again, and
// Save with it; what the last run saved counts. An error must end the transaction.
type Save func(ctx context.Context, tx *store.Tx, b Batch) error

// Column is one of the result.
type Column struct {
	Name   string
	Secret bool // left out for those who may not see secrets
}

// Task is a job as its kind sees it.
type Task struct {
	ID, Project, Product, Owner string
	Spec                        json.RawMessage
	DryRun                      bool
	Place                       string // what the last saved Batch said; "" at the beginning
	Total                       int64
	jobs                        *Jobs
}

// Kind is one sort of long work.
type Kind interface {
	// Columns names the cells of the result's rows; they never change for a job.
	Columns() []Column
	// Open prepares the work from t.Place on. It is called at the beginning and whenever the job goes on after a restart
	// or a failure of the store. A *Fatal error or any other ends the job as Failed; a temporary one of the store does not.
	Open(ctx context.Context, t *Task) (Runner, error)
}

// Runner does a job's rows.
type Runner interface {
	// Step does some rows, a second's worth at most, and calls save once in the transaction that does them. It returns
	// io.EOF, without a call of save, when there are no more rows.
	Step(ctx context.Context, save Save) error
}

// Config bounds the jobs.
type Config struct {
	Node    string        // this hub's name among others
	Workers int           // jobs that this node runs at a time
	Poll    time.Duration // how often this node looks for jobs of others
	Lease   time.Duration // how long a job is this node's after its last sign of life
	Waiting int           // jobs that may wait; more are refused
	// MaxInput is the largest upload in bytes.
	MaxInput int64
	// Keep and KeepCount bound for how long and how many ended jobs are kept.
	Keep      time.Duration
	KeepCount int
}

// DefaultConfig runs two jobs at a time and keeps the last 500 that ended for 30 days.
func DefaultConfig() Config {
	return Config{Workers: 2, Poll: 2 * time.Second, Lease: 30 * time.Second, Waiting: 200, MaxInput: 256 << 20,
		Keep: 30 * 24 * time.Hour, KeepCount: 500}
}

// Deps are what jobs stand on.
type Deps struct {
	Store   *store.DB
	Kinds   map[string]Kind
	Log     *slog.Logger
	Metrics prometheus.Registerer // may be nil
}

// Jobs is safe for concurrent use.
type Jobs struct {
	cfg Config
	Deps
	metrics *metrics
	now     func() time.Time
	wake    chan struct{} // holds one when a job may be there to claim
}

// New returns Jobs; it starts nothing.
func New(cfg Config, deps Deps) *Jobs {
	return &Jobs{cfg: cfg, Deps: deps, metrics: newMetrics(deps.Metrics), now: time.Now, wake: make(chan struct{}, 1)}
}

// Fatal is an error of a kind whose text is fit for whoever started the job.
type Fatal struct{ Reason string }

func (e *Fatal) Error() string { return "job: " + e.Reason }
