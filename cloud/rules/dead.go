package rules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// ErrNoDeadLetter is returned for a dead letter that is not there, or no longer.
var ErrNoDeadLetter = errors.New("rules: no such dead letter: it may have been replayed or deleted, or was too old to be kept")

// DeadLetter is a record that an action has given up.
type DeadLetter struct {
	ID     int64
	Failed time.Time
	Envelope
	record Record
}

// DeadFilter chooses dead letters. Zero fields choose all.
type DeadFilter struct {
	Project string       `json:"project,omitempty"`
	Rule    int64        `json:"rule,omitempty,string"`
	Action  int64        `json:"action,omitempty,string"`
	Device  ident.Device `json:"device,omitzero"`         // Product alone: all of its devices
	Since   time.Time    `json:"since,omitzero"`          // of Failed
	Until   time.Time    `json:"until,omitzero"`          // not at this time itself
	Before  int64        `json:"before,omitempty,string"` // letters with a smaller id
	IDs     []int64      `json:"ids,omitempty"`
}

var (
	insertDead = store.NewStmt(`INSERT INTO dead_letter (id, rule, action, message_id, device, record, error, failed_at, key, attempts, failures, size)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) WHERE key <> '' DO NOTHING`)
	deleteDead = store.NewStmt(`DELETE FROM dead_letter WHERE id = ?`)
)

// letter is the operation that makes a record a dead letter. One that is one already stays as it is.
func (f *fate) letter(rec *Record) store.Op {
	a := f.pack.lane.action
	raw := rec.Append(nil)
	failures, _ := json.Marshal(f.failures) // strings and times always encode
	return insertDead.Op(int64(f.rules.Deps.IDs.Next()), a.rule, a.id, int64(rec.MessageID), rec.DeviceID, raw,
		f.failures[len(f.failures)-1].Error, f.at.UnixMilli(), rec.Key(), f.pack.tries, string(failures), len(raw))
}

// where is the condition that f stands for; false when nothing can fulfil it.
func (r *Rules) where(ctx context.Context, f *DeadFilter) (sql string, args []any, some bool, err error) {
	sql = `1 = 1`
	add := func(cond string, more ...any) { sql, args = sql+` AND `+cond, append(args, more...) }
	if f.Project != "" {
		add(`rule IN (SELECT id FROM rule WHERE project = ?)`, f.Project)
	}
	if f.Rule != 0 {
		add(`rule = ?`, f.Rule)
	}
	if f.Action != 0 {
		add(`action = ?`, f.Action)
	}
	switch {
	case f.Device.SN != "":
		d, err := r.Deps.Registry.Device(ctx, f.Device)
		if errors.Is(err, registry.ErrDeviceNotFound) {
			return "", nil, false, nil
		}
		if err != nil {
			return "", nil, false, err
		}
		add(`device = ?`, d.ID)
	case f.Device.Product != "":
		add(`device IN (SELECT id FROM device WHERE product = ?)`, f.Device.Product)
	}
	if !f.Since.IsZero() {
		add(`failed_at >= ?`, f.Since.UnixMilli())
	}
	if !f.Until.IsZero() {
		add(`failed_at < ?`, f.Until.UnixMilli())
	}
	if f.Before != 0 {
		add(`id < ?`, f.Before)
	}
	if len(f.IDs) > 0 {
		marks := strings.TrimSuffix(strings.Repeat("?,", len(f.IDs)), ",")
		ids := make([]any, len(f.IDs))
		for i, id := range f.IDs {
			ids[i] = id
		}
		add(`id IN (`+marks+`)`, ids...)
	}
	return sql, args, true, nil
}

// DeadLetters returns up to limit (1 to 1000) of the dead letters that f chooses and that are younger than the one after (0: from the
// oldest), oldest first.
func (r *Rules) DeadLetters(ctx context.Context, f DeadFilter, after int64, limit int) ([]DeadLetter, error) {
	where, args, some, err := r.where(ctx, &f)
	if err != nil {
		return nil, fmt.Errorf("rules: read dead letters: %w", err)
	}
	if !some {
		return nil, nil
	}
	rows, err := r.Deps.Store.Query(ctx, `SELECT id, rule, record, error, failed_at, attempts, failures FROM dead_letter WHERE `+where+
		` AND id > ? ORDER BY id LIMIT ?`, append(args, after, min(max(limit, 1), 1000))...)
	if err != nil {
		return nil, fmt.Errorf("rules: read dead letters: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err below tells
	var list []DeadLetter
	for rows.Next() {
		d, err := r.scanDead(rows)
		if err != nil {
			return nil, fmt.Errorf("rules: read dead letters: %w", err)
		}
		list = append(list, d)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("rules: read dead letters: %w", err)
	}
	return list, nil
}

func (r *Rules) scanDead(rows *store.Rows) (d DeadLetter, err error) {
	var (
		raw            []byte
		rule, at       int64
		text, failures string
		attempts       int
	)
	if err := rows.Scan(&d.ID, &rule, &raw, &text, &at, &attempts, &failures); err != nil {
		return d, err
	}
	if d.record, err = ParseRecord(raw); err != nil {
		return d, err
	}
	d.Failed = time.UnixMilli(at).UTC()
	list := []Failure{{d.Failed, text}}
	if failures != "" {
		if err := json.Unmarshal([]byte(failures), &list); err != nil {
			return d, err
		}
	}
	var name, kind string
	s := r.set.Load()
	if c := s.rule(rule); c != nil {
		name = c.Name
	}
	if a := s.action(d.record.Action); a != nil {
		kind = a.kind
	}
	d.Envelope = *envelopeOf(&d.record, kind, name, rule, attempts, list)
	return d, nil
}

// DeadLetter returns one dead letter of a project ("": of any).
func (r *Rules) DeadLetter(ctx context.Context, project string, id int64) (DeadLetter, error) {
	list, err := r.DeadLetters(ctx, DeadFilter{Project: project, IDs: []int64{id}}, 0, 1)
	if err == nil && len(list) == 0 {
		err = ErrNoDeadLetter
	}
	if err != nil {
		return DeadLetter{}, err
	}
	return list[0], nil
}

// CountDead is how many dead letters f chooses.
func (r *Rules) CountDead(ctx context.Context, f DeadFilter) (n int64, err error) {
	where, args, some, err := r.where(ctx, &f)
	if err == nil && some {
		err = r.Deps.Store.QueryRow(ctx, `SELECT COUNT(*) FROM dead_letter WHERE `+where, args...).Scan(&n)
	}
	if err != nil {
		return 0, fmt.Errorf("rules: count dead letters: %w", err)
	}
	return n, nil
}

// Replay puts up to limit of the dead letters that f chooses and that are younger than the one after back into the outbox, oldest first,
// each with its key; they are delivered behind what waits there already, and are no dead letters any longer. Those that have become too old for
// their action stay: it would drop them. It returns those that it put back, and the last one that it has looked at, 0 when there are no more.
func (r *Rules) Replay(ctx context.Context, f DeadFilter, after int64, limit int) (ids []int64, last int64, err error) {
	letters, err := r.DeadLetters(ctx, f, after, limit)
	if err != nil {
		return nil, 0, err
	}
	if len(letters) == min(max(limit, 1), 1000) {
		last = letters[len(letters)-1].ID
	}
	if ids, err = r.putBack(ctx, slices.DeleteFunc(letters, r.tooOld)); err != nil {
		return ids, 0, err
	}
	r.lettersChanged()
	return ids, last, nil
}

// tooOld tells whether the action of a letter would drop it.
func (r *Rules) tooOld(d DeadLetter) bool {
	a := r.set.Load().action(d.record.Action)
	if a == nil {
		return false
	}
	limit := a.service().options.expires()
	return limit > 0 && d.record.Time.Before(r.now().Add(-limit))
}

// putBack puts letters back; their order stays. The first goes alone, because what goes along with ctx goes with it.
func (r *Rules) putBack(ctx context.Context, letters []DeadLetter) (ids []int64, err error) {
	done := make([]chan error, len(letters))
	for i := range letters {
		d := &letters[i]
		done[i] = make(chan error, 1)
		op := deleteDead.Op(d.ID)
		op.Want = 1 // a letter that somebody else put back meanwhile is not put back twice
		u := &store.Unit{Device: d.record.DeviceID, Ops: []store.Op{op}, Out: [][]byte{d.record.Append(nil)}}
		if i == 0 {
			done[i] <- r.Deps.Store.Do(ctx, u)
			continue
		}
		u.Done = func(err error) { done[i] <- err }
		r.Deps.Store.Submit(u)
	}
	for i := range letters {
		switch e := <-done[i]; {
		case e == nil:
			ids = append(ids, letters[i].ID)
		case !errors.Is(e, store.ErrConflict):
			err = fmt.Errorf("rules: put back a dead letter: %w", e)
		}
	}
	return ids, err
}

// PurgeDead deletes the dead letters that f chooses and returns how many.
func (r *Rules) PurgeDead(ctx context.Context, f DeadFilter) (n int64, err error) {
	where, args, some, err := r.where(ctx, &f)
	if err == nil && some {
		err = r.Deps.Store.Update(ctx, func(tx *store.Tx) error {
			res, err := tx.Exec(ctx, `DELETE FROM dead_letter WHERE `+where, args...)
			if err == nil {
				n, _ = res.RowsAffected() // never fails, see Tx.Exec
			}
			return err
		})
	}
	if err != nil {
		return 0, fmt.Errorf("rules: delete dead letters: %w", err)
	}
	r.lettersChanged()
	return n, nil
}

// letters is how many dead letters an action has, as far as this node knows: others and people change that, and it is counted anew now
// and then.
type letters struct {
	mu           sync.Mutex // guards the fields below
	count, bytes int64
	alarmed      time.Time
}

// reserve takes room for more; false when there is none.
func (l *letters) reserve(cfg *Config, n int, bytes int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count+int64(n) > cfg.DeadLetters || l.bytes+bytes > cfg.DeadBytes {
		return false
	}
	l.count, l.bytes = l.count+int64(n), l.bytes+bytes
	return true
}

func (l *letters) set(count, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count, l.bytes = count, bytes
}

func (l *letters) get() (count, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count, l.bytes
}

// alarmEvery is how often an action's log entries of records that are given up may come.
const alarmEvery = time.Minute

// due tells whether something may be logged again.
func (l *letters) due(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.alarmed) < alarmEvery {
		return false
	}
	l.alarmed = now
	return true
}

// warnGivenUp logs that records were given up: the first in a while.
func (r *Rules) warnGivenUp(a *action, n int, why error) {
	if a.letters.due(r.now()) {
		r.Deps.Log.Warn("rule action gives records up; this is logged once a minute", "rule", a.rule, "action", a.id, "sink", a.kind, "records", n, "err", why)
	}
}

// alarm logs that records were lost.
func (r *Rules) alarm(a *action) {
	if a.letters.due(r.now()) {
		r.Deps.Log.Error("a rule action's dead letters are full: records are LOST until some are replayed or purged, or the target is back",
			"rule", a.rule, "action", a.id, "sink", a.kind, "most", r.cfg.DeadLetters, "most_bytes", r.cfg.DeadBytes)
	}
}

// lettersChanged has the letters counted anew soon.
func (r *Rules) lettersChanged() {
	select {
	case r.recount <- struct{}{}:
	default:
	}
}

// keepLetters deletes what is too old and counts what is left.
func (r *Rules) keepLetters(ctx context.Context) error {
	if _, err := r.PurgeDeadBefore(ctx, r.now().Add(-r.cfg.DeadAge)); err != nil {
		return err
	}
	rows, err := r.Deps.Store.Query(ctx, `SELECT action, COUNT(*), CAST(SUM(size) AS BIGINT) FROM dead_letter GROUP BY action`)
	if err != nil {
		return fmt.Errorf("rules: count dead letters: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err below tells
	found := make(map[int64]open)
	for rows.Next() {
		var id, n, bytes int64
		if err := rows.Scan(&id, &n, &bytes); err != nil {
			return fmt.Errorf("rules: count dead letters: %w", err)
		}
		found[id] = open{late: n, bytes: bytes}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("rules: count dead letters: %w", err)
	}
	for id, a := range r.set.Load().actions.all() {
		a.letters.set(found[id].late, found[id].bytes)
	}
	return nil
}

// PurgeDeadBefore deletes the dead letters that were made before t.
func (r *Rules) PurgeDeadBefore(ctx context.Context, t time.Time) (n int64, err error) {
	err = r.Deps.Store.Update(ctx, func(tx *store.Tx) error {
		res, err := tx.Exec(ctx, `DELETE FROM dead_letter WHERE failed_at < ?`, t.UnixMilli())
		if err == nil {
			n, _ = res.RowsAffected() // never fails, see Tx.Exec
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("rules: delete old dead letters: %w", err)
	}
	return n, nil
}
