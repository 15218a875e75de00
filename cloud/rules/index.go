package rules

import (
	"cmp"
	"iter"
	"slices"
	"strings"

	"github.com/hawser-iot/hawser/protocol/rulesql"
)

// set is the rules as they are in force. It never changes: a change of a rule makes another that shares all but what the rule touches.
type set struct {
	rules   table[int64, *compiled]
	actions table[int64, *action]
	root    *node // of the enabled rules; nil: there are none
}

// compiled is a rule with its program and actions. Only its counters change.
type compiled struct {
	Rule
	filters []string         // of the program
	program *rulesql.Program // nil when the stored query cannot be compiled by this program
	actions []*action        // in the order of the rule
	onError *action          // nil: nobody is told of what is given up
	// fallbacks are by the id of the action that they stand in for.
	fallbacks map[int64]*action
	faults    *faults // shared by the versions of the rule
}

// newCompiled makes one for a rule; of an earlier version it keeps the counters. program may be nil.
func newCompiled(rule Rule, program *rulesql.Program, old *compiled) *compiled {
	c := &compiled{Rule: rule, program: program, faults: &faults{}}
	if program != nil {
		c.filters = program.Filters()
	}
	if old != nil {
		c.faults = old.faults
	}
	return c
}

// all are the rule's actions of every role.
func (c *compiled) all() iter.Seq[*action] {
	return func(yield func(*action) bool) {
		for _, a := range c.actions {
			if !yield(a) {
				return
			}
			if f := c.fallbacks[a.id]; f != nil && !yield(f) {
				return
			}
		}
		if c.onError != nil {
			yield(c.onError)
		}
	}
}

func (s *set) rule(id int64) *compiled { return s.rules.get(id) }

func (s *set) action(id int64) *action { return s.actions.get(id) }

// empty tells that no rule is enabled.
func (s *set) empty() bool { return s.root == nil }

// with returns a set with c in the place of the rule of that id; without it when c is nil.
func (s *set) with(id int64, c *compiled) *set {
	n := *s
	if old := s.rule(id); old != nil {
		n.rules = n.rules.without(id)
		for a := range old.all() {
			n.actions = n.actions.without(a.id)
		}
		for _, f := range old.wanted() {
			n.root = n.root.without(f, id)
		}
	}
	if c == nil {
		return &n
	}
	n.rules = n.rules.with(id, c)
	for a := range c.all() {
		n.actions = n.actions.with(a.id, a)
	}
	for _, f := range c.wanted() {
		n.root = n.root.with(f, c)
	}
	return &n
}

// wanted are the filters of the messages that the rule is to be evaluated on.
func (c *compiled) wanted() []string {
	if !c.Enabled || c.program == nil {
		return nil
	}
	return c.filters
}

// sorted lists the rules, oldest first.
func (s *set) sorted() []*compiled {
	list := make([]*compiled, 0, s.rules.n)
	for _, c := range s.rules.all() {
		list = append(list, c)
	}
	slices.SortFunc(list, byID)
	return list
}

func byID(a, b *compiled) int { return cmp.Compare(a.ID, b.ID) }

// node is a level of the filters, by the text between two slashes. It never changes; nil is one without anything.
type node struct {
	next table[string, *node]
	plus *node       // +
	hash []*compiled // # below this level, which matches this level too
	here []*compiled // filters that end here
}

// with returns the node with a filter.
func (n *node) with(filter string, c *compiled) *node {
	return n.changed(filter, true, func(list []*compiled) []*compiled {
		i, there := slices.BinarySearchFunc(list, c, byID)
		if there {
			return list
		}
		return slices.Insert(slices.Clone(list), i, c)
	})
}

// without returns the node without a rule's filter.
func (n *node) without(filter string, id int64) *node {
	return n.changed(filter, true, func(list []*compiled) []*compiled {
		return slices.DeleteFunc(slices.Clone(list), func(c *compiled) bool { return c.ID == id })
	})
}

// changed returns the node with another list of the rules that have a filter. more is false at the filter's end.
func (n *node) changed(filter string, more bool, change func([]*compiled) []*compiled) *node {
	next := node{}
	if n != nil {
		next = *n
	}
	level, rest, below := strings.Cut(filter, "/")
	switch {
	case !more:
		next.here = change(next.here)
	case level == "#":
		next.hash = change(next.hash)
	case level == "+":
		next.plus = next.plus.changed(rest, below, change)
	default:
		if child := next.next.get(level).changed(rest, below, change); child != nil {
			next.next = next.next.with(level, child)
		} else {
			next.next = next.next.without(level)
		}
	}
	if next.next.n == 0 && next.plus == nil && len(next.hash)+len(next.here) == 0 {
		return nil
	}
	return &next
}

// find returns the rules that want a message on topic, each once, in memory of hits.
func (s *set) find(topic string, hits []*compiled) []*compiled {
	if s.root != nil {
		hits = s.root.find(topic, hits)
	}
	// Only a rule with several filters can be found twice; of many rules it is cheaper to sort than to look each up.
	if len(hits) > 1 && slices.ContainsFunc(hits, func(c *compiled) bool { return len(c.filters) > 1 }) {
		slices.SortFunc(hits, byID)
		hits = slices.Compact(hits)
	}
	return hits
}

// find appends the rules of the filters that match topic.
func (n *node) find(topic string, hits []*compiled) []*compiled {
	hits = append(hits, n.hash...)
	level, rest, more := strings.Cut(topic, "/")
	if child := n.next.get(level); child != nil {
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
	return append(append(hits, n.here...), n.hash...)
}
