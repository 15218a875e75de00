// Package listingtest holds a table of a list against an engine: that all its columns are there and of the kinds that it says.
package listingtest

import (
	"testing"

	"github.com/hawser-iot/hawser/cloud/registry/filter"
	"github.com/hawser-iot/hawser/cloud/registry/filter/listing"
	"github.com/hawser-iot/hawser/cloud/store"
)

// Run asks the table for each of its keys, counts, and walks it in each of its orders, of which it must have rows that cond leaves. The order
// of the table itself is walked too; all walks must meet the same number of rows.
func Run(t *testing.T, db *store.DB, table *listing.Table, cond string, args ...any) {
	t.Helper()
	filters := map[filter.Kind][]string{listing.Word: {":x", "!=x"}, listing.Prefix: {":x", ":x*", ":*", `:""`}, listing.Filled: {":x", ":x*", ":*"}, listing.ID: {":1", "!=1"},
		listing.Number: {":1", "<1", ">=1"}, listing.Moment: {">2020-01-01", "<=-1d"}, listing.Never: {":never", "!=never", ">-1d"}}
	total := walk(t, db, table, "", cond, args)
	if total == 0 {
		t.Errorf("%s: no rows", table.From)
	}
	for _, f := range table.Fields {
		tries := filters[f.Kind]
		for _, v := range f.Values {
			tries = append(tries, ":"+v)
		}
		var by int64
		for _, try := range tries {
			page, err := table.Page(t.Context(), db, listing.Query{Filter: f.Name + try, Count: true}, cond, args...)
			if err != nil {
				t.Errorf("%s: %s%s: %v", table.From, f.Name, try, err)
			}
			by += page.Total
		}
		if f.Kind == listing.Choice && by != total {
			t.Errorf("%s: the values of %s take %d of %d rows", table.From, f.Name, by, total)
		}
		if f.Sort {
			for _, sort := range []string{f.Name, "-" + f.Name} {
				if n := walk(t, db, table, sort, cond, args); n != total {
					t.Errorf("%s: by %s there are %d rows, else %d", table.From, sort, n, total)
				}
			}
		}
	}
	if _, err := table.Page(t.Context(), db, listing.Query{Filter: "x"}, cond, args...); err != nil {
		t.Errorf("%s: a bare word: %v", table.From, err)
	}
}

// walk counts the rows of all pages.
func walk(t *testing.T, db *store.DB, table *listing.Table, sort, cond string, args []any) (n int64) {
	t.Helper()
	for q := (listing.Query{Sort: sort, Limit: 1}); ; {
		page, err := table.Page(t.Context(), db, q, cond, args...)
		if err != nil {
			t.Fatalf("%s: by %q: %v", table.From, sort, err)
		}
		if n += int64(len(page.IDs) + len(page.Names)); page.Next == "" || n > 1000 {
			return n
		}
		q.Cursor = page.Next
	}
}
