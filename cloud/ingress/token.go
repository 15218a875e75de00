package ingress

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/keyring"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/message"
)

// A token is a JWT (RFC 7519) with HS256: {"sub":"<device id>","exp":<Unix s>,"fpr":"…"}. It names the device by its id,
// because a DeviceSN of 64 characters would not fit into the 200 bytes that stock clients hold. fpr is a fingerprint of the
// DeviceSecret, so that a new secret ends the tokens given under the old one.
//
// Tokens are signed under the keyring: they hold on every node and over restarts, and those from before a change of keys go on until
// the old key is removed.
type tokens struct{ ring *keyring.Keyring }

// keys are the secrets that tokens may be signed with, the one for new tokens first.
func (t *tokens) keys() [][32]byte { return t.ring.Derive("http tokens") }

// jwtHeader is {"alg":"HS256","typ":"JWT"}: the only header that is accepted, so that no token chooses its algorithm.
const jwtHeader = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"

// maxToken is more than any of our tokens has.
const maxToken = 200

// b64 takes one spelling of each token only.
var b64 = base64.RawURLEncoding.Strict()

type claims struct {
	device      int64
	fingerprint string
	key         [32]byte // that signed it, and that the fingerprint was made with
}

// of tells whether the token was given to dev under its present secret.
func (c claims) of(dev *registry.Device) bool {
	return hmac.Equal([]byte(c.fingerprint), []byte(fingerprint(c.key, dev.Secret)))
}

func (t *tokens) issue(dev *registry.Device, until time.Time) string {
	key := t.keys()[0]
	payload := fmt.Sprintf(`{"sub":"%d","exp":%d,"fpr":"%s"}`, dev.ID, until.Unix(), fingerprint(key, dev.Secret))
	signed := jwtHeader + "." + b64.EncodeToString([]byte(payload))
	return signed + "." + b64.EncodeToString(mac(key, signed))
}

func mac(key [32]byte, s string) []byte {
	h := hmac.New(sha256.New, key[:])
	h.Write([]byte(s))
	return h.Sum(nil)
}

// signer is the key that a token was signed with.
func (t *tokens) signer(signed string, sum []byte) (key [32]byte, ok bool) {
	for _, key := range t.keys() {
		if hmac.Equal(sum, mac(key, signed)) {
			return key, true
		}
	}
	return key, false
}

// fingerprint is 66 bits of an HMAC of the secret: enough to tell secrets apart, and no help in finding one.
func fingerprint(key [32]byte, s credential.Secret) string {
	return b64.EncodeToString(mac(key, "fingerprint\n"+s.Reveal()))[:11]
}

// verify checks a token that a client sent: CodeBadToken or CodeTokenExpired say what is wrong.
func (t *tokens) verify(token string, now time.Time) (claims, message.Code) {
	signed, signature, ok := cutLast(token)
	header, payload, ok2 := strings.Cut(signed, ".")
	if len(token) > maxToken || !ok || !ok2 || header != jwtHeader {
		return claims{}, message.CodeBadToken
	}
	sum, err := b64.DecodeString(signature)
	if err != nil {
		return claims{}, message.CodeBadToken
	}
	key, ok := t.signer(signed, sum)
	if !ok {
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
	return claims{device: id, fingerprint: body.Fpr, key: key}, message.CodeOK
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}
