// Package account keeps who may manage the hub: projects, users and their memberships, API keys, sessions, and the audit
// log of what they did.
//
// A caller shows a token, or signs with a key pair (pair.go). A key (hwk_…) or a session (hws_…) has 256 random bits, so that the SHA-256 that is stored needs
// no slower hash; passwords are stored as argon2id. Authenticate answers from memory, and what makes a token worthless
// (deletion, expiry, a user who is disabled or loses a role) is heard on every node at once through Watch and Apply. Should a
// node miss such a change it reads the store again after Config.Recheck.
//
// What a caller may do is an Identity: a set of permissions for the hub as a whole or for each project, there for all
// products or for some. In gives the Principal of one request. Which permission a request wants is decided by the API; here is decided
// who may give what to whom: nobody gives what they do not have, nor touches somebody who has more than they.
package account

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/lru"
	"github.com/hawser-iot/hawser/cloud/throttle"
)

// Errors that callers branch on.
var (
	ErrNotFound        = errors.New("account: no such API key")
	ErrUserNotFound    = errors.New("account: no such user")
	ErrProjectNotFound = errors.New("account: no such project")
	ErrMemberNotFound  = errors.New("account: the user is no member of the project")
	ErrSessionNotFound = errors.New("account: no such session")
	// ErrBadKey is returned by Authenticate for a token that is malformed, unknown, deleted or expired, or whose user is
	// disabled; which of these is nobody's business.
	ErrBadKey = errors.New("account: the API key or session is not valid")
	// ErrLastOwner is returned for what would leave the hub or a project without an owner.
	ErrLastOwner = errors.New("account: this is the last owner key: create another one first")
	// ErrLastOwnerUser is ErrLastOwner for members.
	ErrLastOwnerUser = errors.New("account: this is the last owner of the project: make another one first")
	// ErrExceeds is returned for what would give more than the caller has, or touch somebody who has more.
	ErrExceeds = errors.New("account: this takes permissions that you do not have yourself")
	// ErrExists is returned for a project id, a login or a membership that is taken.
	ErrExists = errors.New("account: it exists already")
	// ErrNotEmpty is returned by DeleteProject.
	ErrNotEmpty = errors.New("account: the project still has products, rules, connectors, alarm rules, alarm channels or API keys: delete them first")
	// ErrQuota is the kind of every *QuotaError.
	ErrQuota = errors.New("account: the project's quota is used up")
)

// ErrInvalid is returned for a value that cannot be stored.
type ErrInvalid struct{ Field, Reason string }

func (e *ErrInvalid) Error() string { return fmt.Sprintf("account: %s: %s", e.Field, e.Reason) }

// Config bounds sessions, logins and the audit log.
type Config struct {
	SessionIdle time.Duration // a session that is not used for so long ends
	SessionLife time.Duration // … and every session after so long
	Recheck     time.Duration // how old what is known in memory may be
	AuditAge    time.Duration // Trim drops older entries; 0 keeps them
	AuditRows   int64         // … and the oldest above so many; 0 keeps them
	Hash        HashConfig
	Throttle    ThrottleConfig
	// Signed says what wrong signatures cost: a later answer.
	Signed throttle.Config
}

// DefaultConfig ends sessions after 12 idle hours or 7 days, and keeps a year or a million entries of audit log.
func DefaultConfig() Config {
	return Config{SessionIdle: 12 * time.Hour, SessionLife: 7 * 24 * time.Hour, Recheck: 30 * time.Second,
		AuditAge: 365 * 24 * time.Hour, AuditRows: 1_000_000, Hash: DefaultHashConfig(), Throttle: DefaultThrottleConfig(),
		Signed: throttle.Config{Free: 5, First: 100 * time.Millisecond, Max: 5 * time.Second, Forget: 10 * time.Minute, Pairs: 10_000}}
}

// How many of each are kept in memory.
const (
	cachedKeys     = 4096
	cachedSessions = 16384
	cachedUsers    = 8192
	cachedProjects = 4096
)

// Accounts is safe for concurrent use.
type Accounts struct {
	db  *store.DB
	cfg Config
	now func() time.Time

	keys     *lru.Cache[string, *keyRecord]
	sessions *lru.Cache[string, *sessionRecord]
	users    *lru.Cache[string, *userRecord]
	projects *lru.Cache[string, *projectRecord]
	hasher   *hasher
	gate     *gate
	signed   *signed
	auditIDs auditIDs

	mu       sync.Mutex // guards the fields below
	watchers []func(Change)
	open     map[*follower]struct{}
}

// New returns the Accounts of db.
func New(db *store.DB, cfg Config) *Accounts {
	return &Accounts{db: db, cfg: cfg, now: time.Now,
		keys: lru.New[string, *keyRecord](cachedKeys), sessions: lru.New[string, *sessionRecord](cachedSessions),
		users: lru.New[string, *userRecord](cachedUsers), projects: lru.New[string, *projectRecord](cachedProjects),
		hasher: newHasher(cfg.Hash), gate: newGate(cfg.Throttle), signed: newSigned(cfg.Signed), open: map[*follower]struct{}{}}
}

// Authenticate returns who shows the token, or ErrBadKey.
func (a *Accounts) Authenticate(ctx context.Context, token string) (*Caller, error) {
	switch {
	case strings.HasPrefix(token, keyPrefix):
		return a.verifyKey(ctx, token)
	case strings.HasPrefix(token, sessionPrefix):
		return a.verifySession(ctx, token)
	}
	return nil, ErrBadKey
}

// fresh tells whether what was read at that time may still be believed.
func (a *Accounts) fresh(read, now time.Time) bool { return now.Sub(read) < a.cfg.Recheck }

// newID draws 60 random bits as 12 characters.
func newID() string { return strings.ToLower(rand.Text()[:12]) }

// update runs fn in a transaction; what is its error's context, unless the error speaks for itself.
func (a *Accounts) update(ctx context.Context, what string, fn func(tx *store.Tx) error) error {
	if err := a.db.Update(ctx, fn); err != nil {
		return fmt.Errorf("account: %s: %w", what, err)
	}
	return nil
}

// execOne runs a statement that must affect a row; missing is returned when it does not.
func execOne(ctx context.Context, tx *store.Tx, missing error, q string, args ...any) error {
	res, err := tx.Exec(ctx, q, args...)
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		return missing
	}
	return err
}

// execAll runs statements that take the same arguments.
func execAll(ctx context.Context, tx *store.Tx, args []any, statements ...string) error {
	for _, q := range statements {
		if _, err := tx.Exec(ctx, q, args...); err != nil {
			return err
		}
	}
	return nil
}

// scanner is a row of either engine.
type scanner interface{ Scan(dest ...any) error }

// querier is the store or a transaction of it.
type querier interface {
	Query(ctx context.Context, q string, args ...any) (*store.Rows, error)
	QueryRow(ctx context.Context, q string, args ...any) *store.Row
}

// collect reads and closes the rows of a query.
func collect[T any](ctx context.Context, on querier, scan func(scanner) (T, error), q string, args ...any) ([]T, error) {
	rows, err := on.Query(ctx, q, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err below tells
	var list []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, rows.Err()
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

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// split reads a stored list; "" is none.
func split(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// join stores a list in one order.
func join(list []string) string {
	list = slices.Clone(list)
	slices.Sort(list)
	return strings.Join(slices.Compact(list), ",")
}
