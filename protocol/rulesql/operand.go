package rulesql

import (
	"strconv"
)

// prefix reads an operand, without what is attached behind it.
func (p *parser) prefix() Expr {
	t := p.tok
	switch t.kind {
	case tokString:
		p.advance()
		return &Literal{text(t.text)}
	case tokInt, tokFloat:
		p.advance()
		return p.numeral(t)
	case "TRUE", "FALSE":
		p.advance()
		return &Literal{boolean(t.kind == "TRUE")}
	case "NULL":
		p.full(t.pos, "NULL")
		p.advance()
		return &Literal{val{kind: vNull}}
	case tokName, tokQuoted:
		p.advance()
		if t.kind == tokName && p.accept("(") {
			return p.call(t)
		}
		at := errorAt(p.src, t.pos, "", "")
		return &Path{Steps: []Step{{Name: t.text}}, line: at.Line, column: at.Column}
	case "(":
		p.advance()
		return p.parenthesis(t.pos)
	case "[":
		p.full(t.pos, "arrays")
		p.advance()
		return p.list()
	case "{":
		p.full(t.pos, "objects")
		p.advance()
		return p.object()
	case "NOT":
		p.full(t.pos, "NOT")
		p.advance()
		return &Unary{Op: "NOT", X: p.expr(levelNot)}
	case "-":
		p.advance()
		return &Unary{Op: "-", X: p.expr(levelNegate)}
	case "CASE":
		p.advance()
		return p.caseOf()
	}
	hint := "a field, a function, a number or a text in quotes"
	if keywords[string(t.kind)] && p.dialect != Stock {
		hint = "put a field of this name in back-quotes"
	}
	p.fail(t.pos, hint, "a value is expected here, not %s", t)
	return &Literal{}
}

// parenthesis reads what is in parentheses, and the closing one.
func (p *parser) parenthesis(start int) Expr {
	if p.tok.kind == "SELECT" {
		p.full(start, "SELECT over arrays")
		p.advance()
		return p.subquery()
	}
	x := p.expr(levelLowest)
	p.expect(")", "a parenthesis is open")
	return x
}

// numeral makes an integer, or a float of what does not fit in 64 bits.
func (p *parser) numeral(t token) Expr {
	if n, err := strconv.ParseInt(t.text, 10, 64); err == nil && t.kind == tokInt {
		return &Literal{integer(n)}
	}
	f, err := strconv.ParseFloat(t.text, 64)
	if err != nil {
		p.fail(t.pos, "", "%s is not a number that can be held", t.text)
	}
	return &Literal{float(f)}
}

func (p *parser) call(t token) Expr {
	at := errorAt(p.src, t.pos, "", "")
	c := &Call{Name: t.text, line: at.Line, column: at.Column}
	if p.accept(")") {
		return c
	}
	if p.tok.kind == "*" {
		p.advance()
		p.expect(")", "* is the only argument")
		c.Args = []Expr{&Star{}}
		return c
	}
	c.Args = p.exprs(")")
	return c
}

// list reads an array, from behind its bracket.
func (p *parser) list() Expr {
	if p.accept("]") {
		return &List{}
	}
	return &List{Items: p.exprs("]")}
}

// object reads an object, from behind its brace.
func (p *parser) object() Expr {
	o := &Object{}
	seen := map[string]bool{}
	for p.err == nil && (len(o.Members) > 0 || p.tok.kind != "}") {
		t := p.tok
		if t.kind != tokName && t.kind != tokQuoted && t.kind != tokString {
			p.fail(t.pos, "for example {'t': temperature}", "a name is expected here, not %s", t)
		}
		if p.advance(); seen[t.text] {
			p.fail(t.pos, "", "the object has two members %s", t.text)
		}
		seen[t.text] = true
		p.expect(":", "for example {'t': temperature}")
		o.Members = append(o.Members, Member{Name: t.text, Value: p.expr(levelLowest)})
		if len(o.Members) > MaxFields {
			p.fail(t.pos, "", "more than %d members", MaxFields)
		}
		if !p.accept(",") {
			break
		}
	}
	p.expect("}", "members are separated by commas")
	return o
}

func (p *parser) caseOf() Expr {
	c := &Case{}
	if p.tok.kind != "WHEN" {
		c.X = p.expr(levelLowest)
	}
	for p.accept("WHEN") {
		var w When
		w.If = p.expr(levelLowest)
		p.expect("THEN", "CASE WHEN condition THEN value END")
		w.Then = p.expr(levelLowest)
		c.Whens = append(c.Whens, w)
	}
	if len(c.Whens) == 0 {
		p.fail(p.tok.pos, "CASE WHEN condition THEN value END", "WHEN is expected here, not %s", p.tok)
	}
	if p.accept("ELSE") {
		c.Else = p.expr(levelLowest)
	}
	p.expect("END", "CASE ends with END")
	return c
}
