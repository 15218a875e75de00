package rulesql

// A compiled expression is a closure: an evaluator gives its value, a condition its truth.
type (
	evaluator func(*Env) val
	condition func(*Env) truth
)

// compiler turns expressions into closures; the first fault is kept in err.
type compiler struct {
	dialect Dialect
	owner   Owner
	binary  bool
	scopes  []scope
	payload bool // some expression looks at the payload
	quiet   int  // above 0 a field that is missing is no fault: IS NULL, coalesce and their like ask for it
	err     error
}

func (c *compiler) fail(line, column int, hint, reason string) {
	if c.err == nil {
		c.err = &Error{Line: line, Column: column, Reason: reason, Hint: hint}
	}
}

// quietly compiles with f what may be missing.
func quietly[T any](c *compiler, f func(Expr) T, x Expr) T {
	c.quiet++
	defer func() { c.quiet-- }()
	return f(x)
}

func constant(v val) evaluator { return func(*Env) val { return v } }

// evaluator compiles x for its value.
func (c *compiler) evaluator(x Expr) evaluator {
	switch x := x.(type) {
	case *Literal:
		return constant(x.value)
	case *Path:
		return c.path(x)
	case *Call:
		return c.call(x)
	case *Case:
		return c.caseOf(x)
	case *Access:
		return c.access(x)
	case *Element:
		return c.element(x)
	case *Slice:
		return c.slice(x)
	case *List:
		return c.list(x)
	case *Object:
		return c.object(x)
	case *Select:
		return c.subquery(x)
	case *Unary:
		if x.Op == "-" {
			return c.negate(x)
		}
	case *Binary:
		if x.Op == "||" {
			return c.concatenation(x)
		}
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
	case *Regexp:
		return negated(c.regexp(x), x.Not)
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

func (c *compiler) is(x *Is) condition {
	value := quietly(c, c.evaluator, x.X)
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
