package rulesql

import (
	"fmt"
	"strings"
)

// Error is a fault of a query's text.
type Error struct {
	Line, Column int    // from 1; the column counts bytes
	Reason       string // what is wrong
	Hint         string // what to write instead; may be empty
}

func (e *Error) Error() string {
	s := fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Reason)
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

func errorAt(src string, pos int, hint, format string, args ...any) *Error {
	before := src[:min(pos, len(src))]
	line := strings.Count(before, "\n") + 1
	column := len(before) - strings.LastIndexByte(before, '\n')
	return &Error{Line: line, Column: column, Reason: fmt.Sprintf(format, args...), Hint: hint}
}

// kind is the kind of a token. Keywords and operators have their own, named by their text in upper case.
type kind string

const (
	tokEOF    kind = "end of the query"
	tokName   kind = "name"
	tokQuoted kind = "back-quoted name"
	tokString kind = "string"
	tokInt    kind = "integer"
	tokFloat  kind = "number"
)

// token is a word of the query: text is its value (quotes undone), src[pos:end] how it is written.
type token struct {
	kind     kind
	text     string
	pos, end int
}

func (t token) String() string {
	switch t.kind {
	case tokEOF:
		return string(tokEOF)
	case tokName, tokQuoted, tokString, tokInt, tokFloat:
		return fmt.Sprintf("%s %q", t.kind, t.text)
	}
	return string(t.kind)
}

// is tells whether the token is a word that means something in one place only, and may name fields everywhere else.
func (t token) is(word string) bool { return t.kind == tokName && strings.EqualFold(t.text, word) }

// keywords cannot name a field without back-quotes, except after a dot.
var keywords = map[string]bool{
	"SELECT": true, "FROM": true, "WHERE": true, "AS": true, "AND": true, "OR": true, "NOT": true, "IN": true, "LIKE": true,
	"IS": true, "NULL": true, "TRUE": true, "FALSE": true, "BETWEEN": true,
	"CASE": true, "WHEN": true, "THEN": true, "ELSE": true, "END": true,
}

// contextual words mean something in some places. There a field of that name needs back-quotes, and prints with them.
var contextual = map[string]bool{"FOREACH": true, "DO": true, "INCASE": true, "VALUE": true, "AT": true, "REGEXP": true, "MISSING": true}

// operators, longest first.
var operators = []string{"<=", ">=", "<>", "!=", "==", "=~", "||", "=", "<", ">", "+", "-", "*", "/", "%", "(", ")", "[", "]", "{", "}", ",", ".", ":", ";"}
