package rulesql

import (
	"github.com/hawser-iot/hawser/protocol/codec"
)

// comparison compiles = <> < <= > >=. A field against a constant, the common case, has closures of its own that make no
// val.
func (c *compiler) comparison(x *Binary) condition {
	test := tests[x.Op]
	if p, ok := x.X.(*Path); ok {
		if v, ok := literal(x.Y); ok && v.kind >= vBool {
			return compareWith(c.path(p), test, v)
		}
	}
	if p, ok := x.Y.(*Path); ok {
		if v, ok := literal(x.X); ok && v.kind >= vBool {
			return compareWith(c.path(p), test.turned(), v)
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

// like compiles X LIKE Pattern.
func (c *compiler) like(x *Like) condition {
	value, pattern := c.evaluator(x.X), c.evaluator(x.Pattern)
	return func(e *Env) truth {
		v, p := value(e), pattern(e)
		if v.kind < vBool || v.kind == vNode || p.kind < vBool || p.kind == vNode {
			return unknown
		}
		pattern := p.text()
		if len(pattern) > maxPattern {
			return e.fail(x, "the pattern is longer than 256 bytes").truth()
		}
		return truthOf(like(v.text(), pattern))
	}
}

// maxPattern bounds the cost of LIKE, which is the product of the lengths at worst.
const maxPattern = 256

// text returns the value as a string.
func (v val) text() string {
	if v.kind == vString {
		return v.str
	}
	return string(v.appendText(nil))
}

// like matches s with a pattern: on a mismatch it goes back to the last % and lets that take one byte more, so its cost
// is at most the product of the lengths.
func like(s, pattern string) bool {
	i, j, star, mark := 0, 0, -1, 0
	for i < len(s) {
		if j < len(pattern) && pattern[j] == '%' {
			star, mark = j, i
			j++
			continue
		}
		if n, m := likeOne(s[i:], pattern[j:]); m > 0 {
			i, j = i+n, j+m
			continue
		}
		if star < 0 {
			return false
		}
		mark++
		i, j = mark, star+1
	}
	for j < len(pattern) && pattern[j] == '%' {
		j++
	}
	return j == len(pattern)
}

// likeOne matches one character of s; it returns the bytes that it takes of s and of the pattern, 0 if it does not match.
func likeOne(s, pattern string) (n, m int) {
	if pattern == "" {
		return 0, 0
	}
	switch {
	case pattern[0] == '_':
		n = 1
		for n < len(s) && s[n]&0xC0 == 0x80 { // the rest of a UTF-8 character
			n++
		}
		return n, 1
	case pattern[0] == '\\' && len(pattern) > 1 && s[0] == pattern[1]:
		return 1, 2
	case pattern[0] == '\\' && len(pattern) > 1:
		return 0, 0
	case s[0] == pattern[0]:
		return 1, 1
	}
	return 0, 0
}
