package connector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/hawser-iot/hawser/cloud/rules"
)

// lookTimeout bounds a look into the store for a connector that a rule names and nobody here knows.
const lookTimeout = 5 * time.Second

// State is how a connector is doing on this node.
type State string

// The states.
const (
	Unused       State = "unused" // nothing has gone through it since it was made, changed or the hub started
	Connected    State = "connected"
	Disconnected State = "disconnected"
)

// Status is how a connector is doing on this node, by what was last sent through it.
type Status struct {
	State       State
	Since       time.Time
	LastError   string // of the last failure that was the target's, also when it is connected again
	LastErrorAt time.Time
}

// open is a connector in memory; one that is changed is replaced by another. Its fields are guarded by Connectors.mu.
type open struct {
	*Connector
	conn    rules.Connection // nil until somebody needs it
	users   int              // who are in it
	retired bool             // another has taken its place: it is closed when nobody is in it
	status  Status
}

// putLocked makes row the connector of its id, unless a later one is there already.
func (c *Connectors) putLocked(row *Connector) {
	old := c.all[row.ID]
	if old != nil {
		if old.Revision >= row.Revision {
			return
		}
		c.retireLocked(old)
	}
	c.all[row.ID] = &open{Connector: row, status: Status{State: Unused, Since: c.now().UTC()}}
}

func (c *Connectors) dropLocked(id int64) {
	if o := c.all[id]; o != nil {
		delete(c.all, id)
		c.retireLocked(o)
	}
}

// retireLocked has o closed when nobody is in it any more.
func (c *Connectors) retireLocked(o *open) {
	o.retired = true
	c.letGoLocked(o)
}

func (c *Connectors) letGoLocked(o *open) {
	if !o.retired || o.users > 0 || o.conn == nil {
		return
	}
	conn := o.conn
	o.conn = nil
	c.closing.Go(func() { // it may speak to its target once more
		if err := conn.Close(); err != nil {
			c.Log.Warn("connection not closed", "connector", o.Name, "kind", o.Kind, "err", err)
		}
	})
}

// Handle finds a connector of a project by its id, which must be of the kind; the error says what is wrong with it.
func (c *Connectors) Handle(project, kind, id string) (rules.Handle, error) {
	n, err := parseID(id)
	if err != nil {
		return nil, err
	}
	o := c.find(n)
	switch {
	case o == nil || o.Project != project:
		return nil, fmt.Errorf("there is no connector %s", id)
	case o.Kind != kind:
		return nil, fmt.Errorf("connector %s is of the kind %s, not %s", id, o.Kind, kind)
	}
	return &handle{c, n}, nil
}

// find looks in memory, and then in the store: another node may have made the connector a moment ago.
func (c *Connectors) find(id int64) *open {
	look := func() *open {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.all[id]
	}
	if o := look(); o != nil {
		return o
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	defer cancel()
	if err := c.Apply(ctx, id); err != nil {
		c.Log.Warn("connector not read", "id", id, "err", err)
	}
	return look()
}

// parseID reads an id as the API has it.
func parseID(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("connector: %q is no id of a connector", text)
	}
	return n, nil
}

// handle implements rules.Handle.
type handle struct {
	all *Connectors
	id  int64
}

var errGone = fmt.Errorf("%w: the connector is gone", rules.ErrUnavailable)

// Info implements rules.Handle.
func (h *handle) Info() (name string, config json.RawMessage) {
	h.all.mu.Lock()
	defer h.all.mu.Unlock()
	if o := h.all.all[h.id]; o != nil {
		return o.Name, o.Config
	}
	return "", nil
}

// Use implements rules.Handle.
func (h *handle) Use(f func(rules.Connection) error) error {
	o, conn, err := h.all.enter(h.id)
	if err != nil {
		return err
	}
	// Also when f panics: a connection that nobody leaves is never closed.
	err = errors.New("connector: the delivery has broken off")
	defer func() { h.all.leave(o, err) }()
	err = f(conn)
	return err
}

// enter opens a connector's connection, when nobody has yet, and keeps it open.
func (c *Connectors) enter(id int64) (*open, rules.Connection, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.all[id]
	if o == nil || c.closed {
		return nil, nil, errGone
	}
	if o.conn == nil {
		conn, err := c.openConnection(o.Connector)
		if err != nil {
			err = fmt.Errorf("%w: connector %s: %w", rules.ErrUnavailable, o.Name, err)
			o.noteLocked(c.now(), err)
			return nil, nil, err
		}
		o.conn = conn
	}
	o.users++
	return o, o.conn, nil
}

// openConnection makes the connection of a stored connector. It connects nowhere yet.
func (c *Connectors) openConnection(row *Connector) (rules.Connection, error) {
	kind, ok := c.Deps.Kinds[row.Kind]
	if !ok {
		return nil, fmt.Errorf("this hub has no connectors of the kind %q", row.Kind)
	}
	config, err := c.unseal(row)
	if err != nil {
		return nil, err
	}
	conn, err := kind.Open(config, c.Out)
	if errors.Is(err, rules.ErrPermanent) { // of the configuration, not of a record
		err = errors.New(err.Error())
	}
	return conn, err
}

func (c *Connectors) leave(o *open, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o.users--
	if o.noteLocked(c.now(), err) {
		c.Log.Info("connector has changed its state", "connector", o.Name, "kind", o.Kind, "state", string(o.status.State), "err", err)
	}
	c.letGoLocked(o)
}

// noteLocked notes how the connector is doing after something went through it: err, if it is the target's, means that it is not
// there. changed tells whether that is news.
func (o *open) noteLocked(now time.Time, err error) (changed bool) {
	state := Connected
	if errors.Is(err, rules.ErrUnavailable) {
		state = Disconnected
		o.status.LastError, o.status.LastErrorAt = err.Error(), now.UTC()
	}
	if o.status.State == state {
		return false
	}
	first := o.status.State == Unused && state == Connected
	o.status.State, o.status.Since = state, now.UTC()
	return !first
}

// Status is how a connector is doing on this node.
func (c *Connectors) Status(id int64) Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o := c.all[id]; o != nil {
		return o.status
	}
	return Status{State: Unused}
}
