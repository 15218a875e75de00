// Package keyring keeps the master keys under which secrets lie in the store.
//
// A sealed value is AES-256-GCM under one of the keys and says which: byte 0 is the version (1), bytes 1 to 4 the key's id,
// 12 bytes nonce, then the ciphertext with its tag of 16 bytes. The context, a name of the place where the value lies, is
// authenticated with it, so that a value that is moved to another row does not open there. The newest key that is no standby
// seals; all keys open. An id is a hash of its key, so that a damaged key is found when the ring is read, not when it is used.
//
// The package promises that what it sealed opens unchanged or not at all, and that no key and no plaintext is in its errors.
// It does not know what is sealed or where: the store's columns, and sealing them anew after a change of keys, are
// cloud/store's business.
package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	version  = 1
	keySize  = 32
	idSize   = 4
	header   = 1 + idSize
	nonce    = 12
	tag      = 16
	overhead = header + nonce + tag
)

// ErrSealed is returned for a value that is damaged, was sealed for another context or is not sealed at all.
var ErrSealed = errors.New("keyring: sealed value does not open: it is damaged or belongs to another row")

// UnknownKeyError is returned for a value that was sealed under a key that the ring does not have.
type UnknownKeyError struct{ ID string }

func (e *UnknownKeyError) Error() string {
	return fmt.Sprintf("keyring: no key %s: take the keyring file of the hub that sealed with it, or its backup (--keyring-file, HAWSER_KEYRING)", e.ID)
}

// Key is one master key, without its bytes.
type Key struct {
	ID      string // 8 hex digits
	Created time.Time
	Standby bool // opens and does not seal yet: other nodes have to get it first
}

// key is a Key ready for use.
type key struct {
	Key
	bytes [keySize]byte
	aead  cipher.AEAD
	raw   [idSize]byte
	// derived are the secrets that were derived, by purpose: there are few, and links are checked with one for each range of a download.
	derived sync.Map
}

// set is what a ring holds at a time; it is replaced whole.
type set struct {
	keys []*key // oldest first
	seal *key
}

// Keyring is safe for concurrent use. It never prints a key.
type Keyring struct {
	set  atomic.Pointer[set]
	file string // "" when it has none

	mu    sync.Mutex // guards the field below
	fresh bool       // made by this process and not in its file yet
}

// New returns a ring of one new key that is in no file.
func New() *Keyring {
	k := &Keyring{fresh: true}
	k.set.Store(newSet([]*key{newKey(time.Now())}))
	return k
}

func newKey(now time.Time) *key {
	var b [keySize]byte
	_, _ = rand.Read(b[:]) // never fails
	return ready(b, now, false)
}

// ready makes a key of its bytes.
func ready(b [keySize]byte, created time.Time, standby bool) *key {
	k := &key{bytes: b}
	sum := sha256.Sum256(append([]byte("hawser keyring id\n"), b[:]...))
	copy(k.raw[:], sum[:])
	k.Key = Key{ID: hex.EncodeToString(k.raw[:]), Created: created.UTC().Truncate(time.Second), Standby: standby}
	block, err := aes.NewCipher(b[:])
	if err == nil {
		k.aead, err = cipher.NewGCM(block)
	}
	if err != nil {
		panic(err) // 32 bytes always make a cipher
	}
	return k
}

// newSet chooses the key that seals: the last that is no standby.
func newSet(keys []*key) *set {
	s := &set{keys: keys}
	for _, k := range keys {
		if !k.Standby {
			s.seal = k
		}
	}
	return s
}

func (s *set) find(id []byte) *key {
	for i := len(s.keys) - 1; i >= 0; i-- {
		if string(s.keys[i].raw[:]) == string(id) {
			return s.keys[i]
		}
	}
	return nil
}

// Seal encrypts plain for the place that context names.
func (k *Keyring) Seal(plain []byte, context string) []byte {
	with := k.set.Load().seal
	out := make([]byte, header+nonce, overhead+len(plain))
	out[0] = version
	copy(out[1:], with.raw[:])
	_, _ = rand.Read(out[header:]) // never fails
	return with.aead.Seal(out, out[header:], plain, bind(out[:header], context))
}

// Open decrypts what Seal made for the same context. Its errors are ErrSealed and *UnknownKeyError.
func (k *Keyring) Open(sealed []byte, context string) ([]byte, error) {
	if !Sealed(sealed) {
		return nil, ErrSealed
	}
	with := k.set.Load().find(sealed[1:header])
	if with == nil {
		return nil, &UnknownKeyError{ID: KeyOf(sealed)}
	}
	plain, err := with.aead.Open(nil, sealed[header:header+nonce], sealed[header+nonce:], bind(sealed[:header], context))
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}

// bind is the data that is authenticated with a value.
func bind(head []byte, context string) []byte {
	b := make([]byte, 0, 64)
	return append(append(b, head...), context...)
}

// Sealed tells whether b looks like a sealed value; text never does.
func Sealed(b []byte) bool { return len(b) >= overhead && b[0] == version }

// KeyOf is the id of the key that a value was sealed under, "" for one that is not sealed.
func KeyOf(b []byte) string {
	if !Sealed(b) {
		return ""
	}
	return hex.EncodeToString(b[1:header])
}

// Prefix is what every value begins with that was sealed under the key that seals now.
func (k *Keyring) Prefix() []byte {
	return append([]byte{version}, k.set.Load().seal.raw[:]...)
}

// Sealing is the id of the key that seals.
func (k *Keyring) Sealing() string { return k.set.Load().seal.ID }

// Has tells whether the ring has that key.
func (k *Keyring) Has(id string) bool {
	raw, err := hex.DecodeString(id)
	return err == nil && k.set.Load().find(raw) != nil
}

// Keys lists the keys, oldest first.
func (k *Keyring) Keys() []Key {
	var list []Key
	for _, key := range k.set.Load().keys {
		list = append(list, key.Key)
	}
	return list
}

// Derive returns 32 bytes for a purpose, the same on every node with this ring: one secret for each key that is in use, the one
// to make things with first. Who knows them learns nothing of the keys.
func (k *Keyring) Derive(purpose string) [][32]byte {
	s := k.set.Load()
	list := [][32]byte{s.seal.derive(purpose)}
	for i := len(s.keys) - 1; i >= 0; i-- {
		if s.keys[i] != s.seal {
			list = append(list, s.keys[i].derive(purpose))
		}
	}
	return list
}

func (k *key) derive(purpose string) [32]byte {
	if b, ok := k.derived.Load(purpose); ok {
		return b.([32]byte)
	}
	b, err := hkdf.Key(sha256.New, k.bytes[:], nil, "hawser derived\n"+purpose, 32)
	if err != nil {
		panic(err) // only for lengths that HKDF cannot give
	}
	k.derived.Store(purpose, [32]byte(b))
	return [32]byte(b)
}

// String says which keys there are, not what they are.
func (k *Keyring) String() string {
	return fmt.Sprintf("keyring of %d keys, %s seals", len(k.Keys()), k.Sealing())
}

// GoString is String, so that no way of printing a ring shows its keys.
func (k *Keyring) GoString() string { return k.String() }
