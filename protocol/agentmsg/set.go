package agentmsg

import (
	"fmt"
	"sort"
)

// Span is the numbers from the first to the second, both included.
type Span [2]uint64

// Set is a set of sequence numbers: spans that ascend and neither overlap nor touch.
type Set []Span

// find is the index of the first span that ends at or behind n.
func (s Set) find(n uint64) int { return sort.Search(len(s), func(i int) bool { return s[i][1] >= n }) }

// Has reports whether n is in s.
func (s Set) Has(n uint64) bool {
	i := s.find(n)
	return i < len(s) && s[i][0] <= n
}

// Add puts from to to into s.
func (s *Set) Add(from, to uint64) {
	if from > to {
		return
	}
	i := s.find(max(from, 1) - 1) // one that touches from below is joined too
	j := i
	for ; j < len(*s) && ((*s)[j][0] <= to || (*s)[j][0] == to+1); j++ {
		from, to = min(from, (*s)[j][0]), max(to, (*s)[j][1])
	}
	if j == i+1 {
		(*s)[i] = Span{from, to}
		return
	}
	rest := append(Set{{from, to}}, (*s)[j:]...)
	*s = append((*s)[:i], rest...)
}

// AddAll puts another set's numbers into s.
func (s *Set) AddAll(o Set) {
	for _, p := range o {
		s.Add(p[0], p[1])
	}
}

// Missing are the numbers from from to to that are not in s.
func (s Set) Missing(from, to uint64) (out Set) {
	for _, p := range s[s.find(from):] {
		if p[0] > to {
			break
		}
		if p[0] > from {
			out = append(out, Span{from, p[0] - 1})
		}
		if from = p[1] + 1; from == 0 {
			return out
		}
	}
	if from <= to {
		out = append(out, Span{from, to})
	}
	return out
}

// Run is the span of s that n is in.
func (s Set) Run(n uint64) (Span, bool) {
	i := s.find(n)
	if i < len(s) && s[i][0] <= n {
		return s[i], true
	}
	return Span{}, false
}

// Count is how many numbers there are.
func (s Set) Count() (n uint64) {
	for _, p := range s {
		n += p[1] - p[0] + 1
	}
	return n
}

// Clone is a copy with room for more.
func (s Set) Clone() Set { return append(make(Set, 0, len(s)+1), s...) }

func (s Set) within(from, to uint64) bool {
	return len(s) == 0 || s[0][0] >= from && s[len(s)-1][1] <= to
}

// check holds a set that came from elsewhere to what a Set promises.
func (s Set) check() error {
	if len(s) > MaxRanges {
		return fmt.Errorf("%w: a set of %d spans", ErrMalformed, len(s))
	}
	for i, p := range s {
		if p[0] == 0 || p[0] > p[1] || p[1] > maxSeq || i > 0 && p[0] <= s[i-1][1]+1 {
			return fmt.Errorf("%w: spans out of order", ErrMalformed)
		}
	}
	return nil
}

// Remove takes another set's numbers out of s.
func (s *Set) Remove(o Set) {
	for _, p := range o {
		out := make(Set, 0, len(*s)+1)
		for _, q := range *s {
			if q[1] < p[0] || q[0] > p[1] {
				out = append(out, q)
				continue
			}
			if q[0] < p[0] {
				out = append(out, Span{q[0], p[0] - 1})
			}
			if q[1] > p[1] {
				out = append(out, Span{p[1] + 1, q[1]})
			}
		}
		*s = out
	}
}
