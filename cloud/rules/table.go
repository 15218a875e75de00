package rules

import (
	"hash/maphash"
	"iter"
	"maps"
)

// table is an immutable map that is cheap to change a copy of: a change copies one bucket of at most about bucketMost entries. The zero
// table is empty.
type table[K comparable, V any] struct {
	buckets []map[K]V // 0 or a power of two
	n       int
}

const bucketMost = 64

var tableSeed = maphash.MakeSeed()

func (t *table[K, V]) bucket(key K) int {
	if len(t.buckets) <= 1 {
		return 0
	}
	return int(maphash.Comparable(tableSeed, key) & uint64(len(t.buckets)-1))
}

// get returns the zero value for what is not there.
func (t *table[K, V]) get(key K) V {
	if len(t.buckets) == 0 {
		var zero V
		return zero
	}
	return t.buckets[t.bucket(key)][key]
}

// with returns a copy that has key.
func (t table[K, V]) with(key K, value V) table[K, V] {
	if len(t.buckets) == 0 {
		return table[K, V]{buckets: []map[K]V{{key: value}}, n: 1}
	}
	if t.n >= bucketMost*len(t.buckets) {
		t = t.grown()
	}
	i := t.bucket(key)
	next := t.copied(i)
	if _, ok := t.buckets[i][key]; !ok {
		next.n++
	}
	next.buckets[i][key] = value
	return next
}

// without returns a copy that does not have key.
func (t table[K, V]) without(key K) table[K, V] {
	if len(t.buckets) == 0 {
		return t
	}
	i := t.bucket(key)
	if _, ok := t.buckets[i][key]; !ok {
		return t
	}
	next := t.copied(i)
	delete(next.buckets[i], key)
	next.n--
	return next
}

// copied returns a table whose i-th bucket may be changed.
func (t table[K, V]) copied(i int) table[K, V] {
	next := table[K, V]{buckets: append([]map[K]V(nil), t.buckets...), n: t.n}
	if next.buckets[i] = maps.Clone(t.buckets[i]); next.buckets[i] == nil {
		next.buckets[i] = make(map[K]V)
	}
	return next
}

// grown has twice the buckets.
func (t table[K, V]) grown() table[K, V] {
	next := table[K, V]{buckets: make([]map[K]V, 2*len(t.buckets)), n: t.n}
	for i := range next.buckets {
		next.buckets[i] = make(map[K]V, bucketMost)
	}
	for key, value := range t.all() {
		next.buckets[next.bucket(key)][key] = value
	}
	return next
}

func (t table[K, V]) all() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, b := range t.buckets {
			for key, value := range b {
				if !yield(key, value) {
					return
				}
			}
		}
	}
}
