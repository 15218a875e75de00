package rulesql

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// scanner cuts a query into tokens.
type scanner struct {
	src     string
	pos     int
	dialect Dialect
}

// onlyFull is the error for what the stock dialect has not got.
func (s *scanner) onlyFull(pos int, what string) *Error {
	return errorAt(s.src, pos, "set the rule's dialect to 2 for it", "the stock dialect (1) has no %s", what)
}

// blank skips white space and comments (-- to the end of the line, /* to */).
func (s *scanner) blank() *Error {
	for s.pos < len(s.src) {
		rest := s.src[s.pos:]
		switch {
		case rest[0] == ' ' || rest[0] == '\t' || rest[0] == '\n' || rest[0] == '\r':
			s.pos++
		case s.dialect == Stock && (strings.HasPrefix(rest, "--") || strings.HasPrefix(rest, "/*")):
			return s.onlyFull(s.pos, "comments")
		case strings.HasPrefix(rest, "--"):
			n := strings.IndexByte(rest, '\n')
			if n < 0 {
				n = len(rest)
			}
			s.pos += n
		case strings.HasPrefix(rest, "/*"):
			n := strings.Index(rest[2:], "*/")
			if n < 0 {
				return errorAt(s.src, s.pos, "close it with */", "a comment does not end")
			}
			s.pos += n + 4
		default:
			return nil
		}
	}
	return nil
}

func (s *scanner) next() (token, *Error) {
	if err := s.blank(); err != nil {
		return token{}, err
	}
	start := s.pos
	if start == len(s.src) {
		return token{kind: tokEOF, pos: start, end: start}, nil
	}
	switch c := s.src[start]; {
	case c == '\'' || c == '"':
		return s.quoted(tokString, c)
	case c == '`' && s.dialect == Stock:
		return token{}, s.onlyFull(start, "names in back-quotes")
	case c == '`':
		return s.quoted(tokQuoted, c)
	case c >= '0' && c <= '9' || c == '.' && start+1 < len(s.src) && digit(s.src[start+1]):
		return s.number(), nil
	}
	for _, op := range operators {
		if strings.HasPrefix(s.src[start:], op) {
			s.pos += len(op)
			return token{kind: kind(op), text: op, pos: start, end: s.pos}, nil
		}
	}
	return s.word()
}

// quoted reads a string or a back-quoted name; the quote inside is written twice.
func (s *scanner) quoted(k kind, quote byte) (token, *Error) {
	start := s.pos
	var text strings.Builder
	for i := start + 1; i < len(s.src); i++ {
		if s.src[i] != quote {
			text.WriteByte(s.src[i])
			continue
		}
		if i+1 < len(s.src) && s.src[i+1] == quote {
			text.WriteByte(quote)
			i++
			continue
		}
		s.pos = i + 1
		if k == tokQuoted && text.Len() == 0 {
			return token{}, errorAt(s.src, start, "", "a back-quoted name is empty")
		}
		if !utf8.ValidString(text.String()) {
			return token{}, errorAt(s.src, start, "", "a %s is not valid UTF-8", k)
		}
		return token{kind: k, text: text.String(), pos: start, end: s.pos}, nil
	}
	return token{}, errorAt(s.src, start, "close it with "+string(quote)+"; inside, write it twice", "a %s does not end", k)
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func (s *scanner) number() token {
	start, k := s.pos, tokInt
	digits := func() {
		for s.pos < len(s.src) && digit(s.src[s.pos]) {
			s.pos++
		}
	}
	digits()
	if s.pos < len(s.src) && s.src[s.pos] == '.' {
		k = tokFloat
		s.pos++
		digits()
	}
	if s.pos < len(s.src) && (s.src[s.pos] == 'e' || s.src[s.pos] == 'E') {
		mark := s.pos
		s.pos++
		if s.pos < len(s.src) && (s.src[s.pos] == '+' || s.src[s.pos] == '-') {
			s.pos++
		}
		if s.pos < len(s.src) && digit(s.src[s.pos]) {
			k = tokFloat
			digits()
		} else {
			s.pos = mark
		}
	}
	return token{kind: k, text: s.src[start:s.pos], pos: start, end: s.pos}
}

// word reads a name or a keyword: a letter or _ or $, then these or digits.
func (s *scanner) word() (token, *Error) {
	start := s.pos
	for s.pos < len(s.src) {
		r, n := utf8.DecodeRuneInString(s.src[s.pos:])
		if r == utf8.RuneError || !nameRune(r, s.pos > start) {
			break
		}
		s.pos += n
	}
	text := s.src[start:s.pos]
	if text == "" {
		r, _ := utf8.DecodeRuneInString(s.src[start:])
		return token{}, errorAt(s.src, start, "put a name with other characters in back-quotes, a text in quotes", "%q is not expected", r)
	}
	if up := strings.ToUpper(text); keywords[up] {
		return token{kind: kind(up), text: text, pos: start, end: s.pos}, nil
	}
	return token{kind: tokName, text: text, pos: start, end: s.pos}, nil
}

func nameRune(r rune, inside bool) bool {
	return r == '_' || r == '$' || unicode.IsLetter(r) || inside && unicode.IsDigit(r)
}

// filter reads a topic filter, which follows FROM or a comma: quoted, or up to white space, a comma or a semicolon.
func (s *scanner) filter() (token, *Error) {
	if err := s.blank(); err != nil {
		return token{}, err
	}
	if s.pos < len(s.src) && (s.src[s.pos] == '\'' || s.src[s.pos] == '"') {
		if s.dialect == Stock {
			return token{}, s.onlyFull(s.pos, "quotes around topics")
		}
		return s.quoted(tokString, s.src[s.pos])
	}
	start := s.pos
	n := strings.IndexAny(s.src[start:], " \t\r\n,;")
	if n < 0 {
		n = len(s.src) - start
	}
	s.pos += n
	return token{kind: tokString, text: s.src[start:s.pos], pos: start, end: s.pos}, nil
}
