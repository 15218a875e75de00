package store

import (
	"cmp"
	"fmt"
	"slices"
)

// batch is the units of one group commit and what became of them.
//
// It is run in waves: wave k holds the k-th unit of each device that has one, sorted by device. Within a wave the
// operations run position by position and, within a position, statement by statement, because units of different devices
// do not depend on each other: that is what lets an engine merge rows or send them in one pipeline.
type batch struct {
	units   []*Unit
	results []error // per unit; set by the engine, nil = stored

	order  []int32        // scratch: indices sorted by device
	waves  [][]int32      // unit indices of each wave
	groups []group        // scratch of position
	out    [Shards][]byte // framed records for the outbox, built by frame
	seqs   [Shards]int64  // what the engine gave out, 0 for an empty shard
}

// group is the operations of one position that share a statement and the judgement of its result.
type group struct {
	stmt    *Stmt
	guarded bool
	ops     []opRef
}

type opRef struct {
	unit int32
	op   *Op
}

// load makes b hold units and plans its waves.
func (b *batch) load(units []*Unit) {
	b.units = append(b.units[:0], units...)
	b.results = slices.Grow(b.results[:0], len(units))[:len(units)]
	b.order = b.order[:0]
	for i := range units {
		b.order = append(b.order, int32(i))
	}
	slices.SortStableFunc(b.order, func(x, y int32) int { return cmp.Compare(units[x].Device, units[y].Device) })
	for i := range b.waves {
		b.waves[i] = b.waves[i][:0]
	}
	n, rank := 0, 0
	for i, u := range b.order {
		if i > 0 && units[b.order[i-1]].Device == units[u].Device {
			rank++
		} else {
			rank = 0
		}
		if rank == len(b.waves) {
			b.waves = append(b.waves, nil)
		}
		b.waves[rank] = append(b.waves[rank], u)
		n = max(n, rank+1)
	}
	b.waves = b.waves[:max(n, 0)]
	b.reset()
}

// reset forgets the results, for another attempt.
func (b *batch) reset() {
	clear(b.results)
	clear(b.seqs[:])
}

// release drops what b holds of its units and keeps its memory.
func (b *batch) release() {
	clear(b.units)
	clear(b.results)
	b.units = b.units[:0]
	for i := range b.groups[:cap(b.groups)] {
		g := &b.groups[:cap(b.groups)][i]
		clear(g.ops)
		g.ops, g.stmt = g.ops[:0], nil
	}
	b.out = [Shards][]byte{}
}

// position groups the operations at position p of the units of a wave that are still alive; nil when there are none.
func (b *batch) position(wave []int32, p int) []group {
	b.groups = b.groups[:0]
	for _, i := range wave {
		u := b.units[i]
		if p >= len(u.Ops) || b.results[i] != nil {
			continue
		}
		op := &u.Ops[p]
		b.group(op.Stmt, op.Want >= 0).add(opRef{i, op})
	}
	return b.groups
}

// group finds or makes the group of a statement.
func (b *batch) group(stmt *Stmt, guarded bool) *group {
	for i := range b.groups {
		if g := &b.groups[i]; g.stmt == stmt && g.guarded == guarded {
			return g
		}
	}
	if len(b.groups) < cap(b.groups) {
		b.groups = b.groups[:len(b.groups)+1]
	} else {
		b.groups = append(b.groups, group{})
	}
	g := &b.groups[len(b.groups)-1]
	g.stmt, g.guarded, g.ops = stmt, guarded, g.ops[:0]
	return g
}

func (g *group) add(r opRef) { g.ops = append(g.ops, r) }

// missed sets the result of a unit whose operation at position p affected n rows instead of those it wants. At position 0
// that is a guard, which harms nobody; later it is an error that must undo what the unit did before.
func (b *batch) missed(r opRef, p int, n int64) error {
	err := fmt.Errorf("%w: %d rows affected, not %d", ErrConflict, n, r.op.Want)
	if p > 0 {
		return &unitError{unit: r.unit, err: fmt.Errorf("operation %d: %w", p, err)}
	}
	b.results[r.unit] = ErrConflict
	return nil
}

// unitError is an error whose cause is known to be one unit.
type unitError struct {
	unit int32
	err  error
}

func (e *unitError) Error() string { return e.err.Error() }
func (e *unitError) Unwrap() error { return e.err }

// frame builds the outbox rows of the units that are still alive. In a shard the records are in the order in which the
// units were submitted; so a device's are, too.
func (b *batch) frame() bool {
	var sizes [Shards]int
	b.out = [Shards][]byte{} // consumers keep them
	for i, u := range b.units {
		if len(u.Out) > 0 && b.results[i] == nil {
			sizes[shardOf(u.Device)] += recordsSize(u.Out)
		}
	}
	for i, u := range b.units {
		if len(u.Out) == 0 || b.results[i] != nil {
			continue
		}
		s := shardOf(u.Device)
		if b.out[s] == nil {
			b.out[s] = make([]byte, 0, 1+sizes[s])
		}
		for _, rec := range u.Out {
			b.out[s] = appendRecord(b.out[s], rec)
		}
	}
	return sizes != [Shards]int{}
}
