package authority

import (
	"context"

	"github.com/hawser-iot/hawser/cloud/registry/filter/listing"
)

// listedOwn sorts by status so that the one that issues comes first, then what is trusted, then what is retired, each from new to old.
var listedOwn = listing.Table{From: `authority a`, ID: `a.id`, Named: true, Order: "status", Words: []string{"id"}, By: "status", Fields: []listing.Field{
	{Name: "id", Kind: listing.Filled, SQL: `a.id`, Sort: true},
	{Name: "status", Kind: listing.Choice, Values: []string{"issuing", "trusted", "expired", "retired"}, Sort: true,
		SQL: `CASE WHEN a.issues = 1 THEN 0 WHEN a.retired_at = 0 THEN 1 ELSE 2 END * 1000000000000000 - a.created_at`,
		Is: map[string]string{"issuing": `a.issues = 1`, "retired": `a.retired_at <> 0`,
			"trusted": `a.issues = 0 AND a.retired_at = 0 AND a.expires_at > ?`, "expired": `a.issues = 0 AND a.retired_at = 0 AND a.expires_at <= ?`}},
	{Name: listing.Created, Kind: listing.Moment, SQL: `a.created_at`, Sort: true},
	{Name: "expires", Kind: listing.Moment, SQL: `a.expires_at`, Sort: true},
	{Name: "retired", Kind: listing.Never, SQL: `a.retired_at`, Sort: true},
}}

// ownCond is that of authorities of the hub's own.
const ownCond = `length(a.key) > 0`

// Search returns a page of the hub's own authorities, by default the one that issues first, then the others from new to old, retired ones last.
func (a *Authorities) Search(ctx context.Context, q listing.Query) ([]Authority, listing.Page, error) {
	if _, err := a.Own(ctx); err != nil { // there is one from now on
		return nil, listing.Page{}, err
	}
	page, err := listedOwn.Page(ctx, a.db, q, ownCond)
	if err != nil {
		return nil, page, err
	}
	in, args := listing.In(`a.id`, page.Names)
	list, err := a.readOwn(ctx, holdingColumn, ` AND `+in, append([]any{a.now().UnixMilli()}, args...)...)
	return listing.Sort(page.Names, list, func(one Authority) string { return one.ID }), page, err
}
