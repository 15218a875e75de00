package listing

import (
	"slices"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry/filter"
)

// where is a condition in the making, with its arguments.
type where struct {
	strings.Builder
	args     []any
	table    *Table
	postgres bool
	now      time.Time
}

func (w *where) add(q string, args ...any) {
	w.WriteString(q)
	w.args = append(w.args, args...)
}

// expr writes an expression in brackets. No column is NULL, so that NOT is the opposite.
func (w *where) expr(x filter.Expr) {
	w.add(`(`)
	switch x := x.(type) {
	case *filter.Not:
		w.add(`NOT `)
		w.expr(x.X)
	case filter.And:
		w.operands(x, ` AND `)
	case filter.Or:
		w.operands(x, ` OR `)
	case *filter.Term:
		w.term(x)
	}
	w.add(`)`)
}

func (w *where) operands(list []filter.Expr, between string) {
	for i, x := range list {
		if i > 0 {
			w.add(between)
		}
		w.expr(x)
	}
}

func (w *where) term(t *filter.Term) {
	if t.Key == filter.Text {
		for i, name := range w.table.Words {
			if i > 0 {
				w.add(` OR `)
			}
			w.text(w.table.field(name), t.Value, true)
		}
		return
	}
	f := &w.table.Fields[t.Key-1]
	if t.Op == filter.NotEqual {
		w.add(`NOT (`)
		defer w.add(`)`)
	}
	switch f.Kind {
	case filter.Choice:
		w.add(f.Is[t.Value], w.times(f.Is[t.Value])...)
	case filter.ID:
		w.add(f.match(), t.Number)
	case filter.Number:
		w.add(f.SQL+operator(t.Op)+`?`, t.Number)
	case filter.Moment, filter.Never:
		w.moment(f, t)
	default:
		w.text(f, t.Value, t.Prefix)
	}
}

// times are the arguments of a condition of Field.Is.
func (w *where) times(condition string) []any {
	return slices.Repeat([]any{w.now.UnixMilli()}, strings.Count(condition, "?"))
}

func (f *Field) match() string {
	if f.Match != "" {
		return f.Match
	}
	return f.SQL + ` = ?`
}

// operator is how a term compares; NotEqual is written as the opposite of Equal.
func operator(o filter.Op) string {
	switch o {
	case filter.Less:
		return ` < `
	case filter.LessEqual:
		return ` <= `
	case filter.Greater:
		return ` > `
	case filter.GreaterEqual:
		return ` >= `
	}
	return ` = `
}

// moment compares milliseconds, in which 0 is never.
func (w *where) moment(f *Field, t *filter.Term) {
	if t.Time.Never {
		w.add(f.SQL + ` = 0`)
		return
	}
	w.add(f.SQL+` <> 0 AND `+f.SQL+operator(t.Op)+`?`, t.Time.Resolve(w.now).UnixMilli())
}

// text compares a text, or the beginning of it.
func (w *where) text(f *Field, value string, prefix bool) {
	if f.Match != "" {
		w.add(f.Match, value)
		return
	}
	column, value := w.folded(f.SQL), fold(value)
	switch {
	case !prefix:
		w.add(column+` = ?`, value)
	case value == "":
		w.add(column + ` <> ''`)
	default:
		w.add(`substr(`+column+`, 1, ?) = ?`, int64(len([]rune(value))), value)
	}
}

// folded is a text with a-z for A-Z, compared byte by byte, on either engine.
func (w *where) folded(column string) string {
	if w.postgres {
		return `lower(` + column + ` COLLATE "C")`
	}
	return `lower(` + column + `)`
}

// fold does to a value what folded does to a column.
func fold(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
