package registry

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// listing is one page of a list in the making.
type listing struct {
	search
	order order
	limit int

	continued bool // the page begins behind a device
	afterKey  any
	afterID   int64
}

// start reads the cursor, which must be of this order.
func (l *listing) start(continued bool, after cursor) error {
	if l.project == "" && l.order.by != SortCreated {
		return &ErrInvalid{"sort", "only by creation over all projects"}
	}
	if !continued {
		return nil
	}
	order, key, ok := strings.Cut(after.text, " ")
	if !ok || order != l.order.String() {
		return &ErrInvalid{"cursor", "was made by a list in another order: leave it out to start again"}
	}
	l.continued, l.afterKey, l.afterID = true, key, after.number
	if l.order.by == SortLastSeen {
		n, err := strconv.ParseInt(key, 10, 64)
		if err != nil {
			return &ErrInvalid{"cursor", "was not made by this list: leave it out to start again"}
		}
		l.afterKey = n
	}
	return nil
}

// key is what the list is sorted by before the id, as it is asked of a device's row.
func (l *listing) key() string {
	switch l.order.by {
	case SortName:
		return l.name()
	case SortSN:
		return l.sn()
	case SortLastSeen:
		return "d.last_seen"
	}
	return "''"
}

// build makes the statement for a list of clauses; nil when no device can be taken.
func (l *listing) build(ctx context.Context, cs []clause) (*text, error) {
	var parts []part
	for _, c := range cs {
		more, err := l.clause(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("registry: list devices: %w", err)
		}
		parts = append(parts, more...)
	}
	switch len(parts) {
	case 0:
		return nil, nil
	case 1:
		return parts[0](deviceColumnsOf("d")), nil
	}
	between := ` UNION ALL `
	if len(cs) > 1 {
		between = ` UNION ` // a device may be in several clauses
	}
	// The parts find keys and ids, which an index has; the devices are read of those that are left.
	q := &text{}
	q.add(`SELECT page.k, ` + deviceColumnsOf("d") + ` FROM (`)
	for i, part := range parts {
		if i > 0 {
			q.add(between)
		}
		p := part(`d.id AS id`)
		q.add(`SELECT * FROM (`+p.String()+`) AS part`+strconv.Itoa(i), p.args...)
	}
	q.add(l.tail("1", "2"), l.limit)
	q.add(`) AS page CROSS JOIN device d WHERE d.id = page.id`+l.tail("page.k", "d.id"), l.limit)
	return q, nil
}

func (l *listing) tail(key, id string) string {
	down := ``
	if l.order.down {
		down = ` DESC`
	}
	if l.order.by == SortCreated {
		return ` ORDER BY ` + id + down + ` LIMIT ?`
	}
	return ` ORDER BY ` + key + down + `, ` + id + down + ` LIMIT ?`
}

// clause makes the parts of the statement that find one clause's devices.
func (l *listing) clause(ctx context.Context, c clause) ([]part, error) {
	ways := l.ways(c)
	last := ways[len(ways)-1]
	ordered := ways[slices.IndexFunc(ways, func(w *way) bool { return w.key == "" })] // there is one: the last
	if ordered == last {
		if err := l.place(ctx, last, c); err != nil {
			return nil, err
		}
	}
	if l.order.by != SortCreated || len(ways) > 2 || len(ways) == 2 && ordered == last {
		short, err := l.probe(ctx, ways, l.gather)
		if err != nil {
			return nil, err
		}
		if short.size <= l.gather {
			return l.parts(short, l.key()), nil
		}
	}
	if w := l.sorted(c, ways); w != nil {
		return []part{l.part(w, w.key, w.id)}, nil
	}
	return l.parts(ordered, "''"), nil
}

// parts finds a page of the devices of one way, at all its places.
func (l *listing) parts(w *way, key string) []part {
	if w.places == nil {
		return []part{l.part(w, key, w.id)}
	}
	parts := make([]part, len(w.places))
	for i, p := range w.places {
		parts[i] = l.part(p, key, p.id)
	}
	return parts
}

// sorted returns the way that is in the list's order, if that is not the order of ids: a range of the clause, or all.
func (l *listing) sorted(c clause, ways []*way) *way {
	name := map[string]string{SortName: termName, SortSN: termSN}[l.order.by]
	if l.order.by == SortCreated {
		return nil
	}
	if name == "" {
		if i := slices.IndexFunc(ways, func(w *way) bool { return w.key == "d.last_seen" }); i >= 0 {
			return ways[i]
		}
		w := &way{id: "d.id", key: "d.last_seen", rest: c}
		w.cond.add(`d.project = ?`, l.project)
		return w
	}
	if i := slices.IndexFunc(c.matches, func(m match) bool { return m.prefix && m.term.term == name }); i >= 0 {
		return l.termWay(c, i, c.matches[i])
	}
	w := &way{table: "device_term", id: "t.device", key: "t.value", rest: c}
	w.cond.add(`t.project = ? AND t.term = ?`, l.project, name)
	return w
}

// part makes a statement that finds a page of the devices of one way: their keys and the given columns.
type part func(columns string) *text

// part is of the way w; key and id are the columns that it is sorted by.
func (l *listing) part(w *way, key, id string) part {
	return func(columns string) *text { return l.find(w, key, id, columns) }
}

func (l *listing) find(w *way, key, id, columns string) *text {
	q := &text{}
	q.add(`SELECT ` + key + ` AS k, ` + columns)
	w.join(q)
	l.conditions(q, w.rest)
	if l.continued {
		compare := ` > `
		if l.order.down {
			compare = ` < `
		}
		if l.order.by == SortCreated {
			q.add(` AND `+id+compare+`?`, l.afterID)
		} else {
			q.add(` AND (`+key+`, `+id+`)`+compare+`(?, ?)`, l.afterKey, l.afterID)
		}
	}
	q.add(l.tail(key, id), l.limit)
	return q
}

// scan reads a device and its key.
func (l *listing) scan(r *Registry, row scanner) (*Device, string, error) {
	if l.order.by == SortLastSeen {
		var n int64
		d, err := r.scanDevice(behind{row, &n})
		return d, strconv.FormatInt(n, 10), err
	}
	var key string
	d, err := r.scanDevice(behind{row, &key})
	return d, key, err
}

// behind is a row whose first column is the key.
type behind struct {
	scanner
	key any
}

func (b behind) Scan(dest ...any) error { return b.scanner.Scan(append([]any{b.key}, dest...)...) }
