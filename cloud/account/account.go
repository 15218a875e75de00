// Package account keeps the API keys: who may call the API, and in which role.
//
// A key is shown once, when it is made; stored is the SHA-256 of its secret,
// which has 256 random bits and needs no slower hash. Verify compares in
// constant time and answers from memory; a key that is deleted on this node is refused at
// once. A role is a set of permissions; which permission a request wants is decided by the API.
package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/lru"
)

// Errors that callers branch on.
var (
	ErrNotFound = errors.New("account: no such API key")
	// ErrBadKey is returned by Verify for a key that is malformed, unknown,
	// deleted or expired; which of these is nobody's business.
	ErrBadKey = errors.New("account: the API key is not valid")
	// ErrLastOwner is returned by Delete: without an owner key nobody could make another.
	ErrLastOwner = errors.New("account: this is the last owner key: create another one first")
)

// ErrInvalid is returned for a value that cannot be stored.
type ErrInvalid struct{ Field, Reason string }

func (e *ErrInvalid) Error() string { return fmt.Sprintf("account: %s: %s", e.Field, e.Reason) }

const (
	prefix   = "hwk_"
	idLen    = 8 // characters, 40 random bits
	maxName  = 128
	cached   = 4096
	usedStep = time.Minute // last_used is written at most this often
)

// Key is an API key without its secret.
type Key struct {
	ID       string
	Name     string
	Role     Role
	Created  time.Time
	LastUsed time.Time // within a minute; zero: never
	Expires  time.Time // zero: never
}

// record is a key as it is verified.
type record struct {
	key  Key
	hash [sha256.Size]byte
}

// Keys is safe for concurrent use.
type Keys struct {
	db    *store.DB
	now   func() time.Time
	cache *lru.Cache[string, *record]
}

// New returns the Keys of db.
func New(db *store.DB) *Keys {
	return &Keys{db: db, now: time.Now, cache: lru.New[string, *record](cached)}
}

// NewKey is what Create needs.
type NewKey struct {
	Name    string
	Role    Role
	Expires time.Time // zero: never
}

// Create makes a key and returns its text, which cannot be had again.
func (k *Keys) Create(ctx context.Context, n NewKey) (text string, key *Key, err error) {
	if err := n.validate(k.now()); err != nil {
		return "", nil, err
	}
	text, rec := k.make(n)
	err = k.db.Update(ctx, func(tx *store.Tx) error { return insert(ctx, tx, rec) })
	if err != nil {
		return "", nil, fmt.Errorf("account: create key: %w", err)
	}
	return text, &rec.key, nil
}

func (n NewKey) validate(now time.Time) error {
	switch {
	case n.Name == "" || len(n.Name) > maxName:
		return &ErrInvalid{"name", fmt.Sprintf("must have 1 to %d bytes", maxName)}
	case !n.Role.Valid():
		return &ErrInvalid{"role", `is none of "owner", "admin", "operator", "engineer", "viewer"`}
	case !n.Expires.IsZero() && !n.Expires.After(now):
		return &ErrInvalid{"expiresAt", "is in the past"}
	}
	return nil
}

// make draws a key: hwk_<id>_<43 characters of base64url>.
func (k *Keys) make(n NewKey) (text string, rec *record) {
	id := strings.ToLower(rand.Text()[:idLen])
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails: crypto/rand crashes the program instead
	text = prefix + id + "_" + base64.RawURLEncoding.EncodeToString(secret[:])
	created := time.UnixMilli(k.now().UnixMilli()).UTC()
	return text, &record{
		key:  Key{ID: id, Name: n.Name, Role: n.Role, Created: created, Expires: n.Expires},
		hash: sha256.Sum256([]byte(text)),
	}
}

func insert(ctx context.Context, tx *store.Tx, rec *record) error {
	_, err := tx.Exec(ctx, `INSERT INTO api_key (id, name, hash, role, created_at, last_used_at, expires_at) VALUES (?, ?, ?, ?, ?, 0, ?)`,
		rec.key.ID, rec.key.Name, rec.hash[:], string(rec.key.Role), rec.key.Created.UnixMilli(), millis(rec.key.Expires))
	return err
}

// Bootstrap makes the first owner key if there is no key at all; created tells.
func (k *Keys) Bootstrap(ctx context.Context) (ownerKey string, created bool, err error) {
	text, rec := k.make(NewKey{Name: "bootstrap", Role: RoleOwner})
	err = k.db.Update(ctx, func(tx *store.Tx) error {
		var n int64
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM api_key`).Scan(&n); err != nil {
			return err
		}
		created = n == 0
		if !created {
			return nil
		}
		return insert(ctx, tx, rec)
	})
	if err != nil {
		return "", false, fmt.Errorf("account: create the owner's key: %w", err)
	}
	if !created {
		return "", false, nil
	}
	return text, true, nil
}

// Verify returns the key whose text it is given, or ErrBadKey.
func (k *Keys) Verify(ctx context.Context, text string) (*Key, error) {
	id, ok := parse(text)
	if !ok {
		return nil, ErrBadKey
	}
	rec, err := k.lookup(ctx, id)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256([]byte(text))
	if rec == nil {
		// Takes as long as a wrong secret would.
		subtle.ConstantTimeCompare(hash[:], make([]byte, len(hash)))
		return nil, ErrBadKey
	}
	now := k.now()
	if subtle.ConstantTimeCompare(hash[:], rec.hash[:]) != 1 || !rec.key.Expires.IsZero() && !now.Before(rec.key.Expires) {
		return nil, ErrBadKey
	}
	if now.Sub(rec.key.LastUsed) >= usedStep {
		rec = k.used(ctx, rec, now)
	}
	key := rec.key
	return &key, nil
}

// parse takes the id out of a key's text.
func parse(text string) (id string, ok bool) {
	rest, ok := strings.CutPrefix(text, prefix)
	if !ok || len(rest) != idLen+1+base64.RawURLEncoding.EncodedLen(32) || rest[idLen] != '_' {
		return "", false
	}
	return rest[:idLen], true
}

// lookup returns nil for an unknown id. Unknown ids are not remembered, so that
// guesses cannot push real keys out of the cache.
func (k *Keys) lookup(ctx context.Context, id string) (*record, error) {
	if rec, ok := k.cache.Get(id); ok {
		return rec, nil
	}
	ticket := k.cache.Ticket(id)
	rec, err := scan(k.db.QueryRow(ctx, `SELECT `+columns+` FROM api_key WHERE id = ?`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("account: read key %s: %w", id, err)
	}
	k.cache.Fill(id, ticket, rec)
	return rec, nil
}

// used notes that a key was used. That it cannot be stored just now does not
// make the key worse: the next use tries again.
func (k *Keys) used(ctx context.Context, rec *record, now time.Time) *record {
	next := *rec
	next.key.LastUsed = now
	err := k.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE api_key SET last_used_at = ? WHERE id = ?`, now.UnixMilli(), rec.key.ID)
		return err
	})
	if err == nil {
		k.cache.Update(rec.key.ID, func(*record) (*record, bool) { return &next, true })
	}
	return &next
}

const columns = `id, name, hash, role, created_at, last_used_at, expires_at`

func scan(row interface{ Scan(...any) error }) (*record, error) {
	var (
		rec                    record
		hash                   []byte
		role                   string
		created, used, expires int64
	)
	if err := row.Scan(&rec.key.ID, &rec.key.Name, &hash, &role, &created, &used, &expires); err != nil {
		return nil, err
	}
	copy(rec.hash[:], hash)
	rec.key.Role = Role(role)
	rec.key.Created, rec.key.LastUsed, rec.key.Expires = fromMillis(created), fromMillis(used), fromMillis(expires)
	return &rec, nil
}

// List returns all keys, oldest first.
func (k *Keys) List(ctx context.Context) ([]*Key, error) {
	rows, err := k.db.Query(ctx, `SELECT `+columns+` FROM api_key ORDER BY created_at, id`)
	if err != nil {
		return nil, fmt.Errorf("account: list keys: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err below tells
	var list []*Key
	for rows.Next() {
		rec, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("account: list keys: %w", err)
		}
		list = append(list, &rec.key)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("account: list keys: %w", err)
	}
	return list, nil
}

// Delete ends a key at once. The last owner key that does not expire stays.
func (k *Keys) Delete(ctx context.Context, id string) error {
	err := k.db.Update(ctx, func(tx *store.Tx) error {
		rec, err := scan(tx.QueryRow(ctx, `SELECT `+columns+` FROM api_key WHERE id = ?`, id))
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		if rec.key.Role == RoleOwner {
			var others int64
			err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM api_key WHERE role = ? AND expires_at = 0 AND id <> ?`, string(RoleOwner), id).Scan(&others)
			if err != nil {
				return err
			}
			if others == 0 {
				return ErrLastOwner
			}
		}
		_, err = tx.Exec(ctx, `DELETE FROM api_key WHERE id = ?`, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("account: delete key %s: %w", id, err)
	}
	k.cache.Remove(id)
	return nil
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
