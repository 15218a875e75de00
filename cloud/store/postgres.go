package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

// postgresEngine is a PostgreSQL server, or one that speaks its protocol, behind two pools of pgx connections: one for
// everybody, and one of a single connection for the committer, which must not wait for slow readers.
type postgresEngine struct {
	pool  *pgxpool.Pool
	own   *pgxpool.Pool
	async bool // synchronous_commit off for the committer
	binds binder
	// publish takes rows in any order: each tells by its seq where it belongs.
	publish func([Shards]int64, [Shards][]byte)
}

const (
	// commitTimeout bounds a batch on the server: a lock or a dead network must not hold the committer for ever.
	commitTimeout = 30 * time.Second
	// retriesMax is how often an administrative transaction is run again after a deadlock or serialization failure.
	retriesMax = 5
)

func openPostgres(ctx context.Context, cfg Config) (*postgresEngine, error) {
	pc, err := pgxpool.ParseConfig(cfg.DSN)
	if err != nil {
		return nil, fmt.Errorf("%w: PostgreSQL DSN: %w", ErrConfig, err) // pgx leaves the password out of its errors
	}
	if pc.ConnConfig.RuntimeParams["application_name"] == "" {
		pc.ConnConfig.RuntimeParams["application_name"] = "hawser"
	}
	pc.AfterConnect = withoutJIT
	e := &postgresEngine{async: cfg.Durability == DurabilityProcess}
	if e.pool, err = pgxpool.NewWithConfig(ctx, pc); err != nil {
		return nil, fmt.Errorf("open PostgreSQL: %w", err)
	}
	single := pc.Copy()
	single.MaxConns, single.MinConns, single.MinIdleConns = 1, 0, 0
	if e.own, err = pgxpool.NewWithConfig(ctx, single); err != nil {
		e.pool.Close()
		return nil, fmt.Errorf("open PostgreSQL: %w", err)
	}
	if err := e.prepare(ctx); err != nil {
		_ = e.close() // never fails
		return nil, fmt.Errorf("open PostgreSQL at %s: %w", pc.ConnConfig.Host, e.openError(err))
	}
	return e, nil
}

// withoutJIT has the server not compile expressions, unless the DSN says otherwise: for queries of a few milliseconds that it takes for dear
// ones, that took 250 ms. Servers that do not know the setting are left alone.
func withoutJIT(ctx context.Context, c *pgx.Conn) error {
	if _, said := c.Config().RuntimeParams["jit"]; said {
		return nil
	}
	_, err := c.Exec(ctx, "SET jit = off")
	if _, unknown := errors.AsType[*pgconn.PgError](err); unknown {
		return nil
	}
	return err
}

func (e *postgresEngine) prepare(ctx context.Context) error {
	if err := e.pool.Ping(ctx); err != nil {
		return err
	}
	db := stdlib.OpenDBFromPool(e.pool)
	err := migrate(ctx, db, Postgres)
	return errors.Join(err, db.Close())
}

func (e *postgresEngine) openError(err error) error {
	switch k := classify(err); {
	case errors.Is(err, ErrNewerSchema):
		return err
	case k == kindUnavailable:
		return fmt.Errorf("%w: check that the server runs and that the DSN's host, port, user and database are right: %w", ErrUnavailable, err)
	case k.sentinel() != nil:
		return fmt.Errorf("%w: %w", k.sentinel(), advise(err))
	default:
		return err
	}
}

func (e *postgresEngine) dialect() Dialect { return Postgres }

func (e *postgresEngine) close() error {
	e.own.Close()
	e.pool.Close()
	return nil
}

// pgQuerier is what a pool and a transaction have in common.
type pgQuerier interface {
	Query(ctx context.Context, q string, args ...any) (pgx.Rows, error)
	Exec(ctx context.Context, q string, args ...any) (pgconn.CommandTag, error)
}

func (e *postgresEngine) query(ctx context.Context, q string, args []any) (rowSource, error) {
	return pgQuery(ctx, e.pool, e.binds.postgres(q), args)
}

func (e *postgresEngine) exec(ctx context.Context, q string, args []any) (int64, error) {
	tag, err := e.pool.Exec(ctx, e.binds.postgres(q), args...)
	return tag.RowsAffected(), err
}

func pgQuery(ctx context.Context, on pgQuerier, q string, args []any) (rowSource, error) {
	rows, err := on.Query(ctx, q, args...)
	if err != nil {
		return nil, err
	}
	return &pgRows{rows}, nil
}

// pgRows makes pgx's rows a rowSource: Close returns the error, and a bool takes an integer.
type pgRows struct{ pgx.Rows }

func (r *pgRows) Close() error {
	r.Rows.Close()
	return r.Err()
}

func (r *pgRows) Scan(dest ...any) error {
	var wrapped []any
	for i, d := range dest {
		if b, ok := d.(*bool); ok {
			if wrapped == nil {
				wrapped = append(wrapped, dest...)
			}
			wrapped[i] = (*intBool)(b)
		}
	}
	if wrapped == nil {
		wrapped = dest
	}
	return r.Rows.Scan(wrapped...)
}

// intBool scans the integer of a flag column into a bool.
type intBool bool

// Scan implements sql.Scanner.
func (b *intBool) Scan(src any) error {
	switch v := src.(type) {
	case int64:
		*b = v != 0
	case bool:
		*b = intBool(v)
	default:
		return fmt.Errorf("scan %T into a bool", src)
	}
	return nil
}

// scrub is left to the server's own vacuum.
func (e *postgresEngine) scrub(context.Context) error { return nil }

func (e *postgresEngine) update(ctx context.Context, fn func(tx *Tx) error) error {
	for try := 0; ; try++ {
		err := e.updateOnce(ctx, fn)
		if err == nil || classify(err) != kindRetry || try == retriesMax {
			return err
		}
	}
}

func (e *postgresEngine) updateOnce(ctx context.Context, fn func(tx *Tx) error) error {
	pgTx, err := e.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = pgTx.Rollback(context.WithoutCancel(ctx)) }() // a no-op after Commit
	tx := &Tx{on: postgresTx{pgTx, &e.binds}}
	if err := fn(tx); err != nil {
		return err
	}
	var seqs [Shards]int64
	for shard, blob := range tx.out { // last, and in the order of the shards, as pgBatch does it
		if len(blob) == 0 {
			continue
		}
		if err := pgTx.QueryRow(ctx, insertHead, shard, blob).Scan(&seqs[shard]); err != nil {
			return err
		}
	}
	if err := pgTx.Commit(ctx); err != nil {
		return err
	}
	e.publish(seqs, tx.out)
	return nil
}

func (e *postgresEngine) committed(publish func([Shards]int64, [Shards][]byte)) { e.publish = publish }

// postgresTx runs the statements of an administrative transaction.
type postgresTx struct {
	tx    pgx.Tx
	binds *binder
}

func (t postgresTx) query(ctx context.Context, q string, args []any) (rowSource, error) {
	return pgQuery(ctx, t.tx, t.binds.postgres(q), args)
}

func (t postgresTx) exec(ctx context.Context, q string, args []any) (int64, error) {
	tag, err := t.tx.Exec(ctx, t.binds.postgres(q), args...)
	return tag.RowsAffected(), err
}

func (e *postgresEngine) heads(ctx context.Context) (heads [Shards]int64, err error) {
	rows, err := e.pool.Query(ctx, `SELECT shard, seq FROM outbox_head`)
	if err != nil {
		return heads, err
	}
	defer rows.Close()
	for rows.Next() {
		var shard int
		var seq int64
		if err := rows.Scan(&shard, &seq); err != nil {
			return heads, err
		}
		if shard >= 0 && shard < Shards {
			heads[shard] = seq
		}
	}
	return heads, rows.Err()
}

// postgresKind sorts pgx's errors: those of the server by the class of their SQLSTATE (PostgreSQL manual, appendix A),
// those of the connection as unavailable.
func postgresKind(err error) (kind, bool) {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return sqlstateKind(pg.Code), true
	}
	var connect *pgconn.ConnectError
	var network net.Error
	switch {
	case errors.As(err, &connect), errors.As(err, &network), pgconn.Timeout(err),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, errConnLost):
		return kindUnavailable, true
	}
	return 0, false
}

func sqlstateKind(code string) kind {
	switch code {
	case "23505": // unique_violation
		return kindUnique
	case "40001", "40P01": // serialization_failure, deadlock_detected
		return kindRetry
	case "53100": // disk_full
		return kindFull
	case "25006": // read_only_sql_transaction: a standby
		return kindReadOnly
	case "XX001", "XX002": // data_corrupted, index_corrupted
		return kindCorrupt
	}
	for _, class := range []string{"08", "28", "3D", "40", "53", "55", "57", "58", "XX"} {
		if strings.HasPrefix(code, class) {
			return kindUnavailable
		}
	}
	return kindUnit
}
