package delta

// symbol is what texts are made of: bytes, and names of substrings where the sort recurs.
type symbol interface{ byte | int32 }

// suffixArray is the start of each suffix of text in the order of the suffixes.
func suffixArray(text []byte) []int32 {
	sa := make([]int32, len(text))
	sortSuffixes(text, sa, 256)
	return sa
}

// sortSuffixes fills sa with the suffixes of s, whose symbols are less than k, in order: induced sorting (SA-IS) in linear time. A suffix is
// small when it is less than the one behind it. Small ones behind a large one (LMS) are sorted first, by their substrings up to the next of
// them and, where these are equal, by recursion; all others follow from them.
func sortSuffixes[T symbol](s []T, sa []int32, k int) {
	if len(s) < 2 {
		clear(sa)
		return
	}
	x := newInduction(s, sa, k)
	x.clear()
	x.tails()
	for i := range s {
		if x.lms(i) {
			x.putBack(int32(i))
		}
	}
	x.induce()
	order := x.orderLMS()
	x.clear()
	x.tails()
	for i := len(order) - 1; i >= 0; i-- {
		x.putBack(order[i])
	}
	x.induce()
}

// induction is the state of one level of the sort.
type induction[T symbol] struct {
	s      []T
	sa     []int32
	small  []bool
	count  []int32 // how often each symbol comes
	bucket []int32 // the next free place of each symbol's suffixes
}

func newInduction[T symbol](s []T, sa []int32, k int) *induction[T] {
	x := &induction[T]{s, sa, make([]bool, len(s)), make([]int32, k), make([]int32, k)}
	for i := len(s) - 2; i >= 0; i-- {
		x.small[i] = s[i] < s[i+1] || s[i] == s[i+1] && x.small[i+1]
	}
	for _, c := range s {
		x.count[c]++
	}
	return x
}

func (x *induction[T]) lms(i int) bool { return i > 0 && x.small[i] && !x.small[i-1] }

func (x *induction[T]) clear() {
	for i := range x.sa {
		x.sa[i] = -1
	}
}

func (x *induction[T]) heads() {
	var sum int32
	for c, n := range x.count {
		x.bucket[c] = sum
		sum += n
	}
}

func (x *induction[T]) tails() {
	var sum int32
	for c, n := range x.count {
		sum += n
		x.bucket[c] = sum
	}
}

func (x *induction[T]) putFront(i int32) {
	c := x.s[i]
	x.sa[x.bucket[c]] = i
	x.bucket[c]++
}

func (x *induction[T]) putBack(i int32) {
	c := x.s[i]
	x.bucket[c]--
	x.sa[x.bucket[c]] = i
}

// induce puts the large suffixes, from left to right, and the small ones, from right to left, where those behind them say.
func (x *induction[T]) induce() {
	x.heads()
	x.putFront(int32(len(x.s) - 1)) // the end of the text is less than any symbol
	for i := range x.sa {
		if j := x.sa[i] - 1; j >= 0 && !x.small[j] {
			x.putFront(j)
		}
	}
	x.tails()
	for i := len(x.sa) - 1; i >= 0; i-- {
		if j := x.sa[i] - 1; j >= 0 && x.small[j] {
			x.putBack(j)
		}
	}
}

// orderLMS are the LMS suffixes in order, of an sa that has them in the order of their substrings.
func (x *induction[T]) orderLMS() []int32 {
	m := 0
	for _, p := range x.sa {
		if x.lms(int(p)) {
			x.sa[m] = p
			m++
		}
	}
	reduced, names := x.name(m)
	positions := make([]int32, 0, m)
	for i := range x.s {
		if x.lms(i) {
			positions = append(positions, int32(i))
		}
	}
	order := make([]int32, m)
	if names < m {
		sortSuffixes(reduced, order, names)
	} else {
		for i, name := range reduced {
			order[name] = int32(i)
		}
	}
	for i, o := range order {
		order[i] = positions[o]
	}
	return order
}

// name gives each of the m sorted LMS substrings at the start of sa a number, the same where they are equal, and returns the numbers in
// the order of the text. Two LMS suffixes are at least 2 apart, so half a position is a place of its own behind them.
func (x *induction[T]) name(m int) (reduced []int32, names int) {
	for i := m; i < len(x.sa); i++ {
		x.sa[i] = -1
	}
	last := -1
	for i := range m {
		p := int(x.sa[i])
		if last < 0 || !x.sameLMS(last, p) {
			names++
		}
		last = p
		x.sa[m+p/2] = int32(names - 1)
	}
	reduced = make([]int32, 0, m)
	for _, n := range x.sa[m:] {
		if n >= 0 {
			reduced = append(reduced, n)
		}
	}
	return reduced, names
}

// sameLMS tells whether the substrings from the LMS positions a and b, which differ, to the next ones are equal.
func (x *induction[T]) sameLMS(a, b int) bool {
	for i := 0; a+i < len(x.s) && b+i < len(x.s); i++ {
		if x.s[a+i] != x.s[b+i] || x.small[a+i] != x.small[b+i] {
			return false
		}
		if i > 0 && x.lms(a+i) {
			return x.lms(b + i)
		}
	}
	return false
}
