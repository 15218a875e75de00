// Package catalog searches a registry's products and groups by filter, order and page, as other lists are searched (package listing).
// The devices, of which there are too many for that, are searched by the registry itself.
package catalog

import (
	"context"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/registry/filter/listing"
	"github.com/hawser-iot/hawser/cloud/store"
)

// Registry is what a Catalog reads of what it finds.
type Registry interface {
	// ReadProducts and ReadGroups may return what they are asked for in any order, and leave out what is gone.
	ReadProducts(ctx context.Context, sns []string) ([]*registry.Product, error)
	ReadGroups(ctx context.Context, ids []int64) ([]*registry.Group, error)
}

var _ Registry = (*registry.Registry)(nil)

// Catalog is safe for concurrent use.
type Catalog struct {
	db       *store.DB
	registry Registry
}

// New returns the Catalog of what a registry keeps in db.
func New(db *store.DB, r Registry) *Catalog { return &Catalog{db, r} }

// The kinds of products are numbers in the store, in this order.
var products = listing.Table{From: `product`, ID: `sn`, Named: true, Order: listing.Created, Words: []string{"name", "sn"}, By: "kind", Fields: []listing.Field{
	{Name: "name", Kind: listing.Filled, SQL: `name`, Sort: true},
	{Name: "sn", Kind: listing.Filled, SQL: `sn`, Sort: true},
	{Name: "kind", Kind: listing.Choice, Values: []string{string(registry.KindDevice), string(registry.KindGateway), string(registry.KindSubdevice)}, SQL: `kind`, Sort: true,
		Is: map[string]string{string(registry.KindDevice): `kind = 0`, string(registry.KindGateway): `kind = 1`, string(registry.KindSubdevice): `kind = 2`}},
	{Name: "published", Kind: listing.Choice, Values: []string{"yes", "no"}, SQL: `published`, Sort: true,
		Is: map[string]string{"yes": `published <> 0`, "no": `published = 0`}},
	{Name: "project", SQL: `project`, Sort: true},
	{Name: "description", Kind: listing.Prefix, SQL: `description`},
	{Name: listing.Created, Kind: listing.Moment, SQL: `created_at`, Sort: true},
	{Name: "updated", Kind: listing.Moment, SQL: `updated_at`, Sort: true},
}}

// Products returns a page of the products of a project ("": of all), by default the oldest first; among, unless nil, are the SNs of those
// that may be found at all.
func (c *Catalog) Products(ctx context.Context, project string, among []string, q listing.Query) ([]*registry.Product, listing.Page, error) {
	cond, args := `1 = 1`, []any(nil)
	if project != "" {
		cond, args = `project = ?`, []any{project}
	}
	if among != nil {
		in, more := listing.In(`sn`, among)
		cond, args = cond+` AND `+in, append(args, more...)
	}
	page, err := products.Page(ctx, c.db, q, cond, args...)
	if err != nil {
		return nil, page, err
	}
	list, err := c.registry.ReadProducts(ctx, page.Names)
	return listing.Sort(page.Names, list, func(p *registry.Product) string { return p.SN }), page, err
}

var groups = listing.Table{From: `device_group`, ID: `id`, Order: "name", Words: []string{"name"}, By: "kind", Fields: []listing.Field{
	{Name: "name", Kind: listing.Filled, SQL: `name`, Sort: true},
	{Name: "kind", Kind: listing.Choice, Values: []string{"members", "filter"}, SQL: `CASE filter WHEN '' THEN 0 ELSE 1 END`, Sort: true,
		Is: map[string]string{"members": `filter = ''`, "filter": `filter <> ''`}},
	{Name: "description", Kind: listing.Prefix, SQL: `description`, Sort: true},
	{Name: listing.Created, Kind: listing.Moment, SQL: `created_at`},
	{Name: "updated", Kind: listing.Moment, SQL: `updated_at`, Sort: true},
}}

// Groups returns a page of the groups of a project, by default by name.
func (c *Catalog) Groups(ctx context.Context, project string, q listing.Query) ([]*registry.Group, listing.Page, error) {
	page, err := groups.Page(ctx, c.db, q, `project = ?`, project)
	if err != nil {
		return nil, page, err
	}
	list, err := c.registry.ReadGroups(ctx, page.IDs)
	return listing.Sort(page.IDs, list, func(g *registry.Group) int64 { return g.ID }), page, err
}
