// Package pgsink writes rule outputs into tables of PostgreSQL.
//
// An action names a table and what goes into which column, or has a statement of its own. Without a key a batch goes by COPY; with one,
// or where there is no COPY (a view, a table with policies for its rows), as an INSERT that takes an array for each column and leaves out, or updates, what is there. Both are one statement for any number of
// rows, both were measured against INSERTs of many rows and were the cheapest. No value ever is part of a statement's
// text. A number becomes a time where the column is one, an object or list JSON; a fraction is not rounded to fit an integer.
//
// It promises that a delivery is whole or not there; that with a key, which must be a unique index of the table, a repeat changes
// nothing; and that one bad record of a batch does not keep the others out. What a failure means was tried out against a real server: a
// server that is away, full, read-only or too busy, a table that is not there, and rights that the hub's user lacks are waited for; a
// value that does not fit its column, an unknown column and a violated constraint are the record's.
package pgsink

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/sqlrow"
)

// Kind is the kind of action, and of its connectors.
const Kind = "postgres"

var dialect = sqlrow.Dialect{Quote: '"', MaxName: 63,
	// With blanks around: "x${a}1" must not become $11.
	Placeholder: func(dst []byte, n int) []byte {
		return append(strconv.AppendInt(append(dst, " $"...), int64(n), 10), ' ')
	},
	Foreign: func(text string) string {
		if strings.Contains(text, "$") { // $1, and texts in dollars, within which nothing is quoted as it is elsewhere
			return "$"
		}
		return ""
	}}

const (
	freshTable = time.Minute
	tries      = 5 // of a transaction that met another
)

// New is the factory of the kind.
func New(config json.RawMessage, env rules.Env) (rules.Sink, error) {
	if env.Binary {
		return nil, sqlrow.ErrBinary
	}
	p, err := sqlrow.Parse(config, dialect)
	if err != nil {
		return nil, err
	}
	s := &Sink{plan: p}
	s.connector, err = env.Connector(Kind, p.Connector)
	return s, err
}

// Sink is the sink of one action.
type Sink struct {
	plan      *sqlrow.Plan
	connector rules.Handle

	mu    sync.Mutex // guards the fields below
	on    *Conn      // that was last used
	table *table     // as it is there; nil when it must be asked for
}

var (
	_ rules.Sink      = (*Sink)(nil)
	_ rules.Previewer = (*Sink)(nil)
)

// MaxBatch implements rules.Sink.
func (s *Sink) MaxBatch() int { return s.plan.Batch }

// Linger implements rules.Sink.
func (s *Sink) Linger() time.Duration { return s.plan.Linger }

// Close implements rules.Sink.
func (s *Sink) Close() error { return nil }

// Send implements rules.Sink.
func (s *Sink) Send(ctx context.Context, records []rules.Record) error {
	values := make([]any, 0, len(records)*s.plan.Width())
	for i := range records {
		var err error
		if values, err = s.plan.Append(values, &records[i]); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, s.plan.Timeout)
	defer cancel()
	return s.connector.Use(func(conn rules.Connection) error {
		c := conn.(*Conn)
		for try := 1; ; try++ {
			err := s.run(ctx, c, len(records), values)
			if err == nil || !again(err) || try == tries {
				if err != nil {
					s.keep(c, nil) // the table may have been changed
				}
				return classify(err)
			}
			select { // somebody else's transaction was in the way: both try at other times
			case <-ctx.Done():
				return classify(err)
			case <-time.After(time.Duration(1+rand.IntN(20*try)) * time.Millisecond):
			}
		}
	})
}

// run puts n rows, whose values are given, into the table.
func (s *Sink) run(ctx context.Context, c *Conn, n int, values []any) error {
	if s.plan.Statement != nil {
		return s.runStatement(ctx, c, n, values)
	}
	t, err := s.described(ctx, c)
	if err != nil {
		return err
	}
	if len(s.plan.Key) == 0 && !t.noCopy.Load() {
		err := s.copyRows(ctx, c, t, values)
		if !takesNoCopy(err) {
			return err
		}
		t.noCopy.Store(true)
	}
	return s.insert(ctx, c, t, n, values)
}

// described is what is known of the table, asked for again from time to time.
func (s *Sink) described(ctx context.Context, c *Conn) (*table, error) {
	s.mu.Lock()
	t := s.table
	if s.on != c || t != nil && time.Since(t.askedAt) > freshTable {
		t = nil
	}
	s.mu.Unlock()
	if t != nil {
		return t, nil
	}
	t, err := c.describe(ctx, s.plan)
	if err == nil {
		s.keep(c, t)
	}
	return t, err
}

func (s *Sink) keep(c *Conn, t *table) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on, s.table = c, t
}

// copyRows sends rows by COPY, in its text format.
func (s *Sink) copyRows(ctx context.Context, c *Conn, t *table, values []any) error {
	b := make([]byte, 0, 16*len(values))
	for i, v := range values {
		column := i % len(t.classes)
		var err error
		if b, err = appendCopy(b, t.classes[column], v); err != nil {
			return fmt.Errorf("column %s: %w", s.plan.Columns[column].Name, err)
		}
		if column == len(t.classes)-1 {
			b = append(b, '\n')
		} else {
			b = append(b, '\t')
		}
	}
	return c.on(ctx, func(conn *pgx.Conn) error {
		_, err := conn.PgConn().CopyFrom(ctx, bytes.NewReader(b), t.copy)
		return err
	})
}

// appendCopy appends one value, escaped as COPY wants it.
func appendCopy(b []byte, k class, v any) ([]byte, error) {
	if v == nil {
		return append(b, `\N`...), nil
	}
	from := len(b)
	b, err := k.appendText(b, v)
	if err != nil || !bytes.ContainsAny(b[from:], "\\\t\n\r") {
		return b, err
	}
	plain := bytes.Clone(b[from:])
	b = b[:from]
	for _, c := range plain {
		switch c {
		case '\\':
			b = append(b, `\\`...)
		case '\t':
			b = append(b, `\t`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		default:
			b = append(b, c)
		}
	}
	return b, nil
}

// insert sends rows as arrays.
func (s *Sink) insert(ctx context.Context, c *Conn, t *table, n int, values []any) error {
	width := len(t.classes)
	carriers := make([]carrier, width)
	for i := range carriers {
		carriers[i].class = t.classes[i]
	}
	var skip map[int]bool
	if s.plan.OnConflict == sqlrow.Update {
		skip = outdated(t.key, n, width, values)
	}
	for i, v := range values {
		if skip[i/width] {
			continue
		}
		if err := carriers[i%width].add(v); err != nil {
			return fmt.Errorf("column %s: %w", s.plan.Columns[i%width].Name, err)
		}
	}
	args := make([]any, width)
	for i := range carriers {
		args[i] = carriers[i].array()
	}
	return c.on(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, t.insert, args...)
		return err
	})
}

// outdated are the rows of which a later one has the same key: a statement updates a row only once. NULL is the same as nothing, not even as NULL.
func outdated(key []int, n, width int, values []any) map[int]bool {
	skip, seen := make(map[int]bool), make(map[string]bool, n)
	for row := n - 1; row >= 0; row-- {
		name, null := "", false
		for _, k := range key {
			v := values[row*width+k]
			name += fmt.Sprintf("%T\x00%v\x00", v, v)
			null = null || v == nil
		}
		skip[row] = seen[name] && !null
		seen[name] = true
	}
	return skip
}

// runStatement sends a statement of the operator's own, once for each row, in one transaction and without waiting in between.
func (s *Sink) runStatement(ctx context.Context, c *Conn, n int, values []any) error {
	return c.on(ctx, func(conn *pgx.Conn) error { return s.executeAll(ctx, conn, n, values) })
}

func (s *Sink) executeAll(ctx context.Context, conn *pgx.Conn, n int, values []any) error {
	sql := s.plan.Statement.SQL
	described, err := conn.Prepare(ctx, sql, sql)
	if err != nil {
		return err
	}
	width := s.plan.Width()
	batch := &pgconn.Batch{}
	for row := range n {
		params := make([][]byte, width)
		for i, v := range values[row*width : (row+1)*width] {
			if v == nil {
				continue
			}
			if params[i], err = classOf(described.ParamOIDs[i]).appendText([]byte{}, v); err != nil {
				return fmt.Errorf("${%s}: %w", s.plan.Statement.Field(i), err)
			}
		}
		batch.ExecPrepared(described.Name, params, nil, nil)
	}
	return conn.PgConn().ExecBatch(ctx, batch).Close()
}

// Preview implements rules.Previewer. It asks nobody, so that values are as the rule has them, and the statement is the plainest that
// does the same.
func (s *Sink) Preview(r *rules.Record) (rules.Preview, error) {
	args, err := s.plan.Append(nil, r)
	if err != nil {
		return rules.Preview{}, err
	}
	name, _ := s.connector.Info()
	if s.plan.Statement != nil {
		return rules.Preview{Target: name, Statement: s.plan.Statement.SQL, Args: args}, nil
	}
	b := append(s.plan.AppendTable([]byte("INSERT INTO ")), " ("...)
	b = append(s.plan.AppendColumns(b), ") VALUES ("...)
	for i := range args {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = strconv.AppendInt(append(b, '$'), int64(i+1), 10)
	}
	b = appendConflict(append(b, ')'), s.plan)
	return rules.Preview{Target: name + ": " + s.plan.Table, Statement: string(b), Args: args}, nil
}
