// Package listing searches lists that are kept in one table and are bounded, such as the rules of a project: it makes a page of them
// of a filter, an order and a cursor, on SQLite and PostgreSQL.
//
// A Table says what its rows can be filtered and sorted by. Page promises pages that neither repeat nor hide rows while others come and
// go, and values that never become part of a statement. It returns ids: what they are of is the business of who keeps the list. It
// walks the rows of the list that the caller's condition leaves, so that condition must be one that an index has; fleets, which are
// larger than that, are the registry's.
package listing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/registry/filter"
	"github.com/hawser-iot/hawser/cloud/store"
)

// Created is the order of ids, which every table has whose ids are numbers.
const Created = "created"

// The kinds of fields, as package filter has them.
const (
	Word   = filter.Word
	Prefix = filter.Prefix
	Filled = filter.Filled
	Choice = filter.Choice
	ID     = filter.ID
	Number = filter.Number
	Moment = filter.Moment
	Never  = filter.Never
)

// Field is what rows are filtered by.
type Field struct {
	Name   string
	Kind   filter.Kind
	Values []string // of a Choice
	// SQL is what is compared: a column, or an expression of columns that are never NULL. Text is compared without regard to the case of a-z.
	SQL string
	// Match is a condition with one ?, for the value of a Word or an ID, in the place of SQL.
	Match string
	// Is has a condition for each value of a Choice, in the place of SQL. A ? in it is the present time in milliseconds.
	Is map[string]string
	// Sort says that rows are sorted by it too.
	Sort bool
}

// Table is a list.
type Table struct {
	From string // the table, and what is joined to it
	ID   string // the column of ids, which rise with time
	Down bool   // the newest come first when nothing else is asked for
	// Named says that ids are texts without line feeds, which do not rise with time. Such a table has an Order, and Created only if that
	// is one of its fields.
	Named bool
	// Order is the Query.Sort of who asks for none, in the place of Down.
	Order string
	// Words are the names of the fields whose beginning a bare word may be.
	Words  []string
	Fields []Field
	// By is the name of the Choice whose values are counted.
	By string
}

// Query is what part of a list is wanted.
type Query struct {
	Filter string // in the language of filters; "" takes all
	Sort   string // the name of a field, or Created, with - before it for the other way round; "" is the table's own order
	Cursor string // Page.Next of the page before
	Limit  int    // 0 is registry.DefaultLimit
	Count  bool   // Total and By are wanted
}

// Page is a part of a list.
type Page struct {
	IDs   []int64
	Names []string // in the place of IDs, of a table that is Named
	Next  string   // "" behind the last page
	// Total is how many rows the filter takes, By how many of them have which value of Table.By; when they were asked for.
	Total int64
	By    map[string]int64
}

func (t *Table) language() filter.Language {
	l := make(filter.Language, len(t.Fields))
	for i := range t.Fields {
		l[i] = filter.Field{Name: t.Fields[i].Name, Kind: t.Fields[i].Kind, Values: t.Fields[i].Values}
	}
	return l
}

func (t *Table) field(name string) *Field {
	if i := slices.IndexFunc(t.Fields, func(f Field) bool { return f.Name == name }); i >= 0 {
		return &t.Fields[i]
	}
	return nil
}

// Page reads a page of the rows that cond leaves. Its errors are *filter.Error and *registry.ErrInvalid for what was asked, else the store's.
func (t *Table) Page(ctx context.Context, db *store.DB, q Query, cond string, args ...any) (Page, error) {
	x, err := t.language().Parse(q.Filter)
	if err != nil {
		return Page{}, err
	}
	o, err := t.order(q.Sort)
	if err != nil {
		return Page{}, err
	}
	w := &where{table: t, postgres: db.Dialect() == store.Postgres, now: time.Now()}
	w.add(`(`+cond+`)`, args...)
	if x != nil {
		w.add(` AND `)
		w.expr(x)
	}
	var page Page
	if q.Count {
		if err := t.count(ctx, db, w, &page); err != nil {
			return Page{}, fmt.Errorf("listing: count %s: %w", t.From, err)
		}
	}
	if q.Limit == 0 {
		q.Limit = registry.DefaultLimit
	}
	if err := o.behind(w, q.Cursor); err != nil {
		return Page{}, err
	}
	if err := t.read(ctx, db, w, o, q.Limit, &page); err != nil {
		return Page{}, fmt.Errorf("listing: read %s: %w", t.From, err)
	}
	return page, nil
}

// read reads one row more than the page has, to know whether there is another.
func (t *Table) read(ctx context.Context, db *store.DB, w *where, o *order, limit int, page *Page) (err error) {
	rows, err := db.Query(ctx, `SELECT `+o.key(w)+`, `+t.ID+` FROM `+t.From+` WHERE `+w.String()+o.by(w)+` LIMIT ?`, append(w.args, limit+1)...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		id, name, cursor, err := o.scan(rows)
		if err != nil {
			return err
		}
		if len(page.IDs)+len(page.Names) == limit {
			return nil
		}
		if page.Next = cursor; t.Named {
			page.Names = append(page.Names, name)
		} else {
			page.IDs = append(page.IDs, id)
		}
	}
	page.Next = ""
	return nil
}

func (t *Table) count(ctx context.Context, db *store.DB, w *where, page *Page) error {
	columns, to := []string{`COUNT(*)`}, []any{&page.Total}
	by := t.field(t.By)
	var args []any
	n := make([]int64, len(by.Values))
	for i, v := range by.Values {
		columns, to = append(columns, `COALESCE(SUM(CASE WHEN `+by.Is[v]+` THEN 1 ELSE 0 END), 0)`), append(to, &n[i])
		args = append(args, w.times(by.Is[v])...)
	}
	if err := db.QueryRow(ctx, `SELECT `+strings.Join(columns, ", ")+` FROM `+t.From+` WHERE `+w.String(), append(args, w.args...)...).Scan(to...); err != nil {
		return err
	}
	page.By = make(map[string]int64, len(n))
	for i, v := range by.Values {
		page.By[v] = n[i]
	}
	return nil
}

// Sort puts what was read by ids into the order of ids; what is gone is left out.
func Sort[K comparable, T any](ids []K, list []T, id func(T) K) []T {
	at := make(map[K]T, len(list))
	for _, v := range list {
		at[id(v)] = v
	}
	out := make([]T, 0, len(list))
	for _, n := range ids {
		if v, ok := at[n]; ok {
			out = append(out, v)
		}
	}
	return out
}

// In is the condition that column is one of ids, with its arguments.
func In[K any](column string, ids []K) (string, []any) {
	if len(ids) == 0 {
		return `1 = 0`, nil
	}
	args := make([]any, len(ids))
	for i, n := range ids {
		args[i] = n
	}
	return column + ` IN (?` + strings.Repeat(`, ?`, len(ids)-1) + `)`, args
}
