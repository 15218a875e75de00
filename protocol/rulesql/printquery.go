package rulesql

import "strings"

// String prints the query on one line; Parse makes the same query of it.
func (q *Query) String() string {
	var b strings.Builder
	if q.Foreach != nil {
		q.Foreach.print(&b, q.Fields)
	} else {
		b.WriteString("SELECT " + fieldList(q.Fields, q.Dialect))
	}
	b.WriteString(" FROM ")
	for i, f := range q.From {
		if i > 0 {
			b.WriteString(", ")
		}
		if q.Dialect == Stock {
			b.WriteString(f)
		} else {
			b.WriteString(quote(f, '\''))
		}
	}
	if q.Where != nil {
		b.WriteString(" WHERE " + printed(q.Where, q.Dialect))
	}
	return b.String()
}

func (f *Foreach) print(b *strings.Builder, fields []Field) {
	b.WriteString("FOREACH " + f.List.String())
	if f.Item != defaultItem || f.At != "" {
		b.WriteString(" AS " + name(f.Item))
	}
	if f.At != "" {
		b.WriteString(" AT " + name(f.At))
	}
	if len(fields) > 0 {
		b.WriteString(" DO " + fieldList(fields, Full))
	}
	if f.Incase != nil {
		b.WriteString(" INCASE " + f.Incase.String())
	}
}

func fieldList(fields []Field, d Dialect) string {
	var b strings.Builder
	for i, f := range fields {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(f.print(d))
	}
	return b.String()
}

// String prints the field, with AS where its name is not the text of the expression.
func (f Field) String() string { return f.print(Full) }

func (f Field) print(d Dialect) string {
	if f.Star && f.Expr == nil {
		return "*"
	}
	if f.Star {
		return within(f.Expr, levelAtom) + ".*"
	}
	text := printed(f.Expr, d)
	if defaultName(f.Expr, text) == f.Name {
		return text
	}
	if d == Stock && defaultName(f.Expr, f.text) == f.Name {
		return f.text // the stock dialect cannot quote the name
	}
	if d == Stock {
		return text + " AS " + f.Name
	}
	return text + " AS " + name(f.Name)
}

// printed prints an expression in a dialect. The stock one cannot quote names, and needs not: after a dot any word is one.
func printed(x Expr, d Dialect) string {
	text := x.String()
	if d == Stock {
		return unquoteNames(text)
	}
	return text
}

// unquoteNames takes the back-quotes off. Those in texts stay.
func unquoteNames(s string) string {
	if !strings.Contains(s, "`") {
		return s
	}
	b, inText := make([]byte, 0, len(s)), false
	for i := range len(s) {
		if s[i] == '\'' {
			inText = !inText
		}
		if s[i] != '`' || inText {
			b = append(b, s[i])
		}
	}
	return string(b)
}

// defaultName is the key of a field without AS: the text of the expression. The name of a path has no back-quotes.
func defaultName(x Expr, text string) string {
	if p, ok := x.(*Path); ok {
		return p.plain()
	}
	return text
}

func (p *Path) plain() string { return p.print(func(s string) string { return s }) }

func (p *Path) String() string { return p.print(name) }

func (p *Path) print(name func(string) string) string {
	var b []byte
	for i, s := range p.Steps {
		b = s.appendTo(b, i == 0, name)
	}
	return string(b)
}
