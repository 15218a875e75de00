// Package trie keeps values under MQTT topic filters or topic names and finds them by the other of the two: the filters that
// match a name (subscriptions), or the names that match a filter (retained messages).
//
// It promises the matching rules of MQTT (3.1.1 section 4.7, 5.0 the same): '+' is one level, '#' the rest and its parent, and a
// wildcard at the start does not reach topics that begin with '$'. What was removed leaves nothing behind. A tree costs by what
// is in it and a look by the levels of what is asked. It leaves to its user what a value is, and how it changes.
package trie

import (
	"strings"
	"sync"
)

// MaxLevels is how many levels a filter or name may have; it bounds what a hostile one costs.
const MaxLevels = 128

// Tree maps filters or names to values. The zero Tree is empty and ready. It is safe for concurrent use.
type Tree[V any] struct {
	mu   sync.RWMutex // guards the fields below
	root node[V]
	size int
}

type node[V any] struct {
	children map[string]*node[V]
	value    V
	set      bool
}

// Fits reports whether a filter or name has at most MaxLevels levels.
func Fits(key string) bool { return strings.Count(key, "/") < MaxLevels }

// Len is how many keys have a value.
func (t *Tree[V]) Len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.size
}

// Get returns the value of exactly this key.
func (t *Tree[V]) Get(key string) (v V, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	n := &t.root
	for rest, more := key, true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		if n = n.children[level]; n == nil {
			return v, false
		}
	}
	return n.value, n.set
}

// Update gives f the value of key (ok is false when there is none) and keeps what it returns, or removes the key when keep is
// false. No other call runs meanwhile. It returns false, without calling f, for a key that does not Fit.
func (t *Tree[V]) Update(key string, f func(v V, ok bool) (_ V, keep bool)) bool {
	if !Fits(key) {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.updateLocked(&t.root, key, true, f)
	return true
}

// updateLocked goes down one level; it reports whether n is empty now. more tells that rest holds a level.
func (t *Tree[V]) updateLocked(n *node[V], rest string, more bool, f func(V, bool) (V, bool)) (empty bool) {
	if !more {
		t.setLocked(n, f)
		return !n.set && len(n.children) == 0
	}
	level, rest, more := strings.Cut(rest, "/")
	child := n.children[level]
	if child == nil {
		child = &node[V]{}
	}
	if t.updateLocked(child, rest, more, f) {
		delete(n.children, level)
		return !n.set && len(n.children) == 0
	}
	if n.children == nil {
		n.children = map[string]*node[V]{}
	}
	// The key must not keep a longer string alive that the level was cut from.
	if n.children[level] == nil {
		n.children[strings.Clone(level)] = child
	}
	return false
}

func (t *Tree[V]) setLocked(n *node[V], f func(V, bool) (V, bool)) {
	v, keep := f(n.value, n.set)
	switch {
	case keep && !n.set:
		t.size++
	case !keep && n.set:
		t.size--
	}
	if !keep {
		var none V
		v = none
	}
	n.value, n.set = v, keep
}

// Match calls f for the value of each filter that matches the topic name, in no order, until f returns false. f must not
// change the tree.
func (t *Tree[V]) Match(name string, f func(V) bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.size > 0 {
		match(&t.root, name, strings.HasPrefix(name, "$"), f)
	}
}

// match looks at the levels of rest below n. guarded keeps the wildcards of this level out.
func match[V any](n *node[V], rest string, guarded bool, f func(V) bool) bool {
	level, rest, more := strings.Cut(rest, "/")
	if !guarded {
		if all := n.children["#"]; all != nil && all.set && !f(all.value) {
			return false
		}
		if any := n.children["+"]; any != nil && !below(any, rest, more, f) {
			return false
		}
	}
	child := n.children[level]
	return child == nil || below(child, rest, more, f)
}

func below[V any](n *node[V], rest string, more bool, f func(V) bool) bool {
	if more {
		return match(n, rest, false, f)
	}
	if n.set && !f(n.value) {
		return false
	}
	parent := n.children["#"] // "a/#" matches "a" as well
	return parent == nil || !parent.set || f(parent.value)
}

// Select calls f for the value of each name that the filter matches, in no order, until f returns false. f must not change
// the tree.
func (t *Tree[V]) Select(filter string, f func(V) bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.size > 0 {
		selectFrom(&t.root, filter, true, f)
	}
}

func selectFrom[V any](n *node[V], rest string, top bool, f func(V) bool) bool {
	level, rest, more := strings.Cut(rest, "/")
	switch level {
	case "#":
		return selectAll(n, top, f)
	case "+":
		for name, child := range n.children {
			if top && strings.HasPrefix(name, "$") {
				continue
			}
			if !selectBelow(child, rest, more, f) {
				return false
			}
		}
		return true
	}
	child := n.children[level]
	return child == nil || selectBelow(child, rest, more, f)
}

func selectBelow[V any](n *node[V], rest string, more bool, f func(V) bool) bool {
	if more {
		return selectFrom(n, rest, false, f)
	}
	return !n.set || f(n.value)
}

// All calls f for every value, in no order, until f returns false. f must not change the tree.
func (t *Tree[V]) All(f func(V) bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	selectAll(&t.root, false, f)
}

// selectAll calls f for n and all below it.
func selectAll[V any](n *node[V], top bool, f func(V) bool) bool {
	if n.set && !f(n.value) {
		return false
	}
	for name, child := range n.children {
		if top && strings.HasPrefix(name, "$") {
			continue
		}
		if !selectAll(child, false, f) {
			return false
		}
	}
	return true
}
