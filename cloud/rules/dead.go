package rules

import (
	"context"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/message"
)

// DeadLetter is a record that was not delivered for good.
type DeadLetter struct {
	ID     int64
	Record Record
	Error  string
	Failed time.Time
}

const maxError = 1000

var (
	insertDead = store.NewStmt(`INSERT INTO dead_letter (id, action, message_id, device, record, error, failed_at) VALUES (?, ?, ?, ?, ?, ?, ?)`)
	deleteDead = store.NewStmt(`DELETE FROM dead_letter WHERE id = ?`)
)

// bury makes a record a dead letter. It returns an error only when ctx has ended.
func (ln *lane) bury(ctx context.Context, rec *Record, why error) error {
	r, a := ln.shard.rules, ln.action
	text := why.Error()
	if len(text) > maxError {
		text = text[:maxError]
	}
	err := ln.persist(ctx, "dead letter", func() error {
		return r.Deps.Store.Do(ctx, &store.Unit{Device: rec.DeviceID, Ops: []store.Op{insertDead.Op(int64(r.Deps.IDs.Next()), a.id,
			int64(rec.MessageID), rec.DeviceID, rec.Append(nil), text, r.now().UnixMilli())}})
	})
	if err != nil {
		return err
	}
	a.books.bury()
	r.metrics.dead.WithLabelValues(a.kind).Inc()
	r.Deps.Log.Warn("rule output is a dead letter", "rule", a.rule, "action", a.id, "sink", a.kind, "topic", rec.Topic,
		"product", rec.Device.Product, "device", rec.Device.SN, "message_id", rec.MessageID, "err", why)
	return nil
}

// DeadLetters returns up to limit dead letters of a rule that are younger than the one after (0: from the oldest), oldest first.
func (r *Rules) DeadLetters(ctx context.Context, rule, after int64, limit int) ([]DeadLetter, error) {
	rows, err := r.Deps.Store.Query(ctx, `SELECT id, record, error, failed_at FROM dead_letter
		WHERE action IN (SELECT id FROM rule_action WHERE rule = ?) AND id > ? ORDER BY id LIMIT ?`, rule, after, min(max(limit, 1), 1000))
	if err != nil {
		return nil, fmt.Errorf("rules: read dead letters: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err below tells
	var list []DeadLetter
	for rows.Next() {
		var (
			d      DeadLetter
			raw    []byte
			failed int64
		)
		if err := rows.Scan(&d.ID, &raw, &d.Error, &failed); err != nil {
			return nil, fmt.Errorf("rules: read dead letters: %w", err)
		}
		if d.Record, err = ParseRecord(raw); err != nil {
			return nil, fmt.Errorf("rules: dead letter %s: %w", message.ID(d.ID), err)
		}
		d.Failed = time.UnixMilli(failed).UTC()
		list = append(list, d)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("rules: read dead letters: %w", err)
	}
	return list, nil
}

// Replay puts dead letters back into the outbox, each with its key; they are delivered behind what waits there already.
// It returns how many it put back.
func (r *Rules) Replay(ctx context.Context, letters []DeadLetter) (int, error) {
	for i := range letters {
		d := &letters[i]
		op := deleteDead.Op(d.ID)
		op.Want = 1 // a letter that somebody else put back meanwhile is not put back twice
		err := r.Deps.Store.Do(ctx, &store.Unit{Device: d.Record.DeviceID, Ops: []store.Op{op}, Out: [][]byte{d.Record.Append(nil)}})
		if err != nil {
			return i, fmt.Errorf("rules: put back dead letter %s: %w", message.ID(d.ID), err)
		}
	}
	return len(letters), nil
}
