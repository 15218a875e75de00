package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/cloud/keyring"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// NonceLife is how long a nonce may be used.
const NonceLife = time.Minute

// ErrNonce is returned for a nonce that is not ours, another device's, too old or used.
var ErrNonce = errors.New("auth: nonce does not hold")

// Nonces are for devices without a clock. A nonce carries its end and a MAC under the keyring, so that to give one out costs no
// memory and any node may be asked for it; that it was used is a row, which all nodes see, until it would have ended. Only who
// has the device's secret can make such a row.
type Nonces struct {
	db   *store.DB
	ring *keyring.Keyring
	now  func() time.Time
}

// NewNonces returns the Nonces of a store.
func NewNonces(db *store.DB, ring *keyring.Keyring) *Nonces {
	return &Nonces{db: db, ring: ring, now: time.Now}
}

// A nonce is 8 bytes end in Unix milliseconds, 8 bytes at random, 16 bytes MAC.
const (
	nonceHead = 16
	nonceSize = nonceHead + 16
)

var nonce64 = base64.RawURLEncoding.Strict()

// Issue makes a nonce for a device, which need not exist.
func (n *Nonces) Issue(dev ident.Device) string {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, nonceSize), uint64(n.now().Add(NonceLife).UnixMilli()))
	b = b[:nonceHead]
	_, _ = rand.Read(b[8:]) // never fails
	secret := n.ring.Derive("nonces")[0]
	return nonce64.EncodeToString(append(b, nonceMAC(secret, dev, b)...))
}

func nonceMAC(secret [32]byte, dev ident.Device, head []byte) []byte {
	mac := hmac.New(sha256.New, secret[:])
	mac.Write(head)
	mac.Write([]byte(dev.ClientID()))
	return mac.Sum(nil)[:nonceSize-nonceHead]
}

var useNonce = store.NewStmt(`INSERT INTO nonce (id, expires_at) VALUES (?, ?) ON CONFLICT (id) DO NOTHING`)

// Take uses a nonce of a device: once, over all nodes. Its errors are ErrNonce or the store's.
func (n *Nonces) Take(ctx context.Context, dev ident.Device, deviceID int64, text string) error {
	b, err := nonce64.DecodeString(text)
	if err != nil || len(b) != nonceSize || !n.ours(dev, b) {
		return ErrNonce
	}
	end := int64(binary.BigEndian.Uint64(b))
	if n.now().UnixMilli() >= end {
		return ErrNonce
	}
	err = n.db.Do(ctx, &store.Unit{Device: deviceID, Ops: []store.Op{{Stmt: useNonce, Args: []any{text, end}, Want: 1}}})
	if errors.Is(err, store.ErrConflict) {
		return ErrNonce
	}
	if err != nil {
		return fmt.Errorf("note used nonce: %w", err)
	}
	return nil
}

func (n *Nonces) ours(dev ident.Device, b []byte) bool {
	for _, secret := range n.ring.Derive("nonces") {
		if hmac.Equal(b[nonceHead:], nonceMAC(secret, dev, b[:nonceHead])) {
			return true
		}
	}
	return false
}

// Trim forgets used nonces that have ended.
func (n *Nonces) Trim(ctx context.Context, now time.Time) (removed int, err error) {
	err = n.db.Update(ctx, func(tx *store.Tx) error {
		res, err := tx.Exec(ctx, `DELETE FROM nonce WHERE expires_at < ?`, now.UnixMilli())
		if err != nil {
			return err
		}
		gone, err := res.RowsAffected()
		removed = int(gone)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("forget old nonces: %w", err)
	}
	return removed, nil
}
