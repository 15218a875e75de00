package rulesql

import (
	"slices"
)

// lists are the functions of arrays.
func lists() []function {
	return []function{
		{name: "first", params: "a", run: func(_ *Env, _ *Call, a, _, _ val) val { return a.element(0) }},
		{name: "last", params: "a", run: func(_ *Env, _ *Call, a, _, _ val) val { return a.element(-1) }},
		{name: "sort", params: "at?", run: sorted},
		{name: "distinct", params: "a", run: distinct},
		{name: "flatten", params: "a", run: flatten},
		{name: "append", params: "av", run: func(_ *Env, _ *Call, a, v, _ val) val { return array(append(a.elements(), v)) }},
		{name: "join", params: "at", run: join},
		{name: "range", params: "ii", run: numbersFrom},
		{name: "sum", params: "a", run: sum},
		{name: "avg", params: "a", run: average},
		{name: "min", params: "a", run: func(e *Env, x *Call, a, _, _ val) val { return e.pick(x, a.elements(), -1) }},
		{name: "max", params: "a", run: func(e *Env, x *Call, a, _, _ val) val { return e.pick(x, a.elements(), 1) }},
	}
}

// sorted puts an array in order: numbers before texts, null first; sort(a, 'desc') the other way.
func sorted(e *Env, x *Call, a, order, _ val) val {
	sign := ordering(1)
	switch order.str {
	case "", "asc":
	case "desc":
		sign = -1
	default:
		return e.unfit(x, "the order is 'asc' or 'desc'")
	}
	all := a.elements()
	if !e.spend(x, 8*len(all)) {
		return val{}
	}
	for _, v := range all {
		if v.composite() {
			return e.fail(FaultType, x, "arrays and objects have no order")
		}
	}
	slices.SortStableFunc(all, func(v, w val) int { return int(sign * total(v, w)) })
	return array(all)
}

// total orders all scalars: missing and null, bools, numbers, texts.
func total(v, w val) ordering {
	rank := func(v val) int64 {
		if v.kind == vFloat {
			return int64(vInt)
		}
		return int64(v.kind)
	}
	if a, b := rank(v), rank(w); a != b {
		return order(a, b)
	}
	o, _ := compare(v, w)
	return o
}

// distinct keeps the first of the elements that are equal.
func distinct(e *Env, x *Call, a, _, _ val) val {
	var out []val
	seen := map[string]bool{}
	var key []byte
	a.each(func(_ int, v val) bool {
		if v.number() && v.kind == vFloat && v.float() == float64(int64(v.float())) {
			key = integer(int64(v.float())).appendJSON(key[:0]) // 1 equals 1.0
		} else {
			key = v.appendJSON(key[:0])
		}
		if !seen[string(key)] {
			seen[string(key)] = true
			out = append(out, v)
		}
		return e.spend(x, 1+len(key)/16)
	})
	return array(out)
}

// flatten puts the elements of arrays within an array in their place, one level deep.
func flatten(e *Env, x *Call, a, _, _ val) val {
	var out []val
	a.each(func(_ int, v val) bool {
		if v.isArray() {
			out = append(out, v.elements()...)
		} else {
			out = append(out, v)
		}
		return e.spend(x, 1+v.length()) && len(out) <= MaxItems
	})
	return array(out)
}

// join makes a text of the elements that are not null.
func join(e *Env, x *Call, a, sep, _ val) val {
	var b []byte
	first := true
	a.each(func(_ int, v val) bool {
		if v.kind <= vNull {
			return true
		}
		if !first {
			b = append(b, sep.str...)
		}
		first = false
		b = v.appendText(b)
		return len(b) <= MaxText
	})
	return text(string(b))
}

// numbersFrom is range(from, to): the integers from the first up to the last, which is not included.
func numbersFrom(e *Env, x *Call, from, to, _ val) val {
	if to.num <= from.num {
		return array(nil)
	}
	if n := uint64(to.num) - uint64(from.num); n > MaxItems {
		return e.fail(FaultLimit, x, "the array has more than 20000 elements")
	}
	out := make([]val, 0, to.num-from.num)
	for n := from.num; n < to.num; n++ {
		out = append(out, integer(n))
	}
	return array(out)
}

// sum adds the numbers of an array; null and missing ones are left out, of none it is 0.
func sum(e *Env, x *Call, a, _, _ val) val {
	total, _ := e.total(x, a)
	return total
}

func average(e *Env, x *Call, a, _, _ val) val {
	total, n := e.total(x, a)
	if n == 0 || e.err != nil {
		return null()
	}
	return float(total.float() / float64(n))
}

func (e *Env) total(x *Call, a val) (total val, n int) {
	total = integer(0)
	a.each(func(_ int, v val) bool {
		switch {
		case v.kind <= vNull:
			return true
		case !v.number():
			e.fail(FaultType, x, "an element is "+v.typeName()+", not a number")
			return false
		case v.kind != vFloat && total.kind == vInt:
			total = add(total.num, v.num)
		default:
			total = float(total.float() + v.float())
		}
		n++
		return true
	})
	return total, n
}
