package signing

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/hawser-iot/hawser/firmware/canon"
)

// KeyID is what a key is known by: the first half of its COSE key thumbprint (RFC 9679). It follows from the key, so
// that one key cannot have two.
type KeyID [16]byte

func (id KeyID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText writes the key id in hexadecimal.
func (id KeyID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// PublicKey is an Ed25519 key to verify with.
type PublicKey [ed25519.PublicKeySize]byte

// coseKey is a COSE_Key with what a thumbprint is made of.
type coseKey struct {
	Type  int    `cbor:"1,keyasint"`
	Curve int    `cbor:"-1,keyasint"`
	X     []byte `cbor:"-2,keyasint"`
}

// The numbers of an Ed25519 key and its signatures in COSE (RFC 9053).
const (
	octetKeyPair = 1
	ed25519Curve = 6
	edDSA        = -8
)

// ID is the key's id.
func (k PublicKey) ID() KeyID {
	b, err := canon.Marshal(coseKey{octetKeyPair, ed25519Curve, k[:]})
	if err != nil {
		panic(err) // it has no part that could not be written
	}
	sum := sha256.Sum256(b)
	return KeyID(sum[:16])
}

// PrivateKey signs. It prints as its key id.
type PrivateKey struct{ key ed25519.PrivateKey }

// GenerateKey makes a key of what it reads; nil stands for the system's randomness.
func GenerateKey(random io.Reader) (PrivateKey, error) {
	if random == nil {
		random = rand.Reader
	}
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return PrivateKey{}, fmt.Errorf("generate a key: %w", err)
	}
	return PrivateKey{ed25519.NewKeyFromSeed(seed)}, nil
}

// Public is the key that verifies.
func (k PrivateKey) Public() PublicKey { return PublicKey(k.key.Public().(ed25519.PublicKey)) }

func (k PrivateKey) String() string { return "private key " + k.Public().ID().String() }

// GoString keeps the key out of %#v.
func (k PrivateKey) GoString() string { return k.String() }
