package sqlrow

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/hawser-iot/hawser/cloud/rules/template"
)

// Statement is a statement of the operator's own, with a placeholder for each ${field}.
type Statement struct {
	SQL  string
	args []*template.Template
}

// lexer walks over the text of a statement.
type lexer struct {
	text string
	at   int
	d    Dialect
	sql  []byte
	args []*template.Template
}

// parseStatement puts placeholders in the place of fields. Quotes and comments are known so far that none is put where the
// database would not see it: what is quoted may have no backslash, since databases do not agree on what one means.
func parseStatement(text string, d Dialect) (*Statement, error) {
	switch {
	case len(text) > maxStatement:
		return nil, fmt.Errorf("has more than %d bytes", maxStatement)
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return nil, errors.New("is not text")
	}
	l := &lexer{text: text, d: d}
	for l.at < len(text) {
		if err := l.step(); err != nil {
			return nil, err
		}
	}
	sql := strings.TrimSpace(string(l.sql))
	switch {
	case sql == "":
		return nil, errors.New("is empty")
	case len(l.args) == 0:
		return nil, errors.New("has no ${field}: it would do the same each time")
	}
	return &Statement{SQL: strings.TrimSuffix(sql, ";"), args: l.args}, nil
}

// step takes a quoted text, a comment, a field, or what is up to the next of these.
func (l *lexer) step() error {
	rest := l.text[l.at:]
	switch {
	case rest[0] == '\'' || rest[0] == '"' || rest[0] == '`':
		return l.quoted(rest)
	case l.comment(rest):
		return errors.New("a comment in it is refused: databases do not agree on where one ends")
	case strings.HasPrefix(rest, "${"):
		return l.field(rest)
	}
	end := len(rest)
	for i := 1; i < len(rest); i++ {
		if strings.IndexByte("'\"`", rest[i]) >= 0 || l.comment(rest[i:]) || strings.HasPrefix(rest[i:], "${") {
			end = i
			break
		}
	}
	plain := rest[:end]
	if bad := l.d.Foreign(plain); bad != "" {
		return fmt.Errorf("%s is a placeholder to the database: values are written ${field}", bad)
	}
	if i := strings.IndexByte(plain, ';'); i >= 0 && strings.TrimSpace(plain[i+1:]+rest[end:]) != "" {
		return errors.New("there may be only one statement")
	}
	l.sql = append(l.sql, plain...)
	l.at += end
	return nil
}

// comment tells whether a comment begins here.
func (l *lexer) comment(rest string) bool {
	return strings.HasPrefix(rest, "--") || strings.HasPrefix(rest, "/*") || l.d.Hash && rest[0] == '#'
}

func (l *lexer) quoted(rest string) error {
	end := strings.IndexByte(rest[1:], rest[0])
	if end < 0 {
		return fmt.Errorf("%c without its end", rest[0])
	}
	inside := rest[1 : end+1]
	switch {
	case strings.Contains(inside, "${"):
		return fmt.Errorf("%c%s%c: write ${field} without quotes, it is bound as a value", rest[0], inside, rest[0])
	case strings.ContainsRune(inside, '\\'):
		return errors.New("a backslash in quotes is refused: databases do not agree on what it means")
	}
	l.sql = append(l.sql, rest[:end+2]...)
	l.at += end + 2
	return nil
}

func (l *lexer) field(rest string) error {
	end := strings.IndexByte(rest, '}')
	if end < 0 {
		return errors.New("${ without a } behind it")
	}
	t, err := template.Parse(rest[:end+1])
	if err != nil {
		return err
	}
	l.args = append(l.args, t)
	l.sql = l.d.Placeholder(l.sql, len(l.args))
	l.at += end + 1
	return nil
}

// Field is the name of the i-th field.
func (s *Statement) Field(i int) string { return s.args[i].Fields()[0] }
