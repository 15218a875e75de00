package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry/filter"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// Limits of groups.
const (
	MaxGroups      = 1000 // a project
	MaxGroupChange = 1000 // members that one call adds or takes away
)

// Group is a snapshot of a set of devices that has a name: of explicit members or, with a Filter, of whatever that takes.
type Group struct {
	ID                         int64
	Project, Name, Description string
	Filter                     string
	Revision                   int64
	Created, Updated           time.Time
}

// NewGroup is what CreateGroup needs.
type NewGroup struct{ Project, Name, Description, Filter string }

// GroupUpdate changes the fields that are not nil. A group of members cannot become one of a filter, nor the reverse.
type GroupUpdate struct {
	Name, Description, Filter *string
	// IfRevision, when not nil, must be the group's revision, else the answer is ErrRevision.
	IfRevision *int64
}

const groupColumns = `id, project, name, description, filter, revision, created_at, updated_at`

// reader is the store or a transaction.
type reader interface {
	QueryRow(ctx context.Context, q string, args ...any) *store.Row
}

func readGroup(ctx context.Context, on reader, project, name string) (*Group, error) {
	g, err := scanGroup(on.QueryRow(ctx, `SELECT `+groupColumns+` FROM device_group WHERE project = ? AND name = ?`, project, name))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrGroupNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("registry: read group %s: %w", name, err)
	}
	return g, nil
}

func scanGroup(row scanner) (*Group, error) {
	var g Group
	var created, updated int64
	if err := row.Scan(&g.ID, &g.Project, &g.Name, &g.Description, &g.Filter, &g.Revision, &created, &updated); err != nil {
		return nil, err
	}
	g.Created, g.Updated = fromMillis(created), fromMillis(updated)
	return &g, nil
}

// Group returns a project's group of that name.
func (r *Registry) Group(ctx context.Context, project, name string) (*Group, error) {
	return readGroup(ctx, r.db, project, name)
}

// ReadGroups returns the groups with these ids, in no order; what is gone is left out.
func (r *Registry) ReadGroups(ctx context.Context, ids []int64) (list []*Group, err error) {
	in, args := inList(ids)
	rows, err := r.db.Query(ctx, `SELECT `+groupColumns+` FROM device_group WHERE id IN (`+in+`)`, args...)
	if err == nil {
		list, err = collect(rows, scanGroup)
	}
	if err != nil {
		return nil, fmt.Errorf("registry: read groups: %w", err)
	}
	return list, nil
}

// goodGroup is what a group may be called: what a filter takes without quotes.
func goodGroup(name string) error {
	if !filter.GoodTag(name) {
		return &ErrInvalid{"name", "must have 1 to 64 letters, digits, _ . or -"}
	}
	return nil
}

// checkFilter holds a group's filter against the language, and against the groups that it must not name.
func (r *Registry) checkFilter(ctx context.Context, project, text string) error {
	x, err := filter.Parse(text)
	if err != nil || x == nil {
		return err
	}
	e := &expander{db: r.db, project: project, now: r.now(), inGroup: true}
	_, err = e.expand(ctx, x, false)
	return err
}

// CreateGroup makes a group; a name that is taken makes it ErrGroupExists.
func (r *Registry) CreateGroup(ctx context.Context, n NewGroup) (g *Group, err error) {
	defer r.judged(&err)
	if err := goodGroup(n.Name); err != nil {
		return nil, err
	}
	if err := checkText("description", n.Description, 0, MaxDescription); err != nil {
		return nil, err
	}
	if err := r.checkFilter(ctx, n.Project, n.Filter); err != nil {
		return nil, err
	}
	now := millis(r.now())
	err = r.db.Update(ctx, func(tx *store.Tx) error {
		var count int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM device_group WHERE project = ?`, n.Project).Scan(&count); err != nil {
			return err
		}
		if count >= MaxGroups {
			return &LimitError{"groups of a project", MaxGroups}
		}
		_, err := tx.Exec(ctx, `INSERT INTO device_group (`+groupColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			r.ids.take(1), n.Project, n.Name, n.Description, n.Filter, 1, now, now)
		return err
	})
	if store.IsUnique(err) {
		return nil, ErrGroupExists
	}
	if err != nil {
		return nil, fmt.Errorf("registry: create group %s: %w", n.Name, err)
	}
	return r.Group(ctx, n.Project, n.Name)
}

// UpdateGroup changes what u names.
func (r *Registry) UpdateGroup(ctx context.Context, project, name string, u GroupUpdate) (g *Group, err error) {
	defer r.judged(&err)
	var set setList
	if u.Name != nil {
		if err := goodGroup(*u.Name); err != nil {
			return nil, err
		}
		set.add("name", *u.Name)
	}
	if u.Description != nil {
		if err := checkText("description", *u.Description, 0, MaxDescription); err != nil {
			return nil, err
		}
		set.add("description", *u.Description)
	}
	if u.Filter != nil {
		if err := r.checkFilter(ctx, project, *u.Filter); err != nil {
			return nil, err
		}
		set.add("filter", *u.Filter)
	}
	var id int64
	err = r.db.Update(ctx, func(tx *store.Tx) error {
		g, err := readGroup(ctx, tx, project, name)
		if err != nil {
			return err
		}
		if u.Filter != nil && (*u.Filter == "") != (g.Filter == "") {
			return &ErrInvalid{"filter", "a group of members does not become one of a filter, nor the reverse: make another"}
		}
		id = g.ID
		if err := checkRevision(ctx, tx, u.IfRevision, ErrGroupNotFound, `device_group WHERE id = ?`, id); err != nil {
			return err
		}
		return set.exec(ctx, tx, `device_group`, `id`, id, ErrGroupNotFound, r.now())
	})
	if store.IsUnique(err) {
		return nil, ErrGroupExists
	}
	if err != nil {
		return nil, fmt.Errorf("registry: group %s: %w", name, err)
	}
	if u.Name != nil {
		name = *u.Name
	}
	return r.Group(ctx, project, name)
}

// DeleteGroup deletes a group, not its devices.
func (r *Registry) DeleteGroup(ctx context.Context, project, name string) error {
	err := r.db.Update(ctx, func(tx *store.Tx) error {
		g, err := readGroup(ctx, tx, project, name)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM device_group_member WHERE grp = ?`, g.ID); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM agent_config WHERE grp = ?`, g.ID); err != nil {
			return err
		}
		return execOne(ctx, tx, ErrGroupNotFound, `DELETE FROM device_group WHERE id = ?`, g.ID)
	})
	if err != nil {
		return fmt.Errorf("registry: delete group %s: %w", name, err)
	}
	return nil
}

// AddMembers puts devices into a group of members: all or, on an error, none. Those that are in it already stay. It
// returns how many are new.
func (r *Registry) AddMembers(ctx context.Context, project, name string, devices []ident.Device) (int, error) {
	return r.changeMembers(ctx, project, name, devices, func(ctx context.Context, tx *store.Tx, group, device int64) (int64, error) {
		res, err := tx.Exec(ctx, `INSERT INTO device_group_member (grp, device) VALUES (?, ?) ON CONFLICT DO NOTHING`, group, device)
		if err != nil {
			return 0, err
		}
		return res.RowsAffected()
	})
}

// RemoveMembers takes devices out of a group of members; those that are not in it are passed over. It returns how many were.
func (r *Registry) RemoveMembers(ctx context.Context, project, name string, devices []ident.Device) (int, error) {
	return r.changeMembers(ctx, project, name, devices, func(ctx context.Context, tx *store.Tx, group, device int64) (int64, error) {
		res, err := tx.Exec(ctx, `DELETE FROM device_group_member WHERE grp = ? AND device = ?`, group, device)
		if err != nil {
			return 0, err
		}
		return res.RowsAffected()
	})
}

func (r *Registry) changeMembers(ctx context.Context, project, name string, devices []ident.Device,
	change func(ctx context.Context, tx *store.Tx, group, device int64) (int64, error)) (int, error) {
	if len(devices) > MaxGroupChange {
		return 0, &LimitError{"devices in one call", MaxGroupChange}
	}
	var n int64
	err := r.db.Update(ctx, func(tx *store.Tx) error {
		n = 0
		g, err := readGroup(ctx, tx, project, name)
		if err != nil {
			return err
		}
		if g.Filter != "" {
			return ErrGroupByFilter
		}
		for _, d := range devices {
			var id int64
			err := tx.QueryRow(ctx, `SELECT id FROM device WHERE product = ? AND sn = ? AND project = ?`, d.Product, d.SN, project).Scan(&id)
			if errors.Is(err, sql.ErrNoRows) {
				return fmt.Errorf("%s: %w", d, ErrDeviceNotFound)
			}
			if err != nil {
				return err
			}
			changed, err := change(ctx, tx, g.ID, id)
			if err != nil {
				return err
			}
			n += changed
		}
		if n == 0 {
			return nil
		}
		var set setList
		return set.exec(ctx, tx, `device_group`, `id`, g.ID, ErrGroupNotFound, r.now())
	})
	if err != nil {
		return 0, fmt.Errorf("registry: members of group %s: %w", name, err)
	}
	return int(n), nil
}
