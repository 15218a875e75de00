package authority

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// Accepted is an authority that a product accepts.
type Accepted struct {
	Authority
	Proven bool // who registered it has shown that they hold its key
	Added  time.Time
}

// maxAccepted bounds the authorities of a product: each is tried at a login.
const maxAccepted = 10

// Code is what a certificate must have as its common name that is signed by an authority to prove that whoever registers it for the
// product holds its key. It stays the same.
func (a *Authorities) Code(product string) string { return a.codes(product)[0] }

// codes are those under each key of the ring: a change of keys must not void a proof that is under way.
func (a *Authorities) codes(product string) []string {
	var list []string
	for _, secret := range a.ring.Derive("proof of possession") {
		mac := hmac.New(sha256.New, secret[:])
		mac.Write([]byte(product))
		list = append(list, hex.EncodeToString(mac.Sum(nil)[:20]))
	}
	return list
}

// Accept has a product accept an authority of somebody else. proof, which may be empty, is a certificate with Code as its common
// name that the authority has signed.
func (a *Authorities) Accept(ctx context.Context, product string, certPEM, proof []byte) (*Accepted, error) {
	cert, err := parseAuthority(certPEM)
	if err != nil {
		return nil, err
	}
	if a.now().After(cert.NotAfter) {
		return nil, &ErrInvalid{"certificate", "has expired"}
	}
	proven := len(proof) > 0
	if proven {
		if err := a.checkProof(cert, proof, product); err != nil {
			return nil, err
		}
	}
	id, now := ID(cert), a.now().UTC().Truncate(time.Millisecond)
	err = a.db.Update(ctx, func(tx *store.Tx) error {
		var n int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM authority_product WHERE product = ?`, product).Scan(&n); err != nil {
			return err
		}
		if n >= maxAccepted {
			return &ErrInvalid{"certificate", fmt.Sprintf("the product accepts %d authorities already: remove one", maxAccepted)}
		}
		if err := insertAuthority(ctx, tx, id, cert.Subject.CommonName, cert, []byte{}, now); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO authority_product (product, authority, proven, added_at) VALUES (?, ?, ?, ?)`, product, id, proven, now.UnixMilli())
		return err
	})
	if store.IsUnique(err) {
		return nil, ErrExists
	}
	if err != nil {
		return nil, fmt.Errorf("accept authority: %w", err)
	}
	return &Accepted{Authority{ID: id, Cert: cert, Created: now}, proven, now}, nil
}

// parseAuthority reads a certificate that may sign others.
func parseAuthority(text []byte) (*x509.Certificate, error) {
	cert, err := parseOne(text)
	if err != nil {
		return nil, &ErrInvalid{"certificate", err.Error()}
	}
	if !cert.IsCA || !cert.BasicConstraintsValid || cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageCertSign == 0 {
		return nil, &ErrInvalid{"certificate", "may not sign others: it is no CA"}
	}
	return cert, weak(cert, "certificate")
}

func parseOne(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("is no certificate in PEM")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, errors.New("is no certificate that can be read")
	}
	return cert, nil
}

// weak refuses keys that are too short to trust and kinds that cannot be checked.
func weak(cert *x509.Certificate, field string) error { return weakKey(cert.PublicKey, field) }

func weakKey(key any, field string) error {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if k.Curve.Params().BitSize < 256 {
			return &ErrInvalid{field, "has an ECDSA key of less than 256 bits"}
		}
	case *rsa.PublicKey:
		if k.N.BitLen() < 2048 {
			return &ErrInvalid{field, "has an RSA key of less than 2048 bits"}
		}
	case ed25519.PublicKey:
	default:
		return &ErrInvalid{field, "has a key that is neither ECDSA, RSA nor Ed25519"}
	}
	return nil
}

func (a *Authorities) checkProof(cert *x509.Certificate, text []byte, product string) error {
	proof, err := parseOne(text)
	if err != nil {
		return &ErrInvalid{"proof", err.Error()}
	}
	if proof.CheckSignatureFrom(cert) != nil {
		return &ErrInvalid{"proof", "is not signed by the authority"}
	}
	for _, code := range a.codes(product) {
		if subtle.ConstantTimeCompare([]byte(proof.Subject.CommonName), []byte(code)) == 1 {
			return nil
		}
	}
	return &ErrInvalid{"proof", "its common name is not the code for this product"}
}

// Accepted lists the authorities that a product accepts besides the hub's own, the oldest registration first.
func (a *Authorities) Accepted(ctx context.Context, product string) (list []Accepted, err error) {
	rows, err := a.db.Query(ctx, `SELECT a.id, a.cert, a.created_at, p.proven, p.added_at FROM authority_product p JOIN authority a ON a.id = p.authority
		WHERE p.product = ? ORDER BY p.added_at, a.id`, product)
	if err != nil {
		return nil, fmt.Errorf("list authorities: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var (
			one            Accepted
			der            []byte
			created, added int64
		)
		if err := rows.Scan(&one.ID, &der, &created, &one.Proven, &added); err != nil {
			return nil, err
		}
		if one.Cert, err = a.parse(one.ID, der); err != nil {
			return nil, err
		}
		one.Created, one.Added = time.UnixMilli(created).UTC(), time.UnixMilli(added).UTC()
		list = append(list, one)
	}
	return list, nil
}

// Remove has a product accept an authority no more; sessions that it vouched for end.
func (a *Authorities) Remove(ctx context.Context, product, id string) error {
	err := a.db.Update(ctx, func(tx *store.Tx) error {
		res, err := tx.Exec(ctx, `DELETE FROM authority_product WHERE product = ? AND authority = ?`, product, id)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, ErrNotFound)
		}
		// What nobody accepts and the hub has no key of, goes.
		_, err = tx.Exec(ctx, `DELETE FROM authority WHERE id = ? AND length(key) = 0 AND NOT EXISTS (SELECT 1 FROM authority_product WHERE authority = ?)`, id, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("remove authority: %w", err)
	}
	a.tell(Revocation{Authority: id, Product: product})
	return nil
}
