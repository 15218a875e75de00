package account

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

const (
	sessionPrefix = "hws_"
	sessionIDLen  = 12
	maxAgent      = 200
)

// Session is a login, without its token.
type Session struct {
	ID, User       string
	Method         string // password or oidc
	Address, Agent string // of the login
	Created        time.Time
	Seen           time.Time // within a minute
	Expires        time.Time // at the latest; earlier when it is not used
}

// sessionRecord is a session as it is verified.
type sessionRecord struct {
	session Session
	hash    [sha256.Size]byte
	read    time.Time
}

// Origin is where a request came from.
type Origin struct{ Address, Agent string }

// newSession makes a session of a user; nothing of a session that the caller may have had goes on in it.
func (a *Accounts) newSession(ctx context.Context, tx *store.Tx, user, method string, from Origin) (token string, s *Session, err error) {
	id := newID()
	token = sessionPrefix + id + "_" + drawSecret()
	now := fromMillis(a.now().UnixMilli())
	s = &Session{ID: id, User: user, Method: method, Address: from.Address, Agent: cut(from.Agent, maxAgent), Created: now, Seen: now, Expires: now.Add(a.cfg.SessionLife)}
	hash := sha256.Sum256([]byte(token))
	_, err = tx.Exec(ctx, `INSERT INTO account_session (id, account, hash, method, address, agent, created_at, seen_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		id, user, hash[:], method, s.Address, s.Agent, now.UnixMilli(), now.UnixMilli(), s.Expires.UnixMilli())
	if err == nil {
		_, err = tx.Exec(ctx, `UPDATE account SET last_login_at = ? WHERE id = ?`, now.UnixMilli(), user)
	}
	return token, s, err
}

// cut bounds what a client says of itself, and keeps to what is text.
func cut(s string, limit int) string {
	b := make([]rune, 0, min(len(s), limit))
	for _, r := range s {
		if len(b) == limit {
			break
		}
		if r >= ' ' && r != 0x7f && r != 0xfffd {
			b = append(b, r)
		}
	}
	return string(b)
}

const sessionColumns = `id, account, hash, method, address, agent, created_at, seen_at, expires_at`

func scanSession(row scanner) (*sessionRecord, error) {
	var rec sessionRecord
	var hash []byte
	var created, seen, expires int64
	s := &rec.session
	err := row.Scan(&s.ID, &s.User, &hash, &s.Method, &s.Address, &s.Agent, &created, &seen, &expires)
	copy(rec.hash[:], hash)
	s.Created, s.Seen, s.Expires = fromMillis(created), fromMillis(seen), fromMillis(expires)
	return &rec, err
}

func (a *Accounts) verifySession(ctx context.Context, token string) (*Caller, error) {
	id, ok := parseToken(token, sessionPrefix, sessionIDLen)
	if !ok {
		return nil, ErrBadKey
	}
	now := a.now()
	rec, err := a.lookupSession(ctx, id, now)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256([]byte(token))
	if rec == nil {
		subtle.ConstantTimeCompare(hash[:], make([]byte, len(hash)))
		return nil, ErrBadKey
	}
	s := &rec.session
	if subtle.ConstantTimeCompare(hash[:], rec.hash[:]) != 1 || !now.Before(s.Expires) || now.Sub(s.Seen) >= a.cfg.SessionIdle {
		return nil, ErrBadKey
	}
	user, err := a.lookupUser(ctx, s.User, now)
	if err != nil {
		return nil, err
	}
	if user == nil || user.disabled {
		return nil, ErrBadKey
	}
	if now.Sub(s.Seen) >= usedStep {
		a.sessionUsed(ctx, id, now)
	}
	return &Caller{Identity: user.identity, Session: id, Expires: s.Expires}, nil
}

func (a *Accounts) lookupSession(ctx context.Context, id string, now time.Time) (*sessionRecord, error) {
	if rec, ok := a.sessions.Get(id); ok && a.fresh(rec.read, now) {
		return rec, nil
	}
	ticket := a.sessions.Ticket(id)
	rec, err := scanSession(a.db.QueryRow(ctx, `SELECT `+sessionColumns+` FROM account_session WHERE id = ?`, id))
	if errors.Is(err, store.ErrNoRows) {
		a.sessions.Remove(id)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("account: read session: %w", err)
	}
	rec.read = now
	a.sessions.Fill(id, ticket, rec)
	return rec, nil
}

// sessionUsed notes that a session was used; like keyUsed it may fail. Another node that holds the older time in memory
// reads anew before it would find the session idle, because Recheck is shorter than that.
func (a *Accounts) sessionUsed(ctx context.Context, id string, now time.Time) {
	err := a.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE account_session SET seen_at = ? WHERE id = ?`, now.UnixMilli(), id)
		return err
	})
	if err != nil {
		return
	}
	a.sessions.Update(id, func(old *sessionRecord) (*sessionRecord, bool) {
		next := *old
		next.session.Seen = now
		return &next, true
	})
}

// EndSession ends a session of a user at once, everywhere.
func (a *Accounts) EndSession(ctx context.Context, user, id string) error {
	err := a.update(ctx, "end session", func(tx *store.Tx) error {
		return execOne(ctx, tx, ErrSessionNotFound, `DELETE FROM account_session WHERE id = ? AND account = ?`, id, user)
	})
	if err != nil {
		return err
	}
	a.changed(SessionChanged, id)
	return nil
}

// EndSessions ends all sessions of a user but one, which may be "".
func (a *Accounts) EndSessions(ctx context.Context, user, but string) error {
	var ended []string
	err := a.update(ctx, "end sessions", func(tx *store.Tx) (err error) {
		ended, err = endSessions(ctx, tx, user, but)
		return err
	})
	if err != nil {
		return err
	}
	a.changed(SessionChanged, ended...)
	return nil
}

// EndSessionsOf is EndSessions by somebody else, who must not have less than the user, nor touch one who has more.
func (a *Accounts) EndSessionsOf(ctx context.Context, by *Principal, user, id string) error {
	err := a.update(ctx, "end sessions of "+user, func(tx *store.Tx) error {
		u, err := a.touch(ctx, tx, by, user)
		if err == nil {
			user = u.ID
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case id != "":
		return a.EndSession(ctx, user, id)
	}
	return a.EndSessions(ctx, user, "")
}

func endSessions(ctx context.Context, tx *store.Tx, user, but string) (ended []string, err error) {
	if ended, err = collect(ctx, tx, scanText, `SELECT id FROM account_session WHERE account = ? AND id <> ?`, user, but); err != nil {
		return nil, err
	}
	_, err = tx.Exec(ctx, `DELETE FROM account_session WHERE account = ? AND id <> ?`, user, but)
	return ended, err
}

// TrimSessions removes sessions and logins under way that have ended by themselves.
func (a *Accounts) TrimSessions(ctx context.Context, now time.Time) (removed int, err error) {
	err = a.update(ctx, "trim sessions", func(tx *store.Tx) error {
		res, err := tx.Exec(ctx, `DELETE FROM account_session WHERE expires_at <= ? OR seen_at <= ?`, now.UnixMilli(), now.Add(-a.cfg.SessionIdle).UnixMilli())
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return err
		}
		removed = int(n)
		_, err = tx.Exec(ctx, `DELETE FROM login_flow WHERE expires_at <= ?`, now.UnixMilli())
		return err
	})
	return removed, err
}
