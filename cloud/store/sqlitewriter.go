package store

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"
)

const (
	// mergeSteps are the sizes of merged statements, as powers of two: 1 to 64 rows. Larger ones gain nothing.
	mergeSteps = 7
	// epochsMax bounds the cache of session epochs, about 40 bytes each.
	epochsMax = 1 << 20
	// paramsMax is SQLite's limit for one statement.
	paramsMax = 32766
)

// errGuards says that a merged guard missed: the batch must be run again with a statement for each guard, to learn which.
var errGuards = errors.New("store: a merged guard missed")

var insertOutbox = NewStmt(`INSERT INTO outbox (seq, shard, blob) VALUES (?, ?, ?)`)

// sqliteWriter runs batches on the committer's connection. sqliteEngine.mu guards it.
type sqliteWriter struct {
	conn      *writeConn
	prepared  map[*Stmt]*[mergeSteps]*writeStmt
	fixed     map[string]*writeStmt // BEGIN, COMMIT …
	epochs    map[int64]int64       // of sessions, as committed; this process is the only writer
	head      int64                 // the newest outbox seq
	separate  bool                  // run judged statements one by one
	outboxOps [Shards]Op
}

func (w *sqliteWriter) init(conn *writeConn) {
	w.conn = conn
	w.prepared = make(map[*Stmt]*[mergeSteps]*writeStmt)
	w.fixed = make(map[string]*writeStmt)
	w.epochs = make(map[int64]int64)
}

func (w *sqliteWriter) close() {
	if w.conn == nil {
		return
	}
	for _, steps := range w.prepared {
		for _, s := range steps {
			if s != nil {
				s.close()
			}
		}
	}
	for _, s := range w.fixed {
		s.close()
	}
	w.conn.close()
	w.conn = nil
}

// loadHead finds the newest outbox seq ever given out: cursors remember it when the rows were trimmed.
func (w *sqliteWriter) loadHead() error {
	for _, q := range []string{`SELECT MAX(seq) FROM outbox`, `SELECT MAX(seq) FROM outbox_cursor`} {
		s, err := w.conn.prepare(q)
		if err != nil {
			return err
		}
		seq, _, err := s.integer()
		s.close()
		if err != nil {
			return err
		}
		w.head = max(w.head, seq)
	}
	return nil
}

// commit is engine.commit.
func (w *sqliteWriter) commit(b *batch, careful bool) error {
	w.separate = false
	err := w.transaction(b, careful)
	if errors.Is(err, errGuards) {
		b.reset()
		w.separate = true
		err = w.transaction(b, careful)
	}
	for _, u := range b.units {
		if writesSession(u) {
			w.forgetEpoch(u.Device)
		}
	}
	return err
}

func (w *sqliteWriter) transaction(b *batch, careful bool) error {
	if err := w.simple("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err := w.body(b, careful)
	if err == nil {
		err = w.simple("COMMIT")
	}
	if err != nil {
		if !w.conn.idle() {
			if undo := w.simple("ROLLBACK"); undo != nil {
				err = fmt.Errorf("%w: roll back: %w", unavailable(err), undo)
			}
		}
		return err
	}
	for _, seq := range b.seqs {
		w.head = max(w.head, seq)
	}
	return nil
}

func (w *sqliteWriter) body(b *batch, careful bool) error {
	run := w.waves
	if careful {
		run = w.oneByOne
	}
	if err := run(b); err != nil {
		return err
	}
	if !b.frame() {
		return nil
	}
	return w.outbox(b)
}

// simple runs a statement without parameters, kept prepared.
func (w *sqliteWriter) simple(sql string) error {
	s := w.fixed[sql]
	if s == nil {
		var err error
		if s, err = w.conn.prepare(sql); err != nil {
			return err
		}
		w.fixed[sql] = s
	}
	_, err := s.exec()
	return err
}

// waves runs the batch wave by wave, position by position, statement by statement.
func (w *sqliteWriter) waves(b *batch) error {
	for _, wave := range b.waves {
		for _, i := range wave {
			if err := w.fence(b, i); err != nil {
				return err
			}
		}
		for p := 0; ; p++ {
			groups := b.position(wave, p)
			if len(groups) == 0 && p > 0 {
				break
			}
			for i := range groups {
				if err := w.group(b, &groups[i], p); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// oneByOne runs the units in the order in which they were submitted, each in a savepoint of its own.
func (w *sqliteWriter) oneByOne(b *batch) error {
	w.separate = true
	for i := range b.units {
		if err := w.simple("SAVEPOINT unit"); err != nil {
			return err
		}
		if err := w.one(b, int32(i)); err != nil {
			if classify(err).transient() || w.conn.idle() {
				return err
			}
			b.results[i] = err
			if err := w.simple("ROLLBACK TO unit"); err != nil {
				return err
			}
		}
		if err := w.simple("RELEASE unit"); err != nil {
			return err
		}
	}
	return nil
}

func (w *sqliteWriter) one(b *batch, i int32) error {
	if err := w.fence(b, i); err != nil {
		return err
	}
	u := b.units[i]
	for p := range u.Ops {
		if b.results[i] != nil {
			return nil
		}
		g := group{stmt: u.Ops[p].Stmt, guarded: u.Ops[p].Want >= 0, ops: []opRef{{i, &u.Ops[p]}}}
		if err := w.group(b, &g, p); err != nil {
			return err
		}
	}
	return nil
}

// fence compares a unit's epoch with that of its device's session.
func (w *sqliteWriter) fence(b *batch, i int32) error {
	u := b.units[i]
	if u.Epoch == 0 {
		return nil
	}
	epoch, ok := w.epochs[u.Device]
	if !ok {
		var err error
		if epoch, err = w.readEpoch(u.Device); err != nil {
			return err
		}
	}
	if epoch != u.Epoch {
		b.results[i] = ErrFenced
	}
	return nil
}

var selectEpoch = NewStmt(`SELECT epoch FROM session WHERE device = ?`)

func (w *sqliteWriter) readEpoch(device int64) (int64, error) {
	s, err := w.stmt(selectEpoch, 0)
	if err != nil {
		return 0, err
	}
	if err := s.bindOne(1, device); err != nil {
		return 0, err
	}
	epoch, _, err := s.integer()
	if err != nil {
		return 0, err
	}
	if len(w.epochs) >= epochsMax {
		clear(w.epochs)
	}
	w.epochs[device] = epoch
	return epoch, nil
}

func (w *sqliteWriter) forgetEpoch(device int64) {
	if device == 0 {
		w.forgetEpochs()
		return
	}
	delete(w.epochs, device)
}

func (w *sqliteWriter) forgetEpochs() { clear(w.epochs) }

// group runs the operations of one statement, in merged statements of falling powers of two where that is safe: the
// statement's shape allows it and, for judged operations, each wants one row, so that the sum of the rows tells whether
// all hit.
func (w *sqliteWriter) group(b *batch, g *group, p int) error {
	for _, r := range g.ops {
		if len(r.op.Args) != g.stmt.params {
			return &unitError{r.unit, fmt.Errorf("%d arguments for %d parameters of %q", len(r.op.Args), g.stmt.params, g.stmt.sql)}
		}
	}
	rest := g.ops
	if g.mergeable() && (!w.separate || !g.guarded) {
		for len(rest) >= 2 {
			step := min(bits.Len(uint(len(rest)))-1, mergeSteps-1)
			for step > 0 && g.stmt.params<<step > paramsMax {
				step--
			}
			if step == 0 {
				break
			}
			if err := w.merged(g, rest[:1<<step], step); err != nil {
				return err
			}
			rest = rest[1<<step:]
		}
	}
	for _, r := range rest {
		if err := w.single(b, g, r, p); err != nil {
			return err
		}
	}
	return nil
}

func (g *group) mergeable() bool {
	if !g.stmt.mergeable() {
		return false
	}
	if g.guarded {
		for _, r := range g.ops {
			if r.op.Want != 1 {
				return false
			}
		}
	}
	return true
}

func (w *sqliteWriter) merged(g *group, ops []opRef, step int) error {
	s, err := w.stmt(g.stmt, step)
	if err != nil {
		return err
	}
	at := 1
	for _, r := range ops {
		if err := s.bind(at, r.op.Args); err != nil {
			s.reset()
			return err
		}
		at += len(r.op.Args)
	}
	n, err := s.exec()
	if err != nil {
		return err
	}
	if g.guarded && n != int64(len(ops)) {
		return errGuards
	}
	return nil
}

func (w *sqliteWriter) single(b *batch, g *group, r opRef, p int) error {
	s, err := w.stmt(g.stmt, 0)
	if err != nil {
		return err
	}
	if err := s.bind(1, r.op.Args); err != nil {
		s.reset()
		return &unitError{r.unit, err}
	}
	n, err := s.exec()
	if err != nil {
		return &unitError{r.unit, err}
	}
	if g.guarded && n != r.op.Want {
		return b.missed(r, p, n)
	}
	return nil
}

// stmt returns the statement for 1<<step rows, prepared at its first use.
func (w *sqliteWriter) stmt(stmt *Stmt, step int) (*writeStmt, error) {
	steps := w.prepared[stmt]
	if steps == nil {
		steps = new([mergeSteps]*writeStmt)
		w.prepared[stmt] = steps
	}
	if steps[step] == nil {
		text := stmt.sql
		if step > 0 {
			text = stmt.rows(1 << step)
		}
		s, err := w.conn.prepare(orFail(text))
		if err != nil {
			return nil, fmt.Errorf("prepare %q: %w", stmt.sql, err)
		}
		steps[step] = s
	}
	return steps[step], nil
}

// orFail lets a statement that fails leave what it did before, which saves SQLite a copy of each page that it touches: whatever fails is
// rolled back here anyway, with the transaction or to the unit's savepoint.
func orFail(sql string) string {
	for _, verb := range []string{"INSERT", "UPDATE"} {
		if rest, ok := strings.CutPrefix(sql, verb+" "); ok {
			return verb + " OR FAIL " + rest
		}
	}
	return sql
}

// outbox inserts one row for each shard that has records.
func (w *sqliteWriter) outbox(b *batch) error {
	g := group{stmt: insertOutbox}
	seq := w.head
	for shard, blob := range b.out {
		if len(blob) == 0 {
			continue
		}
		seq++
		b.seqs[shard] = seq
		op := &w.outboxOps[shard]
		op.Stmt, op.Want = insertOutbox, -1
		op.Args = append(op.Args[:0], seq, int64(shard), blob)
		g.ops = append(g.ops, opRef{op: op})
	}
	return w.group(b, &g, 0)
}
