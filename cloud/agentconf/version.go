package agentconf

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// Target is what a configuration is for: exactly one of the fields is set.
type Target struct {
	Device  int64
	Group   int64
	Product string
}

// name is what a version is called: device/3, group/17/2, product/5.
func (t Target) name(revision int64) string {
	switch {
	case t.Device != 0:
		return fmt.Sprintf("device/%d", revision)
	case t.Group != 0:
		return fmt.Sprintf("group/%d/%d", t.Group, revision)
	}
	return fmt.Sprintf("product/%d", revision)
}

// Version is one of a configuration. Its Document is masked, and empty in lists and when it was taken away.
type Version struct {
	Name     string // as agents call it
	Revision int64
	Document string
	Gone     bool // it was taken away
	Note, By string
	At       time.Time

	id     int64
	sealed []byte
	target Target
}

// Change is what a configuration is changed to: a Document, or that of an earlier version (Restore).
type Change struct {
	Document string
	Restore  int64
	Note, By string
	// IfRevision, when not nil, must be the configuration's revision, else the answer is ErrRevision.
	IfRevision *int64
}

const columns = `id, device, grp, product, revision, document, note, changed_by, changed_at`

type scanner interface{ Scan(dest ...any) error }

func scan(row scanner) (*Version, error) {
	v, at := &Version{}, int64(0)
	if err := row.Scan(&v.id, &v.target.Device, &v.target.Group, &v.target.Product, &v.Revision, &v.sealed, &v.Note, &v.By, &at); err != nil {
		return nil, err
	}
	v.Name, v.At, v.Gone = v.target.name(v.Revision), time.UnixMilli(at).UTC(), len(v.sealed) == 0
	return v, nil
}

const ofTarget = ` FROM agent_config WHERE device = ? AND grp = ? AND product = ?`

func (t Target) args(more ...any) []any { return append([]any{t.Device, t.Group, t.Product}, more...) }

type querier interface {
	QueryRow(ctx context.Context, q string, args ...any) *store.Row
}

// newest is the last version, nil when there was never one.
func newest(ctx context.Context, on querier, t Target) (*Version, error) {
	v, err := scan(on.QueryRow(ctx, `SELECT `+columns+ofTarget+` ORDER BY revision DESC LIMIT 1`, t.args()...))
	if errors.Is(err, store.ErrNoRows) {
		return nil, nil //nolint:nilnil // there is none
	}
	return v, err
}

func version(ctx context.Context, on querier, t Target, revision int64) (*Version, error) {
	v, err := scan(on.QueryRow(ctx, `SELECT `+columns+ofTarget+` AND revision = ?`, t.args(revision)...))
	if errors.Is(err, store.ErrNoRows) {
		return nil, ErrVersionNotFound
	}
	return v, err
}

// open unseals a version's document.
func (c *Configs) open(v *Version) ([]byte, error) {
	if v.Gone {
		return nil, nil
	}
	return c.Store.Unseal(store.AgentConfig, v.id, v.sealed)
}

// show is a version as it goes out of here.
func (c *Configs) show(v *Version) (*Version, error) {
	b, err := c.open(v)
	if err == nil {
		v.Document, err = masked(b)
	}
	return v, err
}

// Get is a target's configuration; revision 0 is the newest one.
func (c *Configs) Get(ctx context.Context, t Target, revision int64) (v *Version, err error) {
	if revision > 0 {
		v, err = version(ctx, c.Store, t, revision)
	} else if v, err = newest(ctx, c.Store, t); err == nil && (v == nil || v.Gone) {
		return nil, ErrNotFound
	}
	if err == nil {
		v, err = c.show(v)
	}
	if err != nil {
		return nil, fmt.Errorf("agentconf: read: %w", err)
	}
	return v, nil
}

// Versions lists the newest versions, without their documents.
func (c *Configs) Versions(ctx context.Context, t Target) (list []*Version, err error) {
	rows, err := c.Store.Query(ctx, `SELECT `+columns+ofTarget+` ORDER BY revision DESC LIMIT ?`, t.args(MaxVersions)...)
	if err != nil {
		return nil, fmt.Errorf("agentconf: list: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	list = []*Version{}
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("agentconf: list: %w", err)
		}
		list = append(list, v)
	}
	return list, nil
}

// Set makes a new version.
func (c *Configs) Set(ctx context.Context, t Target, ch Change) (*Version, error) {
	if len(ch.Note) > MaxNote {
		return nil, &InvalidError{"note", fmt.Sprintf("is longer than %d bytes", MaxNote)}
	}
	if ch.Restore == 0 {
		if err := check(ch.Document); err != nil {
			return nil, err
		}
	}
	v, err := c.store(ctx, t, ch)
	if err != nil {
		return nil, err
	}
	return c.show(v)
}

// Remove takes a configuration away; its versions are kept. Agents go on with what they have.
func (c *Configs) Remove(ctx context.Context, t Target, by string, only *int64) error {
	_, err := c.store(ctx, t, Change{By: by, IfRevision: only})
	return err
}

// store makes a change the newest version; one without document takes the configuration away.
func (c *Configs) store(ctx context.Context, t Target, ch Change) (*Version, error) {
	next := &Version{id: int64(c.IDs.Next()), target: t, Note: ch.Note, By: ch.By, At: c.Now().UTC().Truncate(time.Millisecond)}
	for {
		err := c.change(ctx, t, ch, next)
		switch {
		case store.IsUnique(err): // another change was a moment earlier; this one is judged by what that has left
			continue
		case err != nil:
			return nil, fmt.Errorf("agentconf: change: %w", err)
		}
		next.Name, next.Gone = t.name(next.Revision), len(next.sealed) == 0
		return next, nil
	}
}

// change makes next the newest version in one transaction. Of two at a time the second meets the unique index.
func (c *Configs) change(ctx context.Context, t Target, ch Change, next *Version) error {
	return c.Store.Update(ctx, func(tx *store.Tx) error {
		last, err := newest(ctx, tx, t)
		if err != nil {
			return err
		}
		there := last != nil && !last.Gone
		document := []byte(ch.Document)
		switch {
		case ch.IfRevision != nil && (!there || *ch.IfRevision != last.Revision):
			return ErrRevision
		case ch.Restore > 0:
			old, err := version(ctx, tx, t, ch.Restore)
			if err == nil && old.Gone {
				err = ErrVersionNotFound
			}
			if err != nil {
				return err
			}
			if document, err = c.open(old); err != nil {
				return err
			}
		case ch.Document == "" && !there:
			return ErrNotFound
		}
		next.Revision, next.sealed = 1, []byte{}
		if last != nil {
			next.Revision = last.Revision + 1
		}
		if len(document) > 0 {
			next.sealed = c.Store.Seal(store.AgentConfig, next.id, document)
		}
		_, err = tx.Exec(ctx, `INSERT INTO agent_config (`+columns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, next.id, t.Device, t.Group, t.Product, next.Revision,
			next.sealed, next.Note, next.By, next.At.UnixMilli())
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE`+ofTarget+` AND revision <= ?`, t.args(next.Revision-MaxVersions)...)
		return err
	})
}
