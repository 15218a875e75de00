package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	sqlitedriver "modernc.org/sqlite" // and the database/sql driver "sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	sqliteFile = "hawser.db"
	// checkMax is the size up to which the whole file is checked at start, about 10 ms for a MiB.
	checkMax = 16 << 20
	// checkpointPages is how far the write-ahead log grows before it is copied into the file: 16 MiB. SQLite's default of
	// 4 MiB would copy the pages that every commit touches four times as often.
	checkpointPages = 4000
	// logMax is what the log is cut to when it has grown beyond it, bytes.
	logMax = 64 << 20
	// readCacheMax bounds the statements that readers keep prepared.
	readCacheMax = 500
)

// sqliteEngine is one SQLite file: a connection for the committer, one for administrative transactions, and a pool of
// readers. The two writers take turns under mu.
type sqliteEngine struct {
	admin   *sql.DB
	readers *sql.DB
	path    string

	mu     sync.Mutex
	writer sqliteWriter // guarded by mu
	// publish is called under mu, so that the outbox's rows come in their order.
	publish func([Shards]int64, [Shards][]byte)

	readMu   sync.RWMutex
	prepared map[string]*sql.Stmt // guarded by readMu
}

func openSQLite(ctx context.Context, cfg Config) (*sqliteEngine, error) {
	e := &sqliteEngine{path: filepath.Join(cfg.Dir, sqliteFile), prepared: make(map[string]*sql.Stmt)}
	if err := e.open(ctx, cfg); err != nil {
		return nil, errors.Join(e.openError(err), e.close())
	}
	return e, nil
}

func (e *sqliteEngine) open(ctx context.Context, cfg Config) error {
	// As every distribution's build of SQLite does; elsewhere than on Linux and BSD it stays off, which is as safe.
	_, _ = sqlitedriver.Fdatasync(true)
	conn, err := openWriteConn(e.path)
	if err != nil {
		return err
	}
	e.writer.init(conn)
	if err := e.check(conn); err != nil {
		return err
	}
	synchronous := "FULL"
	if cfg.Durability == DurabilityProcess {
		synchronous = "NORMAL"
	}
	for _, pragma := range []string{"journal_mode = WAL", "synchronous = " + synchronous, "cache_size = -32000",
		fmt.Sprintf("wal_autocheckpoint = %d", checkpointPages), fmt.Sprintf("journal_size_limit = %d", logMax)} {
		if err := conn.run("PRAGMA " + pragma); err != nil {
			return fmt.Errorf("%s: %w", pragma, err)
		}
	}
	if e.admin, err = e.pool(1, "_txlock=immediate", "_pragma=synchronous("+synchronous+")", fmt.Sprintf("_pragma=wal_autocheckpoint(%d)", checkpointPages)); err != nil {
		return err
	}
	if e.readers, err = e.pool(max(4, runtime.GOMAXPROCS(0)), "_pragma=query_only(1)"); err != nil {
		return err
	}
	if err := migrate(ctx, e.admin, SQLite); err != nil {
		return err
	}
	return e.writer.loadHead()
}

// pool opens database/sql connections to the file.
func (e *sqliteEngine) pool(size int, params ...string) (*sql.DB, error) {
	path, err := filepath.Abs(e.path)
	if err != nil {
		return nil, err
	}
	params = append(params, "_pragma=busy_timeout(10000)")
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+strings.Join(params, "&"))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	return db, nil
}

// check reads a file that was there before: the header and, when it is small, all of it.
func (e *sqliteEngine) check(conn *writeConn) error {
	info, err := os.Stat(e.path)
	if err != nil || info.Size() == 0 {
		return err
	}
	if log, err := os.Stat(e.path + "-wal"); (err != nil || log.Size() == 0) && info.Size()%512 != 0 {
		// Pages are multiples of 512 bytes. With a log, a torn page is written again from there.
		return fmt.Errorf("%w: cut off after %d bytes", ErrCorrupt, info.Size())
	}
	if info.Size() > checkMax {
		_, err := conn.text("PRAGMA schema_version")
		return err
	}
	verdict, err := conn.text("PRAGMA quick_check(1)")
	if err == nil && verdict != "ok" {
		return fmt.Errorf("%w: %s", ErrCorrupt, verdict)
	}
	return err
}

// openError adds to err the file and what to do.
func (e *sqliteEngine) openError(err error) error {
	do := ""
	switch k := classify(err); k {
	case kindCorrupt:
		do = "restore it from a backup, or move it away (with its -wal and -shm files) to begin empty"
	case kindFull:
		do = "free space on its file system"
	case kindReadOnly:
		do = "give the hub's user write access to the file and its folder"
	default:
		return fmt.Errorf("open %s: %w", e.path, err)
	}
	return fmt.Errorf("open %s: %w: %s: %w", e.path, classify(err).sentinel(), do, err)
}

func (e *sqliteEngine) dialect() Dialect { return SQLite }

func (e *sqliteEngine) close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var errs []error
	if e.readers != nil {
		errs = append(errs, e.readers.Close()) // closes its prepared statements, too
	}
	if e.admin != nil {
		errs = append(errs, e.admin.Close())
	}
	e.writer.close() // last: the last connection out checkpoints and removes the log
	return errors.Join(errs...)
}

// query runs q on a reader, prepared once for each connection while the texts are few.
func (e *sqliteEngine) query(ctx context.Context, q string, args []any) (rowSource, error) {
	e.readMu.RLock()
	s := e.prepared[q]
	full := len(e.prepared) >= readCacheMax
	e.readMu.RUnlock()
	var err error
	switch {
	case s == nil && full:
		return sqlRows(e.readers.QueryContext(ctx, q, args...))
	case s == nil:
		if s, err = e.keep(ctx, q); err != nil {
			return nil, err
		}
	}
	return sqlRows(s.QueryContext(ctx, args...))
}

func (e *sqliteEngine) keep(ctx context.Context, q string) (*sql.Stmt, error) {
	s, err := e.readers.PrepareContext(ctx, q)
	if err != nil {
		return nil, err
	}
	e.readMu.Lock()
	defer e.readMu.Unlock()
	if other := e.prepared[q]; other != nil {
		return other, s.Close()
	}
	e.prepared[q] = s
	return s, nil
}

// sqlRows keeps a nil *sql.Rows from becoming a rowSource that is not nil.
func sqlRows(rows *sql.Rows, err error) (rowSource, error) {
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// exec is there for the interface: statements outside of a transaction go through update.
func (e *sqliteEngine) exec(ctx context.Context, q string, args []any) (n int64, err error) {
	err = e.update(ctx, func(tx *Tx) error {
		n, err = tx.on.exec(ctx, q, args)
		return err
	})
	return n, err
}

func (e *sqliteEngine) update(ctx context.Context, fn func(tx *Tx) error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	sqlTx, err := e.admin.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = sqlTx.Rollback() }() // a no-op after Commit
	tx := &Tx{on: sqliteTx{sqlTx}}
	if err := fn(tx); err != nil {
		return err
	}
	head, seqs := e.writer.head, [Shards]int64{}
	for shard, blob := range tx.out {
		if len(blob) == 0 {
			continue
		}
		head++
		if _, err := tx.on.exec(ctx, insertOutbox.sql, []any{head, int64(shard), blob}); err != nil {
			return err
		}
		seqs[shard] = head
	}
	if tx.session {
		e.writer.forgetEpochs()
	}
	if err := sqlTx.Commit(); err != nil {
		return err
	}
	e.writer.head = head
	e.publish(seqs, tx.out)
	return nil
}

// scrub rewrites the file without its free pages and empties the log.
func (e *sqliteEngine) scrub(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, q := range []string{`VACUUM`, `PRAGMA wal_checkpoint(TRUNCATE)`} {
		if _, err := e.admin.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("remove what was overwritten from %s: %w", e.path, err)
		}
	}
	return nil
}

// sqliteTx runs the statements of an administrative transaction.
type sqliteTx struct{ tx *sql.Tx }

func (t sqliteTx) query(ctx context.Context, q string, args []any) (rowSource, error) {
	return sqlRows(t.tx.QueryContext(ctx, q, args...))
}

func (t sqliteTx) exec(ctx context.Context, q string, args []any) (int64, error) {
	res, err := t.tx.ExecContext(ctx, q, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (e *sqliteEngine) heads(context.Context) ([Shards]int64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var heads [Shards]int64
	for i := range heads {
		heads[i] = e.writer.head
	}
	return heads, nil
}

func (e *sqliteEngine) committed(publish func([Shards]int64, [Shards][]byte)) { e.publish = publish }

func (e *sqliteEngine) commit(b *batch, careful bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.writer.commit(b, careful); err != nil {
		return err
	}
	e.publish(b.seqs, b.out)
	return nil
}

// sqliteKind sorts the errors of the driver and of writeConn.
func sqliteKind(err error) (kind, bool) {
	var coded interface{ Code() int }
	if !errors.As(err, &coded) {
		return 0, false
	}
	code := coded.Code()
	switch code {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID:
		return kindUnique, true
	}
	switch code & 0xff {
	case sqlite3.SQLITE_FULL:
		return kindFull, true
	case sqlite3.SQLITE_READONLY:
		return kindReadOnly, true
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return kindCorrupt, true
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM,
		sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_NOLFS, sqlite3.SQLITE_PERM:
		return kindUnavailable, true
	default:
		return kindUnit, true
	}
}
