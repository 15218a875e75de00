package account

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/hawser-iot/hawser/cloud/store"
)

// Entry is one line of the audit log.
type Entry struct {
	ID        int64 // rises with the time
	At        time.Time
	Project   string
	Kind      Kind   // of the actor; "" for nobody who is known
	Actor     string // id of the user or key
	ActorName string
	Operation string // the operation's id in the API's document
	Object    string // the path of what was changed
	Result    int    // status of the answer; 0 when the hub ended between the change and its answer
	Code      string // of the problem, if it is one
	Address   string
	Request   string // id of the request
	Diff      string // JSON, see Diff; "" when nothing is known to have changed
	// Pending is what went along with the change, if anything did, for Record to replace.
	Pending *Pending
}

// answerTime is how long a change may wait for its answer.
const answerTime = 2 * time.Minute

// maxDiff bounds one entry; what is longer is told to have been.
const maxDiff = 32 << 10

const auditValues = `INSERT INTO audit (` + auditColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

var (
	// auditInsert leaves alone what is there already: the same entry, when a transaction is tried again, or another's with that id.
	auditInsert = store.NewStmt(auditValues + ` ON CONFLICT (id) DO NOTHING`)
	auditEnd    = store.NewStmt(`DELETE FROM audit WHERE id = ? AND result = 0 AND request = ? AND operation = ?`)
)

// Pending is an entry that goes along with the change that it tells of.
type Pending struct {
	id   atomic.Int64 // 0 until a transaction has asked for the entry
	rode func() bool
}

// Stored tells whether a change has taken the entry along, so that the log has it.
func (p *Pending) Stored() bool { return p.rode() }

// Accompany returns a context whose change stores an entry in its own transaction: there is no change without the entry, and no
// entry without the change. What is known of it at that moment comes from entry (nil: none); Record puts what came of it in its
// place. Should the hub end before that, the entry stays as it is, with Result 0.
func (a *Accounts) Accompany(ctx context.Context, entry func() *Entry) (context.Context, *Pending) {
	p := &Pending{}
	ctx, p.rode = store.Along(ctx, func() []store.Op {
		e := entry()
		if e == nil {
			return nil
		}
		now := a.now()
		p.id.CompareAndSwap(0, a.auditIDs.next(now))
		return []store.Op{auditInsert.Op(e.values(p.id.Load(), now)...)}
	})
	return ctx, p
}

// Record stores an entry, in the place of e.Pending if that is there; when it returns nil it is on the disk. It shares commits
// with the messages of the devices, so that many changes cost few of them.
func (a *Accounts) Record(ctx context.Context, e Entry) (err error) {
	for range 5 { // an id that is taken is drawn again
		now := a.now()
		u := &store.Unit{Ops: []store.Op{auditInsert.Guard(e.values(a.auditIDs.next(now), now)...)}}
		if e.Pending != nil {
			// Its id is of an earlier time, when who follows the log may have been past it.
			u.Ops = append(u.Ops, auditEnd.Op(e.Pending.id.Load(), e.Request, e.Operation))
		}
		// Without the request's end: a caller who hangs up does not keep a change out of the log.
		err = a.db.Do(context.WithoutCancel(ctx), u)
		if !errors.Is(err, store.ErrConflict) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("account: write the audit log: %w", err)
	}
	return nil
}

// values are the row of an entry, in the order of auditColumns.
func (e *Entry) values(id int64, at time.Time) []any {
	diff := e.Diff
	if len(diff) > maxDiff {
		diff = fmt.Sprintf(`[{"path":"","note":"the change is %d bytes long and was left out"}]`, len(diff))
	}
	return []any{id, at.UnixMilli(), e.Project, string(e.Kind), e.Actor, e.ActorName, e.Operation, e.Object, int64(e.Result), e.Code, e.Address, e.Request, diff}
}

// auditIDs draws ids: the time in milliseconds and 20 bits below it, random so that nodes need not agree on a counter, and
// rising within a node so that its entries stay in their order.
type auditIDs struct {
	mu   sync.Mutex // guards the field below
	last int64
}

func (g *auditIDs) next(at time.Time) int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last = max(at.UnixMilli()<<20|int64(rand.Uint32N(1<<19)), g.last+1)
	return g.last
}

// AuditFilter chooses entries; what is zero chooses all.
type AuditFilter struct {
	Project       string
	Actor         string // id of the user or key, or the name by which nobody has such an id
	Operation     string // with * behind it, what begins so
	Object        string // what begins with it
	Failed        *bool  // only those with a status from 400 on, or only the others
	Since, Until  time.Time
	Before, After int64 // ids, for pages
	Oldest        bool  // oldest first
	// Answered has changes wait until they have been answered, or no longer will be: for who follows the log, and would not come back to them.
	Answered bool
	Limit    int
}

const auditColumns = `id, at, project, actor_kind, actor, actor_name, operation, object, result, code, address, request, diff`

// Audit lists entries, newest first unless the filter says otherwise.
func (a *Accounts) Audit(ctx context.Context, f AuditFilter) ([]*Entry, error) {
	q := &where{}
	q.text("project = ?", f.Project)
	if err := a.auditActor(ctx, q, f.Actor); err != nil {
		return nil, fmt.Errorf("account: read the audit log: %w", err)
	}
	if begin, ok := strings.CutSuffix(f.Operation, "*"); ok {
		q.add("substr(operation, 1, "+strconv.Itoa(utf8.RuneCountInString(begin))+") = ?", begin)
	} else {
		q.text("operation = ?", f.Operation)
	}
	if f.Object != "" { // a range, which the index has, and no pattern to escape
		q.add("object >= ?", f.Object)
		q.add("object < ?", f.Object+"\U0010ffff")
	}
	if f.Failed != nil && *f.Failed {
		q.add("result >= ?", 400)
	} else if f.Failed != nil {
		q.add("result < ?", 400)
	}
	if !f.Since.IsZero() {
		q.add("id >= ?", f.Since.UnixMilli()<<20)
	}
	if !f.Until.IsZero() {
		q.add("id < ?", f.Until.UnixMilli()<<20)
	}
	if f.Before != 0 {
		q.add("id < ?", f.Before)
	}
	if f.After != 0 {
		q.add("id > ?", f.After)
	}
	if f.Answered {
		q.add("(result <> 0 OR id < ?)", a.now().Add(-answerTime).UnixMilli()<<20)
	}
	order := " ORDER BY id DESC LIMIT ?"
	if f.Oldest {
		order = " ORDER BY id LIMIT ?"
	}
	list, err := collect(ctx, a.db, scanEntry, `SELECT `+auditColumns+` FROM audit`+q.String()+order, append(q.args, f.Limit)...)
	if err != nil {
		return nil, fmt.Errorf("account: read the audit log: %w", err)
	}
	return list, nil
}

// auditActor adds the condition that entries are somebody's. Ids have an index; names, which may be those of several, have none.
func (a *Accounts) auditActor(ctx context.Context, q *where, who string) error {
	if who == "" {
		return nil
	}
	var known int64
	if err := a.db.QueryRow(ctx, `SELECT COUNT(*) FROM (SELECT 1 FROM audit WHERE actor = ? LIMIT 1) AS one`, who).Scan(&known); err != nil {
		return err
	}
	if known > 0 {
		q.add("actor = ?", who)
	} else {
		q.add("actor_name = ?", who)
	}
	return nil
}

func scanEntry(row scanner) (*Entry, error) {
	var e Entry
	var at, result int64
	var kind string
	err := row.Scan(&e.ID, &at, &e.Project, &kind, &e.Actor, &e.ActorName, &e.Operation, &e.Object, &result, &e.Code, &e.Address, &e.Request, &e.Diff)
	e.At, e.Kind, e.Result = fromMillis(at), Kind(kind), int(result)
	return &e, err
}

// where collects conditions.
type where struct {
	conditions []string
	args       []any
}

func (w *where) add(condition string, arg any) {
	w.conditions = append(w.conditions, condition)
	w.args = append(w.args, arg)
}

func (w *where) text(condition, arg string) {
	if arg != "" {
		w.add(condition, arg)
	}
}

func (w *where) String() string {
	if len(w.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conditions, " AND ")
}

// Trim drops entries of the audit log that are too old, and the oldest above the number that is kept.
func (a *Accounts) Trim(ctx context.Context, now time.Time) (removed int, err error) {
	err = a.update(ctx, "trim the audit log", func(tx *store.Tx) error {
		removed = 0
		if a.cfg.AuditAge > 0 {
			n, err := deleted(ctx, tx, `DELETE FROM audit WHERE id < ?`, now.Add(-a.cfg.AuditAge).UnixMilli()<<20)
			if removed += n; err != nil {
				return err
			}
		}
		if a.cfg.AuditRows > 0 {
			n, err := deleted(ctx, tx, `DELETE FROM audit WHERE id <= (SELECT id FROM audit ORDER BY id DESC LIMIT 1 OFFSET ?)`, a.cfg.AuditRows)
			if removed += n; err != nil {
				return err
			}
		}
		return nil
	})
	return removed, err
}

func deleted(ctx context.Context, tx *store.Tx, q string, args ...any) (int, error) {
	res, err := tx.Exec(ctx, q, args...)
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	return int(n), err
}
