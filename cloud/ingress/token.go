package ingress

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/message"
)

// A token is a JWT (RFC 7519) with HS256: {"sub":"<device id>","exp":<Unix s>,"fpr":"…"}. It names the device by its id,
// because a DeviceSN of 64 characters would not fit into the 200 bytes that stock clients hold. fpr is a fingerprint of the
// DeviceSecret, so that a new secret ends the tokens given under the old one.
type tokens struct{ key []byte }

// jwtHeader is {"alg":"HS256","typ":"JWT"}: the only header that is accepted, so that no token chooses its algorithm.
const jwtHeader = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"

// maxToken is more than any of our tokens has.
const maxToken = 200

// b64 takes one spelling of each token only.
var b64 = base64.RawURLEncoding.Strict()

type claims struct {
	device      int64
	fingerprint string
}

func (t *tokens) issue(dev *registry.Device, until time.Time) string {
	payload := fmt.Sprintf(`{"sub":"%d","exp":%d,"fpr":"%s"}`, dev.ID, until.Unix(), t.fingerprint(dev.Secret))
	signed := jwtHeader + "." + b64.EncodeToString([]byte(payload))
	return signed + "." + b64.EncodeToString(t.mac(signed))
}

func (t *tokens) mac(s string) []byte {
	h := hmac.New(sha256.New, t.key)
	h.Write([]byte(s))
	return h.Sum(nil)
}

// fingerprint is 66 bits of an HMAC of the secret: enough to tell secrets apart, and no help in finding one.
func (t *tokens) fingerprint(s credential.Secret) string {
	return b64.EncodeToString(t.mac("fingerprint\n" + s.Reveal()))[:11]
}

// verify checks a token that a client sent: CodeBadToken or CodeTokenExpired say what is wrong.
func (t *tokens) verify(token string, now time.Time) (claims, message.Code) {
	signed, signature, ok := cutLast(token)
	header, payload, ok2 := strings.Cut(signed, ".")
	if len(token) > maxToken || !ok || !ok2 || header != jwtHeader {
		return claims{}, message.CodeBadToken
	}
	mac, err := b64.DecodeString(signature)
	if err != nil || !hmac.Equal(mac, t.mac(signed)) {
		return claims{}, message.CodeBadToken
	}
	var body struct {
		Sub string `json:"sub"`
		Exp int64  `json:"exp"`
		Fpr string `json:"fpr"`
	}
	text, err := b64.DecodeString(payload)
	if err != nil || codec.Unmarshal(text, &body) != nil {
		return claims{}, message.CodeBadToken
	}
	id, err := strconv.ParseInt(body.Sub, 10, 64)
	if err != nil {
		return claims{}, message.CodeBadToken
	}
	if now.Unix() >= body.Exp {
		return claims{}, message.CodeTokenExpired
	}
	return claims{device: id, fingerprint: body.Fpr}, message.CodeOK
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}

// loadKey reads the key of the tokens, the same for all nodes, or makes it.
func loadKey(ctx context.Context, db *store.DB) ([]byte, error) {
	fresh := make([]byte, 32)
	_, _ = rand.Read(fresh) // never fails
	var sealed []byte
	row := store.TokenKey.Only
	err := db.Update(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO setting (key, value) VALUES (?, ?) ON CONFLICT (key) DO NOTHING`,
			row, db.Seal(store.TokenKey, row, fresh)); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT value FROM setting WHERE key = ?`, row).Scan(&sealed)
	})
	if err != nil {
		return nil, fmt.Errorf("load key of HTTP tokens: %w", err)
	}
	key, err := db.Unseal(store.TokenKey, row, sealed)
	if err == nil && len(key) < 32 {
		err = errors.New("too short")
	}
	if err != nil {
		return nil, fmt.Errorf("key of HTTP tokens in setting %s is damaged: delete that row, devices log in again: %w", row, err)
	}
	return key, nil
}
