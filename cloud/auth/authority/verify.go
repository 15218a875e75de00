package authority

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Reasons for which Verify refuses.
var (
	ErrUnknown = errors.New("authority: certificate is of no authority that the product accepts")
	ErrExpired = errors.New("authority: certificate has expired or holds not yet")
	ErrRevoked = errors.New("authority: certificate is revoked")
)

// Proof names the certificate that a login stands on.
type Proof struct {
	Authority, Serial string
	DeviceID          int64 // whom the hub issued it to: another device may have got the name since; 0 when somebody else did
}

// Verify judges the certificates that a client has presented, its own first; that it holds the key, TLS has seen to. Its errors are
// ErrUnknown, ErrExpired, ErrRevoked or the store's.
func (a *Authorities) Verify(ctx context.Context, presented []*x509.Certificate, product string) (Proof, error) {
	list, err := a.trusted(ctx)
	if err != nil {
		return Proof{}, err
	}
	accepted, err := a.Accepted(ctx, product)
	if err != nil {
		return Proof{}, err
	}
	for _, one := range accepted {
		list = append(list, one.Authority)
	}
	why := ErrUnknown
	for i := range list {
		err := a.chain(presented, &list[i])
		if err == nil {
			return a.known(ctx, &list[i], product, serialText(presented[0].SerialNumber))
		}
		if errors.Is(err, ErrExpired) {
			why = err
		}
	}
	return Proof{}, why
}

// chain checks that a leaf hangs below an authority, from memory when it did so before.
func (a *Authorities) chain(presented []*x509.Certificate, to *Authority) error {
	leaf, now := presented[0], a.now()
	key := sha256.Sum256(append([]byte(to.ID), leaf.Raw...))
	if until, ok := a.valid.Get(key); ok && now.Before(until) {
		return nil
	}
	opts := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	opts.Roots.AddCert(to.Cert)
	for _, c := range presented[1:] {
		opts.Intermediates.AddCert(c)
	}
	chains, err := leaf.Verify(opts)
	if err != nil {
		var invalid x509.CertificateInvalidError
		if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
			return ErrExpired
		}
		return ErrUnknown
	}
	until := leaf.NotAfter
	for _, c := range chains[0] {
		if c.NotAfter.Before(until) {
			until = c.NotAfter
		}
	}
	a.valid.Put(key, until)
	return nil
}

// Holds tells whether a certificate that was verified before is still not revoked.
func (a *Authorities) Holds(ctx context.Context, p Proof, product string) error {
	by, err := a.owned(ctx, p.Authority)
	switch {
	case errors.Is(err, ErrNotFound):
		by = &Authority{ID: p.Authority}
	case err != nil:
		return err
	case !by.Retired.IsZero():
		return ErrRevoked
	}
	_, err = a.known(ctx, by, product, p.Serial)
	return err
}

// known asks the store for a certificate each time: another node may have revoked it a moment ago.
func (a *Authorities) known(ctx context.Context, by *Authority, product, serial string) (Proof, error) {
	p := Proof{Authority: by.ID, Serial: serial}
	row := by.ID
	if !by.Own {
		row = foreignRow(by.ID, product)
	}
	var revoked int64
	err := a.db.QueryRow(ctx, `SELECT device, revoked_at FROM certificate WHERE authority = ? AND serial = ?`, row, serial).Scan(&p.DeviceID, &revoked)
	switch {
	case errors.Is(err, sql.ErrNoRows) && !by.Own:
		return p, nil
	case errors.Is(err, sql.ErrNoRows):
		return p, ErrUnknown // signed and not recorded: it was never handed out
	case err != nil:
		return p, fmt.Errorf("read certificate: %w", err)
	case revoked != 0:
		return p, ErrRevoked
	}
	return p, nil
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
