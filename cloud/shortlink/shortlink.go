// Package shortlink makes and reads the short URLs that devices are given for files: https://host/f/TOKEN, or
// https://host/NAME?f=TOKEN for clients that want a name in one path segment and a query.
//
// A token says what it is for and until when, under a MAC of the keyring: every node can read it, and nothing is stored for it. It
// promises that a token that opens was made by this hub and has not expired; it does not know what the id in it names, nor whether
// that is still there.
package shortlink

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/keyring"
)

// Errors of Open.
var (
	ErrLink    = errors.New("shortlink: not a link of this hub")
	ErrExpired = errors.New("shortlink: the link has expired")
)

// Kind says what a link is for.
type Kind byte

// The kinds. The letters are in tokens that are on their way.
const (
	Firmware Kind = 'w' // an image to download
	Upload   Kind = 'u' // a file to be sent
	Release  Kind = 'r' // the files of a signed release, whose names follow the token and a slash
	File     Kind = 'd' // a file that a device has sent, to download
)

// Link is what a token holds.
type Link struct {
	Kind  Kind
	ID    int64
	Until time.Time // whole seconds
}

// Links is safe for concurrent use.
type Links struct {
	ring *keyring.Keyring
	base func() string
	now  func() time.Time
}

// New returns the Links of a hub whose public base for devices is what base returns, without a slash at the end.
func New(ring *keyring.Keyring, base func() string) *Links {
	return &Links{ring: ring, base: base, now: time.Now}
}

// A token is kind (1 byte), id (8), end in Unix seconds (4) and MAC (12), in base64url without padding: 34 characters.
const (
	headSize  = 1 + 8 + 4
	macSize   = 12
	tokenSize = headSize + macSize
	purpose   = "short links"
)

// b64 takes one spelling of each token only.
var b64 = base64.RawURLEncoding.Strict()

// Token is the token of a link.
func (l *Links) Token(k Link) string {
	b := append(make([]byte, 0, tokenSize), byte(k.Kind))
	b = binary.BigEndian.AppendUint64(b, uint64(k.ID))
	b = binary.BigEndian.AppendUint32(b, uint32(k.Until.Unix()))
	return b64.EncodeToString(append(b, mac(l.ring.Derive(purpose)[0], b)...))
}

func mac(key [32]byte, head []byte) []byte {
	h := hmac.New(sha256.New, key[:])
	h.Write(head)
	return h.Sum(nil)[:macSize]
}

// Base is what all URLs begin with.
func (l *Links) Base() string { return l.base() }

// URL is the link as /f/TOKEN below the base.
func (l *Links) URL(k Link) string { return l.base() + "/f/" + l.Token(k) }

// NamedURL is the link as /NAME?f=TOKEN below the base; name is one path segment.
func (l *Links) NamedURL(k Link, name string) string {
	return l.base() + "/" + url.PathEscape(name) + "?f=" + l.Token(k)
}

// Open reads a token; its errors are ErrLink and ErrExpired.
func (l *Links) Open(token string) (Link, error) {
	b, err := b64.DecodeString(token)
	if err != nil || len(b) != tokenSize || !l.ours(b) {
		return Link{}, ErrLink
	}
	k := Link{Kind: Kind(b[0]), ID: int64(binary.BigEndian.Uint64(b[1:])), Until: time.Unix(int64(binary.BigEndian.Uint32(b[9:])), 0)}
	if !l.now().Before(k.Until) {
		return k, ErrExpired
	}
	return k, nil
}

func (l *Links) ours(b []byte) bool {
	for _, key := range l.ring.Derive(purpose) {
		if hmac.Equal(b[headSize:], mac(key, b[:headSize])) {
			return true
		}
	}
	return false
}

// Secret is a word that belongs to a token and does not follow from it: what a client shows besides the URL, so that a URL that has
// leaked into a log is of no use.
func (l *Links) Secret(token string) string {
	return secret(l.ring.Derive("short link secrets")[0], token)
}

func secret(key [32]byte, token string) string {
	h := hmac.New(sha256.New, key[:])
	h.Write([]byte(token))
	return b64.EncodeToString(h.Sum(nil)[:18])
}

// Matches tells whether given is the Secret of a token.
func (l *Links) Matches(token, given string) bool {
	for _, key := range l.ring.Derive("short link secrets") {
		if hmac.Equal([]byte(given), []byte(secret(key, token))) {
			return true
		}
	}
	return false
}

// Find takes the token out of a request for a short URL of either shape. A path below the token of a Release is left behind it, with its slash.
func Find(r *http.Request) (token string, ok bool) {
	if token, ok = strings.CutPrefix(r.URL.Path, "/f/"); ok {
		return token, true
	}
	query, ok := strings.CutPrefix(r.URL.RawQuery, "f=")
	if !ok || len(r.URL.Path) < 2 || strings.IndexByte(r.URL.Path[1:], '/') >= 0 {
		return "", false
	}
	return query, true
}
