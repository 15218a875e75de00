// Package filter is the language in which a fleet is searched:
//
//	state:online product:70ly1tvowt696r15 sn:cellar* tag.region=eu created>2026-01-01 lastSeen<-7d -group:east
//
// Terms beside each other must all hold; OR, NOT (or a minus sign) and parentheses do what they say. docs/filter.md is
// its reference. Other lists have keys of their own and the same language: a Language is made of them.
//
// The package reads text into an expression and prints it again; what it returns has known keys, known operators and
// values of the right kind, and is bounded in size and depth. Errors carry the position of what they mean. It leaves to
// the registry, or to who keeps the list, what an expression takes.
package filter

import (
	"fmt"
	"strings"
	"time"
)

// Bounds of a filter.
const (
	MaxLength = 4096 // bytes
	MaxTerms  = 64
	MaxDepth  = 32 // parentheses and negations within each other
)

// Error says what is wrong with a filter and where.
type Error struct {
	Pos    int // offset in bytes of what is wrong
	Reason string
}

func (e *Error) Error() string { return fmt.Sprintf("filter: at character %d: %s", e.Pos+1, e.Reason) }

// Expr is an expression: *Term, *Not, And or Or.
type Expr interface {
	fmt.Stringer
	// write prints the expression where an operand of something that binds as strongly as the given level is wanted.
	write(b *strings.Builder, level int)
}

// And holds when all of its operands do, of which there are at least two.
type And []Expr

// Or holds when one of its operands does, of which there are at least two.
type Or []Expr

// Not holds when X does not.
type Not struct{ X Expr }

// Key says what a term looks at: Text, or the place of the field in its language, counted from 1.
type Key uint8

// The keys of devices. Text is a bare word: a prefix of the device's SN or name.
const (
	Text Key = iota
	State
	Product
	SN
	Name
	Group
	Tag
	Created
	LastSeen
)

// Op compares.
type Op uint8

// The operators; ":" is another spelling of "=".
const (
	Equal Op = iota
	NotEqual
	Less
	LessEqual
	Greater
	GreaterEqual
)

var ops = [...]string{":", "!=", "<", "<=", ">", ">="}

func (o Op) String() string { return ops[o] }

// Term is one comparison.
type Term struct {
	Key    Key
	Tag    string // the tag's name, with the key Tag
	Op     Op     // Equal or NotEqual, unless Key is a time or a number
	Value  string // what is compared with
	Prefix bool   // Value is the beginning of it; "" means that there is any
	Time   Time   // the value of a time
	Number int64  // the value of a number
	Pos    int    // where the term begins

	field *Field // nil with the key Text
}

// Time is a moment, absolute or reckoned from the moment of the search.
type Time struct {
	Never bool          // lastSeen:never
	At    time.Time     // absolute, when not zero
	Ago   time.Duration // relative
}

// Resolve returns the moment that is meant at now.
func (t Time) Resolve(now time.Time) time.Time {
	if !t.At.IsZero() {
		return t.At
	}
	return now.Add(-t.Ago)
}

// Levels of binding, for printing.
const (
	levelOr = iota
	levelAnd
	levelUnary
)

func (x And) String() string   { return text(x) }
func (x Or) String() string    { return text(x) }
func (x *Not) String() string  { return text(x) }
func (x *Term) String() string { return text(x) }

func text(x Expr) string {
	var b strings.Builder
	x.write(&b, levelOr)
	return b.String()
}

func (x And) write(b *strings.Builder, level int) { list(b, x, " ", levelUnary, level > levelAnd) }
func (x Or) write(b *strings.Builder, level int)  { list(b, x, " OR ", levelAnd, level > levelOr) }

func list(b *strings.Builder, operands []Expr, between string, level int, brackets bool) {
	if brackets {
		b.WriteByte('(')
	}
	for i, x := range operands {
		if i > 0 {
			b.WriteString(between)
		}
		x.write(b, level)
	}
	if brackets {
		b.WriteByte(')')
	}
}

func (x *Not) write(b *strings.Builder, _ int) {
	b.WriteByte('-')
	x.X.write(b, levelUnary)
}

func (x *Term) write(b *strings.Builder, _ int) {
	if x.field != nil {
		b.WriteString(x.field.Name)
	}
	if x.Tag != "" {
		b.WriteByte('.')
		b.WriteString(x.Tag)
	}
	if x.Key != Text {
		b.WriteString(ops[x.Op])
	}
	quote(b, x.Value, x.Key == Text)
	if x.Prefix && x.Key != Text {
		b.WriteByte('*')
	}
}

// quote writes a value bare when it reads back as the same, else in quotes.
func quote(b *strings.Builder, s string, word bool) {
	bare := s != "" && !strings.ContainsFunc(s, special)
	if word && bare {
		bare = s[0] != '-' && !strings.ContainsAny(s, ":=!<>") && s != "OR" && s != "AND" && s != "NOT"
	}
	if bare {
		b.WriteString(s)
		return
	}
	b.WriteByte('"')
	for _, r := range s {
		if r == '"' || r == '\\' {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	b.WriteByte('"')
}
