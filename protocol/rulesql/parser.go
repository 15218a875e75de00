package rulesql

import (
	"fmt"
	"strings"

	"github.com/hawser-iot/hawser/protocol/nearest"
)

// Parse reads a query in a dialect. Its error is an *Error.
func Parse(sql string, d Dialect) (*Query, error) {
	p := &parser{scanner: scanner{src: sql, dialect: d}}
	if d != Stock && d != Full {
		return nil, &Error{Line: 1, Column: 1, Reason: fmt.Sprintf("there is no dialect %d", d), Hint: "1 is the stock dialect, 2 ours"}
	}
	if len(sql) > MaxQuery {
		p.fail(MaxQuery, "", "the query has %d bytes, at most %d are allowed", len(sql), MaxQuery)
		return nil, p.err
	}
	p.advance()
	q := p.query()
	if p.err != nil {
		return nil, p.err
	}
	return q, nil
}

// parser holds one token of look-ahead. The first fault is kept in err; from then on every token is the end, so that
// all loops finish.
type parser struct {
	scanner
	tok   token
	last  int // where the token before tok ended
	depth int
	// fieldDepth is the depth at which a field of SELECT begins, where .* may stand.
	fieldDepth int
	err        *Error
}

func (p *parser) advance() {
	if p.err != nil {
		return
	}
	p.last = p.tok.end
	t, err := p.next()
	if err != nil {
		p.stop(err)
		return
	}
	p.tok = t
}

func (p *parser) stop(err *Error) {
	if p.err == nil {
		p.err = err
	}
	p.tok = token{kind: tokEOF, pos: len(p.src), end: len(p.src)}
}

func (p *parser) fail(pos int, hint, format string, args ...any) {
	p.stop(errorAt(p.src, pos, hint, format, args...))
}

// full refuses what the stock dialect has not got.
func (p *parser) full(pos int, what string) {
	if p.dialect == Stock {
		p.stop(p.onlyFull(pos, what))
	}
}

// accept takes a token of this kind, if it is next.
func (p *parser) accept(k kind) bool {
	if p.tok.kind != k || p.err != nil {
		return false
	}
	p.advance()
	return true
}

// acceptWord takes a word that is no keyword, if it is next.
func (p *parser) acceptWord(word string) bool {
	if !p.tok.is(word) || p.err != nil {
		return false
	}
	p.advance()
	return true
}

func (p *parser) expect(k kind, hint string) {
	if !p.accept(k) {
		p.fail(p.tok.pos, p.meant(hint, string(k)), "%s is expected here, not %s", k, p.tok)
	}
}

// meant is the hint, unless the next word looks like one of those that could be meant.
func (p *parser) meant(hint string, words ...string) string {
	if p.tok.kind == tokName {
		if w := nearest.Word(strings.ToUpper(p.tok.text), words); w != "" {
			return "did you mean " + w + "?"
		}
	}
	return hint
}

const shape = "a rule is SELECT fields FROM topic filter WHERE condition"

func (p *parser) query() *Query {
	q := &Query{Dialect: p.dialect}
	if start := p.tok.pos; p.acceptWord("FOREACH") {
		p.full(start, "FOREACH")
		q.Foreach = p.foreach(q)
	} else {
		p.expect("SELECT", shape)
		q.Fields = p.fields()
	}
	if p.err == nil && p.tok.kind != "FROM" {
		p.fail(p.tok.pos, p.meant(shape, "FROM", "AS"), "FROM or a comma is expected here, not %s", p.tok)
	}
	q.From = p.filters()
	if p.accept("WHERE") && p.tok.kind != tokEOF && p.tok.kind != ";" { // an empty condition is none
		q.Where = p.expr(levelLowest)
	}
	p.accept(";")
	if p.err == nil && p.tok.kind != tokEOF {
		p.trailing(q.Where != nil)
	}
	return q
}

// trailing explains what follows a query that could have ended.
func (p *parser) trailing(where bool) {
	word := strings.ToUpper(p.tok.text)
	switch word {
	case "GROUP", "ORDER", "HAVING", "LIMIT", "WINDOW", "JOIN", "UNION":
		p.fail(p.tok.pos, "a rule sees one message at a time", "%s is not part of the language", word)
		return
	case "==":
		p.fail(p.tok.pos, "write =", "== is not an operator")
		return
	}
	hint := "is an operator, a comma or a quote missing before it?"
	if where {
		hint = p.meant(hint, "AND", "OR", "IN", "LIKE", "BETWEEN", "IS", "REGEXP", "NOT")
	} else {
		hint = p.meant(hint, "WHERE")
	}
	p.fail(p.tok.pos, hint, "%s is not expected here", p.tok)
}
