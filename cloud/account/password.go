package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"
)

// ErrBusy is returned when so many passwords are being hashed that one more would have to wait for too long.
var ErrBusy = errors.New("account: too many logins at once: try again in a moment")

// HashConfig is what a password's hash costs. It is stored with each hash; a password that was hashed at another cost is hashed anew
// at its next login.
type HashConfig struct {
	Memory  uint32 // KiB
	Time    uint32 // passes over the memory
	Threads uint8
	// Parallel is how many are hashed at a time, Waiting how many may wait for that, and Wait for how long: together they
	// bound the memory and the processor that a flood of logins can take.
	Parallel, Waiting int
	Wait              time.Duration
}

// DefaultHashConfig takes 32 MiB and three passes, two passwords at a time.
func DefaultHashConfig() HashConfig {
	return HashConfig{Memory: 32 << 10, Time: 3, Threads: 1, Parallel: 2, Waiting: 32, Wait: 5 * time.Second}
}

const (
	saltLen = 16
	hashLen = 32
)

// hasher is the one place where passwords are hashed.
type hasher struct {
	cfg     HashConfig
	slots   chan struct{} // one for each that is being hashed
	waiting chan struct{} // … and for each that waits too
	hashed  atomic.Int64  // how many were
	// dummy is checked for a user who is not there: it takes as long, and never fits.
	dummy string
}

func newHasher(cfg HashConfig) *hasher {
	h := &hasher{cfg: cfg, slots: make(chan struct{}, cfg.Parallel), waiting: make(chan struct{}, cfg.Parallel+cfg.Waiting)}
	var salt [saltLen]byte
	var sum [hashLen]byte
	_, _ = rand.Read(salt[:])
	_, _ = rand.Read(sum[:])
	h.dummy = h.encode(salt[:], sum[:])
	return h
}

// take waits for a slot; the returned function gives it back.
func (h *hasher) take(ctx context.Context) (func(), error) {
	select {
	case h.waiting <- struct{}{}:
	default:
		return nil, ErrBusy
	}
	timer := time.NewTimer(h.cfg.Wait)
	defer timer.Stop()
	select {
	case h.slots <- struct{}{}:
		h.hashed.Add(1)
		return func() { <-h.slots; <-h.waiting }, nil
	case <-timer.C:
		<-h.waiting
		return nil, ErrBusy
	case <-ctx.Done():
		<-h.waiting
		return nil, ctx.Err()
	}
}

// hash returns a PHC string: $argon2id$v=19$m=…,t=…,p=…$salt$hash.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	free, err := h.take(ctx)
	if err != nil {
		return "", err
	}
	defer free()
	var salt [saltLen]byte
	_, _ = rand.Read(salt[:]) // never fails
	return h.encode(salt[:], argon2.IDKey([]byte(password), salt[:], h.cfg.Time, h.cfg.Memory, h.cfg.Threads, hashLen)), nil
}

func (h *hasher) encode(salt, sum []byte) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.cfg.Memory, h.cfg.Time, h.cfg.Threads, b64.EncodeToString(salt), b64.EncodeToString(sum))
}

// check tells whether password is that of the stored hash, and whether it should be hashed anew. "" as stored is a
// password that nobody has, which takes as long to find out.
func (h *hasher) check(ctx context.Context, stored, password string) (ok, stale bool, err error) {
	known := stored != ""
	if !known {
		stored = h.dummy
	}
	p, err := parseHash(stored)
	if err != nil {
		return false, false, err
	}
	if len(password) > maxPassword { // nobody has such a one; what it is must not cost more than others
		password, known = "", false
	}
	free, err := h.take(ctx)
	if err != nil {
		return false, false, err
	}
	defer free()
	sum := argon2.IDKey([]byte(password), p.salt, p.time, p.memory, p.threads, uint32(len(p.sum)))
	ok = subtle.ConstantTimeCompare(sum, p.sum) == 1 && known
	return ok, p.memory != h.cfg.Memory || p.time != h.cfg.Time || p.threads != h.cfg.Threads, nil
}

// phc is a stored hash with its own cost.
type phc struct {
	memory, time uint32
	threads      uint8
	salt, sum    []byte
}

func parseHash(text string) (p phc, err error) {
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return p, errors.New("account: stored password is of no known form: set another one")
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.time, &p.threads); err != nil {
		return p, fmt.Errorf("account: stored password: %w", err)
	}
	var err1, err2 error
	p.salt, err1 = base64.RawStdEncoding.DecodeString(parts[4])
	p.sum, err2 = base64.RawStdEncoding.DecodeString(parts[5])
	if err := errors.Join(err1, err2); err != nil || p.time == 0 || p.threads == 0 || len(p.sum) < 16 {
		return p, errors.Join(errors.New("account: stored password is damaged: set another one"), err)
	}
	return p, nil
}
