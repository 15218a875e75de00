package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// ErrFlow is returned for a login through OpenID Connect that was not begun here, has taken too long or was finished
// before.
var ErrFlow = errors.New("account: this login was not begun here, took too long or is over: begin it again")

// ErrUnknownSubject is returned for somebody whom the provider knows and the hub does not.
var ErrUnknownSubject = errors.New("account: the identity provider knows you, this hub does not: ask for an account")

// How long a login under way is kept.
const (
	flowLife = 10 * time.Minute // for the user at the provider
	codeLife = time.Minute      // for a program to exchange its code
)

// flow kinds, as stored.
const (
	flowStarted = 0
	flowCode    = 1
)

// Flow is a login through OpenID Connect under way.
type Flow struct {
	Nonce    string // in the provider's token
	Verifier string // PKCE, towards the provider
	// Target is where to go afterwards: a path of this hub, or the loopback address of a program.
	Target string
	// Binding is what the same browser (a cookie) or program (the hash of its verifier) must show.
	Binding []byte
}

// BeginFlow keeps a flow and returns its state, which comes back with the provider's answer.
func (a *Accounts) BeginFlow(ctx context.Context, f Flow) (state string, err error) {
	return a.storeFlow(ctx, flowStarted, f, "", flowLife)
}

// TakeFlow returns the flow of a state, once.
func (a *Accounts) TakeFlow(ctx context.Context, state string) (*Flow, error) {
	f, _, err := a.takeFlow(ctx, flowStarted, state)
	return f, err
}

// BeginCode keeps a login that is done for the program that began it, and returns a code for it.
func (a *Accounts) BeginCode(ctx context.Context, user string, binding []byte) (code string, err error) {
	return a.storeFlow(ctx, flowCode, Flow{Binding: binding}, user, codeLife)
}

// ExchangeCode makes the session that code stands for, once, for who knows the verifier that the login was begun with.
func (a *Accounts) ExchangeCode(ctx context.Context, code, verifier string, from Origin) (token string, s *Session, err error) {
	f, user, err := a.takeFlow(ctx, flowCode, code)
	if err != nil {
		return "", nil, err
	}
	if subtle.ConstantTimeCompare(Challenge(verifier), f.Binding) != 1 {
		return "", nil, ErrFlow
	}
	return a.SessionFor(ctx, user, from)
}

// Challenge is what binds a flow to who knows the verifier.
func Challenge(verifier string) []byte {
	sum := sha256.Sum256([]byte(verifier))
	return sum[:]
}

// SessionFor makes a session for a user whom an identity provider vouches for.
func (a *Accounts) SessionFor(ctx context.Context, user string, from Origin) (token string, s *Session, err error) {
	err = a.update(ctx, "log in", func(tx *store.Tx) error {
		u, err := readUser(ctx, tx, user)
		if err != nil {
			return err
		}
		if u.Disabled {
			return ErrUnknownSubject
		}
		token, s, err = a.newSession(ctx, tx, u.ID, MethodOIDC, from)
		return err
	})
	return token, s, err
}

func (a *Accounts) storeFlow(ctx context.Context, kind int, f Flow, user string, life time.Duration) (string, error) {
	var secret [secretLen]byte
	_, _ = rand.Read(secret[:]) // never fails
	text := base64.RawURLEncoding.EncodeToString(secret[:])
	err := a.update(ctx, "begin a login", func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO login_flow (hash, kind, binding, nonce, verifier, target, account, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			Challenge(text), kind, f.Binding, f.Nonce, f.Verifier, f.Target, user, a.now().Add(life).UnixMilli())
		return err
	})
	return text, err
}

func (a *Accounts) takeFlow(ctx context.Context, kind int, text string) (f *Flow, user string, err error) {
	f = &Flow{}
	err = a.update(ctx, "go on with a login", func(tx *store.Tx) error {
		var expires int64
		hash := Challenge(text)
		err := tx.QueryRow(ctx, `SELECT binding, nonce, verifier, target, account, expires_at FROM login_flow WHERE hash = ? AND kind = ?`, hash, kind).
			Scan(&f.Binding, &f.Nonce, &f.Verifier, &f.Target, &user, &expires)
		if errors.Is(err, store.ErrNoRows) {
			return ErrFlow
		}
		if err != nil {
			return err
		}
		if err := execOne(ctx, tx, ErrFlow, `DELETE FROM login_flow WHERE hash = ? AND kind = ?`, hash, kind); err != nil {
			return err
		}
		if a.now().UnixMilli() >= expires {
			f = nil // committed all the same: it is of no use
		}
		return nil
	})
	if err == nil && f == nil {
		err = ErrFlow
	}
	return f, user, err
}

// Claims are what an identity provider says of somebody, verified.
type Claims struct {
	Issuer, Subject string
	Email           string // only when the provider has verified it
	Name            string
}

// AutoCreate says what becomes of somebody whom the hub does not know: Role "" refuses them.
type AutoCreate struct {
	Project string
	Role    Role
}

// UserOf finds the user of the claims by issuer and subject, which nobody else can take; an email address is no proof. With
// auto a user who is not there is made a member of a project.
func (a *Accounts) UserOf(ctx context.Context, c Claims, auto AutoCreate) (user string, err error) {
	if c.Issuer == "" || c.Subject == "" {
		return "", ErrUnknownSubject
	}
	var created bool
	err = a.update(ctx, "find the user of a login", func(tx *store.Tx) error {
		created = false
		user, err = scanText(tx.QueryRow(ctx, `SELECT id FROM account WHERE issuer = ? AND subject = ?`, c.Issuer, c.Subject))
		if !errors.Is(err, store.ErrNoRows) {
			return err
		}
		if auto.Role == "" {
			return ErrUnknownSubject
		}
		created = true
		return a.autoCreate(ctx, tx, c, auto, &user)
	})
	if err == nil && created {
		a.changed(UserChanged, user)
	}
	return user, err
}

func (a *Accounts) autoCreate(ctx context.Context, tx *store.Tx, c Claims, auto AutoCreate, user *string) error {
	*user = userIDPrefix + newID()
	login := normalLogin(c.Email)
	taken := false
	if validLogin(login) == nil {
		_, err := readUser(ctx, tx, login)
		if taken = err == nil; err != nil && !errors.Is(err, ErrUserNotFound) {
			return err
		}
	}
	if taken || validLogin(login) != nil { // somebody else has that name: they stay who they are
		login = "oidc-" + strings.TrimPrefix(*user, userIDPrefix)
	}
	if err := a.insertUser(ctx, tx, *user, "", NewUser{Login: login, Name: cut(c.Name, maxName/4), Issuer: c.Issuer, Subject: c.Subject}); err != nil {
		return err
	}
	if auto.Project != HubProject {
		if err := projectExists(ctx, tx, auto.Project); err != nil {
			return err
		}
	}
	if err := a.Reserve(ctx, tx, auto.Project, QuotaUsers, 1); err != nil {
		return err
	}
	return a.storeMember(ctx, tx, auto.Project, *user, auto.Role, nil)
}
