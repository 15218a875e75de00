// Package connector keeps the addresses and credentials of what rules deliver to, apart from the rules, and the connections that are
// made of them.
//
// A connector is changed in one place and used by any number of actions of its project, which share one connection. It promises
// that its secrets lie sealed in the store and are never given back; that a change of it is in force at once, here and, by way of Changed,
// on other nodes, and within Config.Recheck where a node was not told; that a connection which was replaced is closed as soon as the
// deliveries that are in it have ended; and that a connector is not deleted while an action uses it.
//
// What a kind of connector is, is the driver packages' business (rules.ConnectorKind), and who may change one is the API's.
package connector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/message"
)

// Errors that callers branch on.
var (
	ErrNotFound = errors.New("connector: no such connector")
	// ErrExists is returned for a name that another connector of the project has.
	ErrExists = errors.New("connector: a connector of that name exists already in the project")
	// ErrRevision is returned for a change under the condition of a revision that has passed.
	ErrRevision = errors.New("connector: it has been changed in the meantime: read it again")
	// ErrInUse is wrapped by the error of a deletion while rules use the connector, which names them.
	ErrInUse = errors.New("connector: rules use it")
	// ErrTooMany is returned when a project has as many connectors as it may.
	ErrTooMany = errors.New("connector: the project has as many connectors as it may have: delete some")
)

// ErrInvalid is returned for a connector that cannot be used. Field is the name as the API has it.
type ErrInvalid struct {
	Field, Reason string
	Err           error
}

func (e *ErrInvalid) Error() string { return fmt.Sprintf("connector: %s: %s", e.Field, e.Reason) }

// Unwrap is the kind's own error.
func (e *ErrInvalid) Unwrap() error { return e.Err }

// Connector is an immutable snapshot, without its secrets.
type Connector struct {
	ID                int64
	Project           string
	Name, Description string
	Kind              string
	Config            json.RawMessage // an object without the secret members
	Secrets           []string        // the secret members that have a value, in order
	Revision          int64           // rises with each change
	Created, Updated  time.Time

	sealed []byte // the whole configuration as it is stored
}

// Config bounds connectors.
type Config struct {
	MaxPerProject int           // how many a project may have
	Recheck       time.Duration // how often a node looks for changes that it was not told of
	TestTimeout   time.Duration // of a Test
}

// DefaultConfig gives a project 200 connectors.
func DefaultConfig() Config {
	return Config{MaxPerProject: 200, Recheck: 15 * time.Second, TestTimeout: 15 * time.Second}
}

// Deps are what Connectors stand on.
type Deps struct {
	Store *store.DB
	IDs   *message.IDs
	Kinds map[string]rules.ConnectorKind
	Out   rules.Outbound
	// Users names, within a transaction, rules that use a connector, a few if there are many.
	Users func(ctx context.Context, tx *store.Tx, id int64) ([]string, error)
	// Changed is told of each change that is made here, for the other nodes to hear of it by Apply. It must not block; nil is alone.
	Changed func(id int64)
	Log     *slog.Logger
}

// Connectors is safe for concurrent use.
type Connectors struct {
	cfg Config
	Deps
	now func() time.Time

	closing sync.WaitGroup // connections that are being closed

	mu     sync.Mutex // guards the fields below, and those of open
	all    map[int64]*open
	closed bool
}

// New returns the connectors of d.Store.
func New(ctx context.Context, cfg Config, d Deps) (*Connectors, error) {
	c := &Connectors{cfg: cfg, Deps: d, now: time.Now, all: make(map[int64]*open)}
	return c, c.refresh(ctx)
}

// Kinds lists the names of the kinds that there are, in order.
func (c *Connectors) Kinds() []string { return slices.Sorted(maps.Keys(c.Deps.Kinds)) }

// Run looks for changes that this node was not told of until ctx ends.
func (c *Connectors) Run(ctx context.Context) error {
	ticker := time.NewTicker(c.cfg.Recheck)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := c.refresh(ctx); err != nil && ctx.Err() == nil {
			c.Log.Warn("connectors not looked at, trying again", "err", err)
		}
	}
}

// Close closes all connections, each as soon as nobody is in it, and waits for that. Nothing can be used afterwards.
func (c *Connectors) Close() error {
	c.mu.Lock()
	c.closed = true
	for _, o := range c.all {
		c.retireLocked(o)
	}
	c.mu.Unlock()
	c.closing.Wait()
	return nil
}
