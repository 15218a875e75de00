package codec

import (
	"hash/maphash"
	"math/bits"
)

// smallObject is the number of members up to which comparing keys one by one beats hashing them.
const smallObject = 8

// seed makes collisions unpredictable for whoever chooses the keys.
var seed = maphash.MakeSeed()

// hash builds the hash table of the object at i, open addressing with linear probing, at most half full. A slot holds a
// member's position; 0 is free, for no member is at position 0.
func (d *Doc) hash(i int32) {
	n := &d.nodes[i]
	size := int32(1) << bits.Len32(uint32(2*n.count))
	n.num, n.table = uint64(len(d.index)), size
	for range size {
		d.index = append(d.index, 0)
	}
	table := d.index[n.num:]
	for m := i + 1; m < n.next; m = d.nodes[m].next {
		slot := d.probe(table, d.key(m))
		if old := table[slot]; old != 0 {
			d.nodes[old].flags |= flagDead
			n.count--
		}
		table[slot] = m
	}
}

// probe returns the slot that holds key, or the free one where it would go.
func (d *Doc) probe(table []int32, key string) uint64 {
	mask := uint64(len(table) - 1)
	slot := maphash.String(seed, key) & mask
	for table[slot] != 0 && d.key(table[slot]) != key {
		slot = (slot + 1) & mask
	}
	return slot
}

// member returns the position of the member of the object at i with that key, or 0.
func (d *Doc) member(i int32, key string) int32 {
	n := &d.nodes[i]
	if n.table != 0 {
		table := d.index[n.num : n.num+uint64(n.table)]
		return table[d.probe(table, key)]
	}
	for m := i + 1; m < n.next; m = d.nodes[m].next {
		if e := &d.nodes[m]; int(e.key.len) == len(key) && d.string(e.key) == key && e.flags&flagDead == 0 {
			return m
		}
	}
	return 0
}
