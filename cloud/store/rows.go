package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
)

// Rows is the result of a query; Close must be called, and Err says how it ended.
type Rows struct{ src rowSource }

// rowSource is what *sql.Rows and the wrapped pgx.Rows have in common.
type rowSource interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close() error
}

// Next steps to the next row; false at the end or on an error.
func (r *Rows) Next() bool { return r.src.Next() }

// Scan reads the columns of the row. Integers scan into integers and bool (0 is false), text into string, bytes into
// []byte (a copy; NULL and empty bytes are not told apart); another column that may be NULL into a pointer to a pointer or a
// sql.Null type.
func (r *Rows) Scan(dest ...any) error { return r.src.Scan(dest...) }

// Err is the error that ended Next, if any.
func (r *Rows) Err() error { return r.src.Err() }

// Close frees the connection; it may be called twice.
func (r *Rows) Close() error { return r.src.Close() }

// Row is the first row of a query, or the error that the query met.
type Row struct {
	rows *Rows
	err  error
}

// Scan reads the row; ErrNoRows when there is none.
func (r *Row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer func() { _ = r.rows.Close() }() // Err tells what went wrong
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return ErrNoRows
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	return r.rows.Close()
}

// querier runs plain arguments on an engine: a pool of readers or the connection of a transaction.
type querier interface {
	query(ctx context.Context, q string, args []any) (rowSource, error)
	exec(ctx context.Context, q string, args []any) (int64, error)
}

func query(ctx context.Context, on querier, q string, args []any) (*Rows, error) {
	args, err := plainAll(args)
	if err != nil {
		return nil, err
	}
	src, err := on.query(ctx, q, args)
	if err != nil {
		return nil, err
	}
	return &Rows{src}, nil
}

func queryRow(ctx context.Context, on querier, q string, args []any) *Row {
	rows, err := query(ctx, on, q, args)
	return &Row{rows: rows, err: err}
}

// Query runs q, with '?' for parameters, on a pooled reader. It sees everything that was committed before the call.
func (db *DB) Query(ctx context.Context, q string, args ...any) (*Rows, error) {
	return query(ctx, db.engine, q, args)
}

// QueryRow is Query for at most one row.
func (db *DB) QueryRow(ctx context.Context, q string, args ...any) *Row {
	return queryRow(ctx, db.engine, q, args)
}

// Tx is an administrative transaction, see DB.Update. It is not safe for concurrent use, and its Rows must be closed
// before its next statement.
type Tx struct {
	on      querier
	session bool           // a statement wrote the session table
	out     [Shards][]byte // framed records for the outbox
}

// Out adds records for the outbox, in the shard of device: they are there if and only if what the transaction writes is.
func (tx *Tx) Out(device int64, records ...[]byte) {
	blob := &tx.out[shardOf(device)]
	for _, rec := range records {
		*blob = appendRecord(*blob, rec)
	}
}

// Exec runs a statement with '?' for parameters.
func (tx *Tx) Exec(ctx context.Context, q string, args ...any) (sql.Result, error) {
	args, err := plainAll(args)
	if err != nil {
		return nil, err
	}
	tx.session = tx.session || sessionWrite.MatchString(q)
	n, err := tx.on.exec(ctx, q, args)
	if err != nil {
		return nil, err
	}
	return driver.RowsAffected(n), nil
}

// Query runs q inside the transaction.
func (tx *Tx) Query(ctx context.Context, q string, args ...any) (*Rows, error) {
	return query(ctx, tx.on, q, args)
}

// QueryRow is Query for at most one row.
func (tx *Tx) QueryRow(ctx context.Context, q string, args ...any) *Row {
	return queryRow(ctx, tx.on, q, args)
}

// Update runs fn in one transaction and commits it when fn returns nil. On SQLite these transactions and the group commits
// take turns, so fn must be short and must not submit units or call Update; on PostgreSQL they run beside each other and fn
// may be run again when the server reports a serialization failure or deadlock. Errors that are the store's fault are
// ErrUnavailable; the others are fn's or the driver's own (see IsUnique). What goes along with ctx is a part of it: see Along, and so is
// what fn hands to the sinks: see Tx.Out.
func (db *DB) Update(ctx context.Context, fn func(tx *Tx) error) error {
	err := riderOf(ctx).update(ctx, db.engine, fn)
	if err != nil && classify(err).transient() {
		return unavailable(err)
	}
	return err
}
