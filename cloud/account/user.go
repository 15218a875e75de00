package account

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// User is somebody who logs in.
type User struct {
	ID               string
	Login            string // an email address or a name, in lower case
	Name             string // for display
	Disabled         bool
	HasPassword      bool
	TOTP             bool   // a second factor is confirmed
	Issuer, Subject  string // who the user is to an OpenID Connect provider; "" for none
	Created, Updated time.Time
	LastLogin        time.Time // zero: never
}

// userRecord is a user as requests need them: what they have, and whether at all.
type userRecord struct {
	identity *Identity
	disabled bool
	read     time.Time
}

// NewUser is what CreateUser needs. Password may be "" for somebody who comes through OpenID Connect.
type NewUser struct {
	Login, Name, Password string
	Issuer, Subject       string
}

// UserUpdate changes the fields that are not nil.
type UserUpdate struct {
	Login, Name, Password, Issuer, Subject *string
	Disabled                               *bool
}

const userIDPrefix = "u_"

var loginForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._@+-]{0,127}$`)

const (
	minPassword = 10
	maxPassword = 256
)

func normalLogin(login string) string { return strings.ToLower(strings.TrimSpace(login)) }

func validLogin(login string) error {
	if !loginForm.MatchString(login) || strings.HasPrefix(login, userIDPrefix) {
		return &ErrInvalid{"login", "must have 1 to 128 of a-z 0-9 . _ @ + -, the first a letter or digit, and not begin with u_"}
	}
	return nil
}

func validPassword(password, login string) error {
	switch {
	case len(password) < minPassword || len(password) > maxPassword:
		return &ErrInvalid{"password", fmt.Sprintf("must have %d to %d bytes", minPassword, maxPassword)}
	case strings.EqualFold(password, login):
		return &ErrInvalid{"password", "must not be the login name"}
	}
	return nil
}

func (n *NewUser) validate() error {
	if err := validLogin(n.Login); err != nil {
		return err
	}
	if len(n.Name) > maxName {
		return &ErrInvalid{"name", fmt.Sprintf("must have at most %d bytes", maxName)}
	}
	if n.Password != "" {
		if err := validPassword(n.Password, n.Login); err != nil {
			return err
		}
	}
	return validSubject(n.Issuer, n.Subject)
}

func validSubject(issuer, subject string) error {
	if (issuer == "") != (subject == "") {
		return &ErrInvalid{"subject", "issuer and subject go together"}
	}
	return nil
}

const userColumns = `a.id, a.login, a.name, a.password, a.issuer, a.subject, a.disabled, a.created_at, a.updated_at, a.last_login_at, COALESCE(t.confirmed, 0)`

const userTables = ` FROM account a LEFT JOIN account_totp t ON t.account = a.id `

// storedUser is a user with the password's hash, which leaves the package in no way.
type storedUser struct {
	User
	password string
}

func scanUser(row scanner) (*storedUser, error) {
	var u storedUser
	var disabled, totp, created, updated, last int64
	err := row.Scan(&u.ID, &u.Login, &u.Name, &u.password, &u.Issuer, &u.Subject, &disabled, &created, &updated, &last, &totp)
	u.Disabled, u.HasPassword, u.TOTP = disabled != 0, u.password != "", totp != 0
	u.Created, u.Updated, u.LastLogin = fromMillis(created), fromMillis(updated), fromMillis(last)
	return &u, err
}

// readUser finds a user by id or login.
func readUser(ctx context.Context, on querier, who string) (*storedUser, error) {
	column := "a.login"
	if strings.HasPrefix(who, userIDPrefix) {
		column = "a.id"
	}
	u, err := scanUser(on.QueryRow(ctx, `SELECT `+userColumns+userTables+`WHERE `+column+` = ?`, normalLogin(who)))
	if errors.Is(err, store.ErrNoRows) {
		return nil, ErrUserNotFound
	}
	return u, err
}

// CreateUser makes a user without any rights.
func (a *Accounts) CreateUser(ctx context.Context, n NewUser) (*User, error) {
	n.Login = normalLogin(n.Login)
	if err := n.validate(); err != nil {
		return nil, err
	}
	hash := ""
	if n.Password != "" {
		var err error
		if hash, err = a.hasher.hash(ctx, n.Password); err != nil {
			return nil, err
		}
	}
	id := userIDPrefix + newID()
	err := a.update(ctx, "create user "+n.Login, func(tx *store.Tx) error { return a.insertUser(ctx, tx, id, hash, n) })
	if err != nil {
		return nil, err
	}
	return a.User(ctx, id)
}

func (a *Accounts) insertUser(ctx context.Context, tx *store.Tx, id, hash string, n NewUser) error {
	now := a.now().UnixMilli()
	_, err := tx.Exec(ctx, `INSERT INTO account (id, login, name, password, issuer, subject, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		id, n.Login, n.Name, hash, n.Issuer, n.Subject, now, now)
	if store.IsUnique(err) {
		return ErrExists
	}
	return err
}

// User returns a user by id or login.
func (a *Accounts) User(ctx context.Context, who string) (*User, error) {
	u, err := readUser(ctx, a.db, who)
	if err != nil {
		return nil, fmt.Errorf("account: read user: %w", err)
	}
	return &u.User, nil
}

// Users lists users by login, after the one that a page ended with.
func (a *Accounts) Users(ctx context.Context, after string, limit int) ([]*User, error) {
	list, err := collect(ctx, a.db, scanUser, `SELECT `+userColumns+userTables+`WHERE a.login > ? ORDER BY a.login LIMIT ?`, after, limit)
	if err != nil {
		return nil, fmt.Errorf("account: list users: %w", err)
	}
	users := make([]*User, len(list))
	for i, u := range list {
		users[i] = &u.User
	}
	return users, nil
}

// UpdateUser changes a user. Nobody changes somebody who has more than they; a new password and disabling end the user's
// sessions.
func (a *Accounts) UpdateUser(ctx context.Context, by *Principal, id string, up UserUpdate) (*User, error) {
	hash := ""
	if up.Password != nil && *up.Password != "" {
		var err error
		if hash, err = a.hasher.hash(ctx, *up.Password); err != nil {
			return nil, err
		}
	}
	var ended []string
	err := a.update(ctx, "change user "+id, func(tx *store.Tx) error {
		u, err := a.touch(ctx, tx, by, id)
		if err != nil {
			return err
		}
		id = u.ID
		if err := up.apply(u, hash); err != nil {
			return err
		}
		if u.Disabled {
			if err := ownerLeft(ctx, tx, u.ID, ""); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, `UPDATE account SET login = ?, name = ?, password = ?, issuer = ?, subject = ?, disabled = ?, updated_at = ? WHERE id = ?`,
			u.Login, u.Name, u.password, u.Issuer, u.Subject, flag(u.Disabled), a.now().UnixMilli(), u.ID)
		if store.IsUnique(err) {
			return ErrExists
		}
		if err != nil || hash == "" && !u.Disabled {
			return err
		}
		ended, err = endSessions(ctx, tx, u.ID, "")
		return err
	})
	if err != nil {
		return nil, err
	}
	a.changed(UserChanged, id)
	a.changed(SessionChanged, ended...)
	return a.User(ctx, id)
}

func (up *UserUpdate) apply(u *storedUser, hash string) error {
	if up.Login != nil {
		u.Login = normalLogin(*up.Login)
		if err := validLogin(u.Login); err != nil {
			return err
		}
	}
	if up.Password != nil {
		if *up.Password != "" {
			if err := validPassword(*up.Password, u.Login); err != nil {
				return err
			}
		}
		u.password = hash
	}
	set(&u.Name, up.Name)
	set(&u.Issuer, up.Issuer)
	set(&u.Subject, up.Subject)
	set(&u.Disabled, up.Disabled)
	if len(u.Name) > maxName {
		return &ErrInvalid{"name", fmt.Sprintf("must have at most %d bytes", maxName)}
	}
	return validSubject(u.Issuer, u.Subject)
}

// touch reads a user whom by may change: one who has nothing that by has not. The user is held until the end, so that what is written back is of now:
// a password that was changed meanwhile must not come back.
func (a *Accounts) touch(ctx context.Context, tx *store.Tx, by *Principal, id string) (*storedUser, error) {
	u, err := readUser(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	if err := execOne(ctx, tx, ErrUserNotFound, `UPDATE account SET updated_at = updated_at WHERE id = ?`, u.ID); err != nil {
		return nil, err
	}
	if u, err = readUser(ctx, tx, u.ID); err != nil {
		return nil, err
	}
	grants, err := readGrants(ctx, tx, u.ID)
	if err != nil {
		return nil, err
	}
	if !by.covers(grants...) {
		return nil, ErrExceeds
	}
	return u, nil
}

// DeleteUser deletes a user with their memberships and sessions.
func (a *Accounts) DeleteUser(ctx context.Context, by *Principal, id string) error {
	err := a.update(ctx, "delete user "+id, func(tx *store.Tx) error {
		u, err := a.touch(ctx, tx, by, id)
		if err != nil {
			return err
		}
		id = u.ID
		if err := ownerLeft(ctx, tx, u.ID, ""); err != nil {
			return err
		}
		return execAll(ctx, tx, []any{u.ID}, `DELETE FROM account WHERE id = ?`, `DELETE FROM account_totp WHERE account = ?`,
			`DELETE FROM account_recovery WHERE account = ?`, `DELETE FROM member WHERE account = ?`,
			`DELETE FROM member_product WHERE account = ?`, `DELETE FROM account_session WHERE account = ?`,
			`DELETE FROM login_flow WHERE account = ?`)
	})
	if err != nil {
		return err
	}
	a.changed(UserChanged, id)
	return nil
}

// lookupUser returns what a user has, nil for one who is not there.
func (a *Accounts) lookupUser(ctx context.Context, id string, now time.Time) (*userRecord, error) {
	if rec, ok := a.users.Get(id); ok && a.fresh(rec.read, now) {
		return rec, nil
	}
	ticket := a.users.Ticket(id)
	u, err := readUser(ctx, a.db, id)
	if errors.Is(err, ErrUserNotFound) {
		a.users.Remove(id)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("account: read user %s: %w", id, err)
	}
	grants, err := readGrants(ctx, a.db, id)
	if err != nil {
		return nil, fmt.Errorf("account: read what user %s has: %w", id, err)
	}
	rec := &userRecord{identity: newIdentity(KindUser, u.ID, u.Login, grants), disabled: u.Disabled, read: now}
	a.users.Fill(id, ticket, rec)
	return rec, nil
}

// readGrants reads what a user has, by project.
func readGrants(ctx context.Context, on querier, account string) ([]Grant, error) {
	members, err := collect(ctx, on, scanMember, memberQuery+`WHERE m.account = ? ORDER BY m.project`, account)
	if err != nil {
		return nil, err
	}
	if err := readProductRoles(ctx, on, members, `account = ?`, account); err != nil {
		return nil, err
	}
	grants := make([]Grant, len(members))
	for i, m := range members {
		grants[i] = m.grant()
	}
	return slices.Clip(grants), nil
}
