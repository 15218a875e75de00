package buffer

import (
	"fmt"
	"slices"
)

// span is the sequence numbers from to to, both included.
type span struct{ from, to uint64 }

// ranges is a set of sequence numbers: spans that ascend and neither overlap nor touch.
type ranges []span

// find is the index of the first span that ends at or behind n.
func (r ranges) find(n uint64) int {
	i, _ := slices.BinarySearchFunc(r, n, func(s span, n uint64) int {
		switch {
		case s.to < n:
			return -1
		case s.to > n:
			return 1
		}
		return 0
	})
	return i
}

func (r ranges) has(n uint64) bool {
	i := r.find(n)
	return i < len(r) && r[i].from <= n
}

// covers reports whether every number of from to to is in r.
func (r ranges) covers(from, to uint64) bool {
	i := r.find(from)
	return i < len(r) && r[i].from <= from && r[i].to >= to
}

// add puts from to to into r.
func (r *ranges) add(from, to uint64) {
	if from > to {
		return
	}
	i := r.find(max(from, 1) - 1) // one that touches from below is joined too
	j := i
	for ; j < len(*r) && ((*r)[j].from <= to || (*r)[j].from == to+1); j++ {
		from, to = min(from, (*r)[j].from), max(to, (*r)[j].to)
	}
	*r = slices.Replace(*r, i, j, span{from, to})
}

// missing are the spans of from to to that are not in r.
func (r ranges) missing(from, to uint64) (out []span) {
	for _, s := range r[r.find(from):] {
		if s.from > to {
			break
		}
		if s.from > from {
			out = append(out, span{from, s.from - 1})
		}
		if from = s.to + 1; from == 0 {
			return out
		}
	}
	if from <= to {
		out = append(out, span{from, to})
	}
	return out
}

func (s span) String() string { return fmt.Sprintf("%d to %d", s.from, s.to) }
