package connector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/store"
)

// NewConnector is what Create needs.
type NewConnector struct {
	Project           string // "" is registry.DefaultProject
	Name, Description string
	Kind              string
	Config            json.RawMessage // with its secrets
}

// Change changes the fields of a connector that are not nil. A Config without a secret member keeps the secret; null takes it away.
type Change struct {
	Name, Description *string
	Config            json.RawMessage
	// IfRevision, when not nil, must be the connector's revision, else the answer is ErrRevision.
	IfRevision *int64
}

// Create makes a connector. It connects nowhere.
func (c *Connectors) Create(ctx context.Context, n NewConnector) (*Connector, error) {
	if n.Project == "" {
		n.Project = registry.DefaultProject
	}
	m, err := readMembers(n.Config)
	if err != nil {
		return nil, err
	}
	m.keep(nil, c.Deps.Kinds[n.Kind].Secrets)
	if err := c.check(n.Name, n.Description, n.Kind, m); err != nil {
		return nil, err
	}
	now := c.now().UTC().Truncate(time.Millisecond)
	row := &Connector{ID: int64(c.IDs.Next()), Project: n.Project, Name: n.Name, Description: n.Description, Kind: n.Kind, Revision: 1, Created: now, Updated: now}
	row.sealed = c.Store.Seal(store.ConnectorConfig, row.ID, m.encode())
	err = c.Store.Update(ctx, func(tx *store.Tx) error {
		var have int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM connector WHERE project = ?`, row.Project).Scan(&have); err != nil {
			return err
		}
		if have >= c.cfg.MaxPerProject {
			return ErrTooMany
		}
		_, err := tx.Exec(ctx, `INSERT INTO connector (`+columns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, row.ID, row.Project, row.Name, row.Description,
			row.Kind, row.sealed, row.Revision, now.UnixMilli(), now.UnixMilli())
		return err
	})
	return c.made(row, err)
}

// Update changes a connector; what is sent from now on goes where it says now.
func (c *Connectors) Update(ctx context.Context, id int64, ch Change) (*Connector, error) {
	var row *Connector
	err := c.Store.Update(ctx, func(tx *store.Tx) (err error) {
		// Whoever else changes it, or makes a rule that uses it, waits here.
		if err := hold(ctx, tx, id); err != nil {
			return err
		}
		if row, err = scan(tx.QueryRow(ctx, `SELECT `+columns+` FROM connector WHERE id = ?`, id)); err != nil {
			return err
		}
		if ch.IfRevision != nil && *ch.IfRevision != row.Revision {
			return fmt.Errorf("%w: it is %d, not %d", ErrRevision, row.Revision, *ch.IfRevision)
		}
		if err := c.apply(row, ch); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE connector SET name = ?, description = ?, config = ?, revision = ?, updated_at = ? WHERE id = ?`,
			row.Name, row.Description, row.sealed, row.Revision, row.Updated.UnixMilli(), id)
		return err
	})
	return c.made(row, err)
}

// apply makes row what a change wants it to be.
func (c *Connectors) apply(row *Connector, ch Change) error {
	if ch.Name != nil {
		row.Name = *ch.Name
	}
	if ch.Description != nil {
		row.Description = *ch.Description
	}
	m, err := c.merged(row, ch.Config)
	if err != nil {
		return err
	}
	if err := c.check(row.Name, row.Description, row.Kind, m); err != nil {
		return err
	}
	row.sealed = c.Store.Seal(store.ConnectorConfig, row.ID, m.encode())
	row.Revision, row.Updated = row.Revision+1, c.now().UTC().Truncate(time.Millisecond)
	return nil
}

// merged is the configuration of row with what config, unless it is nil, makes of it.
func (c *Connectors) merged(row *Connector, config json.RawMessage) (members, error) {
	stored, err := c.unseal(row)
	if err != nil {
		return nil, err
	}
	old, err := readMembers(stored)
	if err != nil || config == nil {
		return old, err
	}
	m, err := readMembers(config)
	if err != nil {
		return nil, err
	}
	kind := c.Deps.Kinds[row.Kind]
	if err := m.keepsTo(old, kind); err != nil {
		return nil, err
	}
	m.keep(old, kind.Secrets)
	return m, nil
}

// made puts a connector that was stored in force.
func (c *Connectors) made(row *Connector, err error) (*Connector, error) {
	switch {
	case store.IsUnique(err):
		return nil, ErrExists
	case err != nil:
		return nil, err
	}
	if err := c.show(row); err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.putLocked(row)
	c.mu.Unlock()
	c.tell(row.ID)
	return row, nil
}

func (c *Connectors) tell(id int64) {
	if c.Changed != nil {
		c.Changed(id)
	}
}

// Delete deletes a connector that no rule uses.
func (c *Connectors) Delete(ctx context.Context, id int64) error {
	err := c.Store.Update(ctx, func(tx *store.Tx) error {
		if err := hold(ctx, tx, id); err != nil {
			return err
		}
		names, err := c.Users(ctx, tx, id)
		if err != nil {
			return err
		}
		if len(names) > 0 {
			return fmt.Errorf("%w: %s", ErrInUse, strings.Join(names, ", "))
		}
		_, err = tx.Exec(ctx, `DELETE FROM connector WHERE id = ?`, id)
		return err
	})
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.dropLocked(id)
	c.mu.Unlock()
	c.tell(id)
	return nil
}

// Hold implements rules.Connectors.
func (*Connectors) Hold(ctx context.Context, tx *store.Tx, id int64) error { return hold(ctx, tx, id) }

// hold makes sure, within a transaction, that a connector is there and stays until its end.
func hold(ctx context.Context, tx *store.Tx, id int64) error {
	res, err := tx.Exec(ctx, `UPDATE connector SET revision = revision WHERE id = ?`, id)
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}

// Get returns a connector as it is stored.
func (c *Connectors) Get(ctx context.Context, id int64) (*Connector, error) {
	row, err := scan(c.Store.QueryRow(ctx, `SELECT `+columns+` FROM connector WHERE id = ?`, id))
	switch {
	case errors.Is(err, store.ErrNoRows):
		return nil, ErrNotFound
	case err != nil:
		return nil, fmt.Errorf("connector: read: %w", err)
	}
	return row, c.show(row)
}

// List returns up to limit connectors of a project ("": of all) that are younger than the one after (0: from the oldest), oldest first.
func (c *Connectors) List(ctx context.Context, project string, after int64, limit int) ([]*Connector, error) {
	list, err := readAll(ctx, c.Store, `WHERE id > ? AND (? = '' OR project = ?) ORDER BY id LIMIT ?`, after, project, project, limit)
	if err != nil {
		return nil, err
	}
	for _, row := range list {
		if err := c.show(row); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Apply is told that another node has changed a connector.
func (c *Connectors) Apply(ctx context.Context, id int64) error {
	row, err := c.Get(ctx, id)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if row == nil || err != nil {
		c.dropLocked(id)
	} else if !c.closed {
		c.putLocked(row)
	}
	return nil
}

// refresh makes what is in memory what is stored.
func (c *Connectors) refresh(ctx context.Context) error {
	c.mu.Lock()
	gone := make(map[int64]bool, len(c.all))
	for id := range c.all {
		gone[id] = true // unless it is found
	}
	c.mu.Unlock()
	list, err := readAll(ctx, c.Store, `ORDER BY id`)
	if err != nil {
		return err
	}
	for _, row := range list {
		if err := c.show(row); err != nil { // what uses it waits
			c.Log.Error("stored connector cannot be read", "connector", row.Name, "err", err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, row := range list {
		delete(gone, row.ID)
		if !c.closed {
			c.putLocked(row)
		}
	}
	for id := range gone { // what was made meanwhile is not in it
		c.dropLocked(id)
	}
	return nil
}

// TestResult is what a Test found out.
type TestResult struct {
	OK   bool
	Took time.Duration
	Err  error // why it is not
}

// Test goes to the target of a configuration and back, and saves nothing. The error is one of the configuration; what the target or
// the way to it say is in the result.
func (c *Connectors) Test(ctx context.Context, kind string, config json.RawMessage) (TestResult, error) {
	m, err := readMembers(config)
	if err != nil {
		return TestResult{}, err
	}
	m.keep(nil, c.Deps.Kinds[kind].Secrets)
	return c.test(ctx, kind, m)
}

// TestStored is Test for a stored connector, or for what a change of its configuration would make of it.
func (c *Connectors) TestStored(ctx context.Context, id int64, config json.RawMessage) (TestResult, error) {
	row, err := c.Get(ctx, id)
	if err != nil {
		return TestResult{}, err
	}
	m, err := c.merged(row, config)
	if err != nil {
		return TestResult{}, err
	}
	return c.test(ctx, row.Kind, m)
}

func (c *Connectors) test(ctx context.Context, kind string, m members) (TestResult, error) {
	conn, err := c.try(kind, m)
	if err != nil {
		return TestResult{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.TestTimeout)
	defer cancel()
	begun := time.Now()
	err = conn.Ping(ctx)
	took := time.Since(begun)
	if closeErr := conn.Close(); err == nil && closeErr != nil {
		c.Log.Warn("tested connection not closed", "kind", kind, "err", closeErr)
	}
	return TestResult{OK: err == nil, Took: took, Err: err}, nil
}

const columns = `id, project, name, description, kind, config, revision, created_at, updated_at`

// scanner is a row of either kind.
type scanner interface{ Scan(dest ...any) error }

func scan(row scanner) (*Connector, error) {
	var r Connector
	var created, updated int64
	err := row.Scan(&r.ID, &r.Project, &r.Name, &r.Description, &r.Kind, &r.sealed, &r.Revision, &created, &updated)
	r.sealed = slices.Clone(r.sealed)
	r.Created, r.Updated = time.UnixMilli(created).UTC(), time.UnixMilli(updated).UTC()
	return &r, err
}

func readAll(ctx context.Context, db *store.DB, where string, args ...any) (list []*Connector, err error) {
	rows, err := db.Query(ctx, `SELECT `+columns+` FROM connector `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("connector: read: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		row, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("connector: read: %w", err)
		}
		list = append(list, row)
	}
	return list, nil
}

var _ rules.Connectors = (*Connectors)(nil)
