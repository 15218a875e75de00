package rulesql

import (
	"strconv"
	"strings"

	"github.com/hawser-iot/hawser/protocol/topic"
)

// Parse reads a query. Its error is an *Error.
func Parse(sql string) (*Query, error) {
	p := &parser{scanner: scanner{src: sql}}
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
	err   *Error
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

// accept takes a token of this kind, if it is next.
func (p *parser) accept(k kind) bool {
	if p.tok.kind != k || p.err != nil {
		return false
	}
	p.advance()
	return true
}

func (p *parser) expect(k kind, hint string) {
	if !p.accept(k) {
		p.fail(p.tok.pos, hint, "%s is expected here, not %s", k, p.tok)
	}
}

const shape = "a rule is SELECT fields FROM topic filter WHERE condition"

func (p *parser) query() *Query {
	q := &Query{}
	p.expect("SELECT", shape)
	q.Fields = p.fields()
	if p.err == nil && p.tok.kind != "FROM" {
		p.fail(p.tok.pos, shape, "FROM or a comma is expected here, not %s", p.tok)
	}
	q.From = p.filters()
	if p.accept("WHERE") && p.tok.kind != tokEOF && p.tok.kind != ";" { // an empty condition is none
		q.Where = p.expr(levelLowest)
	}
	p.accept(";")
	if p.err == nil && p.tok.kind != tokEOF {
		p.trailing()
	}
	return q
}

// trailing explains what follows a query that could have ended.
func (p *parser) trailing() {
	switch strings.ToUpper(p.tok.text) {
	case "GROUP", "ORDER", "HAVING", "LIMIT", "WINDOW", "JOIN", "UNION":
		p.fail(p.tok.pos, "a rule sees one message at a time", "%s is not part of the language", strings.ToUpper(p.tok.text))
	case "==":
		p.fail(p.tok.pos, "write =", "== is not an operator")
	default:
		p.fail(p.tok.pos, "is an operator, a comma or a quote missing before it?", "%s is not expected here", p.tok)
	}
}

func (p *parser) fields() []Field {
	var out []Field
	seen := map[string]bool{}
	for {
		start := p.tok.pos
		f := p.field()
		key := f.Name
		if f.Star {
			key = "*"
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
	start := p.tok.pos
	x := p.expr(levelLowest)
	if p.err != nil {
		return Field{}
	}
	f := Field{Expr: x, Name: defaultName(x, p.text(start, x))}
	if p.accept("AS") {
		f.Name = p.tok.text
		switch p.tok.kind {
		case tokName, tokQuoted, tokString:
			p.advance()
		default:
			p.fail(p.tok.pos, "put other names in back-quotes", "a name is expected after AS, not %s", p.tok)
		}
	}
	return f
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
	}
	return out
}

// integer reads an integer that fits in a machine word.
func (p *parser) integer() int {
	minus := p.accept("-")
	n, err := strconv.Atoi(p.tok.text)
	if p.tok.kind != tokInt || err != nil || n > 1<<30 {
		p.fail(p.tok.pos, "elements count from 0, from the end with -1", "the position of an element is expected here, not %s", p.tok)
		return 0
	}
	p.advance()
	if minus {
		return -n
	}
	return n
}
