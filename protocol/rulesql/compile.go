package rulesql

import (
	"github.com/hawser-iot/hawser/protocol/codec"
)

// A compiled expression is a closure: an evaluator gives its value, a condition its truth.
type (
	evaluator func(*Env) val
	condition func(*Env) truth
)

// compiler turns expressions into closures; the first fault is kept in err.
type compiler struct {
	payload bool // some expression looks at the payload
	err     error
}

func (c *compiler) fail(call *Call, hint, reason string) {
	if c.err == nil {
		c.err = &Error{Line: call.line, Column: call.column, Reason: reason, Hint: hint}
	}
}

func constant(v val) evaluator { return func(*Env) val { return v } }

// evaluator compiles x for its value.
func (c *compiler) evaluator(x Expr) evaluator {
	switch x := x.(type) {
	case *Literal:
		return constant(x.value)
	case *Path:
		node := c.path(x)
		return func(e *Env) val { return fromNode(node(e)) }
	case *Call:
		return c.call(x)
	case *Case:
		return c.caseOf(x)
	case *Unary:
		if x.Op == "-" {
			return c.negate(x)
		}
	case *Binary:
		if x.level() >= levelAdd {
			return c.arithmetic(x)
		}
	}
	cond := c.condition(x)
	return func(e *Env) val { return cond(e).val() }
}

// condition compiles x for its truth.
func (c *compiler) condition(x Expr) condition {
	switch x := x.(type) {
	case *Unary:
		if x.Op == "NOT" {
			return negated(c.condition(x.X), true)
		}
	case *Binary:
		switch {
		case x.Op == "AND":
			return and(c.condition(x.X), c.condition(x.Y))
		case x.Op == "OR":
			return or(c.condition(x.X), c.condition(x.Y))
		case x.level() == levelCompare:
			return c.comparison(x)
		}
	case *In:
		return negated(c.in(x), x.Not)
	case *Like:
		return negated(c.like(x), x.Not)
	case *Is:
		return negated(c.is(x), x.Not)
	case *Between:
		low := c.comparison(&Binary{Op: ">=", X: x.X, Y: x.Low})
		high := c.comparison(&Binary{Op: "<=", X: x.X, Y: x.High})
		return negated(and(low, high), x.Not)
	}
	value := c.evaluator(x)
	return func(e *Env) truth { return value(e).truth() }
}

func and(a, b condition) condition {
	return func(e *Env) truth {
		x := a(e)
		if x == no {
			return no
		}
		if y := b(e); y != yes {
			return y
		}
		return x
	}
}

func or(a, b condition) condition {
	return func(e *Env) truth {
		x := a(e)
		if x == yes {
			return yes
		}
		y := b(e)
		if y == no {
			return x
		}
		return y
	}
}

func negated(a condition, not bool) condition {
	if !not {
		return a
	}
	return func(e *Env) truth {
		switch a(e) {
		case yes:
			return no
		case no:
			return yes
		}
		return unknown
	}
}

// path compiles the way to a node of the payload; the common lengths without a loop.
func (c *compiler) path(x *Path) func(*Env) codec.Value {
	c.payload = true
	steps := x.Steps
	if steps[0].Name != "" && len(steps) == 1 {
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
	if i < 0 || i >= v.Len() {
		return codec.Value{}
	}
	return v.Index(i)
}

func (c *compiler) is(x *Is) condition {
	value := c.evaluator(x.X)
	if x.Missing {
		return func(e *Env) truth { return truthOf(value(e).kind == vMissing) }
	}
	return func(e *Env) truth { return truthOf(value(e).kind <= vNull) }
}

// in is a chain of comparisons with =, joined by OR.
func (c *compiler) in(x *In) condition {
	value := c.evaluator(x.X)
	items := make([]evaluator, len(x.List))
	for i, item := range x.List {
		items[i] = c.evaluator(item)
	}
	return func(e *Env) truth {
		v, result := value(e), no
		for _, item := range items {
			o, ok := compare(v, item(e))
			if ok && o == 0 {
				return yes
			}
			if !ok {
				result = unknown
			}
		}
		return result
	}
}

func (c *compiler) caseOf(x *Case) evaluator {
	type branch struct {
		when condition
		then evaluator
	}
	var branches []branch
	for _, w := range x.Whens {
		when := w.If
		if x.X != nil {
			when = &Binary{Op: "=", X: x.X, Y: w.If}
		}
		branches = append(branches, branch{c.condition(when), c.evaluator(w.Then)})
	}
	otherwise := constant(val{})
	if x.Else != nil {
		otherwise = c.evaluator(x.Else)
	}
	return func(e *Env) val {
		for i := range branches {
			if branches[i].when(e) == yes {
				return branches[i].then(e)
			}
		}
		return otherwise(e)
	}
}
