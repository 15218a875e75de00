package rulesql

// expr reads an expression whose operators hold at least as tightly as level (a Pratt parser: prefix, then operators
// while they are tight enough).
func (p *parser) expr(level int) Expr {
	if p.depth++; p.depth > MaxNesting {
		p.fail(p.tok.pos, "", "more than %d levels within each other", MaxNesting)
	}
	defer func() { p.depth-- }()
	left, compared := p.postfix(p.prefix()), false
	for p.err == nil {
		op := p.infix()
		l := infixLevel(op)
		if l == levelLowest || l < level {
			break
		}
		if l == levelCompare && compared {
			p.fail(p.tok.pos, "join comparisons with AND, or put one in parentheses", "comparisons do not chain")
			break
		}
		compared = compared || l == levelCompare
		left = p.operation(left, op, l)
	}
	return left
}

// infix is the operator that stands next, by its name in the tree.
func (p *parser) infix() string {
	op := string(p.tok.kind)
	switch {
	case op == "!=" && p.dialect != Stock:
		return "<>"
	case op == "=~" || p.tok.is("REGEXP"):
		return "REGEXP"
	}
	return op
}

// operation reads an operator, which is the current token, and its right operand.
func (p *parser) operation(left Expr, op string, level int) Expr {
	pos := p.tok.pos
	switch op {
	case "IS", "BETWEEN", "NOT", "REGEXP", "||":
		p.full(pos, op)
	}
	p.advance()
	switch op {
	case "IN", "LIKE", "BETWEEN", "IS", "REGEXP":
		return p.predicate(left, op, false)
	case "NOT":
		op = p.infix()
		if op != "IN" && op != "LIKE" && op != "BETWEEN" && op != "REGEXP" {
			p.fail(pos, "after a value NOT stands before IN, LIKE, REGEXP or BETWEEN", "NOT is not expected here")
			return left
		}
		p.advance()
		return p.predicate(left, op, true)
	}
	return &Binary{Op: op, X: left, Y: p.expr(level + 1)}
}

// infixLevel is the level of an operator between operands; levelLowest for what is none.
func infixLevel(op string) int {
	switch op {
	case "IN", "LIKE", "BETWEEN", "IS", "NOT", "REGEXP":
		return levelCompare
	}
	return binaryLevel(op)
}

// predicate reads what follows X IN, X LIKE, X REGEXP, X BETWEEN and X IS.
func (p *parser) predicate(x Expr, op string, not bool) Expr {
	switch op {
	case "IN":
		p.expect("(", "for example IN (1, 2)")
		return &In{X: x, List: p.exprs(")"), Not: not}
	case "LIKE":
		return &Like{X: x, Pattern: p.expr(levelAdd), Not: not}
	case "REGEXP":
		at := errorAt(p.src, p.tok.pos, "", "")
		return &Regexp{X: x, Pattern: p.expr(levelAdd), Not: not, line: at.Line, column: at.Column}
	case "BETWEEN":
		low := p.expr(levelAdd)
		p.expect("AND", "for example BETWEEN 1 AND 10")
		return &Between{X: x, Low: low, High: p.expr(levelAdd), Not: not}
	}
	not = p.accept("NOT")
	missing := p.tok.is("MISSING")
	if !missing && p.tok.kind != "NULL" {
		p.fail(p.tok.pos, p.meant("IS stands before NULL, NOT NULL, MISSING or NOT MISSING", "MISSING", "NULL"), "%s is not expected here", p.tok)
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
