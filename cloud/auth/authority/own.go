package authority

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// maxOwn bounds the authorities of the hub's own that are trusted at a time: each is tried at a login.
const maxOwn = 10

// Own returns the authority of the hub's own that issues, which is made when there is none.
func (a *Authorities) Own(ctx context.Context) (*Authority, error) {
	list, err := a.trusted(ctx)
	if err == nil && len(list) == 0 {
		if err = a.makeOwn(ctx, ""); err == nil || errors.Is(err, ErrRotated) {
			list, err = a.trusted(ctx)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read the hub's authority: %w", err)
	}
	if len(list) == 0 || !list[0].Issues {
		return nil, errors.New("authority: none of the hub's own authorities issues")
	}
	return &list[0], nil
}

// Owned lists the hub's own authorities, the one that issues first, then the others from new to old, retired ones too.
func (a *Authorities) Owned(ctx context.Context) ([]Authority, error) {
	if _, err := a.Own(ctx); err != nil { // there is one from now on
		return nil, err
	}
	return a.readOwn(ctx, holdingColumn, ``, a.now().UnixMilli())
}

// holdingColumn counts the certificates of an authority that hold at the time that is its argument.
const holdingColumn = `, (SELECT COUNT(*) FROM certificate c WHERE c.authority = a.id AND c.revoked_at = 0 AND c.expires_at > ?)`

// trusted are those of them that vouch for what they have issued.
func (a *Authorities) trusted(ctx context.Context) ([]Authority, error) {
	return a.readOwn(ctx, `, 0`, ` AND a.retired_at = 0`)
}

func (a *Authorities) readOwn(ctx context.Context, column, condition string, args ...any) (list []Authority, err error) {
	rows, err := a.db.Query(ctx, `SELECT a.id, a.cert, a.created_at, a.retired_at, a.issues`+column+`
		FROM authority a WHERE `+ownCond+condition+` ORDER BY a.issues DESC, a.created_at DESC, a.id`, args...)
	if err != nil {
		return nil, fmt.Errorf("list the hub's authorities: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var (
			one              = Authority{Own: true}
			der              []byte
			created, retired int64
			issues           int
		)
		if err := rows.Scan(&one.ID, &der, &created, &retired, &issues, &one.Holding); err != nil {
			return nil, err
		}
		if one.Cert, err = a.parse(one.ID, der); err != nil {
			return nil, err
		}
		one.Created, one.Retired, one.Issues = fromMillis(created), fromMillis(retired), issues == 1
		list = append(list, one)
	}
	return list, nil
}

// owned is one of the hub's own, retired or not.
func (a *Authorities) owned(ctx context.Context, id string) (*Authority, error) {
	list, err := a.readOwn(ctx, `, 0`, ` AND a.id = ?`, id)
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return &list[0], nil
}

// Find returns one of the hub's own authorities by its id.
func (a *Authorities) Find(ctx context.Context, id string) (*Authority, error) {
	list, err := a.Owned(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(list, func(one Authority) bool { return one.ID == id })
	if i < 0 {
		return nil, ErrNotFound
	}
	return &list[i], nil
}

// Rotate makes an authority that issues from now on. The one before is trusted still.
func (a *Authorities) Rotate(ctx context.Context) (*Authority, error) {
	list, err := a.trusted(ctx)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(one Authority) bool { return a.now().After(one.Cert.NotAfter) })
	if len(list) >= maxOwn {
		return nil, &ErrInvalid{"ca", fmt.Sprintf("%d of the hub's own CAs are trusted already: retire one", len(list))}
	}
	before := ""
	if len(list) > 0 {
		before = list[0].ID
	}
	if err := a.makeOwn(ctx, before); err != nil {
		return nil, err
	}
	return a.Own(ctx)
}

// makeOwn makes the authority that issues, in the place of the one before; somebody else may have been quicker.
func (a *Authorities) makeOwn(ctx context.Context, before string) error {
	key, cert, err := newOwn(a.now())
	if err != nil {
		return err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode key: %w", err)
	}
	id := ID(cert)
	err = a.db.Update(ctx, func(tx *store.Tx) error {
		if before != "" {
			res, err := tx.Exec(ctx, `UPDATE authority SET issues = 0 WHERE id = ? AND issues = 1`, before)
			if err != nil {
				return err
			}
			if n, err := res.RowsAffected(); err != nil || n == 0 {
				return errors.Join(err, ErrRotated)
			}
		}
		if err := insertAuthority(ctx, tx, id, cert.Subject.CommonName, cert, a.db.Seal(store.AuthorityKey, id, pkcs8), a.now()); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE authority SET issues = 1 WHERE id = ?`, id)
		return err
	})
	if store.IsUnique(err) { // there is one that issues
		return ErrRotated
	}
	return err
}

// newOwn makes a key and a certificate that it has signed itself.
func newOwn(now time.Time) (*ecdsa.PrivateKey, *x509.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make key: %w", err)
	}
	t := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Hawser device CA", Organization: []string{"Hawser"}},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(ownLife), IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, nil, fmt.Errorf("make certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("make certificate: %w", err)
	}
	return key, cert, nil
}

// Retire has the hub trust an authority of its own no more: what it has issued is revoked, and sessions that stand on it end. One of
// which certificates hold is retired only with force.
func (a *Authorities) Retire(ctx context.Context, id string, force bool) (*Authority, error) {
	err := a.db.Update(ctx, func(tx *store.Tx) error {
		var retired, issues, holding int64
		now := a.now().UnixMilli()
		err := tx.QueryRow(ctx, `SELECT retired_at, issues, (SELECT COUNT(*) FROM certificate WHERE authority = ? AND revoked_at = 0 AND expires_at > ?)
			FROM authority WHERE id = ? AND length(key) > 0`, id, now, id).Scan(&retired, &issues, &holding)
		switch {
		case errors.Is(err, store.ErrNoRows):
			return ErrNotFound
		case err != nil || retired > 0:
			return err
		case issues == 1:
			return ErrIssues
		case holding > 0 && !force:
			return fmt.Errorf("%w: %d; with force it is retired all the same", ErrHolding, holding)
		}
		if _, err := tx.Exec(ctx, `UPDATE authority SET retired_at = ? WHERE id = ?`, now, id); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE certificate SET revoked_at = ?, reason = ? WHERE authority = ? AND revoked_at = 0`, now, int64(Ceased), id)
		return err
	})
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrIssues), errors.Is(err, ErrHolding):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("retire authority: %w", err)
	}
	a.tell(Revocation{Authority: id})
	return a.Find(ctx, id)
}
