package rulesql

import (
	"strconv"
	"strings"
)

// Query is a parsed rule.
type Query struct {
	Fields []Field
	From   []string // topic filters
	Where  Expr     // nil: every message
}

// Field is one thing that SELECT lists: Star for all members of the payload, or an expression and its key in the result.
type Field struct {
	Star bool
	Expr Expr
	Name string
}

// Expr is an expression. String prints it so that it parses to the same.
type Expr interface {
	String() string
	level() int // how tightly it holds together; levels below
}

// The levels, loosest first.
const (
	levelLowest = iota
	levelOr
	levelAnd
	levelNot
	levelCompare // = <> < <= > >= IN LIKE IS BETWEEN
	levelAdd     // + -
	levelMultiply
	levelNegate
	levelAtom
)

type (
	// Literal is a constant.
	Literal struct{ value val }

	// Path is a field of the payload: names and array positions.
	Path struct{ Steps []Step }

	// Step is a member name, or an element if Name is empty: Index counts from 0, from the end if negative.
	Step struct {
		Name  string
		Index int
	}

	// Star is all of the payload, as the argument of a function.
	Star struct{}

	// Call is a function with its arguments.
	Call struct {
		Name         string
		Args         []Expr
		line, column int
	}

	// Unary is NOT X or -X.
	Unary struct {
		Op string
		X  Expr
	}

	// Binary is X Op Y: AND OR = <> < <= > >= + - * / %.
	Binary struct {
		Op   string
		X, Y Expr
	}

	// In is X [NOT] IN (List).
	In struct {
		X    Expr
		List []Expr
		Not  bool
	}

	// Like is X [NOT] LIKE Pattern: % stands for any text, _ for one character, \ before either for itself.
	Like struct {
		X, Pattern Expr
		Not        bool
	}

	// Is is X IS [NOT] NULL, or MISSING.
	Is struct {
		X       Expr
		Missing bool
		Not     bool
	}

	// Between is X [NOT] BETWEEN Low AND High, both included.
	Between struct {
		X, Low, High Expr
		Not          bool
	}

	// Case is CASE [X] WHEN … THEN … [ELSE …] END; X nil: the first condition that is true.
	Case struct {
		X     Expr
		Whens []When
		Else  Expr // nil: missing
	}

	// When is one branch of a Case.
	When struct{ If, Then Expr }
)

func (*Literal) level() int { return levelAtom }
func (*Path) level() int    { return levelAtom }
func (*Star) level() int    { return levelAtom }
func (*Call) level() int    { return levelAtom }
func (*Case) level() int    { return levelAtom }
func (*In) level() int      { return levelCompare }
func (*Like) level() int    { return levelCompare }
func (*Is) level() int      { return levelCompare }
func (*Between) level() int { return levelCompare }

func (u *Unary) level() int {
	if u.Op == "NOT" {
		return levelNot
	}
	return levelNegate
}

func (b *Binary) level() int { return binaryLevel(b.Op) }

func binaryLevel(op string) int {
	switch op {
	case "OR":
		return levelOr
	case "AND":
		return levelAnd
	case "=", "<>", "<", "<=", ">", ">=":
		return levelCompare
	case "+", "-":
		return levelAdd
	case "*", "/", "%":
		return levelMultiply
	}
	return levelLowest
}

// String prints the query on one line; Parse makes the same query of it.
func (q *Query) String() string {
	var b strings.Builder
	b.WriteString("SELECT ")
	for i, f := range q.Fields {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(f.String())
	}
	b.WriteString(" FROM ")
	for i, f := range q.From {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quote(f, '\''))
	}
	if q.Where != nil {
		b.WriteString(" WHERE " + q.Where.String())
	}
	return b.String()
}

// String prints the field, with AS where its name is not the text of the expression.
func (f Field) String() string {
	if f.Star {
		return "*"
	}
	text := f.Expr.String()
	if defaultName(f.Expr, text) == f.Name {
		return text
	}
	return text + " AS " + name(f.Name)
}

// defaultName is the key of a field without AS: the text of the expression. The name of a path has no back-quotes.
func defaultName(x Expr, text string) string {
	if p, ok := x.(*Path); ok {
		return p.plain()
	}
	return text
}

func (p *Path) plain() string {
	var b strings.Builder
	for i, s := range p.Steps {
		switch {
		case s.Name == "":
			b.WriteString("[" + strconv.Itoa(s.Index) + "]")
		case i > 0:
			b.WriteString("." + s.Name)
		default:
			b.WriteString(s.Name)
		}
	}
	return b.String()
}
