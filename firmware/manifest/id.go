package manifest

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Digest is a SHA-256.
type Digest [sha256.Size]byte

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText writes the digest in hexadecimal.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (d *Digest) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDigest(string(text))
	return err
}

// ParseDigest reads what String writes.
func ParseDigest(text string) (Digest, error) {
	var d Digest
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(d) {
		return d, fmt.Errorf("%q is no SHA-256: 64 hexadecimal digits", text)
	}
	return Digest(b), nil
}

// UUID is a vendor or class identifier (RFC 9562).
type UUID [16]byte

func (u UUID) String() string {
	h := hex.EncodeToString(u[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// MarshalText writes the UUID as String does.
func (u UUID) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// IsZero tells whether the UUID is none.
func (u UUID) IsZero() bool { return u == UUID{} }

// ParseUUID reads what String writes.
func ParseUUID(text string) (UUID, error) {
	b, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(b) != len(UUID{}) || UUID(b).String() != strings.ToLower(text) {
		return UUID{}, fmt.Errorf("%q is no UUID", text)
	}
	return UUID(b), nil
}

// dns is the name space of domain names (RFC 9562, section 6.6).
var dns = UUID{0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8}

// VendorID is the identifier of a vendor with a domain name: the UUID version 5 that the SUIT manifest recommends.
func VendorID(domain string) UUID { return named(dns, strings.ToLower(domain)) }

// ClassID is the identifier of a vendor's device class, of its name.
func ClassID(vendor UUID, name string) UUID { return named(vendor, name) }

func named(space UUID, name string) UUID {
	h := sha1.New() // version 5 is made with SHA-1; nobody relies on it against collisions
	h.Write(space[:])
	h.Write([]byte(name))
	u := UUID(h.Sum(nil)[:16])
	u[6] = u[6]&0x0f | 0x50
	u[8] = u[8]&0x3f | 0x80
	return u
}

// CheckModule tells what is wrong with the name of a module: 1 to 32 of A-Z a-z 0-9 . _ -.
func CheckModule(name string) error { return checkName("module", name) }

// CheckVersion tells what is wrong with a version's text, which has the same form.
func CheckVersion(text string) error { return checkName("version", text) }

var errName = errors.New("must be 1 to 32 of A-Z a-z 0-9 . _ -")

const nameCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

func checkName(what, name string) error {
	if len(name) < 1 || len(name) > 32 {
		return fmt.Errorf("%s %.40q %w", what, name, errName)
	}
	if strings.ContainsFunc(name, func(c rune) bool { return !strings.ContainsRune(nameCharacters, c) }) {
		return fmt.Errorf("%s %q %w", what, name, errName)
	}
	return nil
}
