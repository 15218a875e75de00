package rulesql

import (
	"github.com/hawser-iot/hawser/protocol/codec"
)

// comparison compiles = <> < <= > >=. A field against a constant, the common case, has closures of its own that make no
// val.
func (c *compiler) comparison(x *Binary) condition {
	test := tests[x.Op]
	if p, ok := c.payloadPath(x.X); ok {
		if v, ok := literal(x.Y); ok && v.kind >= vBool {
			return compareWith(c.field(p), test, v)
		}
	}
	if p, ok := c.payloadPath(x.Y); ok {
		if v, ok := literal(x.X); ok && v.kind >= vBool {
			return compareWith(c.field(p), test.turned(), v)
		}
	}
	a, b := c.evaluator(x.X), c.evaluator(x.Y)
	return func(e *Env) truth {
		o, ok := compare(a(e), b(e))
		if !ok {
			return unknown
		}
		return test.of(o)
	}
}

// test is an operator: what it says of less, equal and greater.
type test [3]truth

var tests = map[string]test{
	"=": {no, yes, no}, "<>": {yes, no, yes},
	"<": {yes, no, no}, "<=": {yes, yes, no},
	">": {no, no, yes}, ">=": {no, yes, yes},
}

func (t *test) of(o ordering) truth { return t[o+1] }

// turned is the operator with its operands exchanged.
func (t test) turned() test { return test{t[2], t[1], t[0]} }

// literal returns the value of a constant, with its sign.
func literal(x Expr) (val, bool) {
	switch x := x.(type) {
	case *Literal:
		return x.value, true
	case *Unary:
		if l, ok := x.X.(*Literal); ok && x.Op == "-" && (l.value.kind == vInt || l.value.kind == vFloat) {
			return negative(l.value), true
		}
	}
	return val{}, false
}

func compareWith(node func(*Env) codec.Value, test test, v val) condition {
	general := func(n codec.Value) truth {
		o, ok := compare(fromNode(n), v)
		if !ok {
			return unknown
		}
		return test.of(o)
	}
	switch v.kind {
	case vInt:
		return func(e *Env) truth {
			n := node(e)
			if i, ok := n.Int(); ok && n.Kind() == codec.Int {
				return test.of(order(i, v.num))
			}
			return general(n)
		}
	case vFloat:
		f := v.float()
		return func(e *Env) truth {
			n := node(e)
			if g, ok := n.Float(); ok {
				return test.of(order(g, f))
			}
			return general(n)
		}
	case vString:
		return func(e *Env) truth {
			n := node(e)
			if s, ok := n.Str(); ok {
				return test.of(order(s, v.str))
			}
			return general(n)
		}
	}
	return func(e *Env) truth { return general(node(e)) }
}
