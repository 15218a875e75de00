package connector

import (
	"context"

	"github.com/hawser-iot/hawser/cloud/registry/filter/listing"
)

// The uses of connectors are rows beside them in the same store; their writer is cloud/rules.
const used = `EXISTS (SELECT 1 FROM rule_action a WHERE a.connector = c.id AND a.connector <> 0)`

var listed = listing.Table{From: `connector c`, ID: `c.id`, Words: []string{"name"}, By: "used", Fields: []listing.Field{
	{Name: "name", Kind: listing.Filled, SQL: `c.name`, Sort: true},
	{Name: "kind", SQL: `c.kind`, Sort: true},
	{Name: "used", Kind: listing.Choice, Values: []string{"yes", "no"}, Is: map[string]string{"yes": used, "no": `NOT ` + used}},
	{Name: "description", Kind: listing.Prefix, SQL: `c.description`},
	{Name: "created", Kind: listing.Moment, SQL: `c.created_at`},
	{Name: "updated", Kind: listing.Moment, SQL: `c.updated_at`, Sort: true},
}}

// Search returns a page of the connectors of a project ("": of all), by default the oldest first.
func (c *Connectors) Search(ctx context.Context, project string, q listing.Query) ([]*Connector, listing.Page, error) {
	cond, args := `1 = 1`, []any(nil)
	if project != "" {
		cond, args = `c.project = ?`, []any{project}
	}
	page, err := listed.Page(ctx, c.Store, q, cond, args...)
	if err != nil {
		return nil, page, err
	}
	in, args := listing.In(`id`, page.IDs)
	list, err := readAll(ctx, c.Store, `WHERE `+in, args...)
	if err != nil {
		return nil, page, err
	}
	for _, row := range list {
		if err := c.show(row); err != nil {
			return nil, page, err
		}
	}
	return listing.Sort(page.IDs, list, func(c *Connector) int64 { return c.ID }), page, nil
}
