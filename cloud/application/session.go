package application

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hawser-iot/hawser/cloud/auth"
	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/store"
)

// Rows of sessions and groups have a kind of their own.
var (
	insertRow = store.NewStmt(`INSERT INTO queue (device, seq, message_id, topic, payload, qos, kind, expires_at, retain, member) VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?, ?)
		ON CONFLICT (device, seq) DO NOTHING`)
	deleteRow = store.NewStmt(`DELETE FROM queue WHERE device = ? AND seq = ?`)
)

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
	s.ID = newID()
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

// Attach makes a session reachable over its connection, and hands over what waited for it, as far as there is room.
func (a *Applications) Attach(ctx context.Context, s *Session, l Link) error {
	s.mu.Lock()
	s.link = l
	s.handing.behind, s.handing.filling = true, true
	s.mu.Unlock()
	a.mu.Lock()
	a.putLocked(s)
	if s.ID != 0 {
		if old := a.stored[s.ID]; old != s { // as it was known from the store; it goes last, so that no message meets neither
			a.dropLocked(old)
		}
		a.stored[s.ID] = s
	}
	a.local[s.Identity] = s
	a.regroupLocked()
	a.mu.Unlock()
	a.announce()
	if s.ID != 0 {
		a.tell("", note{Changed: s.ID})
	}
	return a.fill(ctx, s)
}

// Detach ends a session's connection. A persistent one stays known; what a group has given it goes to others.
func (a *Applications) Detach(s *Session) {
	s.mu.Lock()
	s.link = nil
	s.mu.Unlock()
	a.mu.Lock()
	moved := a.local[s.Identity] != s
	if !moved {
		delete(a.local, s.Identity)
	}
	if s.ID == 0 {
		a.dropLocked(s)
	}
	a.regroupLocked()
	a.mu.Unlock()
	a.announce()
	for _, f := range s.shared() {
		if !moved {
			a.leave(keyOf(&s.App, f.Filter).id(), s.Identity)
		}
	}
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
	left := s.shared()
	a.mu.Lock()
	s.mu.Lock()
	before := s.filters
	if slices.ContainsFunc(filters, func(f downlink.Filter) bool { return !slices.Contains(s.filters, f) }) && s.link != nil {
		s.handing.held, s.handing.behind = true, true // see Joined
	}
	s.filters = slices.Clone(filters)
	s.mu.Unlock()
	a.putLocked(s)
	for _, f := range before { // last, so that what stays is never out of the tree
		if !slices.ContainsFunc(filters, func(g downlink.Filter) bool { return g.Filter == f.Filter }) && !strings.HasPrefix(f.Filter, sharePrefix) {
			a.shrinkLocked(f.Filter, func(sub subscription) bool { return sub.session == s })
		}
	}
	a.regroupLocked()
	a.mu.Unlock()
	a.announce()
	if s.ID != 0 {
		a.tell("", note{Changed: s.ID})
	}
	for _, f := range left {
		if !slices.ContainsFunc(filters, func(g downlink.Filter) bool { return g.Filter == f.Filter }) {
			a.leave(keyOf(&s.App, f.Filter).id(), s.Identity)
		}
	}
	return nil
}

// putLocked adds a session's filters to the tree, in the place of what they were; shared ones are their group's.
func (a *Applications) putLocked(s *Session) {
	for _, f := range s.Filters() {
		if !strings.HasPrefix(f.Filter, sharePrefix) {
			a.growLocked(f.Filter, subscription{session: s, qos: f.QoS})
		}
	}
}

// dropLocked takes a session's filters out of the tree; nil has none.
func (a *Applications) dropLocked(s *Session) {
	if s == nil {
		return
	}
	for _, f := range s.Filters() {
		if !strings.HasPrefix(f.Filter, sharePrefix) {
			a.shrinkLocked(f.Filter, func(sub subscription) bool { return sub.session == s })
		}
	}
}

func (a *Applications) growLocked(filter string, sub subscription) {
	a.tree.Update(filter, func(list []subscription, _ bool) ([]subscription, bool) {
		list = slices.Clone(list) // readers hold the old one
		if sub.session != nil {
			list = slices.DeleteFunc(list, func(old subscription) bool { return old.session == sub.session })
		}
		return append(list, sub), true
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
	a.regroupLocked()
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
