package thingmodel

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// A command that waits is a row with status queued. Each node knows the devices for which some wait (waiting) and looks
// twice a second which of them listen to their command topic on this node: that covers logins, subscriptions and
// sub-devices alike, and a login costs nothing. A device that subscribes over its own connection is looked at at once. A row becomes sent, by a guarded update, before the message goes out: two
// nodes, or a cancel at the same moment, cannot both have it. A hub that dies in between leaves one that is failed when its
// time is over; nothing is sent twice.

// MaxQueueTime bounds how long a command may wait, and MaxQueued how many may wait for one device.
const (
	MaxQueueTime = 30 * 24 * time.Hour
	MaxQueued    = 100
)

const (
	lookEvery = 500 * time.Millisecond // for devices that listen
	hearEvery = 2 * time.Second        // of what other nodes and jobs have queued, and of what is due
	readEvery = 5 * time.Minute        // all that waits
	// hearBack is how far back is looked for what was queued: rows are committed a little after their time.
	hearBack = time.Minute
	// dueGrace is how long the node that waits for an answer has to note that there was none, before others do.
	dueGrace = 3 * time.Second
)

// waiting are the devices for which commands wait, as far as this node knows.
type waiting struct {
	mu   sync.Mutex // guards the fields below
	byID map[int64]waiter
	last int64 // counts what was added
}

type waiter struct {
	dev   ident.Device
	added int64 // what last was
}

func (w *waiting) add(id int64, dev ident.Device) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byID == nil {
		w.byID = map[int64]waiter{}
	}
	w.last++
	w.byID[id] = waiter{dev, w.last}
}

func (w *waiting) get(id int64) (waiter, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	one, ok := w.byID[id]
	return one, ok
}

func (w *waiting) has(id int64) bool {
	_, ok := w.get(id)
	return ok
}

// done takes a device off, unless it was added again since.
func (w *waiting) done(id, added int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byID[id].added == added {
		delete(w.byID, id)
	}
}

// those returns the devices that ok takes; ok must not block.
func (w *waiting) those(ok func(ident.Device) bool) map[int64]waiter {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found map[int64]waiter
	for id, one := range w.byID {
		if !ok(one.dev) {
			continue
		}
		if found == nil {
			found = map[int64]waiter{}
		}
		found[id] = one
	}
	return found
}

// notInTime is what the record of an expired command says.
const notInTime = "the device did not come in time"

var (
	// Its types are named because PostgreSQL takes what is selected for text.
	insertWaiting = store.NewStmt(`INSERT INTO command_log (` + recordColumns + `)
		SELECT CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS BIGINT),
		CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS SMALLINT), CAST(? AS SMALLINT), CAST(? AS BIGINT),
		CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT) WHERE (SELECT COUNT(*) FROM command_log WHERE device = ? AND status = 'queued') < ?`)
	takeRecord = store.NewStmt(`UPDATE command_log SET status = 'sent', sent_at = ?, due_at = ? WHERE id = ? AND status = 'queued'`)
	putBack    = store.NewStmt(`UPDATE command_log SET status = 'queued', sent_at = 0, due_at = expires_at WHERE id = ? AND status = 'sent'`)
	expire     = store.NewStmt(`UPDATE command_log SET status = 'expired', code = 100039, message = '` + notInTime + `', done_at = ? WHERE id = ? AND status = 'queued'`)
	cancel     = store.NewStmt(`UPDATE command_log SET status = 'cancelled', done_at = ? WHERE id = ? AND status = 'queued'`)
)

// insertQueued makes a new command wait.
func (t *Things) insertQueued(ctx context.Context, r *Record) error {
	op := store.Op{Stmt: insertWaiting, Args: append(r.values(), r.device, int64(MaxQueued)), Want: 1}
	err := t.Store.Do(ctx, &store.Unit{Device: r.device, Ops: []store.Op{op}})
	if errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("%w: %d", ErrQueueFull, MaxQueued)
	}
	if err != nil {
		return fmt.Errorf("thingmodel: queue command: %w", err)
	}
	t.waiting.add(r.device, r.dev)
	return nil
}

// requeue makes a command wait that did not reach its device.
func (t *Things) requeue(ctx context.Context, r *Record) error {
	var n int
	err := t.Store.QueryRow(ctx, `SELECT COUNT(*) FROM command_log WHERE device = ? AND status = 'queued'`, r.device).Scan(&n)
	if err == nil && n >= MaxQueued {
		err = fmt.Errorf("%w: %d", ErrQueueFull, MaxQueued)
		t.failed(ctx, r, err)
		return err
	}
	if err == nil {
		err = t.Store.Do(ctx, &store.Unit{Device: r.device, Ops: []store.Op{putBack.Op(r.ID)}})
	}
	if err != nil {
		return fmt.Errorf("thingmodel: queue command: %w", err)
	}
	t.waiting.add(r.device, r.dev)
	return nil
}

// Queue makes a command wait in a transaction of the caller's, whether the device is there or not. job names the job that calls.
// Those that are to be sent at once are found within seconds.
func (t *Things) Queue(ctx context.Context, tx *store.Tx, d *registry.Device, c Command, job string) (requestID string, err error) {
	_, model, err := t.model(ctx, d.Identity.Product)
	if err != nil {
		return "", err
	}
	r, err := t.newRecord(d, model, &c)
	if err != nil {
		return "", err
	}
	r.Job, r.Async = job, true
	res, err := tx.Exec(ctx, insertWaiting.String(), append(r.values(), r.device, int64(MaxQueued))...)
	if err != nil {
		return "", fmt.Errorf("thingmodel: queue command: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return "", errors.Join(err, fmt.Errorf("%w: %d", ErrQueueFull, MaxQueued))
	}
	return r.RequestID, nil
}

// CheckCommand tells whether a command could be called on a device of the product.
func (t *Things) CheckCommand(ctx context.Context, product string, c Command) error {
	_, model, err := t.model(ctx, product)
	if err == nil {
		_, err = checkInput(model, c)
	}
	return err
}

// CancelCommand takes a command back that waits for its device.
func (t *Things) CancelCommand(ctx context.Context, dev ident.Device, requestID string) (*Record, error) {
	r, err := t.Record(ctx, dev, requestID)
	if err != nil {
		return nil, err
	}
	err = t.Store.Do(ctx, &store.Unit{Device: r.device, Ops: []store.Op{cancel.Guard(t.now().UnixMilli(), r.ID)}})
	if errors.Is(err, store.ErrConflict) {
		return nil, ErrNotQueued
	}
	if err != nil {
		return nil, fmt.Errorf("thingmodel: cancel command %s of %s: %w", requestID, dev, err)
	}
	return t.Record(ctx, dev, requestID)
}

// Run sends commands that wait to devices that listen, and ends what is due, until ctx ends.
func (t *Things) Run(ctx context.Context) error {
	look, hear, read := time.NewTicker(lookEvery), time.NewTicker(hearEvery), time.NewTicker(readEvery)
	defer look.Stop()
	defer hear.Stop()
	defer read.Stop()
	t.readWaiting(ctx, time.Time{})
	for {
		select {
		case <-look.C:
			t.look(ctx)
		case id := <-t.heard:
			t.hear(ctx, id)
		case <-hear.C:
			t.readWaiting(ctx, t.now().Add(-hearBack))
			t.endDue(ctx)
		case <-read.C:
			t.readWaiting(ctx, time.Time{})
		case <-ctx.Done():
			return nil
		}
	}
}

// look sends to the devices that listen on this node.
func (t *Things) look(ctx context.Context) {
	for id, w := range t.waiting.those(t.Caller.Listens) {
		if ctx.Err() != nil {
			return
		}
		t.lookAt(ctx, id, w)
	}
}

// hear sends to a device that has subscribed to something, if it listens to its commands now.
func (t *Things) hear(ctx context.Context, id int64) {
	if w, ok := t.waiting.get(id); ok && t.Caller.Listens(w.dev) {
		t.lookAt(ctx, id, w)
	}
}

func (t *Things) lookAt(ctx context.Context, id int64, w waiter) {
	if err := t.flush(ctx, id, w); err != nil && ctx.Err() == nil {
		t.Log.Warn("commands that wait not sent", "product", w.dev.Product, "device", w.dev.SN, "err", err)
	}
}

// heardMost is how many devices may wait to be looked at out of turn; the next look finds the others.
const heardMost = 256

// Listening says that a device has subscribed to something on this node, behind its SUBACK: the commands that wait for it go out now. It
// does not block.
func (t *Things) Listening(deviceID int64) {
	if !t.waiting.has(deviceID) {
		return
	}
	select {
	case t.heard <- deviceID:
	default:
	}
}

// readWaiting finds out for which devices commands wait that were queued since; the zero time is all.
func (t *Things) readWaiting(ctx context.Context, since time.Time) {
	rows, err := t.Store.Query(ctx, `SELECT DISTINCT c.device, d.product, d.sn FROM command_log c JOIN device d ON d.id = c.device
		WHERE c.status = 'queued' AND c.created_at >= ?`, millis(since))
	var list []waiterRow
	if err == nil {
		list, err = collect(rows, func(row scanner) (w waiterRow, err error) {
			err = row.Scan(&w.id, &w.dev.Product, &w.dev.SN)
			return w, err
		})
	}
	if err != nil {
		if ctx.Err() == nil {
			t.Log.Warn("commands that wait not read", "err", err)
		}
		return
	}
	for _, w := range list {
		if !t.waiting.has(w.id) {
			t.waiting.add(w.id, w.dev)
		}
	}
}

type waiterRow struct {
	id  int64
	dev ident.Device
}

// flush sends what waits for a device, in the order in which it was called, until it is gone.
func (t *Things) flush(ctx context.Context, id int64, w waiter) error {
	lock := &t.flushing[uint64(id)%stripes]
	lock.Lock()
	defer lock.Unlock()
	rows, err := t.Store.Query(ctx, `SELECT `+recordColumns+` FROM command_log WHERE device = ? AND status = 'queued' ORDER BY id LIMIT ?`, id, MaxQueued)
	var list []*Record
	if err == nil {
		list, err = collect(rows, func(row scanner) (*Record, error) { return scanRecord(row) })
	}
	if err != nil {
		return err
	}
	for _, r := range list {
		r.dev = w.dev
		if there, err := t.sendQueued(ctx, r); err != nil || !there {
			return err
		}
	}
	t.waiting.done(id, w.added)
	return nil
}

// sendQueued sends a command that waits; there is false when its device has gone again.
func (t *Things) sendQueued(ctx context.Context, r *Record) (there bool, err error) {
	now := t.now()
	if !r.Expires.After(now) {
		return true, t.Store.Do(ctx, &store.Unit{Device: r.device, Ops: []store.Op{expire.Op(now.UnixMilli(), r.ID)}})
	}
	r.send(now)
	err = t.Store.Do(ctx, &store.Unit{Device: r.device, Ops: []store.Op{takeRecord.Guard(millis(r.Sent), millis(r.due), r.ID)}})
	if errors.Is(err, store.ErrConflict) {
		return true, nil // another node has it, or it was cancelled
	}
	if err != nil {
		return false, err
	}
	err = t.Caller.Send(message.WithID(ctx, message.ID(r.ID)), r.dev, topic.System(r.dev, topic.Command), commandPayload(r.RequestID, r.Identifier, r.Input), r.due)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, ErrTooLargeForDevice):
		t.failed(ctx, r, err)
		return true, nil
	}
	t.Log.Debug("command waits on", "product", r.dev.Product, "device", r.dev.SN, "request_id", r.RequestID, "err", err)
	return false, t.Store.Do(context.WithoutCancel(ctx), &store.Unit{Device: r.device, Ops: []store.Op{putBack.Op(r.ID)}})
}

// endDue ends the commands that nobody else ends: those whose device did not come, and those whose node is gone or never
// waited for an answer.
func (t *Things) endDue(ctx context.Context) {
	now := t.now()
	var due int
	err := t.Store.QueryRow(ctx, `SELECT COUNT(*) FROM (SELECT 1 FROM command_log WHERE status IN ('queued', 'sent') AND due_at <= ? LIMIT 1) AS c`,
		now.UnixMilli()).Scan(&due)
	if err == nil && due > 0 {
		err = t.Store.Update(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE command_log SET status = 'expired', code = ?, message = ?, done_at = due_at
				WHERE status IN ('queued', 'sent') AND status = 'queued' AND due_at <= ?`, int64(message.CodeNotOnline), notInTime, now.UnixMilli())
			if err != nil {
				return err
			}
			_, err = tx.Exec(ctx, `UPDATE command_log SET status = 'failed', code = ?, message = ?, done_at = due_at
				WHERE status IN ('queued', 'sent') AND status = 'sent' AND due_at <= ?`, int64(message.CodeCommandTimeout), plainText(ErrTimeout), now.Add(-dueGrace).UnixMilli())
			return err
		})
	}
	if err != nil && ctx.Err() == nil {
		t.Log.Warn("commands that are over not ended", "err", err)
	}
}
