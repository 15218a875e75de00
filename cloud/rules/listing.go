package rules

import (
	"context"
	"errors"
	"fmt"

	"github.com/hawser-iot/hawser/cloud/registry/filter/listing"
)

var listed = listing.Table{From: `rule r`, ID: `r.id`, Words: []string{"name"}, By: "state", Fields: []listing.Field{
	{Name: "name", Kind: listing.Filled, SQL: `r.name`, Sort: true},
	{Name: "state", Kind: listing.Choice, Values: []string{"enabled", "disabled"}, SQL: `r.enabled`, Sort: true,
		Is: map[string]string{"enabled": `r.enabled <> 0`, "disabled": `r.enabled = 0`}},
	{Name: "description", Kind: listing.Prefix, SQL: `r.description`},
	{Name: "action", Match: `EXISTS (SELECT 1 FROM rule_action a WHERE a.rule = r.id AND a.kind = ?)`},
	{Name: "connector", Kind: listing.ID,
		Match: `EXISTS (SELECT 1 FROM rule_action a WHERE a.connector = ? AND a.connector <> 0 AND a.rule = r.id)`},
	{Name: "created", Kind: listing.Moment, SQL: `r.created_at`},
	{Name: "updated", Kind: listing.Moment, SQL: `r.updated_at`, Sort: true},
}}

// Search returns a page of the rules of a project ("": of all), by default the oldest first.
func (r *Rules) Search(ctx context.Context, project string, q listing.Query) ([]*Rule, listing.Page, error) {
	cond, args := `1 = 1`, []any(nil)
	if project != "" {
		cond, args = `r.project = ?`, []any{project}
	}
	page, err := listed.Page(ctx, r.Deps.Store, q, cond, args...)
	if err != nil {
		return nil, page, err
	}
	if err := r.sync(ctx); err != nil {
		return nil, page, err
	}
	set, list := r.set.Load(), make([]*Rule, 0, len(page.IDs))
	for _, id := range page.IDs {
		if c := set.rule(id); c != nil {
			list = append(list, &c.Rule)
		}
	}
	return list, page, nil
}

// Use is an action that delivers through a connector.
type Use struct {
	Rule     int64
	RuleName string
	Enabled  bool
	Action   int64
	Kind     string
	Role     Role
}

// maxUses bounds ConnectorUses: as many as an answer shows.
const maxUses = 1000

// ConnectorUses lists the actions that deliver through a connector, by the names of their rules; the first maxUses when there are more.
func (r *Rules) ConnectorUses(ctx context.Context, id int64) (list []Use, err error) {
	rows, err := r.Deps.Store.Query(ctx, `SELECT r.id, r.name, r.enabled, a.id, a.kind, a.role FROM rule_action a JOIN rule r ON r.id = a.rule
		WHERE a.connector = ? AND a.connector <> 0 ORDER BY r.name, r.id, a.position LIMIT ?`, id, maxUses)
	if err != nil {
		return nil, fmt.Errorf("rules: read uses of a connector: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var u Use
		var role int64
		if err := rows.Scan(&u.Rule, &u.RuleName, &u.Enabled, &u.Action, &u.Kind, &role); err != nil {
			return nil, fmt.Errorf("rules: read uses of a connector: %w", err)
		}
		u.Role = Role(role)
		list = append(list, u)
	}
	return list, nil
}

// ConnectorRules counts, for each of some connectors, the rules that have an action which delivers through it; those without are left out.
func (r *Rules) ConnectorRules(ctx context.Context, ids []int64) (n map[int64]int64, err error) {
	in, args := listing.In(`connector`, ids)
	rows, err := r.Deps.Store.Query(ctx, `SELECT connector, COUNT(DISTINCT rule) FROM rule_action WHERE connector <> 0 AND `+in+` GROUP BY connector`, args...)
	if err != nil {
		return nil, fmt.Errorf("rules: count uses of connectors: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	n = make(map[int64]int64, len(ids))
	for rows.Next() {
		var id, count int64
		if err := rows.Scan(&id, &count); err != nil {
			return nil, fmt.Errorf("rules: count uses of connectors: %w", err)
		}
		n[id] = count
	}
	return n, nil
}
