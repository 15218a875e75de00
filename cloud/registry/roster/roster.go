// Package roster finds things by the device that they are of, in less memory than a map that has the device's names as its keys: it
// has their hash, and asks what it finds whose it is.
package roster

import (
	"hash/maphash"
	"iter"

	"github.com/hawser-iot/hawser/protocol/ident"
)

// Member is what is found; it is of one device for its life.
type Member interface {
	comparable
	Of() ident.Device
}

// Roster has at most one member for each device. The zero Roster is empty. It is not safe for concurrent use.
type Roster[M Member] struct {
	byHash map[uint64]M
	others map[ident.Device]M // those whose hash is another's: hardly ever any
}

var seed = maphash.MakeSeed()

// Hash is a device's; shards may be chosen by its lowest bits.
func Hash(dev ident.Device) uint64 { return maphash.Comparable(seed, dev) }

// Get returns a device's member; hash is the device's Hash.
func (r *Roster[M]) Get(hash uint64, dev ident.Device) (m M, ok bool) {
	if m, ok = r.byHash[hash]; ok && m.Of() == dev {
		return m, true
	}
	m, ok = r.others[dev]
	return m, ok
}

// Put makes m its device's member, in place of another.
func (r *Roster[M]) Put(hash uint64, m M) {
	dev := m.Of()
	if before, ok := r.byHash[hash]; ok && before.Of() != dev {
		if r.others == nil {
			r.others = map[ident.Device]M{}
		}
		r.others[dev] = m
		return
	}
	if r.byHash == nil {
		r.byHash = map[uint64]M{}
	}
	r.byHash[hash] = m
	delete(r.others, dev) // where it was while its hash was another's
}

// Remove takes m out, unless another is its device's member.
func (r *Roster[M]) Remove(hash uint64, m M) {
	if r.byHash[hash] == m {
		delete(r.byHash, hash)
	} else if dev := m.Of(); r.others[dev] == m {
		delete(r.others, dev)
	}
}

// Len is how many members there are.
func (r *Roster[M]) Len() int { return len(r.byHash) + len(r.others) }

// All are the members, in no order; the one that was seen last may be taken out meanwhile.
func (r *Roster[M]) All() iter.Seq[M] {
	return func(yield func(M) bool) {
		for _, m := range r.byHash {
			if !yield(m) {
				return
			}
		}
		for _, m := range r.others {
			if !yield(m) {
				return
			}
		}
	}
}
