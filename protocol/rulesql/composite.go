package rulesql

import (
	"maps"
	"slices"

	"github.com/hawser-iot/hawser/protocol/codec"
)

// weigh counts all values that a list of them is made of, with what they share counted each time. Whatever walks through a value
// takes so many steps.
func weigh(vals []val) int {
	n := 1
	for i := range vals {
		switch v := &vals[i]; {
		case v.box != nil:
			n += v.box.weight
		case v.kind == vNode:
			n += v.node.Count()
		default:
			n += 1 + len(v.str)/1024
		}
		n = min(n, heaviest)
	}
	return n
}

// heaviest is what no evaluation may walk through, and leaves room for sums in 32 bits.
const heaviest = 64 * MaxSteps

// boxed checks an array or object that was made.
func (e *Env) boxed(x Expr, v val) val {
	switch {
	case v.kind == vArray && len(v.box.vals) > MaxItems:
		return e.fail(FaultLimit, x, "the array has more than 20000 elements")
	case v.kind == vObject && len(v.box.vals) > MaxMembers:
		return e.fail(FaultLimit, x, "the object has more than 200 members")
	case v.box.weight > MaxSteps:
		return e.fail(FaultLimit, x, "there are too many values within each other")
	case !e.spend(x, len(v.box.vals)):
		return val{}
	}
	return v
}

// length is the number of elements or members; 0 for what has none.
func (v val) length() int {
	if v.box != nil {
		return len(v.box.vals)
	}
	if v.kind == vNode {
		return v.node.Len()
	}
	return 0
}

// each calls f for the elements of an array, or the values of an object, until it returns false.
func (v val) each(f func(i int, v val) bool) {
	if v.box != nil {
		for i, e := range v.box.vals {
			if !f(i, e) {
				return
			}
		}
		return
	}
	if v.isObject() {
		i := 0
		v.node.Each(func(_ string, e codec.Value) bool { i++; return f(i-1, fromNode(e)) })
		return
	}
	v.node.Elems(func(i int, e codec.Value) bool { return f(i, fromNode(e)) })
}

// members calls f for the members of an object until it returns false.
func (v val) members(f func(key string, v val) bool) {
	if v.kind == vObject {
		for i, key := range v.box.keys {
			if !f(key, v.box.vals[i]) {
				return
			}
		}
		return
	}
	if v.isObject() {
		v.node.Each(func(key string, e codec.Value) bool { return f(key, fromNode(e)) })
	}
}

// member is the member of an object; missing if it is none or has none of that name.
func (v val) member(key string) val {
	switch v.kind {
	case vNode:
		return fromNode(v.node.Get(key))
	case vObject:
		for i, k := range v.box.keys {
			if k == key {
				return v.box.vals[i]
			}
		}
	}
	return val{}
}

// element is the i-th element of an array, from the end if i is negative; missing if there is none.
func (v val) element(i int64) val {
	if !v.isArray() {
		return val{}
	}
	n := int64(v.length())
	if i < 0 {
		i += n
	}
	if i < 0 || i >= n {
		return val{}
	}
	if v.box != nil {
		return v.box.vals[i]
	}
	return fromNode(v.node.Index(int(i)))
}

// elements returns the elements of an array in memory of their own.
func (v val) elements() []val {
	out := make([]val, 0, v.length())
	v.each(func(_ int, e val) bool { out = append(out, e); return true })
	return out
}

// pairs returns the members of an object in memory of their own.
func (v val) pairs() (keys []string, vals []val) {
	keys, vals = make([]string, 0, v.length()+1), make([]val, 0, v.length()+1)
	v.members(func(key string, e val) bool {
		keys, vals = append(keys, key), append(vals, e)
		return true
	})
	return keys, vals
}

// appendBox appends an array or an object that was made as JSON. It stops, anywhere, behind what no caller can use.
func (v val) appendBox(dst []byte) []byte {
	most := len(dst) + MaxText
	if v.kind == vArray {
		dst = append(dst, '[')
		for i, e := range v.box.vals {
			if len(dst) > most {
				return dst
			}
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = e.appendJSON(dst)
		}
		return append(dst, ']')
	}
	dst = append(dst, '{')
	for i, e := range v.box.vals {
		if len(dst) > most {
			return dst
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(codec.AppendString(dst, v.box.keys[i]), ':')
		dst = e.appendJSON(dst)
	}
	return append(dst, '}')
}

// equal tells whether two values are the same: numbers by value, null equals null, arrays by their elements and objects by
// their members whatever the order. Unlike = it does not convert a number to a text.
func equal(a, b val) bool {
	switch {
	case a.kind <= vNull || b.kind <= vNull:
		return a.kind == b.kind
	case !a.composite() && !b.composite():
		if (a.kind == vString) != (b.kind == vString) {
			return false
		}
		o, ok := compare(a, b)
		return ok && o == 0
	case a.kind == vNode && b.kind == vNode:
		return a.node.Equal(b.node)
	case a.length() != b.length() || a.isArray() != b.isArray() || a.isObject() != b.isObject():
		return false
	}
	same := true
	if a.isArray() {
		others := b.elements()
		a.each(func(i int, e val) bool { same = equal(e, others[i]); return same })
		return same
	}
	a.members(func(key string, e val) bool { same = equal(e, b.member(key)); return same })
	return same
}

// fromAny takes over a codec.Value, nil, bool, numbers, strings, []any and map[string]any, with the keys in their order.
func fromAny(v any) val {
	switch v := v.(type) {
	case val:
		return v
	case codec.Value:
		return fromNode(v)
	case bool:
		return boolean(v)
	case int:
		return integer(int64(v))
	case int64:
		return integer(v)
	case float64:
		return float(v)
	case string:
		return text(v)
	case []any:
		vals := make([]val, len(v))
		for i, e := range v {
			vals[i] = fromAny(e)
		}
		return array(vals)
	case map[string]any:
		keys := sortedKeys(v)
		vals := make([]val, len(keys))
		for i, k := range keys {
			vals[i] = fromAny(v[k])
		}
		return object(keys, vals)
	}
	return null()
}

// any is the value as a Go value, as fromAny takes it.
func (v val) any() any {
	switch v.kind {
	case vBool:
		return v.num != 0
	case vInt:
		return v.num
	case vFloat:
		return v.float()
	case vString:
		return v.str
	case vNode:
		return v.node.Any()
	case vArray:
		out := make([]any, len(v.box.vals))
		for i, e := range v.box.vals {
			out[i] = e.any()
		}
		return out
	case vObject:
		out := make(map[string]any, len(v.box.vals))
		for i, e := range v.box.vals {
			out[v.box.keys[i]] = e.any()
		}
		return out
	}
	return nil
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
