package store

import (
	"database/sql/driver"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// Stmt is one statement that units run. Make it once, as a package-level variable, with NewStmt: the engines keep what
// they prepared under its pointer.
//
// The SQL is what both engines take, with '?' for parameters. What the committer can do with it depends on its shape:
// an INSERT with one VALUES row of plain '?' and no parameter elsewhere (say "… ON CONFLICT (device) DO UPDATE SET
// doc = excluded.doc WHERE latest.revision = excluded.revision - 1") is merged with others of its kind into one
// multi-row statement on SQLite, at about half the cost of a statement for each row.
type Stmt struct {
	sql      string
	postgres string
	params   int
	session  bool   // writes the session table
	head     string // INSERT … VALUES, empty when the statement cannot be merged
	row      string // (?, ?)
	tail     string // ON CONFLICT …
}

var (
	insertShape  = regexp.MustCompile(`(?is)^(\s*INSERT\s+INTO\s+[^()?']+\([^()?']*\)\s*VALUES\s*)(\(\s*\?(?:\s*,\s*\?)*\s*\))([^?']*)$`)
	sessionWrite = regexp.MustCompile(`(?is)^\s*(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM)\s+session\b`)
)

// NewStmt returns the statement for sql.
func NewStmt(sql string) *Stmt {
	s := &Stmt{sql: sql, session: sessionWrite.MatchString(sql)}
	s.postgres, s.params = rebind(sql)
	if m := insertShape.FindStringSubmatch(sql); m != nil && !strings.Contains(strings.ToUpper(m[3]), "RETURNING") {
		s.head, s.row, s.tail = m[1], m[2], m[3]
	}
	return s
}

// String returns the SQL as it was given.
func (s *Stmt) String() string { return s.sql }

// Op returns the operation that runs s with args and accepts any number of affected rows.
func (s *Stmt) Op(args ...any) Op { return Op{Stmt: s, Args: args, Want: -1} }

// Guard returns the operation that runs s with args and must affect one row.
func (s *Stmt) Guard(args ...any) Op { return Op{Stmt: s, Args: args, Want: 1} }

// mergeable says that several rows may go into one statement.
func (s *Stmt) mergeable() bool { return s.head != "" }

// rows returns the SQL for n rows in one statement.
func (s *Stmt) rows(n int) string {
	return s.head + strings.Repeat(s.row+",", n-1) + s.row + s.tail
}

// rebind turns '?' outside of quotes and comments into $1, $2 … and counts them.
func rebind(sql string) (string, int) {
	var b strings.Builder
	n := 0
	for i := 0; i < len(sql); i++ {
		c := sql[i]
		switch {
		case c == '?':
			n++
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(n))
			continue
		case c == '\'' || c == '"':
			if end := strings.IndexByte(sql[i+1:], c); end >= 0 {
				b.WriteString(sql[i : i+end+1])
				i += end + 1
			}
		case c == '-' && strings.HasPrefix(sql[i:], "--"):
			if end := strings.IndexByte(sql[i:], '\n'); end >= 0 {
				b.WriteString(sql[i : i+end])
				i += end
			}
		}
		b.WriteByte(sql[i])
	}
	return b.String(), n
}

// binder remembers what rebind made of queries that are no Stmt. Queries whose text varies without bound fall through
// once it is full.
type binder struct {
	mu    sync.RWMutex
	texts map[string]string // guarded by mu
}

const binderMax = 1000

func (b *binder) postgres(q string) string {
	b.mu.RLock()
	text, ok := b.texts[q]
	b.mu.RUnlock()
	if ok {
		return text
	}
	text, _ = rebind(q)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.texts == nil {
		b.texts = make(map[string]string)
	}
	if len(b.texts) < binderMax {
		b.texts[q] = text
	}
	return text
}

// plain turns an argument into what both drivers take alike: nil, int64, float64, string or []byte. Booleans become 0
// and 1, because the schema has no boolean columns; named types become what they are made of, never what their String
// method prints (a secret prints as redacted).
func plain(arg any) (any, error) {
	switch v := arg.(type) {
	case nil, int64, float64, string, []byte:
		return arg, nil
	case int:
		return int64(v), nil
	case bool:
		return flag(v), nil
	}
	v, err := driver.DefaultParameterConverter.ConvertValue(arg)
	if err != nil {
		return nil, fmt.Errorf("store: argument of type %T: %w", arg, err)
	}
	switch v := v.(type) {
	case bool:
		return flag(v), nil
	case nil, int64, float64, string, []byte:
		return v, nil
	}
	return nil, fmt.Errorf("store: argument of type %T: pass times as unix milliseconds", arg)
}

func flag(v bool) int64 {
	if v {
		return 1
	}
	return 0
}

// plainAll is plain for each of args, in place of the slice only where something had to change.
func plainAll(args []any) ([]any, error) {
	out := args
	for i, a := range args {
		switch a.(type) {
		case nil, int64, float64, string, []byte:
			continue
		}
		v, err := plain(a)
		if err != nil {
			return nil, fmt.Errorf("parameter %d: %w", i+1, err)
		}
		if &out[0] == &args[0] {
			out = append([]any(nil), args...)
		}
		out[i] = v
	}
	return out, nil
}
