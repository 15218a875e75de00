package alarm

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// Each channel is sent to by itself, one message at a time. These bound the messages of a node that are under way at once: channels that failed
// last time have slots of their own, so that those which hang hold up none that work. What finds no slot waits for a second in the store.
const (
	slotsWorking = 64
	slotsFailing = 16
)

// send sends what is due until ctx ends.
func (a *Alarms) send(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	working, failing := make(chan struct{}, slotsWorking), make(chan struct{}, slotsFailing)
	var under sync.Map // channels that a message is under way to
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		due, err := a.due(ctx)
		if err != nil && ctx.Err() == nil {
			a.Log.Warn("notices of alarms not read, trying again", "err", err)
		}
		for _, c := range due {
			slots := working
			if c.failures > 0 {
				slots = failing
			}
			if _, is := under.LoadOrStore(c.id, true); is {
				continue
			}
			select {
			case slots <- struct{}{}:
				wg.Go(func() {
					defer func() { <-slots; under.Delete(c.id) }()
					if err := a.sendDue(ctx, c.id); err != nil && ctx.Err() == nil {
						a.Log.Warn("notices of alarms not sent, trying again", "channel", c.id, "err", err)
					}
				})
			default:
				under.Delete(c.id)
			}
		}
	}
}

// dueChannel is a channel that has something to tell, and may.
type dueChannel struct{ id, failures int64 }

// due lists channels that no node sends to, those that work first.
func (a *Alarms) due(ctx context.Context) (list []dueChannel, err error) {
	now := a.now().UnixMilli()
	rows, err := a.Store.Query(ctx, `SELECT id, failures FROM alarm_channel c WHERE next_at <= ? AND held <= ? AND EXISTS (SELECT 1 FROM alarm_notice n WHERE n.channel = c.id)
		ORDER BY CASE WHEN failures = 0 THEN 0 ELSE 1 END, next_at LIMIT 200`, now, now)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var c dueChannel
		if err := rows.Scan(&c.id, &c.failures); err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

// hold is a channel that this node sends a message to.
type hold struct {
	channel int64
	until   int64 // Unix milliseconds; with it the hold is told from a later one
	message int64
}

// sendDue sends one message with what has gathered for a channel.
func (a *Alarms) sendDue(ctx context.Context, id int64) error {
	h, err := a.take(ctx, id)
	if err != nil || h == nil {
		return err
	}
	c, sender, failure := a.sender(ctx, id)
	if errors.Is(failure, ErrChannelNotFound) {
		return nil // it was deleted, and its notices with it
	}
	if failure == nil {
		var m Message
		if m, err = a.message(ctx, c, h.message); err != nil {
			return err
		}
		if len(m.Notices) > 0 {
			to, cancel := context.WithTimeout(ctx, a.cfg.SendTimeout)
			defer cancel()
			failure = sender.Send(to, m)
		}
	} else if c == nil {
		return failure
	}
	if ctx.Err() != nil { // the node stops; the next one sends the message again
		failure = ctx.Err()
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
	}
	return a.sent(ctx, c, h, failure)
}

// take holds a channel for this node, long enough for a message, and says which notices the message has. Those of a message that a node died
// over, or did not hear the end of, stay together, so that it is known for the same. It is nil when another node holds the channel.
func (a *Alarms) take(ctx context.Context, id int64) (*hold, error) {
	now := a.now()
	h := &hold{channel: id, until: now.Add(a.cfg.SendTimeout + 10*time.Second).UnixMilli()}
	mine := false
	err := a.Store.Update(ctx, func(tx *store.Tx) (err error) {
		mine, err = changes(tx.Exec(ctx, `UPDATE alarm_channel SET held = ? WHERE id = ? AND next_at <= ? AND held <= ?`, h.until, id, now.UnixMilli(), now.UnixMilli()))
		if err != nil || !mine {
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT COALESCE(MAX(message), 0) FROM alarm_notice WHERE channel = ?`, id).Scan(&h.message); err != nil || h.message != 0 {
			return err
		}
		h.message = int64(a.IDs.Next())
		_, err = tx.Exec(ctx, `UPDATE alarm_notice SET message = ? WHERE id IN (SELECT id FROM alarm_notice WHERE channel = ? ORDER BY id LIMIT ?)`, h.message, id, noticesAtOnce)
		return err
	})
	if err != nil || !mine {
		return nil, err
	}
	return h, nil
}

// message reads a message. Of an alarm that is over already only the end is told.
func (a *Alarms) message(ctx context.Context, c *Channel, id int64) (m Message, err error) {
	m = Message{Project: c.Project, At: a.now().UTC(), ID: id}
	rows, err := a.Store.Query(ctx, `SELECT n.cleared, a.id, a.rule, a.rule_name, a.project, a.product, a.subject, a.severity, a.text, a.value, a.seen, a.opened_at, a.acknowledged_at,
		a.acknowledged_by, a.cleared_at, a.cleared_by, a.changed_at FROM alarm_notice n JOIN alarm a ON a.id = n.alarm WHERE n.channel = ? AND n.message = ? ORDER BY n.id`, c.ID, id)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var n Notice
		var over int
		x, err := scanAlarm(&leading{rows, []any{&over}})
		if err != nil {
			return m, err
		}
		n.Alarm, n.Over = *x, over != 0
		if len(m.Notices) >= messageMost {
			m.More++
			continue
		}
		m.Notices = append(m.Notices, n)
	}
	return m, nil
}

// leading scans a row that has columns before those that are asked for.
type leading struct {
	row   scanner
	first []any
}

func (l *leading) Scan(dest ...any) error { return l.row.Scan(append(l.first, dest...)...) }

// sent notes what became of a message.
func (a *Alarms) sent(ctx context.Context, c *Channel, h *hold, failure error) error {
	now := a.now()
	next, result := now.Add(a.cfg.Interval), "sent"
	notices := `DELETE FROM alarm_notice WHERE channel = ? AND message = ?`
	channel := `UPDATE alarm_channel SET held = 0, next_at = ?, failures = 0, sent_at = ? WHERE id = ? AND held = ?`
	args := []any{now.UnixMilli()}
	switch {
	case errors.Is(failure, context.Canceled):
		next, result, notices, channel, args = now, "stopped", "", `UPDATE alarm_channel SET held = 0, next_at = ? WHERE id = ? AND held = ?`, nil
	case failure != nil:
		next, result = now.Add(a.pause(c.Failures)), "failed"
		notices = `UPDATE alarm_notice SET message = 0 WHERE channel = ? AND message = ?`
		if errors.Is(failure, context.DeadlineExceeded) {
			notices = "" // it may have arrived
		}
		channel = `UPDATE alarm_channel SET held = 0, next_at = ?, failures = failures + 1, last_error = ?, last_error_at = ? WHERE id = ? AND held = ?`
		text := failure.Error()
		args = []any{strings.ToValidUTF8(text[:min(len(text), 500)], ""), now.UnixMilli()}
		a.Log.Warn("alarm channel fails", "channel", c.Name, "kind", c.Kind, "failures", c.Failures+1, "err", failure)
	}
	a.metrics.sent.WithLabelValues(c.Kind, result).Inc()
	err := a.Store.Update(ctx, func(tx *store.Tx) error {
		if notices != "" {
			if _, err := tx.Exec(ctx, notices, h.channel, h.message); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, channel, append(append([]any{next.UnixMilli()}, args...), h.channel, h.until)...)
		return err
	})
	if err != nil {
		return fmt.Errorf("alarm: note what became of a message: %w", err)
	}
	return nil
}

// pause is how long to wait after so many failures in a row before.
func (a *Alarms) pause(failures int64) time.Duration {
	d := a.cfg.RetryMax
	if failures < 20 {
		d = min(a.cfg.RetryMin<<failures, a.cfg.RetryMax)
	}
	return d/2 + rand.N(d/2+1)
}
