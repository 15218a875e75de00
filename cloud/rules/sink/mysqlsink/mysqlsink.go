// Package mysqlsink writes rule outputs into tables of MySQL and MariaDB.
//
// An action names a table and what goes into which column, or has a statement of its own. Records go as prepared statements of many rows,
// so that no value ever is part of a statement's text; a number becomes a time where the column is one, an object or list JSON text.
// The connection is in strict mode and in UTC: what does not fit is refused, not cut.
//
// It promises that a delivery is whole or not there (on a transactional engine); that with a key, which must be a unique index of the
// table, a repeat changes nothing; and that one bad record of a batch does not keep the others out. What a failure means was tried out
// against a real server: a server that is away, full, read-only or too busy, a table that is not there, and rights that the hub's
// user lacks are waited for; a value that does not fit its column, an unknown column and a violated constraint are the record's.
package mysqlsink

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/sqlrow"
)

// Kind is the kind of action, and of its connectors.
const Kind = "mysql"

var dialect = sqlrow.Dialect{Quote: '`', MaxName: 64, Hash: true,
	Placeholder: func(dst []byte, _ int) []byte { return append(dst, '?') },
	Foreign: func(text string) string {
		if strings.Contains(text, "?") {
			return "?"
		}
		return ""
	}}

const (
	maxPlaceholders = 65535 // of one statement
	freshTable      = time.Minute
	tries           = 5 // of a transaction that met another
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
	if p.Width() > 0 {
		p.Batch = min(p.Batch, maxPlaceholders/p.Width())
	}
	s.connector, err = env.Connector(Kind, p.Connector)
	return s, err
}

// Sink is the sink of one action.
type Sink struct {
	plan      *sqlrow.Plan
	connector rules.Handle

	mu sync.Mutex // guards the fields below
	on *prepared  // for the connection that was last used
}

var (
	_ rules.Sink      = (*Sink)(nil)
	_ rules.Previewer = (*Sink)(nil)
)

// MaxBatch implements rules.Sink.
func (s *Sink) MaxBatch() int { return s.plan.Batch }

// Linger implements rules.Sink.
func (s *Sink) Linger() time.Duration { return s.plan.Linger }

// Close implements rules.Sink: the statements would be kept as long as the connector lives, by the driver and by the server.
func (s *Sink) Close() error {
	s.mu.Lock()
	on := s.on
	s.on = nil
	s.mu.Unlock()
	if on == nil {
		return nil
	}
	return on.close()
}

// Send implements rules.Sink.
func (s *Sink) Send(ctx context.Context, records []rules.Record) error {
	args := make([]any, 0, len(records)*s.plan.Width())
	for i := range records {
		var err error
		if args, err = s.plan.Append(args, &records[i]); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, s.plan.Timeout)
	defer cancel()
	return s.connector.Use(func(c rules.Connection) error {
		on := s.preparedOn(c.(*Conn))
		err := on.send(ctx, len(records), args)
		if err != nil {
			on.forgetTable() // it may have been changed
		}
		return err
	})
}

func (s *Sink) preparedOn(c *Conn) *prepared {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.on == nil || s.on.conn != c {
		s.on = &prepared{conn: c, plan: s.plan, stmts: make(map[int]*sql.Stmt)}
	}
	return s.on
}

// prepared is an action's statements on one connection. It is safe for concurrent use.
type prepared struct {
	conn *Conn
	plan *sqlrow.Plan

	mu      sync.Mutex // guards the fields below
	stmts   map[int]*sql.Stmt
	closed  bool
	table   *table // nil when it must be asked for
	askedAt time.Time
}

// close lets go of the statements; there will be no others.
func (p *prepared) close() (err error) {
	p.mu.Lock()
	stmts := p.stmts
	p.stmts, p.closed = nil, true
	p.mu.Unlock()
	for _, s := range stmts {
		err = errors.Join(err, s.Close())
	}
	return err
}

func (p *prepared) forgetTable() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.table = nil
}

// described is what is known of the table, asked for again from time to time.
func (p *prepared) described(ctx context.Context) (*table, error) {
	p.mu.Lock()
	t := p.table
	if t != nil && time.Since(p.askedAt) > freshTable {
		t = nil
	}
	p.mu.Unlock()
	if t != nil {
		return t, nil
	}
	t, err := p.conn.describe(ctx, p.plan)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.table, p.askedAt = t, time.Now()
	return t, nil
}

// stmt is the prepared statement for so many rows.
func (p *prepared) stmt(ctx context.Context, rows int) (*sql.Stmt, error) {
	p.mu.Lock()
	have := p.stmts[rows]
	p.mu.Unlock()
	if have != nil {
		return have, nil
	}
	made, err := p.conn.db.PrepareContext(ctx, text(p.plan, rows))
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	have = p.stmts[rows]
	switch {
	case p.closed:
		_ = made.Close() // what is wrong is known
		return nil, errors.New("the action has been changed")
	case have != nil:
		_ = made.Close() // somebody else was faster
		return have, nil
	}
	p.stmts[rows] = made
	return made, nil
}

// send puts n rows, whose values are args, into the table.
func (p *prepared) send(ctx context.Context, n int, args []any) error {
	width := p.plan.Width()
	if p.plan.Statement == nil {
		t, err := p.described(ctx)
		if err != nil {
			return err
		}
		for i := range n {
			t.fit(args[i*width : (i+1)*width])
		}
	} else {
		for i := range args {
			args[i] = other.fit(args[i])
		}
	}
	for try := 1; ; try++ {
		err := p.run(ctx, n, args)
		if err == nil || !again(err) || try == tries {
			return classify(err)
		}
		select { // somebody else's transaction was in the way: both try at other times
		case <-ctx.Done():
			return classify(err)
		case <-time.After(time.Duration(1+rand.IntN(20*try)) * time.Millisecond):
		}
	}
}

// run executes the statements for n rows, several in one transaction.
func (p *prepared) run(ctx context.Context, n int, args []any) error {
	sizes := chunks(n, p.plan.Statement != nil)
	// Before the transaction: preparing takes a connection of its own, and all might be taken by transactions that wait for one.
	stmts := make([]*sql.Stmt, len(sizes))
	for i, rows := range sizes {
		var err error
		if stmts[i], err = p.stmt(ctx, rows); err != nil {
			return err
		}
	}
	if len(sizes) == 1 {
		_, err := stmts[0].ExecContext(ctx, args...)
		return err
	}
	tx, err := p.conn.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	for i, rows := range sizes {
		size := rows * p.plan.Width()
		if _, err := tx.StmtContext(ctx, stmts[i]).ExecContext(ctx, args[:size]...); err != nil {
			_ = tx.Rollback() // err says it; without its connection it is rolled back anyway
			return err
		}
		args = args[size:]
	}
	return tx.Commit()
}

// chunks splits n rows into statements of powers of two, so that a few prepared statements do for every number. A statement of the
// operator's own takes one row.
func chunks(n int, single bool) []int {
	if single {
		list := make([]int, n)
		for i := range list {
			list[i] = 1
		}
		return list
	}
	list := make([]int, 0, bits.OnesCount(uint(n)))
	for n > 0 {
		size := 1 << (bits.Len(uint(n)) - 1)
		list = append(list, size)
		n -= size
	}
	return list
}

// text is the statement for so many rows.
func text(p *sqlrow.Plan, rows int) string {
	if p.Statement != nil {
		return p.Statement.SQL
	}
	b := append(p.AppendTable([]byte("INSERT INTO ")), " ("...)
	b = append(p.AppendColumns(b), ") VALUES "...)
	tuple := "(" + strings.Repeat("?,", len(p.Columns)-1) + "?)"
	for i := range rows {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, tuple...)
	}
	if len(p.Key) == 0 {
		return string(b)
	}
	b = append(b, " ON DUPLICATE KEY UPDATE "...)
	if p.OnConflict != sqlrow.Update {
		k := string(dialect.AppendName(nil, p.Key[0]))
		return string(b) + k + " = " + k // the row stays as it is
	}
	for i := range p.Columns {
		if i > 0 {
			b = append(b, ", "...)
		}
		name := string(dialect.AppendName(nil, p.Columns[i].Name))
		b = append(b, name+" = VALUES("+name+")"...)
	}
	return string(b)
}

// Preview implements rules.Previewer. It asks nobody, so that values are as the rule has them.
func (s *Sink) Preview(r *rules.Record) (rules.Preview, error) {
	args, err := s.plan.Append(nil, r)
	if err != nil {
		return rules.Preview{}, err
	}
	name, _ := s.connector.Info()
	target := name
	if s.plan.Table != "" {
		target = fmt.Sprintf("%s: %s", name, s.plan.Table)
	}
	return rules.Preview{Target: target, Statement: text(s.plan, 1), Args: args}, nil
}
