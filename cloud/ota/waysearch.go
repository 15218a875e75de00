package ota

import (
	"slices"
	"strconv"

	"github.com/hawser-iot/hawser/cloud/ota/rollout"
)

// maxPlaces bounds the search for a way: the combinations of versions that are looked at.
const maxPlaces = 1000

// from is the way of a device with the fewest stones, of several as short the one that ends over the newest; without the firmware itself. ok is
// false when there is none.
func (w *ways) from(m modules) (over []stone, ok bool) {
	if w == nil {
		return nil, true
	}
	key := w.key(m)
	if _, known := w.found[key]; !known {
		w.found[key] = w.search(m)
	}
	return w.found[key].over, w.found[key].ok
}

// key tells apart what devices run, as far as it decides.
func (w *ways) key(m modules) string {
	var b []byte
	for _, module := range w.reads {
		r := m[module]
		b = strconv.AppendUint(append(append(b, r.version...), ' '), r.sequence, 10)
		b = append(b, ' ')
	}
	return string(b)
}

// place is what a device may come to run, and over which stones.
type place struct {
	at   modules
	over []stone
}

// search looks at the places from which the fewest stones may still be missing first, and among these at those that came last: a firmware that asks for many
// modules is found without all the orders in which they may come.
func (w *ways) search(m modules) way {
	if w.to.takes(m) {
		return way{ok: true}
	}
	for i := range w.to.asks {
		if !w.reaches(&w.to.asks[i], m) {
			return way{}
		}
	}
	var best []stone
	rounds := make([][]place, len(w.stones)+len(w.to.asks)+1) // by how many stones a way over them has at least
	rounds[w.missing(m)] = []place{{at: m}}
	seen := map[string]int{w.key(m): 0}
	for n, looked := 0, 0; n < len(rounds) && best == nil; n++ {
		for ; len(rounds[n]) > 0 && looked < maxPlaces; looked++ {
			p := rounds[n][len(rounds[n])-1]
			rounds[n] = rounds[n][:len(rounds[n])-1]
			if w.to.takes(p.at) {
				if best == nil || w.later(&p.over[n-1], &best[n-1]) {
					best = p.over
				}
				continue
			}
			for _, next := range w.next(p, seen) {
				if at := len(next.over) + w.missing(next.at); at < len(rounds) {
					rounds[at] = append(rounds[at], next)
				}
			}
		}
	}
	return way{best, best != nil}
}

// next are the places that are one stone further. Those that were seen as near are left out, but for ends, which may differ in their last stone.
func (w *ways) next(p place, seen map[string]int) (list []place) {
	for _, s := range w.stones {
		if !s.raises(p.at) || !s.takes(p.at) {
			continue
		}
		then, key := s.on(p.at), ""
		if !w.to.takes(then) {
			key = w.key(then)
			if n, ok := seen[key]; ok && n <= len(p.over)+1 {
				continue
			}
			seen[key] = len(p.over) + 1
		}
		list = append(list, place{then, append(p.over[:len(p.over):len(p.over)], s)})
	}
	return list
}

// reaches tells whether a module is, or could become, what is asked of it. Of one that the device has said nothing of nobody knows: it may run what is
// newer than all stones.
func (w *ways) reaches(a *ask, m modules) bool {
	return a.met(m[a.module]) || m[a.module].version != "" && slices.ContainsFunc(w.stones, func(s stone) bool { return a.met(s.becoming[a.module]) })
}

// missing is how many stones are needed at least for what is asked and not there.
func (w *ways) missing(m modules) (n int) {
	for i := range w.to.asks {
		if a := &w.to.asks[i]; !a.met(m[a.module]) {
			n++
		}
	}
	return (n + w.most - 1) / w.most
}

// later tells whether a way had better end over a than over b: the newer of a module, the one of the firmware's own module, or the first by name.
func (w *ways) later(a, b *stone) bool {
	switch {
	case a.module == b.module:
		return rollout.Compare(a.version(), b.version()) > 0
	case a.module == w.to.module || b.module == w.to.module:
		return a.module == w.to.module
	}
	return a.module < b.module
}
