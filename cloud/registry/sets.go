package registry

import (
	"context"
	"strconv"

	"github.com/hawser-iot/hawser/cloud/store"
)

// A count whose ways are all long is one over sets: an index has the ids of each tag, group and place in order, so that SQLite merges
// them and PostgreSQL joins them without a look at the devices. Looking each device of one way up took twice as long.

// sets makes a statement for the ids of each condition of c; fewer than two when c has a condition that is no such set.
func (s search) sets(ctx context.Context, c clause, ways []*way) ([]func(span) *text, error) {
	more := c
	more.matches, more.memberships, more.products, more.ids = nil, nil, nil, everything
	if s.among != nil || !more.onlyStates() {
		return nil, nil
	}
	for _, m := range c.matches {
		if m.prefix { // in the order of values
			return nil, nil
		}
	}
	last := ways[len(ways)-1]
	var list []func(span) *text
	for _, w := range ways[:len(ways)-1] {
		list = append(list, w.members)
	}
	if c.states == allStates && len(c.products) == 0 {
		return list, nil
	}
	if last.places == nil {
		if err := s.place(ctx, last, c); err != nil {
			return nil, err
		}
	}
	if len(last.places) == 0 {
		return nil, nil
	}
	return append(list, func(within span) *text { return union(last.places, within) }), nil
}

// members is the set of a tag or a group.
func (w *way) members(within span) *text {
	q := &text{}
	q.add(`SELECT `+w.id+` AS id FROM `+w.table+` t WHERE `+w.cond.String(), w.cond.args...)
	ids(q, w.id, within)
	return q
}

// union is the set of places.
func union(places []*way, within span) *text {
	q := &text{}
	for i, p := range places {
		if i > 0 {
			q.add(` UNION ALL `)
		}
		q.add(`SELECT d.id AS id FROM device d WHERE `+p.cond.String(), p.cond.args...)
		ids(q, p.id, within)
	}
	return q
}

// common counts what all sets have in common within a range of ids.
func (s search) common(sets []func(span) *text, within span) *text {
	q := &text{}
	q.add(`SELECT -1, COUNT(*) FROM (`)
	for i, set := range sets {
		name := `s` + strconv.Itoa(i)
		switch {
		case i == 0 && s.db.Dialect() == store.Postgres:
			q.add(`SELECT 1 FROM (`)
		case i == 0:
			q.add(`SELECT id FROM (`)
		case s.db.Dialect() == store.Postgres:
			q.add(` JOIN (`)
		default:
			q.add(` INTERSECT SELECT id FROM (`)
		}
		one := set(within)
		q.add(one.String()+`) AS `+name, one.args...)
		if i > 0 && s.db.Dialect() == store.Postgres {
			q.add(` ON ` + name + `.id = s0.id`)
		}
	}
	q.add(`) AS common`)
	return q
}
