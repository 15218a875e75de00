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
)

// Create makes a rule and, when it is enabled, puts it in force.
func (r *Rules) Create(ctx context.Context, n NewRule) (*Rule, error) {
	now := r.now().UTC().Truncate(time.Millisecond)
	if n.Project == "" {
		n.Project = registry.DefaultProject
	}
	rule := Rule{ID: int64(r.Deps.IDs.Next()), Project: n.Project, Name: n.Name, Description: n.Description, SQL: n.SQL, Enabled: n.Enabled,
		Revision: 1,
		Actions:  slices.Clone(n.Actions), Created: now, Updated: now}
	for i := range rule.Actions {
		rule.Actions[i].ID = int64(r.Deps.IDs.Next())
	}
	return r.replace(ctx, rule, nil, func(tx *store.Tx) (int64, error) {
		if r.Deps.Quota != nil {
			if err := r.Deps.Quota(ctx, tx, rule.Project, 1); err != nil {
				return 0, err
			}
		}
		_, err := tx.Exec(ctx, `INSERT INTO rule (id, project, name, description, sql, enabled, dialect, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			rule.ID, rule.Project, rule.Name, rule.Description, rule.SQL, rule.Enabled, dialect, now.UnixMilli(), now.UnixMilli())
		return rule.Revision, err
	})
}

// Update changes a rule, also while it is enabled.
func (r *Rules) Update(ctx context.Context, id int64, c Change) (*Rule, error) {
	r.changing.Lock()
	defer r.changing.Unlock()
	old := r.set.Load().rules[id]
	if old == nil {
		return nil, ErrNotFound
	}
	rule := old.Rule
	rule.Updated = r.now().UTC().Truncate(time.Millisecond)
	assign(&rule.Name, c.Name)
	assign(&rule.Description, c.Description)
	assign(&rule.SQL, c.SQL)
	assign(&rule.Enabled, c.Enabled)
	if c.Actions != nil {
		rule.Actions = slices.Clone(*c.Actions)
		for i, a := range rule.Actions {
			if !slices.ContainsFunc(old.Actions, func(have Action) bool { return have.ID == a.ID && have.Kind == a.Kind }) {
				rule.Actions[i].ID = int64(r.Deps.IDs.Next())
			}
		}
	}
	return r.replaceLocked(ctx, rule, old, func(tx *store.Tx) (int64, error) { return write(ctx, tx, &rule, c.IfRevision) })
}

// write stores a changed rule, if it still has the revision that its caller has seen, and returns its new one.
func write(ctx context.Context, tx *store.Tx, rule *Rule, ifRevision *int64) (revision int64, err error) {
	if _, err := tx.Exec(ctx, `UPDATE rule SET name = ?, description = ?, sql = ?, enabled = ?, updated_at = ?, revision = revision + 1 WHERE id = ?`,
		rule.Name, rule.Description, rule.SQL, rule.Enabled, rule.Updated.UnixMilli(), rule.ID); err != nil {
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
	for i := range rule.Actions {
		if len(rule.Actions[i].Config) == 0 {
			rule.Actions[i].Config = json.RawMessage(`{}`)
		}
	}
	c, sinks, err := r.compile(rule, old)
	if err != nil {
		return nil, err
	}
	err = r.Deps.Store.Update(ctx, func(tx *store.Tx) (err error) {
		if c.Revision, err = write(tx); err != nil {
			return err
		}
		return r.storeActions(ctx, tx, &rule)
	})
	if store.IsUnique(err) {
		return nil, ErrExists
	}
	if err != nil {
		return nil, fmt.Errorf("rules: store rule %s: %w", rule.Name, err)
	}
	for i, a := range c.actions {
		a.use(sinks[i])
	}
	r.set.Store(r.set.Load().with(rule.ID, c))
	r.endActions(ctx, old, c)
	return &c.Rule, nil
}

// storeActions replaces the actions of a rule. The dead letters of those that go, go with them.
func (r *Rules) storeActions(ctx context.Context, tx *store.Tx, rule *Rule) error {
	q, args := `DELETE FROM dead_letter WHERE action IN (SELECT id FROM rule_action WHERE rule = ?)`, []any{rule.ID}
	for _, a := range rule.Actions {
		q, args = q+` AND action <> ?`, append(args, a.ID)
	}
	if _, err := tx.Exec(ctx, q, args...); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM rule_action WHERE rule = ?`, rule.ID); err != nil {
		return err
	}
	for i, a := range rule.Actions {
		_, err := tx.Exec(ctx, `INSERT INTO rule_action (id, rule, kind, config, position) VALUES (?, ?, ?, ?, ?)`,
			a.ID, rule.ID, a.Kind, r.Deps.Store.Seal(store.ActionConfig, a.ID, a.Config), i)
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
	old := r.set.Load().rules[id]
	if old == nil {
		return ErrNotFound
	}
	err := r.Deps.Store.Update(ctx, func(tx *store.Tx) error {
		for _, q := range []string{
			`DELETE FROM dead_letter WHERE action IN (SELECT id FROM rule_action WHERE rule = ?)`,
			`DELETE FROM rule_action WHERE rule = ?`,
			`DELETE FROM rule WHERE id = ?`,
		} {
			if _, err := tx.Exec(ctx, q, id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("rules: delete rule %s: %w", old.Name, err)
	}
	r.set.Store(r.set.Load().with(id, nil))
	r.endActions(ctx, old, nil)
	return nil
}

// endActions ends the actions of old that next has no longer.
func (r *Rules) endActions(ctx context.Context, old, next *compiled) {
	if old == nil {
		return
	}
	for _, a := range old.actions {
		if next == nil || !slices.Contains(next.actions, a) {
			r.endAction(ctx, a)
		}
	}
}

// Get returns a rule.
func (r *Rules) Get(_ context.Context, id int64) (*Rule, error) {
	c := r.set.Load().rules[id]
	if c == nil {
		return nil, ErrNotFound
	}
	return &c.Rule, nil
}

// List returns up to limit rules (0: all) of a project ("": of all) younger than the rule after (0: from the oldest), oldest
// first.
func (r *Rules) List(_ context.Context, project string, after int64, limit int) []*Rule {
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
		list[i].Actions = actions[list[i].ID]
	}
	return list, nil
}

func (r *Rules) readRules(ctx context.Context) (list []Rule, err error) {
	rows, err := r.Deps.Store.Query(ctx, `SELECT id, project, name, description, sql, enabled, created_at, updated_at, revision FROM rule ORDER BY id`)
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
		if err := rows.Scan(&rule.ID, &rule.Project, &rule.Name, &rule.Description, &rule.SQL, &enabled, &created, &updated, &rule.Revision); err != nil {
			return nil, err
		}
		rule.Enabled = enabled != 0
		rule.Created, rule.Updated = time.UnixMilli(created).UTC(), time.UnixMilli(updated).UTC()
		list = append(list, rule)
	}
	return list, nil
}

func (r *Rules) readActions(ctx context.Context) (actions map[int64][]Action, err error) {
	rows, err := r.Deps.Store.Query(ctx, `SELECT id, rule, kind, config FROM rule_action ORDER BY rule, position`)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	actions = make(map[int64][]Action)
	for rows.Next() {
		var (
			a      Action
			rule   int64
			sealed []byte
		)
		if err := rows.Scan(&a.ID, &rule, &a.Kind, &sealed); err != nil {
			return nil, err
		}
		config, err := r.Deps.Store.Unseal(store.ActionConfig, a.ID, sealed)
		if err != nil {
			return nil, err
		}
		a.Config = json.RawMessage(config)
		actions[rule] = append(actions[rule], a)
	}
	return actions, nil
}
