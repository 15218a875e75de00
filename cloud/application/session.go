package application

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hawser-iot/hawser/cloud/auth"
	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

var insertRow = store.NewStmt(`INSERT INTO queue (device, seq, message_id, topic, payload, qos, kind, expires_at) VALUES (?, ?, ?, ?, ?, ?, 1, ?) ON CONFLICT (device, seq) DO NOTHING`)

// Connect makes the session of an application that auth let in. present says that a persistent one was there before, with filters.
// A fresh one begins without what was. Nothing is sent to it before Attach.
func (a *Applications) Connect(ctx context.Context, app *auth.App, clientID string, persistent, fresh bool) (s *Session, present bool, err error) {
	s = &Session{App: *app, Identity: Identity(app.KeyID, clientID)}
	old, err := a.readRow(ctx, s.Identity)
	if err != nil {
		return nil, false, err
	}
	if old != nil && (fresh || !persistent) {
		if err := a.forget(ctx, old.ID); err != nil {
			return nil, false, err
		}
		old = nil
	}
	if !persistent {
		return s, false, nil
	}
	s.ID, s.waiting = newID(), true
	if old != nil {
		s.ID, s.filters, present = old.ID, old.filters, true
	}
	now := a.now().UnixMilli()
	err = a.Store.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO application (id, identity, key_id, project, products, subs, node, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET project = excluded.project, products = excluded.products, node = excluded.node, updated_at = excluded.updated_at`,
			s.ID, s.Identity, app.KeyID, app.Project, join(app.Products), downlink.EncodeFilters(s.filters), a.cfg.Node, now)
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("store session of application: %w", err)
	}
	if old != nil && old.node != a.cfg.Node {
		a.tell(old.node, note{Cut: s.Identity})
	}
	return s, present, nil
}

// newID draws the id of a persistent session: below 0, where no device's is.
func newID() int64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return -int64(binary.BigEndian.Uint64(b[:])>>2) - 1
}

// Filters are what the session subscribes to.
func (s *Session) Filters() []downlink.Filter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.filters)
}

// Attach makes a session reachable over its connection, and hands over what waited for it.
func (a *Applications) Attach(ctx context.Context, s *Session, l Link) error {
	s.mu.Lock()
	s.link = l
	s.mu.Unlock()
	a.mu.Lock()
	if s.ID != 0 {
		a.dropLocked(a.stored[s.ID]) // as it was known from the store
		a.stored[s.ID] = s
	}
	a.local[s.Identity] = s
	a.putLocked(s)
	a.mu.Unlock()
	a.announce()
	if s.ID == 0 {
		return nil
	}
	a.tell("", note{Changed: s.ID})
	list, err := a.waitingRows(ctx, s.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	sent := make(map[uint64]bool, len(list))
	for _, m := range append(list, s.held...) {
		if sent[m.Tag] {
			continue
		}
		sent[m.Tag] = true
		if s.link == nil || s.link.Send(m) != nil {
			break // the rows stay for the next time
		}
	}
	s.waiting, s.held = false, nil
	return err
}

// waitingRows are the messages that wait for a session, oldest first.
func (a *Applications) waitingRows(ctx context.Context, id int64) (list []server.Message, err error) {
	rows, err := a.Store.Query(ctx, `SELECT seq, topic, payload, qos FROM queue WHERE device = ? AND expires_at > ? ORDER BY seq LIMIT ?`, id, a.now().UnixMilli(), a.cfg.QueueMax)
	if err != nil {
		return nil, fmt.Errorf("read queue of application: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var seq, qos int64
		var m server.Message
		if err := rows.Scan(&seq, &m.Topic, &m.Payload, &qos); err != nil {
			return list, err
		}
		m.QoS, m.Tag = byte(qos), uint64(seq)
		list = append(list, m)
	}
	return list, nil
}

// settled is after which time a row that is still there was not handed to the session, rather than not deleted yet.
const settled = 2 * time.Second

// catchUp hands over rows that no note told of: the node that made them did not know yet where the session is, or the note was lost.
func (a *Applications) catchUp(ctx context.Context) error {
	a.mu.Lock()
	var list []*Session
	for _, s := range a.local {
		if s.ID != 0 {
			list = append(list, s)
		}
	}
	a.mu.Unlock()
	before := a.now().Add(-settled)
	for _, s := range list {
		rows, err := a.waitingRows(ctx, s.ID)
		if err != nil {
			return err
		}
		for _, m := range rows {
			if message.ID(m.Tag).Time().Before(before) {
				s.offer(m) // what is on its way already is not sent again
			}
		}
	}
	return nil
}

// Detach ends a session's connection. A persistent one stays known.
func (a *Applications) Detach(s *Session) {
	s.mu.Lock()
	s.link, s.held = nil, nil
	s.waiting = s.ID != 0
	s.mu.Unlock()
	a.mu.Lock()
	if a.local[s.Identity] == s {
		delete(a.local, s.Identity)
	}
	if s.ID == 0 {
		a.dropLocked(s)
	}
	a.mu.Unlock()
	a.announce()
}

// Subscribe replaces what a session subscribes to, in the store first when it is persistent.
func (a *Applications) Subscribe(ctx context.Context, s *Session, filters []downlink.Filter) error {
	if s.ID != 0 {
		err := a.Store.Update(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE application SET subs = ?, updated_at = ? WHERE id = ?`, downlink.EncodeFilters(filters), a.now().UnixMilli(), s.ID)
			return err
		})
		if err != nil {
			return fmt.Errorf("store subscriptions of application: %w", err)
		}
	}
	a.mu.Lock()
	a.dropLocked(s)
	s.mu.Lock()
	s.filters = slices.Clone(filters)
	s.mu.Unlock()
	a.putLocked(s)
	a.mu.Unlock()
	if s.ID != 0 {
		a.tell("", note{Changed: s.ID})
		return nil
	}
	a.announce()
	return nil
}

// putLocked adds a session's filters to the tree.
func (a *Applications) putLocked(s *Session) {
	for _, f := range s.Filters() {
		a.growLocked(f.Filter, subscription{session: s, qos: f.QoS})
	}
}

// dropLocked takes a session's filters out of the tree; nil has none.
func (a *Applications) dropLocked(s *Session) {
	if s == nil {
		return
	}
	for _, f := range s.Filters() {
		a.shrinkLocked(f.Filter, func(sub subscription) bool { return sub.session == s })
	}
}

func (a *Applications) growLocked(filter string, sub subscription) {
	a.tree.Update(filter, func(list []subscription, _ bool) ([]subscription, bool) {
		return append(slices.Clone(list), sub), true // readers hold the old one
	})
	a.listening.Store(a.tree.Len() > 0)
}

func (a *Applications) shrinkLocked(filter string, gone func(subscription) bool) {
	a.tree.Update(filter, func(list []subscription, _ bool) ([]subscription, bool) {
		list = slices.DeleteFunc(slices.Clone(list), gone)
		return list, len(list) > 0
	})
	a.listening.Store(a.tree.Len() > 0)
}

// forget deletes a persistent session with what waits for it.
func (a *Applications) forget(ctx context.Context, id int64) error {
	err := a.Store.Update(ctx, func(tx *store.Tx) error {
		for _, q := range []string{`DELETE FROM queue WHERE device = ?`, `DELETE FROM application WHERE id = ?`} {
			if _, err := tx.Exec(ctx, q, id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("forget session of application: %w", err)
	}
	a.mu.Lock()
	a.dropLocked(a.stored[id])
	delete(a.stored, id)
	a.mu.Unlock()
	a.tell("", note{Changed: id})
	return nil
}

// recheck ends the sessions of keys that do not hold any more. kick ends a connection.
func (a *Applications) recheck(ctx context.Context, kick func(identity string)) {
	if a.Keys == nil {
		return
	}
	a.mu.Lock()
	list := make([]*Session, 0, len(a.local))
	for _, s := range a.local {
		list = append(list, s)
	}
	a.mu.Unlock()
	for _, s := range list {
		_, err := a.Keys.App(ctx, s.App.Text.Reveal())
		if !errors.Is(err, auth.ErrKey) {
			continue
		}
		if kick(s.Identity); s.ID == 0 {
			continue
		}
		if err := a.forget(ctx, s.ID); err != nil {
			a.Log.Warn("session of a key that is gone not forgotten", "application", s.Identity, "err", err)
		}
	}
}
