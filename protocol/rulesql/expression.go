package rulesql

import (
	"strconv"
)

// expr reads an expression whose operators hold at least as tightly as level (a Pratt parser: prefix, then operators
// while they are tight enough).
func (p *parser) expr(level int) Expr {
	if p.depth++; p.depth > MaxNesting {
		p.fail(p.tok.pos, "", "more than %d levels within each other", MaxNesting)
	}
	defer func() { p.depth-- }()
	left, compared := p.prefix(), false
	for p.err == nil {
		op := string(p.tok.kind)
		if op == "!=" {
			op = "<>"
		}
		l := infixLevel(op)
		if l == levelLowest || l < level {
			break
		}
		if l == levelCompare && compared {
			p.fail(p.tok.pos, "join comparisons with AND, or put one in parentheses", "comparisons do not chain")
			break
		}
		compared = compared || l == levelCompare
		pos := p.tok.pos
		p.advance()
		switch op {
		case "IN", "LIKE", "BETWEEN", "IS":
			left = p.predicate(left, op, false)
		case "NOT":
			op = string(p.tok.kind)
			if op != "IN" && op != "LIKE" && op != "BETWEEN" {
				p.fail(pos, "after a value NOT stands before IN, LIKE or BETWEEN", "NOT is not expected here")
				break
			}
			p.advance()
			left = p.predicate(left, op, true)
		default:
			left = &Binary{Op: op, X: left, Y: p.expr(l + 1)}
		}
	}
	return left
}

// infixLevel is the level of an operator between operands; levelLowest for what is none.
func infixLevel(op string) int {
	switch op {
	case "IN", "LIKE", "BETWEEN", "IS", "NOT":
		return levelCompare
	}
	return binaryLevel(op)
}

// predicate reads what follows X IN, X LIKE, X BETWEEN and X IS.
func (p *parser) predicate(x Expr, op string, not bool) Expr {
	switch op {
	case "IN":
		p.expect("(", "for example IN (1, 2)")
		return &In{X: x, List: p.exprs(")"), Not: not}
	case "LIKE":
		return &Like{X: x, Pattern: p.expr(levelAdd), Not: not}
	case "BETWEEN":
		low := p.expr(levelAdd)
		p.expect("AND", "for example BETWEEN 1 AND 10")
		return &Between{X: x, Low: low, High: p.expr(levelAdd), Not: not}
	}
	not = p.accept("NOT")
	missing := p.tok.kind == "MISSING"
	if !missing && p.tok.kind != "NULL" {
		p.fail(p.tok.pos, "IS stands before NULL, NOT NULL, MISSING or NOT MISSING", "%s is not expected here", p.tok)
	}
	p.advance()
	return &Is{X: x, Missing: missing, Not: not}
}

// exprs reads a list of at least one expression and its closing token.
func (p *parser) exprs(end kind) []Expr {
	var out []Expr
	for p.err == nil {
		out = append(out, p.expr(levelLowest))
		if !p.accept(",") {
			p.expect(end, "items are separated by commas")
			break
		}
	}
	return out
}

// prefix reads an operand.
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
		p.advance()
		return &Literal{val{kind: vNull}}
	case tokName, tokQuoted:
		p.advance()
		if t.kind == tokName && p.accept("(") {
			return p.call(t)
		}
		return p.path(t)
	case "(":
		p.advance()
		x := p.expr(levelLowest)
		p.expect(")", "a parenthesis is open")
		return x
	case "NOT":
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
	if keywords[string(t.kind)] {
		hint = "put a field of this name in back-quotes"
	}
	p.fail(t.pos, hint, "a value is expected here, not %s", t)
	return &Literal{}
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

// path reads the rest of a path whose first name is t.
func (p *parser) path(t token) Expr {
	x := &Path{Steps: []Step{{Name: t.text}}}
	for p.err == nil {
		switch {
		case p.accept("."):
			word := p.tok
			keyword := keywords[string(word.kind)] && word.pos == p.last
			if word.kind != tokName && word.kind != tokQuoted && !keyword {
				p.fail(word.pos, "put a name that is not a word in back-quotes", "a name is expected after the dot, not %s", word)
				return x
			}
			p.advance()
			x.Steps = append(x.Steps, Step{Name: word.text})
		case p.accept("["):
			x.Steps = append(x.Steps, Step{Index: p.integer()})
			p.expect("]", "a bracket is open")
		default:
			return x
		}
	}
	return x
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
