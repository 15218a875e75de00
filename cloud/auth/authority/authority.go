// Package authority knows who signs certificates of devices, and which of those certificates hold.
//
// The hub has an authority of its own, made when it is first asked for, whose key lies sealed in the store: all nodes have the
// same. It issues, renews and revokes certificates for devices of every product. Rotate makes another that issues from then on;
// those before it are trusted for what they have issued until they end or are retired. A product may accept authorities of others
// besides. Verify judges what a client has presented: the chain, the times, the use, and, in the store each time, whether it was
// revoked here.
//
// The package promises that a private key that it makes is handed out once and kept nowhere; that a renewed certificate and the one
// before it both hold until that one ends; and that watchers hear of every revocation that this node makes, those of other nodes
// being told through Told and found by Missed. Chains suit stock devices: ECDSA P-256 with SHA-256.
//
// Who may ask for what, the end of sessions, and serving revocation lists are left to api, broker and hub.
package authority

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/cloud/keyring"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/lru"
)

// Errors that callers branch on.
var (
	ErrNotFound = errors.New("authority: no such authority")
	// ErrNoCertificate is returned for a certificate that is not known.
	ErrNoCertificate = errors.New("authority: no such certificate")
	// ErrIssues is returned by Retire for the authority that issues.
	ErrIssues = errors.New("authority: it issues: rotate first")
	// ErrHolding is returned by Retire for an authority of which certificates hold.
	ErrHolding = errors.New("authority: devices have certificates of it that hold")
	// ErrRotated is returned by Rotate when somebody else was quicker.
	ErrRotated = errors.New("authority: it was rotated in this moment")
	// ErrExists is returned for an authority that the product accepts already.
	ErrExists = errors.New("authority: the product accepts this authority already")
)

// ErrInvalid is returned for something that cannot be used. Field is the name as the API has it.
type ErrInvalid struct{ Field, Reason string }

func (e *ErrInvalid) Error() string { return fmt.Sprintf("authority: %s: %s", e.Field, e.Reason) }

// Config bounds lives.
type Config struct {
	Life    time.Duration // of a device's certificate, when nobody says otherwise
	MaxLife time.Duration
	// CRLBase is the public base of URLs from which revocation lists can be had, "" leaves them out of certificates.
	CRLBase string
}

// DefaultConfig gives devices a year.
func DefaultConfig() Config {
	return Config{Life: 365 * 24 * time.Hour, MaxLife: 20 * 365 * 24 * time.Hour}
}

const (
	ownLife  = 30 * 365 * 24 * time.Hour
	backdate = 24 * time.Hour // for devices whose clock is behind
)

// Authority is who signs certificates of devices.
type Authority struct {
	ID      string // SHA-256 of the certificate in hex
	Cert    *x509.Certificate
	Own     bool // the hub has its key
	Created time.Time
	// Of the hub's own: Issues is the one that signs what is new, Retired when it ceased to be trusted (zero: it is), and Holding
	// how many certificates that it has issued hold.
	Issues  bool
	Retired time.Time
	Holding int
}

// Authorities is safe for concurrent use.
type Authorities struct {
	cfg  Config
	db   *store.DB
	ring *keyring.Keyring
	log  *slog.Logger
	now  func() time.Time

	// certs holds parsed certificates by id; they never change.
	certs *lru.Cache[string, *x509.Certificate]
	// valid holds when a chain that was verified stops to be so, by authority and leaf.
	valid *lru.Cache[[sha256.Size]byte, time.Time]

	mu       sync.Mutex // guards the field below
	watchers []func(Revocation)
}

// New returns the Authorities of db, which was opened with ring.
func New(cfg Config, db *store.DB, ring *keyring.Keyring, log *slog.Logger) *Authorities {
	return &Authorities{cfg: cfg, db: db, ring: ring, log: log, now: time.Now,
		certs: lru.New[string, *x509.Certificate](1000), valid: lru.New[[sha256.Size]byte, time.Time](50_000)}
}

// ID is the id of a certificate: its SHA-256 in hex.
func ID(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}

func insertAuthority(ctx context.Context, tx *store.Tx, id, name string, cert *x509.Certificate, key []byte, now time.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO authority (id, name, cert, key, created_at, expires_at, crl) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
		id, name, cert.Raw, key, now.UnixMilli(), cert.NotAfter.UnixMilli(), []byte{})
	return err
}

func (a *Authorities) parse(id string, der []byte) (*x509.Certificate, error) {
	if cert, ok := a.certs.Get(id); ok {
		return cert, nil
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("stored certificate of authority %s: %w", id, err)
	}
	a.certs.Put(id, cert)
	return cert, nil
}

// key opens the private key of an authority of the hub's own.
func (a *Authorities) key(ctx context.Context, id string) (*ecdsa.PrivateKey, error) {
	var sealed []byte
	if err := a.db.QueryRow(ctx, `SELECT key FROM authority WHERE id = ?`, id).Scan(&sealed); err != nil {
		return nil, fmt.Errorf("read key of authority: %w", err)
	}
	der, err := a.db.Unseal(store.AuthorityKey, id, sealed)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errors.New("key of authority is damaged") // err may hold parts of it
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("key of authority is no ECDSA key")
	}
	return key, nil
}

// serial is a random number of 16 bytes without leading zeros.
func serial() *big.Int {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b)
}

// serialText is a serial number as it is stored.
func serialText(n *big.Int) string { return fmt.Sprintf("%x", n) }
