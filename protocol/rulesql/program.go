package rulesql

import (
	"slices"

	"github.com/hawser-iot/hawser/protocol/codec"
)

// Program is a compiled query.
type Program struct {
	filters []string
	where   condition // nil: every message
	fields  []output
	star    int             // which field is *; -1 for none
	named   map[string]bool // the keys that the other fields take; * leaves them out
	payload bool
}

// output is a field of the result.
type output struct {
	prefix string                 // "name":
	node   func(*Env) codec.Value // of a path: the value goes out as it came
	eval   evaluator              // of all else
}

// Compile makes the Program of a query. Its error is an *Error: an unknown function, or arguments that it does not take.
func Compile(q *Query) (*Program, error) {
	c := &compiler{}
	p := &Program{filters: slices.Clone(q.From), star: -1, named: map[string]bool{}}
	for i, f := range q.Fields {
		if f.Star {
			p.star, c.payload = i, true
			p.fields = append(p.fields, output{})
			continue
		}
		p.named[f.Name] = true
		out := output{prefix: string(append(codec.AppendString(nil, f.Name), ':'))}
		if path, ok := f.Expr.(*Path); ok {
			out.node = c.path(path)
		} else {
			out.eval = c.evaluator(f.Expr)
		}
		p.fields = append(p.fields, out)
	}
	p.payload = c.payload && !p.raw()
	c.payload = false
	if q.Where != nil {
		p.where = c.condition(q.Where)
	}
	if c.err != nil {
		return nil, c.err
	}
	p.payload = p.payload || c.payload
	return p, nil
}

// Filters returns the topic filters of FROM.
func (p *Program) Filters() []string { return slices.Clone(p.filters) }

// UsesPayload tells whether the program looks at the decoded payload; if not, Env.Payload may be left Missing. SELECT *
// alone does not, but then a payload in CBOR is passed on as it came only by callers that want bytes.
func (p *Program) UsesPayload() bool { return p.payload }

// raw tells whether the result is the payload as it came: SELECT * alone.
func (p *Program) raw() bool { return p.star == 0 && len(p.fields) == 1 }

// Match tells whether the message meets the condition. It allocates nothing for one that does not. An error is an
// *EvalError; the message does not match then.
func (p *Program) Match(e *Env) (bool, error) {
	if p.where == nil {
		return true, nil
	}
	e.err = nil
	t := p.where(e)
	if e.err != nil {
		return false, e.err
	}
	return t == yes, nil
}

// AppendResult appends the result of SELECT in JSON. For SELECT * alone that is the payload: its bytes as they came, or
// JSON of it if they are CBOR. On an error, an *EvalError, dst is returned as it was.
func (p *Program) AppendResult(dst []byte, e *Env) ([]byte, error) {
	if p.raw() {
		if codec.Detect(e.Raw) == codec.JSON {
			return append(dst, e.Raw...), nil
		}
		return e.Payload.AppendJSON(dst), nil
	}
	e.err = nil
	start := len(dst)
	dst = append(dst, '{')
	empty := len(dst)
	for i := range p.fields {
		if i == p.star {
			dst = p.appendStar(dst, e, empty)
			continue
		}
		dst = p.fields[i].append(dst, e, empty)
	}
	if e.err != nil {
		return dst[:start], e.err
	}
	return append(dst, '}'), nil
}

// append appends the field unless it is missing.
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

// appendStar appends the members of the payload, without those that another field of the result is named after.
func (p *Program) appendStar(dst []byte, e *Env, empty int) []byte {
	if e.Payload.Kind() != codec.Object {
		e.fail(&Star{}, "beside other fields * needs a payload that is an object")
		return dst
	}
	e.Payload.Each(func(key string, v codec.Value) bool {
		if !p.named[key] {
			dst = append(codec.AppendString(separate(dst, empty), key), ':')
			dst = v.AppendJSON(dst)
		}
		return true
	})
	return dst
}
