package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/throttle"
)

// What a code of an authenticator is: six digits, new every half minute, taken half a minute early or late.
const (
	totpPeriod    = 30 * time.Second
	totpSkew      = 1
	totpIssuer    = "Hawser"
	totpSecretLen = 20
	recoveryCodes = 10
)

// Errors of the second factor.
var (
	// ErrTOTPOn is returned by EnrolTOTP for a user who has a second factor.
	ErrTOTPOn = errors.New("account: there is a second factor already: switch it off first")
	// ErrTOTPOff is returned where there is none.
	ErrTOTPOff = errors.New("account: there is no second factor to confirm: enrol one first")
)

// Enrolment is what an authenticator needs.
type Enrolment struct {
	Secret string // base32
	URL    string // otpauth://…, for a QR code
}

// EnrolTOTP gives the caller a new secret. It is worth nothing until ConfirmTOTP has seen a code of it.
func (a *Accounts) EnrolTOTP(ctx context.Context, c *Caller, with Credentials, from Origin) (*Enrolment, error) {
	if c.Kind != KindUser {
		return nil, ErrNotUser
	}
	raw := make([]byte, totpSecretLen)
	_, _ = rand.Read(raw) // never fails
	key, err := totp.Generate(totp.GenerateOpts{Issuer: totpIssuer, AccountName: c.Name, Secret: raw, Period: uint(totpPeriod / time.Second), Digits: otp.DigitsSix})
	if err != nil {
		return nil, err
	}
	err = a.confirm(ctx, c.ID, with, from, func(tx *store.Tx, u *storedUser) error {
		if u.TOTP {
			return ErrTOTPOn
		}
		_, err := tx.Exec(ctx, `INSERT INTO account_totp (account, secret, confirmed, step) VALUES (?, ?, 0, 0)
			ON CONFLICT (account) DO UPDATE SET secret = excluded.secret, step = 0`, u.ID, a.seal(u.ID, key.Secret()))
		return err
	})
	if err != nil {
		return nil, err
	}
	return &Enrolment{Secret: key.Secret(), URL: key.URL()}, nil
}

// ConfirmTOTP switches the caller's second factor on and returns recovery codes, each good once, which cannot be had
// again. The caller's other sessions end.
func (a *Accounts) ConfirmTOTP(ctx context.Context, c *Caller, code string, from Origin) (codes []string, err error) {
	if c.Kind != KindUser {
		return nil, ErrNotUser
	}
	who := throttle.Pair{Name: c.ID, Host: throttle.Host(from.Address)}
	leave, err := a.gate.enter(who, a.now())
	if err != nil {
		return nil, err
	}
	defer leave()
	codes = drawRecovery()
	var ended []string
	err = a.update(ctx, "confirm second factor", func(tx *store.Tx) (err error) {
		if err := a.takeCode(ctx, tx, c.ID, code, false); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE account_totp SET confirmed = 1 WHERE account = ?`, c.ID); err != nil {
			return err
		}
		if err := storeRecovery(ctx, tx, c.ID, codes); err != nil {
			return err
		}
		ended, err = endSessions(ctx, tx, c.ID, c.Session)
		return err
	})
	if err != nil {
		return nil, a.wrong(who, err)
	}
	a.changed(SessionChanged, ended...)
	return codes, nil
}

// RenewRecovery gives the caller other recovery codes in place of those they have; the password and a code are wanted for that.
func (a *Accounts) RenewRecovery(ctx context.Context, c *Caller, with Credentials, from Origin) ([]string, error) {
	if c.Kind != KindUser {
		return nil, ErrNotUser
	}
	codes := drawRecovery()
	err := a.confirm(ctx, c.ID, with, from, func(tx *store.Tx, u *storedUser) error {
		if !u.TOTP {
			return ErrTOTPOff
		}
		return storeRecovery(ctx, tx, u.ID, codes)
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}

// DisableTOTP switches the caller's own second factor off; the password and a code are wanted for that.
func (a *Accounts) DisableTOTP(ctx context.Context, c *Caller, with Credentials, from Origin) error {
	if c.Kind != KindUser {
		return ErrNotUser
	}
	return a.confirm(ctx, c.ID, with, from, func(tx *store.Tx, u *storedUser) error { return dropTOTP(ctx, tx, u.ID) })
}

// ResetTOTP switches somebody else's second factor off, for one who has lost it. Their sessions end.
func (a *Accounts) ResetTOTP(ctx context.Context, by *Principal, user string) error {
	var ended []string
	err := a.update(ctx, "reset second factor of "+user, func(tx *store.Tx) error {
		u, err := a.touch(ctx, tx, by, user)
		if err != nil {
			return err
		}
		if err := dropTOTP(ctx, tx, u.ID); err != nil {
			return err
		}
		ended, err = endSessions(ctx, tx, u.ID, "")
		return err
	})
	if err != nil {
		return err
	}
	a.changed(SessionChanged, ended...)
	return nil
}

func dropTOTP(ctx context.Context, tx *store.Tx, user string) error {
	return execAll(ctx, tx, []any{user}, `DELETE FROM account_totp WHERE account = ?`, `DELETE FROM account_recovery WHERE account = ?`)
}

// checkSecond holds that a user who has a second factor has shown it.
func (a *Accounts) checkSecond(ctx context.Context, tx *store.Tx, u *User, c Credentials) error {
	switch {
	case !u.TOTP:
		return nil
	case c.Code != "":
		return a.takeCode(ctx, tx, u.ID, c.Code, true)
	case c.Recovery != "":
		return takeRecovery(ctx, tx, u.ID, c.Recovery)
	}
	return ErrTOTPRequired
}

// takeCode uses a code up. A code is good once: its time step must be later than that of the last one taken.
func (a *Accounts) takeCode(ctx context.Context, tx *store.Tx, user, code string, confirmed bool) error {
	var sealed []byte
	var isConfirmed, last int64
	err := tx.QueryRow(ctx, `SELECT secret, confirmed, step FROM account_totp WHERE account = ?`, user).Scan(&sealed, &isConfirmed, &last)
	if errors.Is(err, store.ErrNoRows) {
		return ErrTOTPOff
	}
	if err != nil {
		return err
	}
	if !confirmed && isConfirmed != 0 {
		return ErrTOTPOn
	}
	secret, err := a.unseal(user, sealed)
	if err != nil {
		return err
	}
	step, ok := matchCode(secret, code, a.now(), last)
	if !ok {
		return ErrWrongTOTP
	}
	// The condition again, for two logins at the same moment.
	return execOne(ctx, tx, ErrWrongTOTP, `UPDATE account_totp SET step = ? WHERE account = ? AND step < ?`, step, user, step)
}

// matchCode finds the time step that code is of, among those about now and later than last.
func matchCode(secret, code string, now time.Time, last int64) (step int64, ok bool) {
	at := now.Unix() / int64(totpPeriod/time.Second)
	for s := at - totpSkew; s <= at+totpSkew; s++ {
		want, err := hotp.GenerateCode(secret, uint64(s))
		if err != nil {
			return 0, false
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(strings.TrimSpace(code))) == 1 && s > last {
			step, ok = s, true
		}
	}
	return step, ok
}

// drawRecovery draws codes of 80 random bits: two groups of eight characters.
func drawRecovery() []string {
	codes := make([]string, recoveryCodes)
	for i := range codes {
		var b [10]byte
		_, _ = rand.Read(b[:]) // never fails
		text := strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
		codes[i] = text[:8] + "-" + text[8:]
	}
	return codes
}

func recoveryHash(code string) []byte {
	code = strings.ToLower(strings.ReplaceAll(strings.TrimSpace(code), "-", ""))
	sum := sha256.Sum256([]byte("recovery:" + code))
	return sum[:]
}

func storeRecovery(ctx context.Context, tx *store.Tx, user string, codes []string) error {
	if _, err := tx.Exec(ctx, `DELETE FROM account_recovery WHERE account = ?`, user); err != nil {
		return err
	}
	for _, code := range codes {
		if _, err := tx.Exec(ctx, `INSERT INTO account_recovery (account, hash) VALUES (?, ?)`, user, recoveryHash(code)); err != nil {
			return err
		}
	}
	return nil
}

// takeRecovery uses a recovery code up. It has 80 random bits, so that looking its hash up tells a guesser nothing.
func takeRecovery(ctx context.Context, tx *store.Tx, user, code string) error {
	return execOne(ctx, tx, ErrWrongTOTP, `DELETE FROM account_recovery WHERE account = ? AND hash = ?`, user, recoveryHash(code))
}
