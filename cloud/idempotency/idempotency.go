// Package idempotency keeps the answers to requests that their callers have named, so that a request that is sent again,
// because its answer was lost, is answered as the first time and not made again.
//
// It promises that of one name (a caller and a key) one request at most is in hand over all nodes, and that an answer that
// was kept is given for 24 hours, over restarts. A request whose hub dies in the middle frees its name when its time is
// over: whoever repeats it then may find it half made, as without a key. What is kept is sealed, since answers hold
// secrets, and bounded by size and by number for each caller. It leaves to the API what a request and an answer are.
package idempotency

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// Errors that callers branch on.
var (
	// ErrInHand is returned for a name whose request is not answered yet.
	ErrInHand = errors.New("idempotency: a request with this key is still in hand")
	// ErrTooMany is returned when a caller has too many names.
	ErrTooMany = errors.New("idempotency: too many keys in the last 24 hours: leave the key out, or wait")
	// ErrOther is returned for a name that another request has.
	ErrOther = errors.New("idempotency: the key was used for another request: take a new one for each change")
)

// Config bounds what is kept.
type Config struct {
	Keep      time.Duration // for how long
	MaxAnswer int           // bytes of an answer; of a longer one only is known that it was given
	MaxKeys   int           // names of one caller at a time
}

// DefaultConfig keeps answers of up to 2 MiB for 24 hours, 10,000 for each caller.
func DefaultConfig() Config { return Config{Keep: 24 * time.Hour, MaxAnswer: 2 << 20, MaxKeys: 10_000} }

// Answer is what a request got.
type Answer struct {
	Status int
	Body   []byte // nil when it was too long
}

// Answers is safe for concurrent use.
type Answers struct {
	cfg Config
	db  *store.DB
	now func() time.Time
}

// New returns Answers over db.
func New(cfg Config, db *store.DB) *Answers { return &Answers{cfg: cfg, db: db, now: time.Now} }

// Claim is a name that is this request's.
type Claim struct {
	answers *Answers
	id      string
	lease   int64
}

// Kept is an answer of before, with the digest of the request that got it.
type Kept struct {
	Answer
	request []byte
}

// Same tells whether the request with that digest is the one that got the answer; ErrOther when it is not.
func (k *Kept) Same(request []byte) error {
	if !bytes.Equal(k.request, request) {
		return ErrOther
	}
	return nil
}

// Begin takes the name (caller, key) for a request that takes no longer than atMost. Exactly one of claim, kept and err is
// not nil: the name is the request's, an answer is there already, or ErrInHand, ErrTooMany and errors of the store.
func (a *Answers) Begin(ctx context.Context, caller, key string, atMost time.Duration) (claim *Claim, kept *Kept, err error) {
	now := a.now()
	claim = &Claim{answers: a, id: caller + " " + key, lease: now.Add(atMost).UnixMilli()}
	err = a.db.Update(ctx, func(tx *store.Tx) error {
		kept = nil
		if _, err := tx.Exec(ctx, `DELETE FROM idempotency WHERE id = ? AND (created_at < ? OR status = 0 AND lease < ?)`, claim.id,
			now.Add(-a.cfg.Keep).UnixMilli(), now.UnixMilli()); err != nil {
			return err
		}
		res, err := tx.Exec(ctx, `INSERT INTO idempotency (id, caller, request, status, answer, lease, created_at) VALUES (?, ?, ?, 0, ?, ?, ?)
			ON CONFLICT (id) DO NOTHING`, claim.id, caller, []byte{}, []byte{}, claim.lease, now.UnixMilli())
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			if err == nil {
				kept, err = a.read(ctx, tx, claim.id)
			}
			return err
		}
		var count int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM idempotency WHERE caller = ?`, caller).Scan(&count); err != nil {
			return err
		}
		if count > a.cfg.MaxKeys {
			return ErrTooMany
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("idempotency: %w", err)
	}
	if kept != nil {
		return nil, kept, nil
	}
	return claim, nil, nil
}

func (a *Answers) read(ctx context.Context, tx *store.Tx, id string) (*Kept, error) {
	var k Kept
	var sealed []byte
	if err := tx.QueryRow(ctx, `SELECT request, status, answer FROM idempotency WHERE id = ?`, id).Scan(&k.request, &k.Status, &sealed); err != nil {
		return nil, err
	}
	if k.Status == 0 {
		return nil, ErrInHand
	}
	if len(sealed) == 0 {
		return &k, nil
	}
	var err error
	k.Body, err = a.db.Unseal(store.StoredAnswer, id, sealed)
	return &k, err
}

// Keep stores the answer of the claim's request.
func (c *Claim) Keep(ctx context.Context, request []byte, answer Answer) error {
	sealed := []byte{}
	if len(answer.Body) <= c.answers.cfg.MaxAnswer {
		sealed = c.answers.db.Seal(store.StoredAnswer, c.id, answer.Body)
	}
	return c.change(ctx, `UPDATE idempotency SET status = ?, request = ?, answer = ? WHERE id = ? AND status = 0 AND lease = ?`,
		answer.Status, request, sealed, c.id, c.lease)
}

// Free gives the name back, for a request that changed nothing and may be made again.
func (c *Claim) Free(ctx context.Context) error {
	return c.change(ctx, `DELETE FROM idempotency WHERE id = ? AND status = 0 AND lease = ?`, c.id, c.lease)
}

func (c *Claim) change(ctx context.Context, q string, args ...any) error {
	err := c.answers.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, q, args...)
		return err
	})
	if err != nil {
		return fmt.Errorf("idempotency: %w", err)
	}
	return nil
}

// trimStep is how many rows one transaction removes.
const trimStep = 1000

// Trim removes what was kept for long enough.
func (a *Answers) Trim(ctx context.Context, now time.Time) (removed int, err error) {
	for {
		var n int64
		err := a.db.Update(ctx, func(tx *store.Tx) error {
			res, err := tx.Exec(ctx, `DELETE FROM idempotency WHERE id IN (SELECT id FROM idempotency WHERE created_at < ? LIMIT ?)`,
				now.Add(-a.cfg.Keep).UnixMilli(), trimStep)
			if err != nil {
				return err
			}
			n, err = res.RowsAffected()
			return err
		})
		removed += int(n)
		if err != nil || n < trimStep {
			return removed, err
		}
	}
}
