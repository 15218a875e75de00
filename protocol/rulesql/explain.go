package rulesql

import (
	"errors"
	"strings"
)

// Explanation is what a program makes of a message, stage by stage, for people who try a rule out.
type Explanation struct {
	Where   *Term    // the condition and what it is made of; nil if there is none
	Matched bool     // the condition is true, or there is none
	Fields  []Term   // what SELECT lists, each by itself; of FOREACH the list that it runs over
	Results [][]byte // what goes to the actions
	Indexes []int    // of Results, as Rows.Index
	Notes   []Note   // faults that did not end the evaluation, and the one that did
	Err     error    // the *EvalError that ended it
}

// Term is an expression and its value for a message.
type Term struct {
	Name  string // of a field: its key in the result
	Expr  string // as it prints
	Value string // JSON, as far as it is not too long; missing; or error: and what it is
	Truth string // of a condition: true, false or unknown
	Terms []Term // what a condition is made of
}

// Note is a fault of a message.
type Note struct {
	Kind Fault
	Text string
}

// maxExplained is how many bytes are shown of a value.
const maxExplained = 4 << 10

// explainSteps are the steps for all parts together, beside those of the evaluation itself.
const explainSteps = 4 * MaxSteps

// Explain evaluates the program and each part of it by itself. It is for one message at a time, not for the way of all, and takes no
// more than a few times the work of an evaluation.
func (p *Program) Explain(e *Env) Explanation {
	var out Explanation
	left := explainSteps
	x := explainer{c: &compiler{dialect: p.query.Dialect, owner: p.options.Owner, binary: p.options.Binary}, e: e, left: &left}
	if p.query.Where != nil {
		t := x.condition(p.query.Where)
		out.Where = &t
	}
	if p.query.Foreach != nil {
		out.Fields = []Term{x.value(p.query.Foreach.List)}
	} else {
		for _, f := range p.query.Fields {
			out.Fields = append(out.Fields, x.field(f))
		}
	}
	out.Matched, out.Err = p.Match(e)
	if out.Matched && out.Err == nil {
		var rows Rows
		out.Err = p.Select(e, &rows)
		for i := range rows.Len() {
			out.Results = append(out.Results, rows.Row(i))
			out.Indexes = append(out.Indexes, rows.Index(i))
		}
	}
	e.Faults(func(f Fault, text func() string) { out.Notes = append(out.Notes, Note{f, text()}) })
	return out
}

type explainer struct {
	c    *compiler
	e    *Env
	left *int // steps for the parts that are not explained yet
}

// begin gives a part the steps of a message, as far as there are some left; what it returns takes away those that were used.
func (x explainer) begin() (end func()) {
	x.e.begin()
	given := min(x.e.steps, *x.left)
	x.e.steps = given
	return func() { *x.left -= min(given-x.e.steps, given) + 1 }
}

// explain gives the value of one expression.
func (x explainer) explain(expr Expr) string {
	defer x.begin()()
	v := x.c.evaluator(expr)(x.e)
	if err := new(EvalError); errors.As(x.e.err, &err) {
		return "error: " + err.Reason
	}
	return v.explained()
}

func (x explainer) value(expr Expr) Term {
	return Term{Expr: expr.String(), Value: x.explain(expr)}
}

func (v val) explained() string {
	if v.kind == vMissing {
		return "missing"
	}
	b := v.appendJSON(nil)
	if len(b) > maxExplained {
		return strings.ToValidUTF8(string(b[:maxExplained]), "") + "…"
	}
	return string(b)
}

func (x explainer) field(f Field) Term {
	switch {
	case f.Star && f.Expr == nil:
		return Term{Name: "*", Expr: "*", Value: fromNode(x.e.Payload).explained()}
	case f.Star:
		return Term{Name: f.String(), Expr: f.String(), Value: x.explain(f.Expr)}
	}
	t := x.value(f.Expr)
	t.Name = f.Name
	return t
}

// condition explains AND, OR and NOT by their operands, and what they join by the values in it.
func (x explainer) condition(expr Expr) Term {
	truth := x.truth(expr)
	t := Term{Expr: expr.String(), Truth: [...]string{"unknown", "false", "true"}[truth]}
	for _, child := range Children(expr) {
		switch {
		case joins(expr):
			t.Terms = append(t.Terms, x.condition(child))
		case !constantExpr(child):
			t.Terms = append(t.Terms, x.value(child))
		}
	}
	return t
}

func (x explainer) truth(expr Expr) truth {
	defer x.begin()()
	t := x.c.condition(expr)(x.e)
	if x.e.err != nil {
		return unknown
	}
	return t
}

// joins tells whether x is made of conditions.
func joins(x Expr) bool {
	switch x := x.(type) {
	case *Binary:
		return x.Op == "AND" || x.Op == "OR"
	case *Unary:
		return x.Op == "NOT"
	}
	return false
}

// constantExpr tells whether a reader sees the value of x in its text.
func constantExpr(x Expr) bool {
	_, ok := literal(x)
	return ok
}

// String shows the explanation as text, a line for each term.
func (t Term) String() string {
	var b strings.Builder
	t.write(&b, 0)
	return strings.TrimSuffix(b.String(), "\n")
}

func (t Term) write(b *strings.Builder, depth int) {
	value := t.Value
	if t.Truth != "" {
		value = t.Truth
	}
	b.WriteString(strings.Repeat("  ", depth) + t.Expr + "  " + value + "\n")
	for _, child := range t.Terms {
		child.write(b, depth+1)
	}
}
