package rulesql

import (
	"slices"

	"github.com/hawser-iot/hawser/protocol/codec"
)

// result is what SELECT or DO makes.
type result struct {
	fields []output
	named  map[string]bool // the keys that the fields with a name take; stars leave them out
}

// output is a field of the result.
type output struct {
	prefix string                 // "name":
	star   bool                   // all members of the payload, or of eval
	node   func(*Env) codec.Value // of a field of the payload: the value goes out as it came
	eval   evaluator              // of all else
}

func (c *compiler) fields(list []Field) result {
	r := result{named: map[string]bool{}}
	for _, f := range list {
		out := output{star: f.Star}
		switch {
		case f.Star && f.Expr == nil:
			c.payload = c.payload || len(list) > 1
		case f.Star:
			out.eval = c.evaluator(f.Expr)
		default:
			r.named[f.Name] = true
			out.prefix = string(append(codec.AppendString(nil, f.Name), ':'))
			if path, ok := c.payloadPath(f.Expr); ok {
				out.node = c.field(path)
			} else {
				out.eval = c.evaluator(f.Expr)
			}
		}
		r.fields = append(r.fields, out)
	}
	return r
}

// raw tells whether the result is the payload as it came: SELECT * alone.
func (r *result) raw() bool {
	return len(r.fields) == 1 && r.fields[0].star && r.fields[0].eval == nil
}

// append appends an object with the fields that are not missing.
func (r *result) append(dst []byte, e *Env) []byte {
	dst = append(dst, '{')
	empty := len(dst)
	for i := range r.fields {
		if r.fields[i].star {
			dst = r.appendStar(dst, e, i, empty)
		} else {
			dst = r.fields[i].append(dst, e, empty)
		}
		if len(dst)-empty > MaxResult {
			e.fail(FaultLimit, &Star{}, "the result is longer than 1 MiB")
			return dst
		}
	}
	return append(dst, '}')
}

func (f *output) append(dst []byte, e *Env, empty int) []byte {
	if f.node != nil {
		v := f.node(e)
		if v.Kind() == codec.Missing {
			return dst
		}
		return v.AppendJSON(append(separate(dst, empty), f.prefix...))
	}
	v := f.eval(e)
	if v.kind == vMissing {
		return dst
	}
	return v.appendJSON(append(separate(dst, empty), f.prefix...))
}

// separate appends a comma unless the object is still empty.
func separate(dst []byte, empty int) []byte {
	if len(dst) > empty {
		dst = append(dst, ',')
	}
	return dst
}

// appendStar appends the members of an object, without those that another field of the result is named after, or that an earlier
// star has brought.
func (r *result) appendStar(dst []byte, e *Env, at, empty int) []byte {
	all := r.fields[at].starred(e)
	if all.kind == vMissing && r.fields[at].eval != nil {
		return dst
	}
	if !all.isObject() {
		e.fail(FaultType, &Star{}, "beside other fields * needs what is an object")
		return dst
	}
	var earlier []val
	for i := range at {
		if r.fields[i].star {
			earlier = append(earlier, r.fields[i].starred(e))
		}
	}
	taken := func(key string) bool {
		return r.named[key] || slices.ContainsFunc(earlier, func(o val) bool { return o.member(key).kind != vMissing })
	}
	if all.kind == vNode { // what came goes out as it came: a number is not written anew
		all.node.Each(func(key string, v codec.Value) bool {
			if !taken(key) {
				dst = v.AppendJSON(append(codec.AppendString(separate(dst, empty), key), ':'))
			}
			return true
		})
		return dst
	}
	all.members(func(key string, v val) bool {
		if !taken(key) {
			dst = v.appendJSON(append(codec.AppendString(separate(dst, empty), key), ':'))
		}
		return true
	})
	return dst
}

// starred is the object whose members a star stands for.
func (f *output) starred(e *Env) val {
	if f.eval != nil {
		return f.eval(e)
	}
	return fromNode(e.Payload)
}

// rows is a compiled FOREACH.
type rows struct {
	source *Foreach
	list   evaluator
	incase condition
	slot   int
	cost   int
	whole  bool // without DO: the element itself
}

// foreach compiles FOREACH, and into r what it makes of an element.
func (c *compiler) foreach(q *Query, r *result) *rows {
	f := q.Foreach
	out := &rows{source: f, list: c.evaluator(f.List), whole: len(q.Fields) == 0, cost: 1, incase: func(*Env) truth { return yes }}
	slot, ok := c.enter(f.Item, f.At)
	if !ok {
		return out
	}
	defer c.leave()
	out.slot = slot
	*r = c.fields(q.Fields)
	for _, field := range q.Fields {
		out.cost += weight(field.Expr)
	}
	if f.Incase != nil {
		out.incase = c.condition(f.Incase)
		out.cost += weight(f.Incase)
	}
	return out
}

// run appends a result for each element that meets INCASE. A list that is missing has none.
func (f *rows) run(p *Program, e *Env, out *Rows) {
	all := f.list(e)
	if all.kind <= vNull {
		return
	}
	if !all.isArray() {
		e.fail(FaultType, f.source.List, "FOREACH runs over an array, not "+all.typeName())
		return
	}
	before := out.mark()
	all.each(func(i int, v val) bool {
		e.vars[f.slot] = item{v, int64(i)}
		if !e.spend(f.source.List, f.cost) {
			return false
		}
		if f.incase(e) != yes || e.err != nil {
			return e.err == nil
		}
		if out.Len()-before.rows == MaxRows {
			e.fail(FaultLimit, f.source.List, "FOREACH makes more than 1000 results")
			return false
		}
		out.b = f.row(p, e, v, out.b)
		out.end(i)
		if len(out.b)-before.bytes > MaxResult {
			e.fail(FaultLimit, f.source.List, "the results are longer than 1 MiB")
		}
		return e.err == nil
	})
	e.vars[f.slot] = item{}
}

// row appends the result of one element. Without DO an element that is no object becomes the only member of one.
func (f *rows) row(p *Program, e *Env, v val, dst []byte) []byte {
	switch {
	case !f.whole:
		return p.append(dst, e)
	case v.isObject():
		return v.appendJSON(dst)
	}
	dst = append(codec.AppendString(append(dst, '{'), f.source.Item), ':')
	return append(v.appendJSON(dst), '}')
}
