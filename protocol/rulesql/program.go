package rulesql

import (
	"slices"
	"strings"

	"github.com/hawser-iot/hawser/protocol/codec"
)

// Program is a compiled query.
type Program struct {
	query   *Query
	options Options
	filters []string
	where   condition // nil: every message
	foreach *rows     // nil: one result
	result  result
	payload bool
}

// Options say for whom a query is compiled.
type Options struct {
	Binary bool  // for messages that are bytes: no field of theirs can be used, and SELECT * passes them on
	Owner  Owner // what it adds to the language
}

// Compile makes the Program of a query. Its error is an *Error: an unknown function, arguments that it does not take, or what a rule
// for binary messages may not have.
func Compile(q *Query, o Options) (*Program, error) {
	c := &compiler{dialect: q.Dialect, owner: o.Owner, binary: o.Binary}
	p := &Program{query: q, options: o, filters: slices.Clone(q.From)}
	if o.Binary {
		c.checkBinary(q)
	}
	if q.Where != nil {
		p.where = c.condition(q.Where)
	}
	if q.Foreach != nil {
		p.foreach = c.foreach(q, &p.result)
	} else {
		p.result = c.fields(q.Fields)
	}
	if c.err != nil {
		return nil, c.err
	}
	p.payload = c.payload
	return p, nil
}

// checkBinary refuses what needs a payload that is JSON.
func (c *compiler) checkBinary(q *Query) {
	if q.Foreach != nil {
		c.fail(1, 1, "", "FOREACH needs a payload that is JSON")
	}
	for _, f := range q.Fields {
		if f.Star && (len(q.Fields) > 1 || f.Expr != nil) {
			c.fail(1, 1, "SELECT * alone passes the bytes on", "the bytes of a message have no place for other fields")
		}
	}
	q.Walk(func(x Expr) bool {
		if p, ok := x.(*Path); ok {
			c.fail(p.line, p.column, "a rule for binary messages can use "+strings.Join(binaryNames(), " "), p.plain()+" would be a field of a payload that is JSON")
		}
		return true
	})
}

// Query returns what the program was made of. It must not be changed.
func (p *Program) Query() *Query { return p.query }

// Filters returns the topic filters of FROM.
func (p *Program) Filters() []string { return slices.Clone(p.filters) }

// UsesPayload tells whether the program looks at the decoded payload; if not, Env.Payload may be left Missing. SELECT *
// alone does not, but then a payload in CBOR is passed on as it came only by callers that want bytes.
func (p *Program) UsesPayload() bool { return p.payload }

// Match tells whether the message meets the condition. It allocates nothing for one that does not. An error is an
// *EvalError; the message does not match then. It begins what Env.Faults tells.
func (p *Program) Match(e *Env) (bool, error) {
	e.begin()
	e.faults.seen = 0
	if p.where == nil {
		return true, nil
	}
	t := p.where(e)
	if e.err != nil {
		return false, e.err
	}
	return t == yes, nil
}

// Select appends the results to out: one, or of FOREACH one for each element that meets INCASE. SELECT * alone is the payload: its
// bytes as they came, or JSON of it if they are CBOR and the rule is not for bytes. On an error, an *EvalError, out is as it was.
func (p *Program) Select(e *Env, out *Rows) error {
	e.begin()
	before := out.mark()
	if p.foreach != nil {
		p.foreach.run(p, e, out)
	} else {
		out.b = p.append(out.b, e)
		out.end(0)
	}
	if e.err == nil && len(out.b)-before.bytes > MaxResult {
		e.fail(FaultLimit, &Star{}, "the results are longer than 1 MiB")
	}
	if e.err != nil {
		out.back(before)
		return e.err
	}
	return nil
}

// append appends the result of a message.
func (p *Program) append(dst []byte, e *Env) []byte {
	if p.result.raw() {
		if p.options.Binary || codec.Detect(e.Raw) == codec.JSON {
			return append(dst, e.Raw...)
		}
		return e.Payload.AppendJSON(dst)
	}
	return p.result.append(dst, e)
}

// Rows are results of a program. The zero value is empty; Reset makes it so again and keeps the memory.
type Rows struct {
	b    []byte
	ends []end
}

type end struct{ at, index int }

// Len is how many results there are.
func (r *Rows) Len() int { return len(r.ends) }

// Row returns the i-th result, in JSON or, of a rule for binary messages, as bytes. It is valid until Reset.
func (r *Rows) Row(i int) []byte {
	start := 0
	if i > 0 {
		start = r.ends[i-1].at
	}
	return r.b[start:r.ends[i].at:r.ends[i].at]
}

// Index tells results of one message apart: the position of the element that the i-th was made of, 0 without FOREACH.
func (r *Rows) Index(i int) int { return r.ends[i].index }

// Reset empties r.
func (r *Rows) Reset() { r.b, r.ends = r.b[:0], r.ends[:0] }

// Size is how many bytes of memory r keeps.
func (r *Rows) Size() int { return cap(r.b) + 16*cap(r.ends) }

func (r *Rows) end(index int) { r.ends = append(r.ends, end{len(r.b), index}) }

type mark struct{ bytes, rows int }

func (r *Rows) mark() mark { return mark{len(r.b), len(r.ends)} }

func (r *Rows) back(m mark) { r.b, r.ends = r.b[:m.bytes], r.ends[:m.rows] }
