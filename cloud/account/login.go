package account

import (
	"context"
	"errors"
	"fmt"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/throttle"
)

// Errors of a login.
var (
	// ErrWrongLogin is returned for a name and password that do not go together, for whatever reason: that there is no such
	// user, or that they are disabled, is nobody's business.
	ErrWrongLogin = errors.New("account: the login name or the password is wrong")
	// ErrTOTPRequired is returned once the password was right and a second factor is wanted.
	ErrTOTPRequired = errors.New("account: the second factor is missing: send a code of your authenticator, or a recovery code")
	// ErrWrongTOTP is returned for a wrong, used or expired second factor.
	ErrWrongTOTP = errors.New("account: the code of the second factor is wrong or was used before")
	// ErrNotUser is returned where a key asks for what only users have.
	ErrNotUser = errors.New("account: this is for users that have logged in, not for API keys")
)

// Methods of a login.
const (
	MethodPassword = "password"
	MethodOIDC     = "oidc"
)

// Credentials are what a user shows to log in.
type Credentials struct {
	Login, Password string
	// Code is one of the authenticator, Recovery a recovery code; one of them when the user has a second factor.
	Code, Recovery string
}

// Login makes a session for who shows the right credentials. An unknown user costs as much as a wrong password. Wrong ones
// are counted for each name and address.
func (a *Accounts) Login(ctx context.Context, c Credentials, from Origin) (token string, s *Session, err error) {
	who := throttle.Pair{Name: cut(normalLogin(c.Login), maxName), Host: throttle.Host(from.Address)}
	leave, err := a.gate.enter(who, a.now())
	if err != nil {
		return "", nil, err
	}
	defer leave()
	u, err := a.checkPassword(ctx, c.Login, c.Password)
	if err != nil {
		return "", nil, a.wrong(who, err)
	}
	// Who knows the password may guess at codes from everywhere: these are counted for the user alone.
	codes := throttle.Pair{Host: u.ID}
	if u.TOTP {
		leave, err := a.gate.enter(codes, a.now())
		if err != nil {
			return "", nil, err
		}
		defer leave()
	}
	if token, s, err = a.enter(ctx, u, c, from); err != nil {
		return "", nil, a.wrong(who, a.wrong(codes, err))
	}
	a.gate.Right(who)
	a.gate.Right(codes)
	return token, s, nil
}

// enter makes a session for a user whose password was right a moment ago. It must still be theirs: to compare it takes long, and a session that came
// of the password before would outlive its change.
func (a *Accounts) enter(ctx context.Context, u *storedUser, c Credentials, from Origin) (token string, s *Session, err error) {
	err = a.update(ctx, "log in", func(tx *store.Tx) error {
		// The row is held from here on: a change either is seen, or ends this session too.
		err := execOne(ctx, tx, ErrWrongLogin, `UPDATE account SET last_login_at = last_login_at WHERE id = ? AND password = ? AND disabled = 0`, u.ID, u.password)
		if err != nil {
			return err
		}
		now, err := readUser(ctx, tx, u.ID)
		if err != nil {
			return err
		}
		if err := a.checkSecond(ctx, tx, &now.User, c); err != nil {
			return err
		}
		token, s, err = a.newSession(ctx, tx, u.ID, MethodPassword, from)
		return err
	})
	return token, s, err
}

// wrong counts what was a guess.
func (a *Accounts) wrong(who throttle.Pair, err error) error {
	if errors.Is(err, ErrWrongLogin) || errors.Is(err, ErrWrongTOTP) {
		a.gate.Wrong(who, a.now())
	}
	return err
}

// checkPassword returns the user whose password it is. A hash of another cost than today's is replaced.
func (a *Accounts) checkPassword(ctx context.Context, login, password string) (*storedUser, error) {
	u, err := readUser(ctx, a.db, normalLogin(login))
	switch {
	case errors.Is(err, ErrUserNotFound):
		u = &storedUser{}
	case err != nil:
		return nil, fmt.Errorf("account: read user: %w", err)
	}
	stored := u.password
	ok, stale, err := a.hasher.check(ctx, stored, password)
	if err != nil {
		return nil, err
	}
	if !ok || u.Disabled {
		return nil, ErrWrongLogin
	}
	if stale {
		a.rehash(ctx, u, password)
	}
	return u, nil
}

// rehash stores the password at today's cost. When it cannot be done now it is done at the next login.
func (a *Accounts) rehash(ctx context.Context, u *storedUser, password string) {
	hash, err := a.hasher.hash(ctx, password)
	if err != nil {
		return
	}
	err = a.db.Update(ctx, func(tx *store.Tx) error {
		return execOne(ctx, tx, ErrWrongLogin, `UPDATE account SET password = ? WHERE id = ? AND password = ?`, hash, u.ID, u.password)
	})
	if err == nil {
		u.password = hash
	}
}

// confirm holds that a user who is logged in is the one who knows the password (and has the second factor): a session that
// was left open must not be enough to take an account over. Guesses are counted as those of a login are.
func (a *Accounts) confirm(ctx context.Context, user string, c Credentials, from Origin, fn func(tx *store.Tx, u *storedUser) error) error {
	who := throttle.Pair{Name: user, Host: throttle.Host(from.Address)}
	leave, err := a.gate.enter(who, a.now())
	if err != nil {
		return err
	}
	defer leave()
	u, err := readUser(ctx, a.db, user)
	if err != nil {
		return err
	}
	if u.HasPassword {
		if u, err = a.checkPassword(ctx, u.Login, c.Password); err != nil {
			return a.wrong(who, err)
		}
	}
	return a.wrong(who, a.update(ctx, "confirm "+u.Login, func(tx *store.Tx) error {
		if err := a.checkSecond(ctx, tx, &u.User, c); err != nil {
			return err
		}
		return fn(tx, u)
	}))
}

// ChangePassword changes the caller's own password, and ends their other sessions.
func (a *Accounts) ChangePassword(ctx context.Context, c *Caller, with Credentials, password string, from Origin) error {
	if c.Kind != KindUser {
		return ErrNotUser
	}
	var ended []string
	if err := validPassword(password, c.Name); err != nil {
		return err
	}
	hash, err := a.hasher.hash(ctx, password)
	if err != nil {
		return err
	}
	err = a.confirm(ctx, c.ID, with, from, func(tx *store.Tx, u *storedUser) (err error) {
		if _, err := tx.Exec(ctx, `UPDATE account SET password = ?, updated_at = ? WHERE id = ?`, hash, a.now().UnixMilli(), u.ID); err != nil {
			return err
		}
		ended, err = endSessions(ctx, tx, u.ID, c.Session)
		return err
	})
	if err != nil {
		return err
	}
	a.changed(SessionChanged, ended...)
	return nil
}
