package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hawser-iot/hawser/cloud/registry/filter"
)

// Filter says which devices are meant; the zero Filter takes all.
type Filter struct {
	Project    string   // "" is any; then a list can only be sorted by creation
	Product    string   // ProductSN
	Among      []string // only devices of these products; nil is any
	State      *State
	SNPrefix   string // case-sensitive
	NamePrefix string // ASCII letters in either case
	Query      string // in the language of cloud/registry/filter
}

// The orders of a list. A '-' before one turns it round.
const (
	SortCreated  = "created" // the default
	SortName     = "name"
	SortSN       = "sn"
	SortLastSeen = "lastSeen"
)

// Count is a number of devices.
type Count struct {
	Total  int
	States [len(stateNames)]int // by State; all 0 when it was not asked for
}

// clauses writes the filter's alternatives out. Errors of Query are *filter.Error.
func (r *Registry) clauses(ctx context.Context, f Filter) ([]clause, error) {
	x, err := filter.Parse(f.Query)
	if err != nil {
		return nil, err
	}
	project := f.Project
	if project == "" {
		project = DefaultProject // where groups are looked for
	}
	e := &expander{db: r.db, project: project, now: r.now()}
	cs, err := e.expand(ctx, x, false)
	if err != nil {
		return nil, err
	}
	c := anyDevice
	if f.Product != "" {
		c.products = []string{f.Product}
	}
	if f.State != nil {
		c.states = 1 << *f.State
	}
	if f.SNPrefix != "" {
		c.matches = append(c.matches, match{term{termSN, f.SNPrefix}, true})
	}
	if f.NamePrefix != "" {
		c.matches = append(c.matches, match{term{termName, fold(f.NamePrefix)}, true})
	}
	return r.ofProject(ctx, f.Project, both(cs, []clause{c}))
}

// ofProject drops the clauses whose product belongs to another project.
func (r *Registry) ofProject(ctx context.Context, project string, cs []clause) ([]clause, error) {
	if project == "" {
		return cs, nil
	}
	var mine []clause
	for _, c := range cs {
		if len(c.products) > 0 {
			p, err := r.Product(ctx, c.products[0])
			if errors.Is(err, ErrProductNotFound) || err == nil && p.Project != project {
				continue
			}
			if err != nil {
				return nil, err
			}
		}
		mine = append(mine, c)
	}
	return mine, nil
}

// order is how a list is sorted.
type order struct {
	by   string
	down bool
}

func (o order) String() string {
	if o.down {
		return "-" + o.by
	}
	return o.by
}

// orderOf reads what the caller wants; without a wish, clauses may name an order in which their devices are found quickest.
func orderOf(sort string, cs []clause) (order, error) {
	o := order{by: sort}
	if by, ok := strings.CutPrefix(sort, "-"); ok {
		o = order{by, true}
	}
	if sort == "" {
		return order{by: naturalOrder(cs)}, nil
	}
	if !slices.Contains([]string{SortCreated, SortName, SortSN, SortLastSeen}, o.by) {
		return o, &ErrInvalid{"sort", `is none of "created", "name", "sn", "lastSeen", with "-" before it for the other way round`}
	}
	return o, nil
}

// naturalOrder is that of a range that alone narrows the list: a prefix of the SN or the name, or a span of lastSeen.
func naturalOrder(cs []clause) string {
	if len(cs) != 1 {
		return SortCreated
	}
	c := cs[0]
	if len(c.products)+len(c.memberships) > 0 || slices.ContainsFunc(c.matches, func(m match) bool { return !m.prefix }) {
		return SortCreated
	}
	for _, m := range c.matches {
		if m.term.term == termSN || m.term.term == termName {
			return m.term.term // the terms are called as the orders are
		}
	}
	if c.seen != everything && c.seen != (span{0, 1}) {
		return SortLastSeen
	}
	return SortCreated
}

// Devices lists devices; next is "" on the last page. A page begins behind the last device of the one before, wherever
// that is now, so that devices which come and go meanwhile neither repeat nor hide others.
func (r *Registry) Devices(ctx context.Context, f Filter, page Page) (list []*Device, next string, err error) {
	limit, after, err := page.open()
	if err != nil {
		return nil, "", err
	}
	cs, err := r.clauses(ctx, f)
	if err != nil {
		return nil, "", err
	}
	o, err := orderOf(page.Sort, cs)
	if err != nil {
		return nil, "", err
	}
	l := listing{search: r.search(f), order: o, limit: limit + 1}
	if err := l.start(page.Cursor != "", after); err != nil {
		return nil, "", err
	}
	q, err := l.build(ctx, cs)
	if err != nil || q == nil {
		return nil, "", err
	}
	rows, err := r.db.Query(ctx, q.String(), q.args...)
	if err != nil {
		return nil, "", fmt.Errorf("registry: list devices: %w", err)
	}
	var keys []string
	list, err = collect(rows, func(row scanner) (*Device, error) {
		d, key, err := l.scan(r, row)
		keys = append(keys, key)
		return d, err
	})
	if err != nil {
		return nil, "", fmt.Errorf("registry: list devices: %w", err)
	}
	if len(list) > limit {
		list = list[:limit]
		next = cursor{list[limit-1].ID, o.String() + " " + keys[limit-1]}.String()
	}
	return list, next, nil
}

// CountDevices counts the devices that f takes; by their states too when byState says so, which may take longer.
func (r *Registry) CountDevices(ctx context.Context, f Filter, byState bool) (Count, error) {
	cs, err := r.clauses(ctx, f)
	if err != nil {
		return Count{}, err
	}
	var sum Count
	for i, c := range cs {
		n, err := r.search(f).count(ctx, c, cs[:i], byState)
		if err != nil {
			return Count{}, fmt.Errorf("registry: count devices: %w", err)
		}
		sum.add(n)
	}
	if !byState {
		sum.States = Count{}.States
	}
	return sum, nil
}
