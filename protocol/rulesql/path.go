package rulesql

import (
	"github.com/hawser-iot/hawser/protocol/codec"
)

// scope names the element that FOREACH or a SELECT over an array is at.
type scope struct {
	item, at string // item "": every name is that of a member of the element
	slot     int    // of Env.vars
}

// enter opens a scope; ok is false if there are too many within each other.
func (c *compiler) enter(item, at string) (slot int, ok bool) {
	slot = len(c.scopes)
	if slot == MaxScopes {
		if c.err == nil {
			c.err = &Error{Line: 1, Column: 1, Reason: "more than 8 FOREACH and SELECT over arrays within each other"}
		}
		return 0, false
	}
	c.scopes = append(c.scopes, scope{item: item, at: at, slot: slot})
	return slot, true
}

func (c *compiler) leave() { c.scopes = c.scopes[:len(c.scopes)-1] }

// find tells what the first name of a path means: an element and the steps from it, its position, or (ok false) a field of the
// payload.
func (c *compiler) find(steps []Step) (slot int, rest []Step, position, ok bool) {
	for i := len(c.scopes) - 1; i >= 0; i-- {
		s := c.scopes[i]
		switch {
		case s.item == "":
			return s.slot, steps, false, true
		case s.item == steps[0].Name:
			return s.slot, steps[1:], false, true
		case s.at == steps[0].Name && s.at != "" && len(steps) == 1:
			return s.slot, nil, true, true
		}
	}
	return 0, nil, false, false
}

const missing = "the message has no such field"

// path compiles the way to a field.
func (c *compiler) path(x *Path) evaluator {
	slot, rest, position, ok := c.find(x.Steps)
	switch {
	case !ok:
		node := c.field(x)
		return func(e *Env) val { return fromNode(node(e)) }
	case position:
		return func(e *Env) val { return integer(e.vars[slot].at) }
	}
	loud := c.quiet == 0
	return func(e *Env) val {
		v := e.vars[slot].value
		for i := range rest {
			if rest[i].Name != "" {
				v = v.member(rest[i].Name)
			} else if e.spend(x, v.length()/16) {
				v = v.element(int64(rest[i].Index))
			}
		}
		if v.kind == vMissing && loud {
			e.note(FaultMissing, x, missing)
		}
		return v
	}
}

// payloadPath tells whether x is a field of the payload, of which comparisons need no val.
func (c *compiler) payloadPath(x Expr) (*Path, bool) {
	p, ok := x.(*Path)
	if !ok {
		return nil, false
	}
	_, _, _, scoped := c.find(p.Steps)
	return p, !scoped
}

// field compiles the way to a node of the payload; the most common one in a single closure.
func (c *compiler) field(x *Path) func(*Env) codec.Value {
	c.payload = true
	find := way(x)
	if c.quiet > 0 {
		return find
	}
	if len(x.Steps) == 1 {
		key := x.Steps[0].Name
		return func(e *Env) codec.Value {
			v := e.Payload.Get(key)
			if !v.Exists() {
				e.note(FaultMissing, x, missing)
			}
			return v
		}
	}
	return func(e *Env) codec.Value {
		v := find(e)
		if !v.Exists() {
			e.note(FaultMissing, x, missing)
		}
		return v
	}
}

func way(x *Path) func(*Env) codec.Value {
	steps := x.Steps
	if len(steps) == 1 {
		key := steps[0].Name
		return func(e *Env) codec.Value { return e.Payload.Get(key) }
	}
	if len(steps) == 2 && steps[1].Name != "" {
		key, next := steps[0].Name, steps[1].Name
		return func(e *Env) codec.Value { return e.Payload.Get(key).Get(next) }
	}
	return func(e *Env) codec.Value {
		v := e.Payload
		for i := range steps {
			if steps[i].Name == "" && !e.spend(x, v.Len()/16) {
				return codec.Value{}
			}
			v = steps[i].of(v)
		}
		return v
	}
}

func (s *Step) of(v codec.Value) codec.Value {
	if s.Name != "" {
		return v.Get(s.Name)
	}
	if v.Kind() != codec.Array {
		return codec.Value{}
	}
	i := s.Index
	if i < 0 {
		i += v.Len()
	}
	return v.Index(i)
}
