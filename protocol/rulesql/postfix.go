package rulesql

import "strconv"

// postfix reads what is attached to an operand: .name [index] [from:to] .*
//
// Names and constant positions behind a field belong to its Path, which is looked up without making values in between.
func (p *parser) postfix(x Expr) Expr {
	for p.err == nil {
		switch {
		case p.tok.kind == "." && attachable(x):
			if x = p.member(x); isMembers(x) {
				return x
			}
		case p.tok.kind == "[" && attachable(x):
			p.full(p.tok.pos, "positions in arrays")
			p.advance()
			x = p.bracket(x)
		default:
			return x
		}
	}
	return x
}

// attachable tells whether x may have something attached: a number may not, its point would be taken for its own.
func attachable(x Expr) bool {
	_, literal := x.(*Literal)
	return !literal
}

func isMembers(x Expr) bool {
	_, ok := x.(*members)
	return ok
}

// member reads .name, or .* which only a field may end with.
func (p *parser) member(x Expr) Expr {
	p.advance()
	word := p.tok
	if word.kind == "*" {
		p.full(word.pos, "members of one object (.*)")
		if p.depth != p.fieldDepth+1 {
			p.fail(word.pos, "it is a field by itself", "nothing can be done with .*")
		}
		p.advance()
		return &members{X: x}
	}
	keyword := keywords[string(word.kind)] && word.pos == p.last
	if word.kind != tokName && word.kind != tokQuoted && !keyword {
		p.fail(word.pos, "put a name that is not a word in back-quotes", "a name is expected after the dot, not %s", word)
		return x
	}
	p.advance()
	return attach(x, Step{Name: word.text})
}

// attach adds a step to a path, or to what is made of other expressions.
func attach(x Expr, s Step) Expr {
	if path, ok := x.(*Path); ok {
		path.Steps = append(path.Steps, s)
		return path
	}
	if s.Name != "" {
		return &Access{X: x, Name: s.Name}
	}
	return &Element{X: x, At: &Literal{integer(int64(s.Index))}}
}

// bracket reads [index] or [from:to], from behind the bracket.
func (p *parser) bracket(x Expr) Expr {
	var from, to Expr
	if p.tok.kind != ":" {
		from = p.expr(levelLowest)
	}
	if p.accept(":") {
		if p.tok.kind != "]" {
			to = p.expr(levelLowest)
		}
		p.expect("]", "a bracket is open")
		return &Slice{X: x, From: from, To: to}
	}
	p.expect("]", "a bracket is open; elements count from 0, from the end with -1")
	if v, ok := literal(from); ok && v.kind == vInt && v.num > -1<<31 && v.num < 1<<31 {
		return attach(x, Step{Index: int(v.num)})
	}
	return &Element{X: x, At: from}
}

// step prints a step of a path.
func (s Step) appendTo(b []byte, first bool, name func(string) string) []byte {
	if s.Name == "" {
		return append(strconv.AppendInt(append(b, '['), int64(s.Index), 10), ']')
	}
	if !first {
		b = append(b, '.')
	}
	return append(b, name(s.Name)...)
}
