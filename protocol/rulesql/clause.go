package rulesql

import (
	"strings"

	"github.com/hawser-iot/hawser/protocol/topic"
)

// fields reads what SELECT or DO lists.
func (p *parser) fields() []Field {
	var out []Field
	seen := map[string]bool{}
	for {
		start := p.tok.pos
		f := p.field()
		key := f.Name
		if f.Star {
			key = f.String()
		}
		if p.err == nil && seen[key] {
			p.fail(start, "name one of them with AS", "the result has two fields %s", key)
		}
		seen[key] = true
		out = append(out, f)
		if len(out) > MaxFields {
			p.fail(start, "", "more than %d fields", MaxFields)
		}
		if !p.accept(",") {
			return out
		}
	}
}

func (p *parser) field() Field {
	if p.accept("*") {
		return Field{Star: true}
	}
	start, outer := p.tok.pos, p.fieldDepth
	p.fieldDepth = p.depth
	x := p.expr(levelLowest)
	p.fieldDepth = outer
	if p.err != nil {
		return Field{}
	}
	if m, ok := x.(*members); ok {
		return Field{Star: true, Expr: m.X}
	}
	text := p.text(start, x)
	f := Field{Expr: x, Name: defaultName(x, text), text: text}
	if p.accept("AS") {
		f.Name = p.alias()
	}
	return f
}

// alias reads the name behind AS.
func (p *parser) alias() string {
	t := p.tok
	switch {
	case t.kind == tokString && p.dialect == Stock:
		p.full(t.pos, "quotes around names")
	case t.kind == tokName, t.kind == tokQuoted, t.kind == tokString:
		p.advance()
	default:
		p.fail(t.pos, "put other names in back-quotes", "a name is expected after AS, not %s", t)
	}
	return t.text
}

// text is the expression as it is written, from start to the token before the next; as it prints, if a comment or a line
// break is in it.
func (p *parser) text(start int, x Expr) string {
	s := p.src[start:p.last]
	if strings.Contains(s, "--") || strings.Contains(s, "/*") || strings.ContainsAny(s, "\r\n") {
		return x.String()
	}
	return s
}

// filters reads the list behind FROM, which is the current token: filters have their own scanner.
func (p *parser) filters() []string {
	var out []string
	for p.err == nil {
		t, err := p.filter()
		if err != nil {
			p.stop(err)
			break
		}
		if t.text == "" || keywords[strings.ToUpper(t.text)] {
			p.fail(t.pos, "for example /product/+/upload", "a topic filter is expected after %s", strings.ToUpper(p.tok.text))
			break
		}
		if err := topic.ValidFilter(t.text); err != nil {
			p.fail(t.pos, "levels are separated by /, + stands for one level, a final # for the rest", "%q is not a topic filter: %s", t.text, err)
			break
		}
		if out = append(out, t.text); len(out) > MaxFilters {
			p.fail(t.pos, "", "more than %d topic filters", MaxFilters)
		}
		p.advance()
		if p.tok.kind != "," {
			break
		}
		p.full(p.tok.pos, "lists of topics")
	}
	return out
}

// foreach reads what follows FOREACH up to FROM: the list, its names, DO fields and INCASE condition.
func (p *parser) foreach(q *Query) *Foreach {
	f := &Foreach{}
	f.List = p.expr(levelLowest)
	f.Item, f.At = p.names()
	if f.Item == "" {
		f.Item = defaultItem
	}
	if p.acceptWord("DO") {
		q.Fields = p.fields()
	}
	if p.acceptWord("INCASE") {
		f.Incase = p.expr(levelLowest)
	}
	return f
}

// names reads [AS item [AT position]].
func (p *parser) names() (item, at string) {
	if p.accept("AS") {
		item = p.alias()
	}
	if item != "" && p.acceptWord("AT") {
		at = p.alias()
	}
	return item, at
}

// subquery reads a SELECT over an array, from behind SELECT to its closing parenthesis.
func (p *parser) subquery() Expr {
	s := &Select{}
	if p.tok.is("VALUE") && p.valueFollows() {
		p.advance()
		s.Value = p.expr(levelLowest)
	} else {
		s.Fields = p.fields()
	}
	p.expect("FROM", "for example (SELECT VALUE s.t FROM sensors AS s WHERE s.t > 30)")
	s.List = p.expr(levelLowest)
	s.Item, s.At = p.names()
	if p.accept("WHERE") {
		s.Where = p.expr(levelLowest)
	}
	p.expect(")", "a SELECT over an array stands in parentheses")
	return s
}

// valueFollows tells whether VALUE, the current token, is the word and not the name of a field: an operand stands behind it.
func (p *parser) valueFollows() bool {
	ahead := p.scanner
	t, err := ahead.next()
	if err != nil {
		return false
	}
	switch t.kind {
	case tokName, tokQuoted, tokString, tokInt, tokFloat, "{", "CASE", "NOT", "TRUE", "FALSE", "NULL":
		return true
	case "(", "[": // value[0] is a field, VALUE [0] an array
		return t.pos > p.tok.end
	}
	return false
}
