package account

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/throttle"
	"github.com/hawser-iot/hawser/protocol/credential"
)

// Errors of AuthenticatePair. That a public key is not known may be told: it is no secret.
var (
	ErrNoPair    = errors.New("account: there is no such public key, or it has expired")
	ErrSignature = errors.New("account: the signature is wrong")
)

// publicPrefix is what public keys begin with; the rest is the key's id.
const publicPrefix = "hwp_"

// PublicKey is how a pair is named in requests; "" for another key.
func (k *Key) PublicKey() string {
	if !k.Pair {
		return ""
	}
	return publicPrefix + k.ID
}

// maxDelayed is how many answers to wrong signatures may be held back at once; more are given without delay.
const maxDelayed = 1000

// signed has wrong signatures pay for themselves by a later answer. The right ones never wait, whoever else is wrong.
type signed struct {
	*throttle.Throttle
	delayed chan struct{}
	wait    func(context.Context, time.Duration)
}

func newSigned(cfg throttle.Config) *signed {
	return &signed{Throttle: throttle.New(cfg), delayed: make(chan struct{}, maxDelayed), wait: wait}
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// AuthenticatePair returns whose pair a public key is of, if right finds that the request was signed with the private key; right must
// compare in constant time. Wrong signatures are counted for each key and address, and answered later each time.
func (a *Accounts) AuthenticatePair(ctx context.Context, publicKey string, from Origin, right func(private credential.Secret) bool) (*Caller, error) {
	now := a.now()
	who := throttle.Pair{Name: cut(publicKey, maxName), Host: throttle.Host(from.Address)}
	rec, err := a.lookupPair(ctx, publicKey, now)
	if err == nil && !right(rec.private) {
		err = ErrSignature
	}
	switch {
	case err == nil:
	case errors.Is(err, ErrNoPair), errors.Is(err, ErrSignature):
		a.signed.pay(ctx, a.signed.Wrong(who, now))
		return nil, err
	default:
		return nil, err
	}
	a.signed.Right(who)
	if now.Sub(rec.key.LastUsed) >= usedStep {
		a.keyUsed(ctx, rec, now)
	}
	return &Caller{Identity: rec.identity, Expires: rec.key.Expires}, nil
}

func (a *Accounts) lookupPair(ctx context.Context, publicKey string, now time.Time) (*keyRecord, error) {
	id, ok := strings.CutPrefix(publicKey, publicPrefix)
	if !ok || len(id) != keyIDLen {
		return nil, ErrNoPair
	}
	rec, err := a.lookupKey(ctx, id, now)
	if err != nil {
		return nil, err
	}
	if rec == nil || !rec.key.Pair || !rec.key.Expires.IsZero() && !now.Before(rec.key.Expires) {
		return nil, ErrNoPair
	}
	return rec, nil
}

// pay holds an answer back.
func (s *signed) pay(ctx context.Context, d time.Duration) {
	if d == 0 {
		return
	}
	select {
	case s.delayed <- struct{}{}:
		defer func() { <-s.delayed }()
		s.wait(ctx, d)
	default:
	}
}

// readPrivate reads the private key of a pair.
func (a *Accounts) readPrivate(ctx context.Context, id string) (credential.Secret, error) {
	var sealed []byte
	if err := a.db.QueryRow(ctx, `SELECT secret FROM api_key_pair WHERE id = ?`, id).Scan(&sealed); err != nil {
		return "", err
	}
	plain, err := a.db.Unseal(store.PairSecret, id, sealed)
	return credential.Secret(plain), err
}
