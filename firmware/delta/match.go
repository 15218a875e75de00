package delta

// step is one instruction of a patch: add the next bytes of the difference to as many of the window, take literal bytes,
// and move within the window.
type step struct{ add, literal, seek int }

// matcher finds what of a window comes again in a chunk, also where some bytes of it differ.
type matcher struct {
	old, new []byte
	order    []int32 // the suffixes of old
	shift    int     // the last alignment that steps used: place in old less place in new
}

// match is a place of the chunk with one of the window that goes with it.
type match struct{ at, pos int }

// steps is how new is made of old. first is where in old one may look for the beginning of new.
func (m *matcher) steps(first int) []step {
	var out []step
	run := extent{m: m, from: match{0, min(max(first, 0), len(m.old))}}
	if run.from.pos > 0 {
		out = append(out, step{seek: run.from.pos})
	}
	at, n := 0, 0
	for at < len(m.new) {
		var next match
		var worth bool
		next, n, worth = m.anchor(at+n, run.from)
		at = next.at
		if !worth && at < len(m.new) {
			if n <= lostAfter || run.reaches(at+n) {
				continue
			}
			// The alignment is the same again behind something else: it begins anew here.
			next.pos = run.from.pos + at - run.from.at
			run = extent{m: m, from: run.from}
		}
		s, begin := m.between(&run, next)
		out = append(out, s)
		if s.add > 0 {
			m.shift = run.from.pos - run.from.at
		}
		run = extent{m: m, from: begin}
	}
	return out
}

// between is the step from the alignment of run to the next one, and where that then begins. At the end of new there is no next.
func (m *matcher) between(run *extent, next match) (step, match) {
	last := run.from
	ahead := run.to(next.at)
	back := 0
	if next.at < len(m.new) {
		back = m.backward(last, next)
	}
	if over := last.at + ahead - (next.at - back); over > 0 {
		keep := m.split(match{last.at + ahead - over, last.pos + ahead - over}, match{next.at - back, next.pos - back}, over)
		ahead += keep - over
		back -= keep
	}
	s := step{add: ahead, literal: next.at - back - last.at - ahead}
	if next.at < len(m.new) {
		s.seek = next.pos - back - last.pos - ahead
	}
	return s, match{next.at - back, next.pos - back}
}

// longEnough is by how many bytes more than the alignment in force a match must fit to be worth a new one.
const longEnough = 8

// lostAfter is how long a match in the alignment in force must be to show that it was lost before.
const lostAfter = 32

// anchor looks from at on for a match that is clearly longer than what the alignment of last gives there. Without any, at is the end of
// new. worth is false when the match only goes on with the alignment: the search then continues behind its n bytes.
func (m *matcher) anchor(at int, last match) (next match, n int, worth bool) {
	shift := last.pos - last.at
	fits := 0     // how many of new[at:counted] the alignment in force gives
	counted := at // up to where that has been counted
	for ; at < len(m.new); at++ {
		var pos int
		pos, n = m.longest(m.new[at:])
		for ; counted < at+n; counted++ {
			if m.aligned(counted, shift) {
				fits++
			}
		}
		if n > 0 && n == fits {
			return match{at, pos}, n, false
		}
		if n > fits+longEnough {
			return match{at, pos}, n, true
		}
		if counted == at { // nothing was found here at all
			counted++
		} else if m.aligned(at, shift) {
			fits--
		}
	}
	return match{at, last.pos}, 0, false
}

// aligned tells whether new[i] is the byte of old that is shift further on.
func (m *matcher) aligned(i, shift int) bool {
	p := i + shift
	return p >= 0 && p < len(m.old) && m.old[p] == m.new[i]
}

// extent is how far behind from more than half of the bytes fit its alignment. It is found in one go for ends that grow.
type extent struct {
	m      *matcher
	from   match
	done   int // bytes that have been looked at
	fits   int
	best   int
	length int
}

// to is the extent up to end.
func (e *extent) to(end int) int {
	for i := e.done; e.from.at+i < end && e.from.pos+i < len(e.m.old); i++ {
		if e.m.old[e.from.pos+i] == e.m.new[e.from.at+i] {
			e.fits++
		}
		if score := 2*e.fits - (i + 1); score > e.best {
			e.best, e.length = score, i+1
		}
		e.done = i + 1
	}
	return e.length
}

// reaches tells whether the extent goes up to end.
func (e *extent) reaches(end int) bool { return e.to(end) == end-e.from.at }

// backward is how far before next, down to last, more than half of the bytes fit.
func (m *matcher) backward(last, next match) int {
	fits, best, length := 0, 0, 0
	for i := 1; next.at-i >= last.at && next.pos-i >= 0; i++ {
		if m.old[next.pos-i] == m.new[next.at-i] {
			fits++
		}
		if score := 2*fits - i; score > best {
			best, length = score, i
		}
	}
	return length
}

// split is how many of the n bytes that two alignments both cover, from a on and from b on, go to the first so that most of them fit.
func (m *matcher) split(a, b match, n int) int {
	score, best, keep := 0, 0, 0
	for i := range n {
		if m.old[a.pos+i] == m.new[a.at+i] {
			score++
		}
		if m.old[b.pos+i] == m.new[b.at+i] {
			score--
		}
		if score > best {
			best, keep = score, i+1
		}
	}
	return keep
}

// longest is the place in old of the longest start of what that old has, and how long that is.
func (m *matcher) longest(what []byte) (pos, n int) {
	if len(m.order) == 0 {
		return 0, 0
	}
	// The suffixes at low and high stand around what; nLow and nHigh bytes of them are equal to its start, and so is at least the lesser
	// number of all between.
	low, high := 0, len(m.order)-1
	nLow, nHigh := m.common(low, what, 0), m.common(high, what, 0)
	for high-low > 1 {
		mid := (low + high) / 2
		k := m.common(mid, what, min(nLow, nHigh))
		p := int(m.order[mid]) + k
		if k < len(what) && (p == len(m.old) || m.old[p] < what[k]) {
			low, nLow = mid, k
		} else {
			high, nHigh = mid, k
		}
	}
	if nLow > nHigh {
		return int(m.order[low]), nLow
	}
	return int(m.order[high]), nHigh
}

// common is how many bytes suffix i and what have in common, of which the first n are known.
func (m *matcher) common(i int, what []byte, n int) int {
	suffix := m.old[m.order[i]:]
	end := min(len(suffix), len(what))
	for n < end && suffix[n] == what[n] {
		n++
	}
	return n
}
