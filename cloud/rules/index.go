package rules

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/hawser-iot/hawser/protocol/rulesql"
)

// set is the rules as they are in force. After build it never changes.
type set struct {
	rules   map[int64]*compiled
	actions map[int64]*action
	root    *node // of the enabled rules
	empty   bool  // no rule is enabled
}

// compiled is a rule with its program and actions. Only its counters change.
type compiled struct {
	Rule
	program *rulesql.Program // nil when the stored query cannot be compiled by this program
	actions []*action        // in the order of the rule
	failed  *atomic.Int64    // shared by the versions of the rule
}

func newSet() *set {
	return &set{rules: make(map[int64]*compiled), actions: make(map[int64]*action)}
}

// with returns a copy with c in the place of the rule of that id; without it when c is nil.
func (s *set) with(id int64, c *compiled) *set {
	n := newSet()
	for _, old := range s.rules {
		if old.ID != id {
			n.put(old)
		}
	}
	if c != nil {
		n.put(c)
	}
	n.build()
	return n
}

func (s *set) put(c *compiled) {
	s.rules[c.ID] = c
	for _, a := range c.actions {
		s.actions[a.id] = a
	}
}

// build makes the index.
func (s *set) build() {
	s.root, s.empty = &node{}, true
	for _, c := range s.sorted() {
		if !c.Enabled || c.program == nil {
			continue
		}
		s.empty = false
		for _, f := range c.program.Filters() {
			s.root.add(f, c)
		}
	}
}

// sorted lists the rules, oldest first.
func (s *set) sorted() []*compiled {
	list := make([]*compiled, 0, len(s.rules))
	for _, c := range s.rules {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b *compiled) int {
		switch {
		case a.ID < b.ID:
			return -1
		case a.ID > b.ID:
			return 1
		}
		return 0
	})
	return list
}

// node is a level of the filters, by the text between two slashes.
type node struct {
	next map[string]*node
	plus *node       // +
	hash []*compiled // # below this level, which matches this level too
	here []*compiled // filters that end here
}

func (n *node) add(filter string, c *compiled) {
	for level := range strings.SplitSeq(filter, "/") {
		switch level {
		case "#":
			n.hash = append(n.hash, c)
			return
		case "+":
			if n.plus == nil {
				n.plus = &node{}
			}
			n = n.plus
		default:
			if n.next == nil {
				n.next = make(map[string]*node)
			}
			child := n.next[level]
			if child == nil {
				child = &node{}
				n.next[level] = child
			}
			n = child
		}
	}
	n.here = append(n.here, c)
}

// find appends the rules that want a message on topic, each once.
func (n *node) find(topic string, hits []*compiled) []*compiled {
	hits = appendNew(hits, n.hash)
	level, rest, more := strings.Cut(topic, "/")
	if child := n.next[level]; child != nil {
		hits = child.descend(rest, more, hits)
	}
	if n.plus != nil {
		hits = n.plus.descend(rest, more, hits)
	}
	return hits
}

func (n *node) descend(rest string, more bool, hits []*compiled) []*compiled {
	if more {
		return n.find(rest, hits)
	}
	return appendNew(appendNew(hits, n.here), n.hash)
}

func appendNew(hits, list []*compiled) []*compiled {
	for _, c := range list {
		if !slices.Contains(hits, c) {
			hits = append(hits, c)
		}
	}
	return hits
}
