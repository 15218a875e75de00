package jq

import (
	"fmt"

	"github.com/itchyny/gojq"
)

// The functions that filters are written anew with; no filter can call them by these names itself.
const (
	checked = "hawser_checked"
	product = "hawser_product"
)

// known are the functions that a filter may call. Those that are true make nothing larger than their input, so that they need no check;
// a path may go through them.
var known = map[string]bool{
	"select": true, "empty": true, "first": true, "last": true, "nth": true, "recurse": true, "not": true, "length": true, "type": true,
	"has": true, "in": true, "any": true, "all": true, "isempty": true, "error": true, "arrays": true, "objects": true, "iterables": true,
	"booleans": true, "numbers": true, "strings": true, "nulls": true, "values": true, "scalars": true, "normals": true, "finites": true,
	"startswith": true, "endswith": true, "contains": true, "inside": true, "index": true, "rindex": true, "utf8bytelength": true,
	"floor": true, "ceil": true, "round": true, "sqrt": true, "fabs": true, "abs": true, "pow": true, "log": true, "log2": true, "log10": true,
	"exp": true, "exp2": true, "exp10": true, "trunc": true, "min": true, "max": true, "min_by": true, "max_by": true, "isnan": true,
	"isinfinite": true, "isnormal": true, "infinite": true, "nan": true, "tonumber": true, "toboolean": true, "now": true, "getpath": true,
	"range": true, "limit": true, "skip": true, "until": true, "while": true, "repeat": true, "true": true, "false": true, "null": true,

	"map": false, "map_values": false, "to_entries": false, "from_entries": false, "with_entries": false, "keys": false, "keys_unsorted": false,
	"add": false, "join": false, "split": false, "sort": false, "sort_by": false, "group_by": false, "unique": false, "unique_by": false,
	"reverse": false, "flatten": false, "tostring": false, "tojson": false, "fromjson": false, "ascii_downcase": false, "ascii_upcase": false,
	"ltrimstr": false, "rtrimstr": false, "trimstr": false, "trim": false, "ltrim": false, "rtrim": false, "explode": false, "implode": false,
	"indices": false, "transpose": false, "del": false, "paths": false, "leaf_paths": false, "walk": false, "todate": false, "fromdate": false,
	"fromdateiso8601": false, "todateiso8601": false, "toarray": false, "pick": false, "have_literal_numbers": false,
}

// writer writes a filter anew; the first thing that it refuses is kept in err.
type writer struct {
	defined map[string]bool
	err     error
}

func (w *writer) refuse(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
}

// query goes through a query and everything in it.
func (w *writer) query(q *gojq.Query) {
	if q == nil || w.err != nil {
		return
	}
	if len(q.Imports) > 0 || q.Meta != nil {
		w.refuse("modules cannot be used in a rule")
	}
	for _, f := range q.FuncDefs {
		if _, taken := known[f.Name]; taken || f.Name == checked || f.Name == product {
			w.refuse("%s is the name of a function that there is", f.Name)
		}
		w.defined[f.Name] = true
		for _, arg := range f.Args {
			w.defined[arg] = true
		}
		w.query(f.Body)
	}
	w.patterns(q.Patterns)
	switch q.Op {
	case gojq.OpAssign, gojq.OpModify, gojq.OpUpdateAdd, gojq.OpUpdateSub, gojq.OpUpdateMul, gojq.OpUpdateDiv, gojq.OpUpdateMod, gojq.OpUpdateAlt:
		if !namesOnly(q.Left) {
			w.refuse("only what is reached by names can be assigned to, like .a.b")
		}
		if q.Op == gojq.OpUpdateMul {
			w.refuse("write .a |= . * 2 for .a *= 2")
		}
	}
	w.term(q.Term)
	w.query(q.Left)
	w.query(q.Right)
	w.check(q)
}

// check puts a check behind an operation that makes a value larger.
func (w *writer) check(q *gojq.Query) {
	switch q.Op {
	case gojq.OpMul:
		call := &gojq.Func{Name: product, Args: []*gojq.Query{q.Left, q.Right}}
		q.Term, q.Op, q.Left, q.Right = &gojq.Term{Type: gojq.TermTypeFunc, Func: call}, 0, nil, nil
	case gojq.OpAdd, gojq.OpDiv, gojq.OpAssign, gojq.OpModify, gojq.OpUpdateAdd, gojq.OpUpdateSub, gojq.OpUpdateDiv, gojq.OpUpdateMod, gojq.OpUpdateAlt:
		inner := &gojq.Query{Left: q.Left, Op: q.Op, Right: q.Right}
		q.Term, q.Op, q.Left, q.Right = piped(&gojq.Term{Type: gojq.TermTypeQuery, Query: inner}), 0, nil, nil
	}
}

// piped is (t | check).
func piped(t *gojq.Term) *gojq.Term {
	check := &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeFunc, Func: &gojq.Func{Name: checked}}}
	return &gojq.Term{Type: gojq.TermTypeQuery, Query: &gojq.Query{Left: &gojq.Query{Term: t}, Op: gojq.OpPipe, Right: check}}
}

// term goes through a term, and puts a check behind what makes a value.
func (w *writer) term(t *gojq.Term) {
	if t == nil || w.err != nil {
		return
	}
	grows := false
	switch t.Type {
	case gojq.TermTypeFunc:
		grows = w.call(t.Func)
	case gojq.TermTypeArray:
		w.query(t.Array.Query)
		grows = true
	case gojq.TermTypeObject:
		w.object(t.Object)
		grows = true
	case gojq.TermTypeFormat:
		w.text(t.Str)
		grows = true
	case gojq.TermTypeString:
		w.text(t.Str)
		grows = t.Str.Queries != nil
	case gojq.TermTypeIndex:
		w.index(t.Index)
	case gojq.TermTypeUnary:
		w.term(t.Unary.Term)
	case gojq.TermTypeQuery:
		w.query(t.Query)
	default:
		w.control(t)
	}
	for _, s := range t.SuffixList {
		w.index(s.Index)
	}
	if grows {
		made, behind := *t, t.SuffixList
		made.SuffixList = nil
		*t = *piped(&made)
		t.SuffixList = behind
	}
}

// control goes through the terms that decide and repeat.
func (w *writer) control(t *gojq.Term) {
	switch t.Type {
	case gojq.TermTypeIf:
		w.query(t.If.Cond)
		w.query(t.If.Then)
		for _, e := range t.If.Elif {
			w.query(e.Cond)
			w.query(e.Then)
		}
		w.query(t.If.Else)
	case gojq.TermTypeTry:
		w.query(t.Try.Body)
		w.query(t.Try.Catch)
	case gojq.TermTypeReduce:
		w.query(t.Reduce.Query)
		w.patterns(t.Reduce.Patterns)
		w.query(t.Reduce.Start)
		w.query(t.Reduce.Update)
	case gojq.TermTypeForeach:
		w.query(t.Foreach.Query)
		w.patterns(t.Foreach.Patterns)
		w.query(t.Foreach.Start)
		w.query(t.Foreach.Update)
		w.query(t.Foreach.Extract)
	case gojq.TermTypeLabel:
		w.query(t.Label.Body)
	}
}

// call goes through a call; it tells whether what it makes must be checked.
func (w *writer) call(f *gojq.Func) bool {
	if f.Name[0] == '$' {
		return false
	}
	for _, a := range f.Args {
		w.query(a)
	}
	if w.defined[f.Name] {
		return false // its body is checked
	}
	small, ok := known[f.Name]
	if !ok {
		w.refuse("the function %s cannot be used in a rule", f.Name)
	}
	return !small
}

func (w *writer) object(o *gojq.Object) {
	for _, kv := range o.KeyVals {
		w.text(kv.KeyString)
		w.query(kv.KeyQuery)
		w.query(kv.Val)
	}
}

func (w *writer) text(s *gojq.String) {
	if s == nil {
		return
	}
	for _, q := range s.Queries {
		if q.Term == nil || q.Term.Str == nil { // the text between is a term of its own
			w.query(q)
		}
	}
}

func (w *writer) index(i *gojq.Index) {
	if i == nil {
		return
	}
	w.text(i.Str)
	w.query(i.Start)
	w.query(i.End)
}

func (w *writer) patterns(list []*gojq.Pattern) {
	for _, p := range list {
		w.pattern(p)
	}
}

func (w *writer) pattern(p *gojq.Pattern) {
	if p == nil {
		return
	}
	for _, a := range p.Array {
		w.pattern(a)
	}
	for _, o := range p.Object {
		w.text(o.KeyString)
		w.query(o.KeyQuery)
		w.pattern(o.Val)
	}
}

// namesOnly tells whether a path has no positions, of which a large one would make a large array.
func namesOnly(q *gojq.Query) bool {
	switch {
	case q == nil:
		return false
	case q.Op == gojq.OpPipe || q.Op == gojq.OpComma:
		return namesOnly(q.Left) && namesOnly(q.Right)
	case q.Term == nil || q.Op != 0 || len(q.FuncDefs) > 0:
		return false
	}
	t := q.Term
	switch {
	case t.Type == gojq.TermTypeIdentity:
	case t.Type == gojq.TermTypeIndex && t.Index.Start == nil && !t.Index.IsSlice && (t.Index.Str == nil || t.Index.Str.Queries == nil):
	case t.Type == gojq.TermTypeQuery && namesOnly(t.Query):
	default:
		return false
	}
	for _, s := range t.SuffixList {
		if i := s.Index; i != nil && (i.Start != nil || i.IsSlice || i.Str != nil && i.Str.Queries != nil) {
			return false
		}
	}
	return true
}

// multiply is a product of two values: a text is repeated, objects are merged, which must not make more than the limits allow.
func (l Limits) multiply(_ any, args []any) any {
	for i := range args {
		if s, ok := args[i].(string); ok {
			if n, ok := number(args[1-i]); ok && float64(len(s))*n > float64(l.Bytes) {
				return ErrSize
			}
		}
	}
	it := times.Run(map[string]any{"a": args[0], "b": args[1]})
	v, _ := it.Next()
	if _, failed := v.(error); !failed && !l.fits(v) {
		return ErrSize
	}
	return v
}

// times is the library's own product.
var times = func() *gojq.Code {
	q, err := gojq.Parse(".a * .b")
	if err != nil {
		panic(err) // it is constant
	}
	c, err := gojq.Compile(q)
	if err != nil {
		panic(err)
	}
	return c
}()

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}
