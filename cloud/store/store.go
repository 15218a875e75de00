// Package store is the hub's SQL store: SQLite inside the process or PostgreSQL, behind one face.
//
// What a device's message causes is handed over as a Unit: the statements that its handlers staged and the records that
// its rules matched. One committer goroutine gathers units, runs them in one transaction and ends each with its own
// outcome (group commit); the records go into the outbox in the same transaction. A unit whose Done got nil is on the
// disk, whole, and in its device's order; it survives the death of the process and, by default, power loss.
//
// The store promises further: a unit that missed its guard or carries a stale session epoch is refused alone; a unit that
// cannot be stored because the store is in trouble (disk full, server gone) ends with ErrUnavailable and left nothing
// behind; back-pressure instead of an unbounded queue.
//
// Administrative writes go through Update, reads through Query. Both take '?' for parameters and the SQL that SQLite and
// PostgreSQL have in common.
//
// It leaves to others what the rows mean: the domain packages own their tables and statements. The schema as a whole is
// in cloud/store/migrations, and DESIGN.md has the committer's inner workings.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hawser-iot/hawser/cloud/keyring"
	"github.com/hawser-iot/hawser/cloud/store/migrations"
)

// Dialect names the engine behind a DB.
type Dialect = migrations.Dialect

// The engines.
const (
	SQLite   = migrations.SQLite
	Postgres = migrations.Postgres
)

// engine is one of the two databases. The committer calls commit from its goroutine; the other methods are safe for
// concurrent use.
type engine interface {
	querier
	// update runs an administrative transaction.
	update(ctx context.Context, fn func(tx *Tx) error) error
	// commit runs the batch in one transaction. It sets the units' results and returns nil when it committed. On an error
	// nothing is stored. In careful mode a unit that fails ends alone with its error; otherwise the first failure fails
	// the batch.
	commit(b *batch, careful bool) error
	// committed has publish called with what each transaction has put into the outbox; on SQLite in the order of seq. It is called once, before
	// anything is committed.
	committed(publish func(seqs [Shards]int64, blobs [Shards][]byte))
	// heads returns the newest outbox seq of each shard.
	heads(ctx context.Context) ([Shards]int64, error)
	dialect() Dialect
	// scrub removes what was overwritten from the database's files, as far as that is in the engine's hands.
	scrub(ctx context.Context) error
	close() error
}

// DB is an open store. It is safe for concurrent use.
type DB struct {
	engine  engine
	queue   *queue
	outbox  *Outbox
	metrics *metrics
	log     *slog.Logger
	lock    *dirLock // nil without a data folder
	keys    *keyring.Keyring

	done  chan struct{} // closed when the committer has ended
	close sync.Once
}

var errClosed = fmt.Errorf("%w: %w", ErrUnavailable, ErrClosed)

// Open opens the database, makes it when it is not there, brings its schema up to date and starts the committer. Errors
// are ErrConfig, ErrInUse, ErrReadOnly, ErrFull, ErrNewerSchema, ErrCorrupt, ErrKeyring or the driver's own, with a text that says
// what to do. reg may be nil. Close ends it.
func Open(ctx context.Context, cfg Config, log *slog.Logger, reg prometheus.Registerer) (*DB, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	db := &DB{log: log, keys: cfg.Keyring, queue: newQueue(cfg.QueueMax), metrics: newMetrics(reg), done: make(chan struct{})}
	if cfg.Dir != "" {
		if db.lock, err = lockDir(cfg.Dir); err != nil {
			return nil, err
		}
	}
	if err := db.start(ctx, cfg); err != nil {
		return nil, errors.Join(err, db.lock.release())
	}
	if db.keys != nil {
		if err := db.checkKeys(ctx); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	return db, nil
}

func (db *DB) start(ctx context.Context, cfg Config) error {
	var err error
	if cfg.postgres() {
		db.engine, err = openPostgres(ctx, cfg)
	} else {
		db.engine, err = openSQLite(ctx, cfg)
	}
	if err != nil {
		return err
	}
	if db.outbox, err = newOutbox(ctx, db, cfg.OutboxMemory); err != nil {
		return errors.Join(err, db.engine.close())
	}
	db.engine.committed(db.outbox.publish)
	c := newCommitter(cfg, db)
	go func() {
		defer close(db.done)
		c.run()
	}()
	return nil
}

// Close ends the units that are still queued by committing them, stops the committer and closes the database. Later
// units end with ErrClosed.
func (db *DB) Close() error {
	var err error
	db.close.Do(func() {
		db.queue.close()
		<-db.done
		err = errors.Join(db.engine.close(), db.lock.release())
	})
	return err
}

// Dialect names the engine.
func (db *DB) Dialect() Dialect { return db.engine.dialect() }

// Outbox returns the face of the sinks.
func (db *DB) Outbox() *Outbox { return db.outbox }

// Queued is the number of units that wait for the committer.
func (db *DB) Queued() int { return db.queue.depth() }
