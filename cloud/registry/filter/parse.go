package filter

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Parse reads a filter; an empty one is nil, which takes everything. Its errors are *Error.
func (l Language) Parse(s string) (Expr, error) {
	switch {
	case len(s) > MaxLength:
		return nil, &Error{MaxLength, fmt.Sprintf("the filter is longer than %d bytes", MaxLength)}
	case !utf8.ValidString(s):
		return nil, &Error{0, "the filter is not UTF-8 text"}
	}
	p := &parser{in: s, language: l}
	p.blanks()
	if p.end() {
		return nil, nil
	}
	x, err := p.or()
	if err != nil {
		return nil, err
	}
	if !p.end() { // or ends at nothing else
		return nil, &Error{p.at, "there is a ) without its ("}
	}
	return x, nil
}

type parser struct {
	language     Language
	in           string
	at           int
	depth, terms int
}

func (p *parser) end() bool { return p.at == len(p.in) }

func (p *parser) blanks() {
	p.at = len(p.in) - len(strings.TrimLeftFunc(p.in[p.at:], unicode.IsSpace))
}

// word takes an upper-case word that is an operator.
func (p *parser) word(w string) bool {
	rest, ok := strings.CutPrefix(p.in[p.at:], w)
	if r, _ := utf8.DecodeRuneInString(rest); !ok || rest != "" && !unicode.IsSpace(r) && r != '(' && r != ')' {
		return false
	}
	p.at += len(w)
	p.blanks()
	return true
}

// or reads operands between ORs up to the end or a closing bracket.
func (p *parser) or() (Expr, error) {
	var list Or
	for {
		x, err := p.and()
		if err != nil {
			return nil, err
		}
		if more, ok := x.(Or); ok { // from brackets: the same without
			list = append(list, more...)
		} else {
			list = append(list, x)
		}
		if !p.word("OR") {
			break
		}
	}
	if len(list) == 1 {
		return list[0], nil
	}
	return list, nil
}

func (p *parser) and() (Expr, error) {
	var list And
	for {
		x, err := p.unary()
		if err != nil {
			return nil, err
		}
		if more, ok := x.(And); ok {
			list = append(list, more...)
		} else {
			list = append(list, x)
		}
		if p.word("AND") {
			continue // an operand must follow
		}
		if p.end() || p.in[p.at] == ')' || p.peekOr() {
			break
		}
	}
	if len(list) == 1 {
		return list[0], nil
	}
	return list, nil
}

func (p *parser) peekOr() bool {
	at := p.at
	is := p.word("OR")
	p.at = at
	return is
}

func (p *parser) unary() (Expr, error) {
	start := p.at
	if p.end() {
		return nil, &Error{p.at, "a term is missing at the end"}
	}
	c := p.in[p.at]
	negated := c == '-' || p.word("NOT")
	switch {
	case c == '-':
		p.at++
		p.blanks()
	case negated:
	case c == '(':
		p.at++
		p.blanks()
	case c == ')', p.peekOr(), p.word("AND"):
		return nil, &Error{start, "a term is missing here"}
	default:
		return p.term()
	}
	if p.depth++; p.depth > MaxDepth {
		return nil, &Error{start, fmt.Sprintf("more than %d brackets and negations within each other", MaxDepth)}
	}
	defer func() { p.depth-- }()
	if negated {
		x, err := p.unary()
		if err != nil {
			return nil, err
		}
		if n, ok := x.(*Not); ok {
			return n.X, nil
		}
		return &Not{x}, nil
	}
	x, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.end() {
		return nil, &Error{start, "this ( is not closed"}
	}
	p.at++
	p.blanks()
	return x, nil
}

// special ends a bare word.
func special(r rune) bool {
	return unicode.IsSpace(r) || r == '(' || r == ')' || r == '"' || r == '*' || r == '\\' || r < ' ' || r == utf8.RuneError
}

func isOp(r rune) bool { return strings.ContainsRune(":=!<>", r) }

// term reads key, operator and value, or a bare word.
func (p *parser) term() (Expr, error) {
	t := &Term{Pos: p.at}
	if p.terms++; p.terms > MaxTerms {
		return nil, &Error{p.at, fmt.Sprintf("more than %d terms", MaxTerms)}
	}
	n := strings.IndexFunc(p.in[p.at:], func(r rune) bool { return special(r) || isOp(r) })
	if n < 0 {
		n = len(p.in) - p.at
	}
	key := p.in[p.at : p.at+n]
	if rest := p.in[p.at+n:]; rest == "" || !isOp(rune(rest[0])) {
		return t, p.text(t)
	}
	if err := p.setKey(t, key); err != nil {
		return nil, err
	}
	p.at += n
	if err := p.operator(t); err != nil {
		return nil, err
	}
	start := p.at
	if err := p.value(t); err != nil {
		return nil, err
	}
	return t, t.check(start)
}

// text reads a bare word or quoted text.
func (p *parser) text(t *Term) error {
	if err := p.value(t); err != nil {
		return err
	}
	if t.Value == "" {
		return &Error{t.Pos, "a word is missing before *"}
	}
	t.Prefix = true
	return nil
}

func (p *parser) setKey(t *Term, key string) error {
	name, tag, dotted := strings.Cut(key, ".")
	i := slices.IndexFunc(p.language, func(f Field) bool { return f.Name == name })
	tags := slices.ContainsFunc(p.language, func(f Field) bool { return f.Kind == tagged })
	switch {
	case i < 0, dotted && !tags:
		known := strings.Join(p.language.names(func(*Field) bool { return true }), ", ")
		if tags {
			known += " and tag.NAME"
		}
		return &Error{t.Pos, fmt.Sprintf("%q is not known: the keys are %s", key, known)}
	case (p.language[i].Kind == tagged) != dotted, dotted && !GoodTag(tag):
		return &Error{t.Pos, fmt.Sprintf("%q: a tag is written tag.NAME, its name of letters, digits and _ . -", key)}
	}
	t.Key, t.Tag, t.field = Key(i+1), tag, &p.language[i]
	return nil
}

// GoodTag tells whether a tag may have that name.
func GoodTag(name string) bool {
	if name == "" || len(name) > 64 {
		return false
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

func (p *parser) operator(t *Term) error {
	rest := p.in[p.at:]
	for _, o := range []struct {
		text string
		op   Op
	}{{"!=", NotEqual}, {"<=", LessEqual}, {">=", GreaterEqual}, {"<", Less}, {">", Greater}, {":", Equal}, {"=", Equal}} {
		if !strings.HasPrefix(rest, o.text) {
			continue
		}
		if t.Op = o.op; o.op >= Less && !t.field.ordered() {
			return &Error{p.at, fmt.Sprintf("%s compares only %s, not %s", o.text, strings.Join(p.language.names((*Field).ordered), " and "), t.field.Name)}
		}
		p.at += len(o.text)
		return nil
	}
	return &Error{p.at, "the operators are : = != < <= > >="}
}

// value reads a bare or quoted value and a * behind it.
func (p *parser) value(t *Term) error {
	if !p.end() && p.in[p.at] == '"' {
		if err := p.quoted(t); err != nil {
			return err
		}
	} else {
		n := strings.IndexFunc(p.in[p.at:], special)
		if n < 0 {
			n = len(p.in) - p.at
		}
		t.Value = p.in[p.at : p.at+n]
		p.at += n
		if n == 0 && (p.end() || p.in[p.at] != '*') {
			return &Error{p.at, "a value is missing here"}
		}
	}
	if !p.end() && p.in[p.at] == '*' {
		t.Prefix = true
		p.at++
	}
	if r, _ := utf8.DecodeRuneInString(p.in[p.at:]); !p.end() && !unicode.IsSpace(r) && r != ')' {
		if t.Prefix {
			return &Error{p.at, "* stands for the rest of a value: only at its end"}
		}
		return &Error{p.at, fmt.Sprintf("put the value in quotes: %q is not part of a bare one", string(r))}
	}
	p.blanks()
	return nil
}

func (p *parser) quoted(t *Term) error {
	start := p.at
	var b strings.Builder
	for p.at++; !p.end(); p.at++ {
		switch c := p.in[p.at]; c {
		case '"':
			t.Value = b.String()
			p.at++
			return nil
		case '\\':
			if p.at++; p.end() || p.in[p.at] != '"' && p.in[p.at] != '\\' {
				return &Error{p.at - 1, `a \ stands before " or \ only`}
			}
			b.WriteByte(p.in[p.at])
		default:
			b.WriteByte(c)
		}
	}
	return &Error{start, "this quote is not closed"}
}

// check holds the value, which begins at start, against the field.
func (t *Term) check(start int) error {
	f := t.field
	if t.Prefix && !f.prefixed() {
		return &Error{start, fmt.Sprintf("%s takes no *", f.Name)}
	}
	if t.Value == "" && !t.Prefix && f.Kind != Prefix && f.Kind != tagged {
		return &Error{start, "the value is empty"}
	}
	switch f.Kind {
	case Choice:
		if !slices.Contains(f.Values, t.Value) {
			return &Error{start, fmt.Sprintf("%q is no %s: they are %s", t.Value, f.Name, strings.Join(f.Values, ", "))}
		}
	case Number, ID:
		n, err := strconv.ParseInt(t.Value, 10, 64)
		if err != nil {
			return &Error{start, fmt.Sprintf("%q is no whole number", t.Value)}
		}
		t.Number = n
	case Moment, Never:
		return t.setTime(start)
	}
	return nil
}

var units = map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}

// setTime reads 2026-01-02, 2026-01-02T15:04:05Z, -7d or never.
func (t *Term) setTime(start int) error {
	bad := &Error{start, fmt.Sprintf("%q is no time: write 2026-01-02, 2026-01-02T15:04:05Z, or -7d for a week ago (s, m, h, d, w)", t.Value)}
	if t.Value == "never" && t.field.Kind == Never {
		if t.Op > NotEqual {
			return &Error{start, "never is compared by : or != only"}
		}
		t.Time.Never = true
		return nil
	}
	if t.Op <= NotEqual {
		return &Error{start, fmt.Sprintf("%s is compared by <, <=, > or >=", t.field.Name)}
	}
	if v, ok := strings.CutPrefix(t.Value, "-"); ok && v != "" {
		unit, known := units[v[len(v)-1]]
		n, err := strconv.ParseUint(v[:len(v)-1], 10, 31)
		if !known || err != nil || n > uint64(100*365*24*time.Hour/unit) {
			return bad
		}
		t.Time.Ago = time.Duration(n) * unit
		return nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if at, err := time.Parse(layout, t.Value); err == nil && at.Year() >= 1971 && at.Year() < 10_000 {
			t.Time.At = at.UTC()
			return nil
		}
	}
	return bad
}
