package api

import (
	"context"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/registry/catalog"
	"github.com/hawser-iot/hawser/cloud/registry/filter/listing"
)

// Catalog is what the API needs of the lists of products and groups.
type Catalog interface {
	Products(ctx context.Context, project string, among []string, q listing.Query) ([]*registry.Product, listing.Page, error)
	Groups(ctx context.Context, project string, q listing.Query) ([]*registry.Group, listing.Page, error)
}

var _ Catalog = (*catalog.Catalog)(nil)

// listQuery is what a request asks of a list that can be filtered and sorted.
func listQuery(filter, sort *string, count bool, limit *int, cursor *string) (listing.Query, error) {
	page, err := pageOf(limit, cursor)
	return listing.Query{Filter: deref(filter), Sort: deref(sort), Count: count, Limit: page.Limit, Cursor: page.Cursor}, err
}

// wholeQuery is listQuery of a list that is so short that all of it is the answer, unless a limit is given.
func wholeQuery(filter, sort *string, count bool, limit *int, cursor *string) (listing.Query, error) {
	q, err := listQuery(filter, sort, count, limit, cursor)
	if q.Limit == 0 {
		q.Limit = registry.MaxLimit
	}
	return q, err
}

// totalIn is how many a list has in all, when that was asked for.
func totalIn(q listing.Query, page listing.Page) *int64 {
	if !q.Count {
		return nil
	}
	return &page.Total
}
