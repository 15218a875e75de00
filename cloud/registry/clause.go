package registry

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry/filter"
	"github.com/hawser-iot/hawser/cloud/store"
)

// maxClauses bounds what a filter becomes when its alternatives are written out.
const maxClauses = 32

const allStates = 1<<len(stateNames) - 1

// span is a half-open range.
type span struct{ from, to int64 }

var everything = span{math.MinInt64, math.MaxInt64}

func (s span) and(o span) span { return span{max(s.from, o.from), min(s.to, o.to)} }

// match is a condition on a term.
type match struct {
	term
	prefix bool // value is the beginning of it
}

// clause is a conjunction: a device is taken when all of it holds. A filter becomes a list of clauses, any of which may hold.
type clause struct {
	states                   uint8 // a bit for each State
	products, notProducts    []string
	ids, seen                span // of device.id and device.last_seen
	matches, notMatches      []match
	memberships, notMembered []int64 // groups of explicit members
}

var anyDevice = clause{states: allStates, ids: everything, seen: everything}

func (c clause) and(o clause) clause {
	return clause{
		states:   c.states & o.states,
		products: slices.Concat(c.products, o.products), notProducts: slices.Concat(c.notProducts, o.notProducts),
		ids: c.ids.and(o.ids), seen: c.seen.and(o.seen),
		matches: slices.Concat(c.matches, o.matches), notMatches: slices.Concat(c.notMatches, o.notMatches),
		memberships: slices.Concat(c.memberships, o.memberships), notMembered: slices.Concat(c.notMembered, o.notMembered),
	}
}

// impossible tells that no device can be taken.
func (c clause) impossible() bool {
	return c.states == 0 || c.ids.from >= c.ids.to || c.seen.from >= c.seen.to || len(slices.Compact(slices.Sorted(slices.Values(c.products)))) > 1
}

// onlyStates tells that the clause asks for nothing else.
func (c clause) onlyStates() bool {
	return len(c.products)+len(c.notProducts)+len(c.matches)+len(c.notMatches)+len(c.memberships)+len(c.notMembered) == 0 &&
		c.ids == everything && c.seen == everything
}

// expander turns an expression into clauses.
type expander struct {
	db      *store.DB
	project string
	now     time.Time
	inGroup bool // the filter of a group, which names no other
}

// expand writes out the alternatives of x, or of its opposite.
func (e *expander) expand(ctx context.Context, x filter.Expr, not bool) ([]clause, error) {
	switch x := x.(type) {
	case *filter.Not:
		return e.expand(ctx, x.X, !not)
	case filter.And:
		return e.operands(ctx, x, not, not)
	case filter.Or:
		return e.operands(ctx, x, not, !not)
	case *filter.Term:
		return e.term(ctx, x, not != (x.Op == filter.NotEqual))
	}
	return []clause{anyDevice}, nil
}

func (e *expander) operands(ctx context.Context, list []filter.Expr, not, any bool) ([]clause, error) {
	var all []clause
	for i, x := range list {
		cs, err := e.expand(ctx, x, not)
		if err != nil {
			return nil, err
		}
		switch {
		case i == 0:
			all = cs
		case any:
			all = either(all, cs)
		default:
			all = both(all, cs)
		}
		if len(all) > maxClauses {
			return nil, &filter.Error{Pos: 0, Reason: fmt.Sprintf("the filter has more than %d alternatives when they are written out: simplify it", maxClauses)}
		}
	}
	return all, nil
}

// either is the union; alternatives that differ in their states alone become one.
func either(a, b []clause) []clause {
	out := slices.Clone(a)
	for _, c := range b {
		i := slices.IndexFunc(out, func(o clause) bool { return o.onlyStates() && c.onlyStates() })
		if i < 0 {
			out = append(out, c)
			continue
		}
		out[i].states |= c.states
	}
	return out
}

func both(a, b []clause) []clause {
	out := []clause{} // not nil: nothing is not everything
	for _, c := range a {
		for _, d := range b {
			if m := c.and(d); !m.impossible() {
				out = append(out, m)
			}
		}
	}
	return out
}

func (e *expander) term(ctx context.Context, t *filter.Term, not bool) ([]clause, error) {
	c := anyDevice
	switch t.Key {
	case filter.State:
		s, err := ParseState(t.Value)
		if err != nil {
			return nil, err
		}
		c.states = 1 << s
		if not {
			c.states = allStates &^ c.states
		}
	case filter.Product:
		choose(not, &c.products, &c.notProducts, t.Value)
	case filter.SN:
		choose(not, &c.matches, &c.notMatches, match{term{termSN, t.Value}, t.Prefix})
	case filter.Name:
		choose(not, &c.matches, &c.notMatches, match{term{termName, fold(t.Value)}, t.Prefix})
	case filter.Tag:
		choose(not, &c.matches, &c.notMatches, match{term{termTag + t.Tag, t.Value}, t.Prefix})
	case filter.Text:
		sn, name := match{term{termSN, t.Value}, true}, match{term{termName, fold(t.Value)}, true}
		if not {
			c.notMatches = []match{sn, name}
			return []clause{c}, nil
		}
		other := anyDevice
		c.matches, other.matches = []match{sn}, []match{name}
		return []clause{c, other}, nil
	case filter.Created:
		return e.created(t, not), nil
	case filter.LastSeen:
		return e.lastSeen(t, not), nil
	case filter.Group:
		return e.group(ctx, t, not)
	}
	return []clause{c}, nil
}

// choose puts v where what must hold is, or what must not.
func choose[T any](not bool, holds, fails *[]T, v T) {
	if not {
		holds = fails
	}
	*holds = []T{v}
}

// below returns the span of what is compared with from, the first value at the moment, and next, the first one behind it.
func below(op filter.Op, not bool, from, next int64) span {
	s := everything
	switch op {
	case filter.Less:
		s.to = from
	case filter.LessEqual:
		s.to = next
	case filter.Greater:
		s.from = next
	default:
		s.from = from
	}
	if not && s.to != everything.to {
		return span{s.to, everything.to}
	}
	if not {
		return span{everything.from, s.from}
	}
	return s
}

func (e *expander) created(t *filter.Term, not bool) []clause {
	c, at := anyDevice, t.Time.Resolve(e.now).Truncate(time.Millisecond)
	c.ids = below(t.Op, not, firstID(at), firstID(at.Add(time.Millisecond)))
	return []clause{c}
}

// lastSeen compares devices that have been seen; the opposite takes those that never were, too.
func (e *expander) lastSeen(t *filter.Term, not bool) []clause {
	c, seen := anyDevice, span{1, everything.to}
	switch {
	case t.Time.Never && not:
		c.seen = seen
	case t.Time.Never:
		c.seen = span{0, 1}
	default:
		ms := t.Time.Resolve(e.now).UnixMilli()
		c.seen = below(t.Op, not, ms, ms+1).and(seen)
		if not {
			never := anyDevice
			never.seen = span{0, 1}
			return []clause{c, never}
		}
	}
	return []clause{c}
}

// group is membership, or what the group's own filter says.
func (e *expander) group(ctx context.Context, t *filter.Term, not bool) ([]clause, error) {
	if e.inGroup {
		return nil, &filter.Error{Pos: t.Pos, Reason: "the filter of a group names no other group"}
	}
	g, err := readGroup(ctx, e.db, e.project, t.Value)
	if errors.Is(err, ErrGroupNotFound) {
		return nil, &filter.Error{Pos: t.Pos, Reason: fmt.Sprintf("there is no group %q", t.Value)}
	}
	if err != nil {
		return nil, err
	}
	if g.Filter == "" {
		c := anyDevice
		choose(not, &c.memberships, &c.notMembered, g.ID)
		return []clause{c}, nil
	}
	x, err := filter.Parse(g.Filter)
	if err != nil {
		return nil, fmt.Errorf("stored filter of group %s: %w", g.Name, err)
	}
	inner := *e
	inner.inGroup = true
	return inner.expand(ctx, x, not)
}
