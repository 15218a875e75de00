package account

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

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
	Result    int    // status of the answer
	Code      string // of the problem, if it is one
	Address   string
	Request   string // id of the request
	Diff      string // JSON, see Diff; "" when nothing is known to have changed
}

// maxDiff bounds one entry; what is longer is told to have been.
const maxDiff = 32 << 10

var auditInsert = store.NewStmt(`INSERT INTO audit (id, at, project, actor_kind, actor, actor_name, operation, object, result, code, address, request, diff) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)

// Record stores an entry; when it returns nil the entry is on the disk. It shares commits with the messages of the
// devices, so that many changes cost few of them.
func (a *Accounts) Record(ctx context.Context, e Entry) (err error) {
	e.At = a.now()
	if len(e.Diff) > maxDiff {
		e.Diff = fmt.Sprintf(`[{"path":"","note":"the change is %d bytes long and was left out"}]`, len(e.Diff))
	}
	for range 5 { // an id that is taken is drawn again
		id := a.auditIDs.next(e.At)
		u := &store.Unit{Ops: []store.Op{auditInsert.Op(id, e.At.UnixMilli(), e.Project, string(e.Kind), e.Actor, e.ActorName,
			e.Operation, e.Object, int64(e.Result), e.Code, e.Address, e.Request, e.Diff)}}
		// Without the request's end: a caller who hangs up does not keep a change out of the log.
		err = a.db.Do(context.WithoutCancel(ctx), u)
		if !store.IsUnique(err) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("account: write the audit log: %w", err)
	}
	return nil
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
	Project, Actor, Operation string
	Object                    string // what begins with it
	Failed                    *bool  // only those with a status from 400 on, or only the others
	Since, Until              time.Time
	Before, After             int64 // ids, for pages
	Oldest                    bool  // oldest first, to follow the log
	Limit                     int
}

const auditColumns = `id, at, project, actor_kind, actor, actor_name, operation, object, result, code, address, request, diff`

// Audit lists entries, newest first.
func (a *Accounts) Audit(ctx context.Context, f AuditFilter) ([]*Entry, error) {
	q := &where{}
	q.text("project = ?", f.Project)
	q.text("actor = ?", f.Actor)
	q.text("operation = ?", f.Operation)
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
