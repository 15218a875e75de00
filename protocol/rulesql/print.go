package rulesql

import (
	"strconv"
	"strings"
)

// quote puts s in quotes and doubles those inside.
func quote(s string, q byte) string {
	c := string(q)
	return c + strings.ReplaceAll(s, c, c+c) + c
}

// name prints a name, in back-quotes where the scanner would not take it for one.
func name(s string) string {
	for i, r := range s {
		if !nameRune(r, i > 0) {
			return quote(s, '`')
		}
	}
	if up := strings.ToUpper(s); s == "" || keywords[up] || contextual[up] {
		return quote(s, '`')
	}
	return s
}

// within prints x as an operand that must hold together at least as tightly as level.
func within(x Expr, level int) string {
	if x.level() < level {
		return "(" + x.String() + ")"
	}
	return x.String()
}

func list(xs []Expr) string {
	var b strings.Builder
	for i, x := range xs {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(x.String())
	}
	return b.String()
}

func not(n bool, word string) string {
	if n {
		return " NOT " + word + " "
	}
	return " " + word + " "
}

// String prints a literal as the query would have it.
func (l *Literal) String() string {
	switch l.value.kind {
	case vString:
		return quote(l.value.str, '\'')
	case vFloat:
		s := strconv.FormatFloat(l.value.float(), 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	case vBool:
		if l.value.num != 0 {
			return "TRUE"
		}
		return "FALSE"
	case vNull:
		return "NULL"
	}
	return strconv.FormatInt(l.value.num, 10)
}

func (*Star) String() string { return "*" }

func (c *Call) String() string { return c.Name + "(" + list(c.Args) + ")" }

func (u *Unary) String() string {
	if u.Op == "NOT" {
		return "NOT " + within(u.X, levelNot)
	}
	// A negative operand gets parentheses: -- would start a comment.
	x := within(u.X, levelNegate)
	if strings.HasPrefix(x, "-") {
		x = "(" + x + ")"
	}
	return "-" + x
}

// String prints the operands so that operators of one level group to the left.
func (b *Binary) String() string {
	l := b.level()
	left := l
	if l == levelCompare {
		left = levelAdd // comparisons do not chain
	}
	return within(b.X, left) + " " + b.Op + " " + within(b.Y, l+1)
}

func (n *In) String() string {
	return within(n.X, levelAdd) + not(n.Not, "IN") + "(" + list(n.List) + ")"
}

func (n *Like) String() string {
	return within(n.X, levelAdd) + not(n.Not, "LIKE") + within(n.Pattern, levelAdd)
}

func (n *Regexp) String() string {
	return within(n.X, levelAdd) + not(n.Not, "REGEXP") + within(n.Pattern, levelAdd)
}

func (n *Is) String() string {
	what := " IS "
	if n.Not {
		what = " IS NOT "
	}
	if n.Missing {
		return within(n.X, levelAdd) + what + "MISSING"
	}
	return within(n.X, levelAdd) + what + "NULL"
}

func (n *Between) String() string {
	return within(n.X, levelAdd) + not(n.Not, "BETWEEN") + within(n.Low, levelAdd) + " AND " + within(n.High, levelAdd)
}

func (n *Case) String() string {
	var b strings.Builder
	b.WriteString("CASE")
	if n.X != nil {
		b.WriteString(" " + n.X.String())
	}
	for _, w := range n.Whens {
		b.WriteString(" WHEN " + w.If.String() + " THEN " + w.Then.String())
	}
	if n.Else != nil {
		b.WriteString(" ELSE " + n.Else.String())
	}
	return b.String() + " END"
}

func (n *Access) String() string { return within(n.X, levelAtom) + "." + name(n.Name) }

func (n *Element) String() string { return within(n.X, levelAtom) + "[" + n.At.String() + "]" }

func (n *Slice) String() string {
	s := within(n.X, levelAtom) + "["
	if n.From != nil {
		s += n.From.String()
	}
	s += ":"
	if n.To != nil {
		s += n.To.String()
	}
	return s + "]"
}

func (n *List) String() string { return "[" + list(n.Items) + "]" }

func (n *Object) String() string {
	var b strings.Builder
	for i, m := range n.Members {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(name(m.Name) + ": " + m.Value.String())
	}
	return "{" + b.String() + "}"
}

func (n *Select) String() string {
	s := "(SELECT "
	if n.Value != nil {
		s += "VALUE " + n.Value.String()
	} else {
		s += fieldList(n.Fields, Full)
	}
	s += " FROM " + n.List.String()
	if n.Item != "" {
		s += " AS " + name(n.Item)
	}
	if n.At != "" {
		s += " AT " + name(n.At)
	}
	if n.Where != nil {
		s += " WHERE " + n.Where.String()
	}
	return s + ")"
}

func (n *members) String() string { return within(n.X, levelAtom) + ".*" }
