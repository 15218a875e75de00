package registry

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/hawser-iot/hawser/cloud/store"
)

// How a search is made. Each clause has some ways into the tables: a tag, a group, a prefix, a product, a state. The
// shortest way is taken and the rest of the clause is asked of each device that it meets. A list whose ways are all long
// walks one that is in the list's order, and stops when the page is full.

// gatherMax is up to how many devices a way is short enough to be gone to its end and sorted. Ways are probed up to here.
const gatherMax = 5000

// maxProbe is the size of a way that is not short.
const maxProbe = math.MaxInt32

// countProbeMax is countProbe outside of tests.
const countProbeMax = 100_000

// text is SQL with its arguments.
type text struct {
	strings.Builder
	args []any
}

func (t *text) add(q string, args ...any) {
	t.WriteString(q)
	t.args = append(t.args, args...)
}

// search is what all ways of one search have in common.
type search struct {
	db      *store.DB
	project string   // "" any
	among   []string // products; nil is any
	gather  int      // gatherMax, less in tests
	// countProbe is up to where ways are probed for a count, which must go one to its end; less in tests.
	countProbe int
	cuts       *cuts // nil: counts are not made in parts
	partsMin   int   // partsMin, less in tests
	// What the engines call differently: finding a text in a text, and comparing byte by byte.
	instr, bytewise string
}

func (r *Registry) search(f Filter) search {
	s := search{db: r.db, project: f.Project, among: f.Among, gather: r.gather, countProbe: r.countProbe, cuts: r.cuts.Load(), partsMin: r.partsMin, instr: "instr"}
	if r.db.Dialect() == store.Postgres {
		s.instr, s.bytewise = "strpos", ` COLLATE "C"`
	}
	return s
}

// way leads to the devices of a clause, and to others that rest must keep out.
type way struct {
	table string // "" is device itself
	cond  text
	id    string // the column that has the device's id
	key   string // the column that the way is in the order of, before id; "" is id alone
	rest  clause
	size  int // as far as it was probed
	// measured says that size is known: of a way along all devices it is the largest, as measuring would take too long.
	measured bool
	// places cut the way through a project or a product into one for each product and state, which an index has in the
	// order of ids. nil: there are too many, or the way is another.
	places []*way
}

// join is the FROM and WHERE of the way, up to the conditions of the rest.
func (w *way) join(q *text) {
	q.add(` FROM `)
	if w.table != "" {
		q.add(w.table + ` t CROSS JOIN `)
	}
	q.add(`device d WHERE `+w.cond.String(), w.cond.args...)
	if w.table != "" {
		q.add(` AND d.id = ` + w.id)
	}
}

// ways lists the ways to c; the last one is always possible.
func (s search) ways(c clause) []*way {
	var list []*way
	if s.project != "" {
		for i, m := range c.matches {
			list = append(list, s.termWay(c, i, m))
		}
		if c.seen != everything {
			list = append(list, s.seenWay(c))
		}
	}
	for i, g := range c.memberships {
		w := &way{table: "device_group_member", id: "t.device", rest: c}
		w.cond.add(`t.grp = ?`, g)
		w.rest.memberships = slices.Delete(slices.Clone(c.memberships), i, i+1)
		list = append(list, w)
	}
	last := &way{id: "d.id", rest: c}
	switch {
	case len(c.products) > 0:
		last.cond.add(`d.product = ?`, c.products[0])
		last.rest.products = nil
	case s.project != "":
		last.measured, last.size = true, maxProbe
		last.cond.add(`d.project || '' = ?`, s.project) // as it comes: the index that has project is in another order
	default:
		last.measured, last.size = true, maxProbe
		last.cond.add(`1 = 1`)
	}
	return append(list, last)
}

// noCharacter is behind all others in byte order, and in no text.
const noCharacter = "\U0010FFFF"

func (s search) termWay(c clause, i int, m match) *way {
	w := &way{table: "device_term", id: "t.device", rest: c}
	w.rest.matches = slices.Delete(slices.Clone(c.matches), i, i+1)
	w.cond.add(`t.project = ? AND t.term = ?`, s.project, m.term.term)
	switch {
	case !m.prefix:
		w.cond.add(` AND t.value = ?`, m.value)
		return w
	case m.value != "":
		w.cond.add(` AND t.value >= ? AND t.value < ?`, m.value, m.value+noCharacter)
	}
	w.key = "t.value"
	return w
}

func (s search) seenWay(c clause) *way {
	w := &way{id: "d.id", key: "d.last_seen", rest: c}
	w.rest.seen = everything
	w.cond.add(`d.project = ? AND d.last_seen >= ? AND d.last_seen < ?`, s.project, max(0, c.seen.from), c.seen.to)
	return w
}

// probe measures the ways up to most, but for those whose size is known, and returns the shortest.
func (s search) probe(ctx context.Context, ways []*way, most int) (*way, error) {
	var best *way
	for _, w := range ways {
		if !w.measured {
			if err := s.measure(ctx, w, most); err != nil {
				return nil, err
			}
		}
		if best == nil || w.size < best.size {
			best = w
		}
		if best.size < most/100 {
			break
		}
	}
	return best, nil
}

// measure counts what a way meets, up to most.
func (s search) measure(ctx context.Context, w *way, most int) error {
	var q text
	q.add(`SELECT COUNT(*) FROM (SELECT 1 FROM `)
	if w.table != "" {
		q.add(w.table + ` t`)
	} else {
		q.add(`device d`)
	}
	q.add(` WHERE `+w.cond.String(), w.cond.args...)
	if w.table == "" && w.key == "" {
		states(&q, w.rest.states)
	}
	ids(&q, w.id, w.rest.ids)
	q.add(` LIMIT ?) AS probe`, most+1)
	return s.db.QueryRow(ctx, q.String(), q.args...).Scan(&w.size)
}

func states(q *text, mask uint8) {
	if mask == allStates {
		return
	}
	q.add(` AND d.state IN (` + stateList(mask) + `)`)
}

func stateList(mask uint8) string {
	var numbers []string
	for s := range stateNames {
		if mask&(1<<s) != 0 {
			numbers = append(numbers, strconv.Itoa(s))
		}
	}
	return strings.Join(numbers, ", ")
}

func ids(q *text, column string, s span) {
	if s.from != everything.from {
		q.add(` AND `+column+` >= ?`, s.from)
	}
	if s.to != everything.to {
		q.add(` AND `+column+` < ?`, s.to)
	}
}

// trivial tells that nothing but ids remains to be asked of a device that the way meets.
func (w *way) trivial() bool {
	rest := w.rest
	rest.ids = everything
	return rest.onlyStates() && rest.states == allStates
}

// sn and name are what the terms of those names hold.
func (s search) sn() string   { return `d.sn` + s.bytewise }
func (s search) name() string { return `lower(d.name` + s.bytewise + `)` }

// conditions asks all of c of the device d. The + 0 keeps SQLite from taking another way than the one that was chosen.
func (s search) conditions(q *text, c clause) {
	states(q, c.states)
	if s.among != nil {
		q.add(` AND d.product IN (''`)
		for _, p := range s.among {
			q.add(`, ?`, p)
		}
		q.add(`)`)
	}
	for _, p := range c.products {
		q.add(` AND d.product = ?`, p)
	}
	for _, p := range c.notProducts {
		q.add(` AND d.product <> ?`, p)
	}
	ids(q, "d.id", c.ids)
	if c.seen != everything {
		q.add(` AND d.last_seen + 0 >= ? AND d.last_seen + 0 < ?`, c.seen.from, c.seen.to)
	}
	for _, m := range c.matches {
		q.add(` AND `)
		s.match(q, m)
	}
	for _, m := range c.notMatches {
		q.add(` AND NOT `)
		s.match(q, m)
	}
	const member = `EXISTS (SELECT 1 FROM device_group_member m WHERE m.grp = ? AND m.device = d.id)`
	for _, g := range c.memberships {
		q.add(` AND `+member, g)
	}
	for _, g := range c.notMembered {
		q.add(` AND NOT `+member, g)
	}
}

// match asks a term of the device's own row.
func (s search) match(q *text, m match) {
	tag, isTag := strings.CutPrefix(m.term.term, termTag)
	column := s.sn()
	if m.term.term == termName {
		column = s.name()
	}
	switch {
	case isTag && m.prefix:
		q.add(s.instr+`(d.tags, ?) > 0`, "\n"+tag+"="+m.value)
	case isTag:
		q.add(s.instr+`(d.tags, ?) > 0`, "\n"+tag+"="+m.value+"\n")
	case m.prefix:
		q.add(`substr(`+column+`, 1, length(?)) = ?`, m.value, m.value)
	default:
		q.add(column+` = ?`, m.value)
	}
}

// count counts the devices that c takes and none of others does.
func (s search) count(ctx context.Context, c clause, others []clause, byState bool) (Count, error) {
	if len(others) == 0 && s.counted(c) {
		return s.fromCounters(ctx, c)
	}
	ways := s.ways(c)
	w := ways[0]
	if last := ways[len(ways)-1]; last.measured {
		if err := s.place(ctx, last, c); err != nil {
			return Count{}, err
		}
	}
	if len(ways) > 1 {
		var err error
		if w, err = s.probe(ctx, ways, s.countProbe); err != nil {
			return Count{}, err
		}
	}
	if !byState && len(others) == 0 && w.size > s.countProbe {
		sets, err := s.sets(ctx, c, ways)
		if err != nil {
			return Count{}, err
		}
		if len(sets) > 1 {
			return s.inParts(ctx, w.size, c.ids, func(within span) *text { return s.common(sets, within) })
		}
	}
	if !byState && w.trivial() && s.among == nil && len(others) == 0 { // no need to look at the devices
		return s.inParts(ctx, w.cuttable(), w.rest.ids, w.number)
	}
	if w.places != nil && len(w.places) == 0 {
		return Count{}, nil
	}
	return s.inParts(ctx, w.cuttable(), c.ids, func(within span) *text { return s.each(w, others, within) })
}

// cuttable is how many devices of the way can be cut by their ids: none of one in another order, all of which each part would walk.
func (w *way) cuttable() int {
	if w.key != "" {
		return 0
	}
	return w.size
}

// number counts what the way meets without a look at the devices.
func (w *way) number(within span) *text {
	q, from := &text{}, w.table+` t`
	if w.table == "" {
		from = `device d`
	}
	q.add(`SELECT -1, COUNT(*) FROM `+from+` WHERE `+w.cond.String(), w.cond.args...)
	ids(q, w.id, within)
	return q
}

// each counts by state the devices that the way meets and that no other clause takes.
func (s search) each(w *way, others []clause, within span) *text {
	q, places := &text{}, w.places
	if places == nil {
		places = []*way{w}
	}
	for i, p := range places {
		if i > 0 {
			q.add(` UNION ALL `)
		}
		q.add(`SELECT d.state AS state, COUNT(*) AS n`)
		p.join(q)
		rest := p.rest
		rest.ids = within
		if p.table != "" {
			ids(q, p.id, within)
		}
		s.conditions(q, rest)
		for _, o := range others {
			q.add(` AND NOT (1 = 1`)
			s.conditions(q, o)
			q.add(`)`)
		}
		q.add(` GROUP BY d.state`)
	}
	return q
}

// counts reads states and their numbers.
func (s search) counts(ctx context.Context, q *text) (Count, error) {
	rows, err := s.db.Query(ctx, q.String(), q.args...)
	if err != nil {
		return Count{}, err
	}
	defer func() { _ = rows.Close() }() // Err below tells
	var n Count
	for rows.Next() {
		var state, number int
		if err := rows.Scan(&state, &number); err != nil {
			return Count{}, err
		}
		if state >= 0 { // of one place
			n.States[state] += number
		}
		n.Total += number
	}
	return n, rows.Err()
}
