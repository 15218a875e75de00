package rulesql

import (
	"slices"
	"unicode/utf8"
)

func (c *compiler) access(x *Access) evaluator {
	value := c.evaluator(x.X)
	return func(e *Env) val { return value(e).member(x.Name) }
}

func (c *compiler) element(x *Element) evaluator {
	value, at := c.evaluator(x.X), c.evaluator(x.At)
	return func(e *Env) val {
		v, i := value(e), at(e)
		switch {
		case v.isObject() && i.kind == vString:
			return v.member(i.str)
		case i.kind <= vNull:
			return val{}
		case i.kind != vInt:
			return e.fail(FaultType, x, "the position of an element is a whole number")
		case !e.spend(x, v.length()/16):
			return val{}
		}
		return v.element(i.num)
	}
}

// slice compiles X[From:To]: positions beyond the ends are the ends.
func (c *compiler) slice(x *Slice) evaluator {
	value, from, to := c.evaluator(x.X), constant(integer(0)), constant(null())
	if x.From != nil {
		from = c.evaluator(x.From)
	}
	if x.To != nil {
		to = c.evaluator(x.To)
	}
	return func(e *Env) val {
		v, low, high := value(e), from(e), to(e)
		if x.To == nil {
			high = integer(1 << 40)
		}
		switch {
		case v.kind <= vNull || low.kind <= vNull || high.kind <= vNull:
			return lesser(v, null())
		case low.kind != vInt || high.kind != vInt:
			return e.fail(FaultType, x, "the position of an element is a whole number")
		case v.isArray():
			i, j := within2(low.num, high.num, v.length())
			if !e.spend(x, v.length()) {
				return val{}
			}
			return array(slices.Clone(v.elements()[i:j]))
		case v.composite():
			return e.fail(FaultType, x, "an object has no slices")
		}
		return text(cut(v.text(), low.num, high.num))
	}
}

// cut returns the characters of s from low up to high, not included; negative positions count from the end.
func cut(s string, low, high int64) string {
	if len(s) == utf8.RuneCountInString(s) {
		i, j := within2(low, high, len(s))
		return s[i:j]
	}
	r := []rune(s)
	i, j := within2(low, high, len(r))
	return string(r[i:j])
}

// within2 puts two positions, from the end if negative, within n elements.
func within2(low, high int64, n int) (i, j int64) {
	clamp := func(k int64) int64 {
		if k < 0 {
			k += int64(n)
		}
		return min(max(k, 0), int64(n))
	}
	i, j = clamp(low), clamp(high)
	return i, max(i, j)
}

// lesser returns whichever of two values is more absent: missing, then null.
func lesser(a, b val) val {
	if b.kind < a.kind {
		return b
	}
	return a
}

func (c *compiler) list(x *List) evaluator {
	items := c.evaluators(x.Items)
	return func(e *Env) val {
		vals := make([]val, len(items))
		for i, item := range items {
			vals[i] = item(e)
		}
		return e.boxed(x, array(vals))
	}
}

func (c *compiler) evaluators(xs []Expr) []evaluator {
	out := make([]evaluator, len(xs))
	for i, x := range xs {
		out[i] = c.evaluator(x)
	}
	return out
}

func (c *compiler) object(x *Object) evaluator {
	values := make([]evaluator, len(x.Members))
	for i, m := range x.Members {
		values[i] = c.evaluator(m.Value)
	}
	return func(e *Env) val {
		keys, vals := make([]string, 0, len(values)), make([]val, 0, len(values))
		for i, value := range values {
			if v := value(e); v.kind != vMissing {
				keys, vals = append(keys, x.Members[i].Name), append(vals, v)
			}
		}
		return e.boxed(x, object(keys, vals))
	}
}

// subquery compiles a SELECT over an array.
func (c *compiler) subquery(x *Select) evaluator {
	list := c.evaluator(x.List)
	slot, ok := c.enter(x.Item, x.At)
	if !ok {
		return constant(val{})
	}
	defer c.leave()
	where := func(*Env) truth { return yes }
	if x.Where != nil {
		where = c.condition(x.Where)
	}
	make1, cost := c.result(x, slot), weight(x)
	return func(e *Env) val {
		all := list(e)
		if all.kind <= vNull {
			return all
		}
		if !all.isArray() {
			return e.fail(FaultType, x, "SELECT runs over an array")
		}
		var out []val
		all.each(func(i int, v val) bool {
			e.vars[slot] = item{v, int64(i)}
			if !e.spend(x, cost) {
				return false
			}
			if where(e) != yes {
				return e.err == nil
			}
			if r := make1(e); r.kind != vMissing {
				out = append(out, r)
			}
			return e.err == nil
		})
		e.vars[slot] = item{}
		return e.boxed(x, array(out))
	}
}

// weight is the number of expressions that x is made of: what an element of its array costs.
func weight(x Expr) int {
	n := 0
	Walk(x, func(Expr) bool { n++; return true })
	return n
}

// result compiles what a SELECT over an array makes of an element.
func (c *compiler) result(x *Select, slot int) evaluator {
	if x.Value != nil {
		return c.evaluator(x.Value)
	}
	if len(x.Fields) == 1 && x.Fields[0].Star && x.Fields[0].Expr == nil {
		return func(e *Env) val { return e.vars[slot].value }
	}
	type part struct {
		name string
		star bool
		eval evaluator
	}
	parts := make([]part, len(x.Fields))
	for i, f := range x.Fields {
		parts[i] = part{name: f.Name, star: f.Star}
		switch {
		case f.Star && f.Expr == nil:
			parts[i].eval = func(e *Env) val { return e.vars[slot].value }
		default:
			parts[i].eval = c.evaluator(f.Expr)
		}
	}
	return func(e *Env) val {
		var o objectBuilder
		for i := range parts {
			v := parts[i].eval(e)
			if parts[i].star {
				v.members(o.put)
			} else if v.kind != vMissing {
				o.put(parts[i].name, v)
			}
		}
		return e.boxed(x, object(o.keys, o.vals))
	}
}

// objectBuilder collects members; a later one takes the place of one with the same key.
type objectBuilder struct {
	keys []string
	vals []val
}

func (o *objectBuilder) put(key string, v val) bool {
	if i := slices.Index(o.keys, key); i >= 0 {
		o.vals[i] = v
		return true
	}
	o.keys, o.vals = append(o.keys, key), append(o.vals, v)
	return len(o.keys) <= MaxMembers
}
