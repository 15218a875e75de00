// Package lru is a bounded map from keys to immutable values, read by many
// goroutines at once: what registry, shadow, thingmodel and account keep of the
// store in memory.
//
// It promises that its size never exceeds the bound (the least recently used
// value goes) and that a value read from the store before a change is never
// put over that change: a reader takes a Ticket before it reads the store, and
// Fill does nothing when the key's shard was changed since. It knows nothing
// of the store, of time or of expiry.
package lru

import (
	"hash/maphash"
	"sync"
)

// shards is a power of two; each has its own lock.
const shards = 16

// Cache maps K to V. The zero Cache is not usable; call New.
type Cache[K comparable, V any] struct {
	seed  maphash.Seed
	shard [shards]shard[K, V]
}

type shard[K comparable, V any] struct {
	mu sync.Mutex // guards the fields below
	// gen counts the changes of this shard, for Fill.
	gen     uint64
	max     int
	index   map[K]*entry[K, V]
	root    entry[K, V] // ring: root.next is the newest, root.prev the oldest
	evicted uint64
}

type entry[K comparable, V any] struct {
	prev, next *entry[K, V]
	key        K
	value      V
}

// Ticket is what Fill needs to know whether a value is still current.
type Ticket uint64

// New returns a Cache for at most about limit values, spread evenly over its shards.
func New[K comparable, V any](limit int) *Cache[K, V] {
	c := &Cache[K, V]{seed: maphash.MakeSeed()}
	each := max((limit+shards-1)/shards, 1)
	for i := range c.shard {
		s := &c.shard[i]
		s.max = each
		s.index = make(map[K]*entry[K, V])
		s.root.next, s.root.prev = &s.root, &s.root
	}
	return c
}

func (c *Cache[K, V]) of(key K) *shard[K, V] {
	return &c.shard[maphash.Comparable(c.seed, key)%shards]
}

// Get returns the value of key and counts as a use of it.
func (c *Cache[K, V]) Get(key K) (V, bool) {
	s := c.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.index[key]
	if !ok {
		var zero V
		return zero, false
	}
	s.touchLocked(e)
	return e.value, true
}

// Ticket is to be taken before the store is read for key.
func (c *Cache[K, V]) Ticket(key K) Ticket {
	s := c.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	return Ticket(s.gen)
}

// Fill keeps a value that was read from the store, unless something in the
// key's shard changed since t was taken. It tells whether it kept it.
func (c *Cache[K, V]) Fill(key K, t Ticket, value V) bool {
	s := c.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gen != uint64(t) {
		return false
	}
	s.putLocked(key, value)
	return true
}

// Put sets the value of key after a change of it.
func (c *Cache[K, V]) Put(key K, value V) {
	s := c.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gen++
	s.putLocked(key, value)
}

// Update replaces the value of key, if it is held, by what change returns; when
// change returns false the key is removed. Reads of the store that are under
// way are not kept, whether the key was held or not.
func (c *Cache[K, V]) Update(key K, change func(V) (V, bool)) {
	s := c.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gen++
	e, ok := s.index[key]
	if !ok {
		return
	}
	v, keep := change(e.value)
	if !keep {
		s.removeLocked(e)
		return
	}
	e.value = v
}

// Remove forgets key.
func (c *Cache[K, V]) Remove(key K) {
	s := c.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gen++
	if e, ok := s.index[key]; ok {
		s.removeLocked(e)
	}
}

// Clear forgets everything.
func (c *Cache[K, V]) Clear() {
	for i := range c.shard {
		s := &c.shard[i]
		s.mu.Lock()
		s.gen++
		clear(s.index)
		s.root.next, s.root.prev = &s.root, &s.root
		s.mu.Unlock()
	}
}

// Len is the number of values held.
func (c *Cache[K, V]) Len() int {
	n := 0
	for i := range c.shard {
		s := &c.shard[i]
		s.mu.Lock()
		n += len(s.index)
		s.mu.Unlock()
	}
	return n
}

// Evicted is the number of values that went because the cache was full.
func (c *Cache[K, V]) Evicted() uint64 {
	var n uint64
	for i := range c.shard {
		s := &c.shard[i]
		s.mu.Lock()
		n += s.evicted
		s.mu.Unlock()
	}
	return n
}

func (s *shard[K, V]) putLocked(key K, value V) {
	if e, ok := s.index[key]; ok {
		e.value = value
		s.touchLocked(e)
		return
	}
	if len(s.index) >= s.max {
		s.removeLocked(s.root.prev)
		s.evicted++
	}
	e := &entry[K, V]{key: key, value: value}
	s.index[key] = e
	s.linkLocked(e)
}

func (s *shard[K, V]) touchLocked(e *entry[K, V]) {
	if s.root.next == e {
		return
	}
	e.prev.next, e.next.prev = e.next, e.prev
	s.linkLocked(e)
}

func (s *shard[K, V]) linkLocked(e *entry[K, V]) {
	e.prev, e.next = &s.root, s.root.next
	e.prev.next, e.next.prev = e, e
}

func (s *shard[K, V]) removeLocked(e *entry[K, V]) {
	delete(s.index, e.key)
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = nil, nil
}
