package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// errConnLost says that the connection broke during a batch.
var errConnLost = errors.New("store: connection lost")

// selectEpochs locks the session rows against a take-over until the batch is committed: without the lock, a stale session
// could still store something after the new one had begun. The order keeps two nodes from deadlocking.
const selectEpochs = `SELECT device, epoch FROM session WHERE device = ANY($1) ORDER BY device FOR SHARE`

// insertHead takes the shard's next seq and inserts the row, in one statement. It is the last statement before COMMIT, so
// that the row lock, which puts the nodes' commits in order, is held for one flush only.
const insertHead = `WITH head AS (UPDATE outbox_head SET seq = seq + 1 WHERE shard = $1 RETURNING seq)
	INSERT INTO outbox (shard, seq, blob) SELECT $1, seq, $2 FROM head RETURNING seq`

// pgBatch runs one batch on one connection: statements are queued and flushed as one pipeline whenever an outcome must be
// known to go on.
type pgBatch struct {
	ctx  context.Context
	conn *pgx.Conn
	b    *batch
	q    *pgx.Batch
	on   []func(pgx.BatchResults) error // how to read the result of each queued statement
	late bool                           // an operation is queued whose miss would undo the batch
}

// commit is engine.commit.
func (e *postgresEngine) commit(b *batch, careful bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	conn, err := e.own.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	r := &pgBatch{ctx: ctx, conn: conn.Conn(), b: b, q: &pgx.Batch{}}
	if err := r.run(careful, e.async); err != nil {
		if _, undo := r.conn.Exec(ctx, "ROLLBACK"); undo != nil {
			// A connection in an unknown state must not go back to the pool.
			_ = r.conn.Close(ctx)
		}
		return err
	}
	e.publish(b.seqs, b.out)
	return nil
}

func (r *pgBatch) run(careful, async bool) error {
	r.plain("BEGIN")
	if async {
		r.plain("SET LOCAL synchronous_commit = off")
	}
	r.fence()
	body := r.waves
	if careful {
		body = r.oneByOne
	}
	if err := body(); err != nil {
		return err
	}
	if r.late { // COMMIT must not be under way before its outcome is known
		if err := r.flush(); err != nil {
			return err
		}
	}
	r.outbox()
	r.plain("COMMIT")
	return r.flush()
}

// plain queues a statement whose result does not matter.
func (r *pgBatch) plain(sql string) {
	r.q.Queue(sql)
	r.on = append(r.on, func(br pgx.BatchResults) error {
		tag, err := br.Exec()
		if err == nil && sql == "COMMIT" && tag.String() != "COMMIT" {
			return fmt.Errorf("%w: the server answered COMMIT with %s", ErrUnavailable, tag.String())
		}
		return err
	})
}

// flush sends what is queued as one pipeline and reads its results.
func (r *pgBatch) flush() error {
	if len(r.on) == 0 {
		return nil
	}
	q, on := r.q, r.on
	r.q, r.on, r.late = &pgx.Batch{}, r.on[:0:0], false
	br := r.conn.SendBatch(r.ctx, q)
	var first error
	for _, read := range on {
		if first = read(br); first != nil {
			break
		}
	}
	if err := br.Close(); first == nil {
		first = err
	}
	return r.lost(first)
}

// lost marks an error that is the connection's, not a statement's.
func (r *pgBatch) lost(err error) error {
	var pg *pgconn.PgError
	if err != nil && !errors.As(err, &pg) && r.conn.IsClosed() {
		return fmt.Errorf("%w: %w", errConnLost, err)
	}
	return err
}

// fence queues the read of the epochs of all fenced devices of the batch, if any.
func (r *pgBatch) fence() {
	var devices []int64
	for _, u := range r.b.units {
		if u.Epoch != 0 {
			devices = append(devices, u.Device)
		}
	}
	if len(devices) == 0 {
		return
	}
	slices.Sort(devices)
	r.q.Queue(selectEpochs, slices.Compact(devices))
	r.on = append(r.on, func(br pgx.BatchResults) error {
		rows, err := br.Query()
		if err != nil {
			return err
		}
		epochs := make(map[int64]int64, len(devices))
		var device, epoch int64
		if _, err = pgx.ForEachRow(rows, []any{&device, &epoch}, func() error {
			epochs[device] = epoch
			return nil
		}); err != nil {
			return err
		}
		for i, u := range r.b.units {
			if u.Epoch != 0 && epochs[u.Device] != u.Epoch {
				r.b.results[i] = ErrFenced
			}
		}
		return nil
	})
}

// fenced says that a fence is queued whose outcome is not known yet.
func (r *pgBatch) fenced() bool {
	return slices.ContainsFunc(r.b.units, func(u *Unit) bool { return u.Epoch != 0 })
}

// waves queues wave by wave. Only a guard's outcome must be known before the rest of its unit may be sent; what follows
// it shares a pipeline with the guards of the next wave.
func (r *pgBatch) waves() error {
	if r.fenced() {
		if err := r.flush(); err != nil {
			return err
		}
	}
	for _, wave := range r.b.waves {
		if err := r.position(wave, 0); err != nil {
			return err
		}
		if r.guards(wave) {
			if err := r.flush(); err != nil {
				return err
			}
		}
		for _, i := range wave {
			if err := r.rest(i); err != nil {
				return err
			}
		}
	}
	return nil
}

// guards says that a unit of the wave waits for its guard.
func (r *pgBatch) guards(wave []int32) bool {
	return slices.ContainsFunc(wave, func(i int32) bool {
		u := r.b.units[i]
		return r.b.results[i] == nil && len(u.Ops) > 0 && u.Ops[0].Want >= 0 && (len(u.Ops) > 1 || len(u.Out) > 0)
	})
}

func (r *pgBatch) position(wave []int32, p int) error {
	for _, i := range wave {
		if r.b.results[i] == nil && p < len(r.b.units[i].Ops) {
			if err := r.op(i, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// rest queues the operations after the first of a unit that is still alive.
func (r *pgBatch) rest(i int32) error {
	if r.b.results[i] != nil {
		return nil
	}
	for p := 1; p < len(r.b.units[i].Ops); p++ {
		if err := r.op(i, p); err != nil {
			return err
		}
	}
	return nil
}

// op queues one operation.
func (r *pgBatch) op(i int32, p int) error {
	op := &r.b.units[i].Ops[p]
	args, err := plainAll(op.Args)
	if err == nil && len(args) != op.Stmt.params {
		err = fmt.Errorf("%d arguments for %d parameters of %q", len(args), op.Stmt.params, op.Stmt.sql)
	}
	if err != nil {
		return &unitError{i, err}
	}
	r.late = r.late || p > 0 && op.Want >= 0
	r.q.Queue(op.Stmt.postgres, args...)
	r.on = append(r.on, func(br pgx.BatchResults) error {
		tag, err := br.Exec()
		if err != nil {
			return &unitError{i, err}
		}
		if n := tag.RowsAffected(); op.Want >= 0 && n != op.Want {
			return r.b.missed(opRef{i, op}, p, n)
		}
		return nil
	})
	return nil
}

// oneByOne runs the units in the order in which they were submitted, each in a savepoint of its own.
func (r *pgBatch) oneByOne() error {
	if err := r.flush(); err != nil {
		return err
	}
	for i := range r.b.units {
		if r.b.results[i] != nil {
			continue
		}
		// On its own: a statement that cannot even be prepared would fail the pipeline before it begins.
		if _, err := r.conn.Exec(r.ctx, "SAVEPOINT unit"); err != nil {
			return r.lost(err)
		}
		err := r.one(int32(i))
		if err == nil {
			if _, err := r.conn.Exec(r.ctx, "RELEASE SAVEPOINT unit"); err != nil {
				return r.lost(err)
			}
			continue
		}
		if classify(err).transient() || r.conn.IsClosed() {
			return err
		}
		r.b.results[i] = err
		r.q, r.on = &pgx.Batch{}, nil
		if _, err := r.conn.Exec(r.ctx, "ROLLBACK TO SAVEPOINT unit"); err != nil {
			return r.lost(err)
		}
	}
	return nil
}

func (r *pgBatch) one(i int32) error {
	if len(r.b.units[i].Ops) > 0 {
		if err := r.op(i, 0); err != nil {
			return errors.Join(err, r.flush())
		}
		if err := r.flush(); err != nil {
			return err
		}
	}
	if err := r.rest(i); err != nil {
		return errors.Join(err, r.flush())
	}
	return r.flush()
}

// outbox queues one row for each shard that has records, in the order of the shards: two nodes cannot deadlock.
func (r *pgBatch) outbox() {
	// Every outcome that ends a unit is known by now, see guards and late.
	r.b.frame()
	for shard, blob := range r.b.out {
		if len(blob) == 0 {
			continue
		}
		r.q.Queue(insertHead, shard, blob)
		r.on = append(r.on, func(br pgx.BatchResults) error {
			return br.QueryRow().Scan(&r.b.seqs[shard])
		})
	}
}
