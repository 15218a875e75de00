package rules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/rulesql"
)

// Create makes a rule and, when it is enabled, puts it in force.
func (r *Rules) Create(ctx context.Context, n NewRule) (*Rule, error) {
	now := r.now().UTC().Truncate(time.Millisecond)
	if n.Project == "" {
		n.Project = registry.DefaultProject
	}
	rule := Rule{ID: int64(r.Deps.IDs.Next()), Project: n.Project, Name: n.Name, Description: n.Description, SQL: n.SQL, DataType: n.DataType, Dialect: n.Dialect, Enabled: n.Enabled,
		Revision: 1, Actions: n.Actions, ErrorAction: n.ErrorAction, Created: now, Updated: now}
	if rule.DataType == "" {
		rule.DataType = JSON
	}
	if rule.Dialect == 0 {
		rule.Dialect = rulesql.Full
	}
	rule.ownParts(nil, r.nextID)
	return r.replace(ctx, rule, nil, func(tx *store.Tx) (int64, error) {
		if r.Deps.Quota != nil {
			if err := r.Deps.Quota(ctx, tx, rule.Project, 1); err != nil {
				return 0, err
			}
		}
		_, err := tx.Exec(ctx, `INSERT INTO rule (id, project, name, description, sql, enabled, dialect, data_type, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			rule.ID, rule.Project, rule.Name, rule.Description, rule.SQL, rule.Enabled, int64(rule.Dialect), string(rule.DataType), now.UnixMilli(), now.UnixMilli())
		return rule.Revision, err
	})
}

// Update changes a rule, also while it is enabled.
func (r *Rules) Update(ctx context.Context, id int64, c Change) (*Rule, error) {
	r.changing.Lock()
	defer r.changing.Unlock()
	if err := r.syncLocked(ctx); err != nil {
		return nil, err
	}
	old := r.set.Load().rule(id)
	if old == nil {
		return nil, ErrNotFound
	}
	rule := old.Rule
	rule.Updated = r.now().UTC().Truncate(time.Millisecond)
	assign(&rule.Name, c.Name)
	assign(&rule.Description, c.Description)
	assign(&rule.SQL, c.SQL)
	assign(&rule.DataType, c.DataType)
	assign(&rule.Dialect, c.Dialect)
	assign(&rule.Enabled, c.Enabled)
	assign(&rule.Actions, c.Actions)
	assign(&rule.ErrorAction, c.ErrorAction)
	rule.ownParts(&old.Rule, r.nextID)
	return r.replaceLocked(ctx, rule, old, func(tx *store.Tx) (int64, error) { return write(ctx, tx, &rule, c.IfRevision) })
}

func (r *Rules) nextID() int64 { return int64(r.Deps.IDs.Next()) }

// write stores a changed rule, if it still has the revision that its caller has seen, and returns its new one.
func write(ctx context.Context, tx *store.Tx, rule *Rule, ifRevision *int64) (revision int64, err error) {
	if _, err := tx.Exec(ctx, `UPDATE rule SET name = ?, description = ?, sql = ?, dialect = ?, data_type = ?, enabled = ?, updated_at = ?, revision = revision + 1 WHERE id = ?`,
		rule.Name, rule.Description, rule.SQL, int64(rule.Dialect), string(rule.DataType), rule.Enabled, rule.Updated.UnixMilli(), rule.ID); err != nil {
		return 0, err
	}
	err = tx.QueryRow(ctx, `SELECT revision FROM rule WHERE id = ?`, rule.ID).Scan(&revision)
	switch {
	case errors.Is(err, store.ErrNoRows):
		return 0, ErrNotFound // another node has deleted it
	case err != nil:
		return 0, err
	case ifRevision != nil && *ifRevision != revision-1:
		return 0, fmt.Errorf("%w: it is %d, not %d", ErrRevision, revision-1, *ifRevision)
	}
	return revision, nil
}

// assign sets dst unless v is nil.
func assign[T any](dst *T, v *T) {
	if v != nil {
		*dst = *v
	}
}

// SetEnabled puts a rule in force or takes it out. What it has put out before is still delivered.
func (r *Rules) SetEnabled(ctx context.Context, id int64, enabled bool) (*Rule, error) {
	return r.Update(ctx, id, Change{Enabled: &enabled})
}

func (r *Rules) replace(ctx context.Context, rule Rule, old *compiled, write func(*store.Tx) (revision int64, err error)) (*Rule, error) {
	r.changing.Lock()
	defer r.changing.Unlock()
	return r.replaceLocked(ctx, rule, old, write)
}

// replaceLocked checks and stores a rule and puts it in the place of old.
func (r *Rules) replaceLocked(ctx context.Context, rule Rule, old *compiled, write func(*store.Tx) (revision int64, err error)) (*Rule, error) {
	c, services, err := r.compile(rule, old)
	if err != nil {
		return nil, err
	}
	err = r.Deps.Store.Update(ctx, func(tx *store.Tx) (err error) {
		if c.Revision, err = write(tx); err != nil {
			return err
		}
		if err := r.storeActions(ctx, tx, &rule); err != nil {
			return err
		}
		return bumpVersion(ctx, tx)
	})
	if store.IsUnique(err) {
		return nil, ErrExists
	}
	if err != nil {
		return nil, fmt.Errorf("rules: store rule %s: %w", rule.Name, err)
	}
	i := 0
	for a := range c.all() {
		r.retire(a, a.use(services[i]))
		i++
	}
	r.set.Store(r.set.Load().with(rule.ID, c))
	r.endActions(ctx, old, c)
	r.announce()
	return &c.Rule, nil
}

// storeActions replaces the actions of a rule. The dead letters of those that go, go with them.
func (r *Rules) storeActions(ctx context.Context, tx *store.Tx, rule *Rule) error {
	q, args := `DELETE FROM dead_letter WHERE action IN (SELECT id FROM rule_action WHERE rule = ?)`, []any{rule.ID}
	parts := rule.parts()
	for _, p := range parts {
		q, args = q+` AND action <> ?`, append(args, p.ID)
	}
	if _, err := tx.Exec(ctx, q, args...); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM rule_action WHERE rule = ?`, rule.ID); err != nil {
		return err
	}
	for i, p := range parts {
		if err := r.holdConnector(ctx, tx, p.field, *p.Action); err != nil {
			return err
		}
		options, err := storedOptions(p.Options)
		if err != nil {
			return err
		}
		var parent int64
		if p.role == RoleFallback {
			parent = rule.Actions[p.parent].ID
		}
		_, err = tx.Exec(ctx, `INSERT INTO rule_action (id, rule, kind, config, position, options, role, parent, connector) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			p.ID, rule.ID, p.Kind, r.Deps.Store.Seal(store.ActionConfig, p.ID, p.Config), i, options, int64(p.role), parent, p.connector)
		if err != nil {
			return err
		}
	}
	return nil
}

// Delete takes a rule out of force at once and drops what waits for its actions, dead letters too.
func (r *Rules) Delete(ctx context.Context, id int64) error {
	r.changing.Lock()
	defer r.changing.Unlock()
	if err := r.syncLocked(ctx); err != nil {
		return err
	}
	old := r.set.Load().rule(id)
	if old == nil {
		return ErrNotFound
	}
	err := r.Deps.Store.Update(ctx, func(tx *store.Tx) error {
		for _, q := range []string{
			`DELETE FROM dead_letter WHERE action IN (SELECT id FROM rule_action WHERE rule = ?)`,
			`DELETE FROM rule_total WHERE action IN (SELECT id FROM rule_action WHERE rule = ?)`,
			`DELETE FROM rule_total WHERE action = ?`,
			`DELETE FROM rule_action WHERE rule = ?`,
			`DELETE FROM rule WHERE id = ?`,
		} {
			if _, err := tx.Exec(ctx, q, id); err != nil {
				return err
			}
		}
		return bumpVersion(ctx, tx)
	})
	if err != nil {
		return fmt.Errorf("rules: delete rule %s: %w", old.Name, err)
	}
	r.set.Store(r.set.Load().with(id, nil))
	r.endActions(ctx, old, nil)
	r.announce()
	return nil
}

// endActions ends the actions of old that next has no longer.
func (r *Rules) endActions(ctx context.Context, old, next *compiled) {
	if old == nil {
		return
	}
	for a := range old.all() {
		if next == nil || !next.has(a) {
			r.endAction(ctx, a)
		}
	}
}

func (c *compiled) has(a *action) bool {
	for have := range c.all() {
		if have == a {
			return true
		}
	}
	return false
}

// Get returns a rule.
func (r *Rules) Get(ctx context.Context, id int64) (*Rule, error) {
	if err := r.sync(ctx); err != nil {
		return nil, err
	}
	c := r.set.Load().rule(id)
	if c == nil {
		return nil, ErrNotFound
	}
	return &c.Rule, nil
}

// List returns up to limit rules (0: all) of a project ("": of all) younger than the rule after (0: from the oldest), oldest
// first.
func (r *Rules) List(ctx context.Context, project string, after int64, limit int) []*Rule {
	if err := r.sync(ctx); err != nil {
		r.Deps.Log.Warn("rules of other nodes not read, what is listed may be old", "err", err)
	}
	var list []*Rule
	for _, c := range r.set.Load().sorted() {
		if c.ID > after && (project == "" || c.Project == project) && (limit <= 0 || len(list) < limit) {
			list = append(list, &c.Rule)
		}
	}
	return list
}

// readAll reads the rules as they are stored.
func (r *Rules) readAll(ctx context.Context) ([]Rule, error) {
	list, err := r.readRules(ctx)
	if err != nil {
		return nil, fmt.Errorf("rules: read rules: %w", err)
	}
	actions, err := r.readActions(ctx)
	if err != nil {
		return nil, fmt.Errorf("rules: read actions: %w", err)
	}
	for i := range list {
		for _, p := range actions[list[i].ID] {
			list[i].join(p)
		}
	}
	return list, nil
}

func (r *Rules) readRules(ctx context.Context) (list []Rule, err error) {
	rows, err := r.Deps.Store.Query(ctx, `SELECT id, project, name, description, sql, dialect, data_type, enabled, created_at, updated_at, revision FROM rule ORDER BY id`)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var (
			rule             Rule
			enabled          int64
			created, updated int64
		)
		if err := rows.Scan(&rule.ID, &rule.Project, &rule.Name, &rule.Description, &rule.SQL, &rule.Dialect, &rule.DataType, &enabled, &created, &updated, &rule.Revision); err != nil {
			return nil, err
		}
		rule.Enabled = enabled != 0
		rule.Created, rule.Updated = time.UnixMilli(created).UTC(), time.UnixMilli(updated).UTC()
		list = append(list, rule)
	}
	return list, nil
}

// storedAction is an action as it is stored.
type storedAction struct {
	Action
	role   Role
	parent int64
}

// join puts a stored action in its place; a fallback comes behind its action.
func (r *Rule) join(s storedAction) {
	switch s.role {
	case RoleError:
		r.ErrorAction = &s.Action
	case RoleFallback:
		if i := slices.IndexFunc(r.Actions, func(a Action) bool { return a.ID == s.parent }); i >= 0 {
			r.Actions[i].Fallback = &s.Action
		}
	default:
		r.Actions = append(r.Actions, s.Action)
	}
}

func (r *Rules) readActions(ctx context.Context) (actions map[int64][]storedAction, err error) {
	rows, err := r.Deps.Store.Query(ctx, `SELECT id, rule, kind, config, options, role, parent FROM rule_action ORDER BY rule, position`)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	actions = make(map[int64][]storedAction)
	for rows.Next() {
		var (
			a       storedAction
			rule    int64
			sealed  []byte
			options string
			role    int64
		)
		if err := rows.Scan(&a.ID, &rule, &a.Kind, &sealed, &options, &role, &a.parent); err != nil {
			return nil, err
		}
		if a.Options, err = parseOptions(options); err != nil {
			return nil, err
		}
		a.role = Role(role)
		config, err := r.Deps.Store.Unseal(store.ActionConfig, a.ID, sealed)
		if err != nil {
			return nil, err
		}
		a.Config = json.RawMessage(config)
		actions[rule] = append(actions[rule], a)
	}
	return actions, nil
}
