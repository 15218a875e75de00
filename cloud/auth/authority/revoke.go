package authority

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// Certificate is one that the hub has issued, or another that was revoked here.
type Certificate struct {
	Authority, Serial string
	Device            ident.Device // zero when it was not issued here
	DeviceID          int64
	Fingerprint       string // SHA-256 in hex
	Issued, Expires   time.Time
	Revoked           time.Time // zero: it holds
	Reason            Reason
}

// Reason says why a certificate was revoked, with the numbers of RFC 5280.
type Reason int

// The reasons.
const (
	Unspecified        Reason = 0
	KeyCompromise      Reason = 1
	AffiliationChanged Reason = 3
	Superseded         Reason = 4
	Ceased             Reason = 5
)

var reasonNames = map[Reason]string{Unspecified: "unspecified", KeyCompromise: "keyCompromise", AffiliationChanged: "affiliationChanged",
	Superseded: "superseded", Ceased: "cessationOfOperation"}

func (r Reason) String() string { return reasonNames[r] }

// ParseReason reads what String writes; "" is unspecified.
func ParseReason(s string) (Reason, error) {
	if s == "" {
		return Unspecified, nil
	}
	for r, name := range reasonNames {
		if name == s {
			return r, nil
		}
	}
	return 0, &ErrInvalid{"reason", "is none of unspecified, keyCompromise, affiliationChanged, superseded, cessationOfOperation"}
}

// Revocation says what holds no more: one certificate, or, without Serial, all of an authority (for a product, if it names one).
type Revocation struct {
	Authority string
	Serial    string
	Product   string // "" when it is of an authority of the hub's own
}

// Watch has f called for every revocation, this node's and those that it was Told of. f must be quick.
func (a *Authorities) Watch(f func(Revocation)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.watchers = append(a.watchers, f)
}

// Told passes on a revocation of another node.
func (a *Authorities) Told(r Revocation) { a.tell(r) }

func (a *Authorities) tell(r Revocation) {
	a.mu.Lock()
	watchers := a.watchers
	a.mu.Unlock()
	for _, f := range watchers {
		f(r)
	}
}

// Certificate returns one that an authority of the hub's own has issued.
func (a *Authorities) Certificate(ctx context.Context, serial string) (*Certificate, error) {
	serial, err := parseSerial(serial)
	if err != nil {
		return nil, err
	}
	rows, err := a.db.Query(ctx, `SELECT `+certificateColumns+` FROM certificate WHERE authority IN (SELECT id FROM authority WHERE length(key) > 0) AND serial = ?`, serial)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	list, err := scanCertificates(rows)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	if len(list) == 0 {
		return nil, ErrNoCertificate
	}
	return &list[0], nil
}

// parseSerial reads a serial number in hexadecimal, with or without colons, and gives it the form in which it is stored.
func parseSerial(text string) (string, error) {
	n, ok := new(big.Int).SetString(strings.ToLower(strings.ReplaceAll(text, ":", "")), 16)
	if !ok || n.Sign() <= 0 || n.BitLen() > 20*8 {
		return "", &ErrInvalid{"serial", "is no hexadecimal number of up to 20 bytes"}
	}
	return serialText(n), nil
}

// Revoke ends the life of a certificate that the hub has issued; one that is revoked already stays so.
func (a *Authorities) Revoke(ctx context.Context, serial string, why Reason) error {
	c, err := a.Certificate(ctx, serial)
	if err != nil {
		return err
	}
	err = a.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE certificate SET revoked_at = ?, reason = ? WHERE authority = ? AND serial = ? AND revoked_at = 0`,
			a.now().UnixMilli(), int64(why), c.Authority, c.Serial)
		return err
	})
	if err != nil {
		return fmt.Errorf("revoke certificate: %w", err)
	}
	a.tell(Revocation{Authority: c.Authority, Serial: c.Serial})
	return nil
}

// RevokeDevice ends the life of all certificates of a device that the hub has issued, because the device is no more. Nobody is told:
// its sessions have ended with it.
func (a *Authorities) RevokeDevice(ctx context.Context, deviceID int64, why Reason) error {
	err := a.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE certificate SET revoked_at = ?, reason = ? WHERE device = ? AND revoked_at = 0`, a.now().UnixMilli(), int64(why), deviceID)
		return err
	})
	if err != nil {
		return fmt.Errorf("revoke certificates of device: %w", err)
	}
	return nil
}

// RevokeForeign has a product take a certificate no more that another authority has issued, seen or not. Other products that
// accept the authority may belong to others, and are not concerned.
func (a *Authorities) RevokeForeign(ctx context.Context, product, authority, serial string, why Reason) error {
	serial, err := parseSerial(serial)
	if err != nil {
		return err
	}
	err = a.db.Update(ctx, func(tx *store.Tx) error {
		var expires int64
		err := tx.QueryRow(ctx, `SELECT a.expires_at FROM authority a JOIN authority_product p ON p.authority = a.id WHERE a.id = ? AND p.product = ?`, authority, product).
			Scan(&expires)
		if errors.Is(err, store.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO certificate (authority, serial, product, issued_at, expires_at, revoked_at, reason) VALUES (?, ?, ?, 0, ?, ?, ?)
			ON CONFLICT (authority, serial) DO NOTHING`, foreignRow(authority, product), serial, product, expires, a.now().UnixMilli(), int64(why))
		return err
	})
	if err != nil {
		return fmt.Errorf("revoke certificate: %w", err)
	}
	a.tell(Revocation{Authority: authority, Serial: serial, Product: product})
	return nil
}

// foreignRow is the authority in the row of a certificate that a product does not take.
func foreignRow(authority, product string) string { return authority + "/" + product }

// Filter narrows a list of certificates.
type Filter struct {
	Product  string
	DeviceID int64     // 0: all
	Before   time.Time // those that expire before; zero: all
	Limit    int
	After    string // the cursor of the page before
}

// Certificates lists what was issued, those first that expire first; next is "" on the last page.
func (a *Authorities) Certificates(ctx context.Context, f Filter) (list []Certificate, next string, err error) {
	q, args := `1 = 1`, []any(nil)
	add := func(cond string, v ...any) { q, args = q+` AND `+cond, append(args, v...) }
	if f.Product != "" {
		add(`product = ?`, f.Product)
	}
	if f.DeviceID != 0 {
		add(`device = ?`, f.DeviceID)
	}
	if !f.Before.IsZero() {
		add(`expires_at < ?`, f.Before.UnixMilli())
	}
	if f.After != "" {
		var at int64
		var serial string
		if n, err := fmt.Sscanf(f.After, "%d-%s", &at, &serial); n != 2 || err != nil {
			return nil, "", &ErrInvalid{"cursor", "is not one that a list has returned"}
		}
		add(`(expires_at > ? OR expires_at = ? AND serial > ?)`, at, at, serial)
	}
	if f.Limit < 1 || f.Limit > 1000 {
		f.Limit = 100
	}
	rows, err := a.db.Query(ctx, `SELECT `+certificateColumns+` FROM certificate WHERE `+q+
		` ORDER BY expires_at, serial LIMIT ?`, append(args, f.Limit+1)...)
	if err != nil {
		return nil, "", fmt.Errorf("list certificates: %w", err)
	}
	if list, err = scanCertificates(rows); err != nil {
		return nil, "", fmt.Errorf("list certificates: %w", err)
	}
	if len(list) > f.Limit {
		list = list[:f.Limit]
		last := list[f.Limit-1]
		next = fmt.Sprintf("%d-%s", last.Expires.UnixMilli(), last.Serial)
	}
	return list, next, nil
}

const certificateColumns = `authority, serial, device, product, sn, fingerprint, issued_at, expires_at, revoked_at, reason`

func scanCertificates(rows *store.Rows) (list []Certificate, err error) {
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var (
			c                                Certificate
			issued, expires, revoked, reason int64
		)
		err := rows.Scan(&c.Authority, &c.Serial, &c.DeviceID, &c.Device.Product, &c.Device.SN, &c.Fingerprint, &issued, &expires, &revoked, &reason)
		if err != nil {
			return nil, err
		}
		c.Authority, _, _ = strings.Cut(c.Authority, "/")
		c.Issued, c.Expires, c.Revoked, c.Reason = fromMillis(issued), fromMillis(expires), fromMillis(revoked), Reason(reason)
		list = append(list, c)
	}
	return list, nil
}

// Missed lists revocations since a moment, for nodes that may not have been told.
func (a *Authorities) Missed(ctx context.Context, since time.Time) (list []Revocation, err error) {
	from := max(1, since.UnixMilli())
	// What a retired authority has issued ends with it, in one.
	rows, err := a.db.Query(ctx, `SELECT authority, serial, product FROM certificate c WHERE revoked_at >= ?
			AND NOT EXISTS (SELECT 1 FROM authority a WHERE a.id = c.authority AND a.retired_at = c.revoked_at)
		UNION ALL SELECT id, '', '' FROM authority WHERE retired_at >= ?`, from, from)
	if err != nil {
		return nil, fmt.Errorf("list revocations: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var r Revocation
		if err := rows.Scan(&r.Authority, &r.Serial, &r.Product); err != nil {
			return nil, err
		}
		id, _, foreign := strings.Cut(r.Authority, "/")
		if r.Authority = id; !foreign {
			r.Product = ""
		}
		list = append(list, r)
	}
	return list, nil
}

// CRLPath is where the revocation list of an authority is served; the certificate is beside it, with .pem for .crl.
func CRLPath(id string) string { return "/pki/" + id[:32] + ".crl" }

const (
	crlLife  = 7 * 24 * time.Hour // a list must be had anew within it
	crlFresh = 24 * time.Hour     // a list is made anew after it, though nothing was revoked
)

// CRL returns the revocation list (DER) of an authority of the hub's own, which is made anew when something was revoked since.
func (a *Authorities) CRL(ctx context.Context, own *Authority) ([]byte, error) {
	var (
		crl    []byte
		at     int64
		newest int64
	)
	err := a.db.QueryRow(ctx, `SELECT crl, crl_at, COALESCE((SELECT MAX(revoked_at) FROM certificate WHERE authority = ?), 0) FROM authority WHERE id = ?`, own.ID, own.ID).
		Scan(&crl, &at, &newest)
	if err != nil {
		return nil, fmt.Errorf("read revocation list: %w", err)
	}
	if len(crl) > 0 && at > newest && a.now().Sub(time.UnixMilli(at)) < crlFresh {
		return crl, nil
	}
	key, err := a.key(ctx, own.ID)
	if err != nil {
		return nil, err
	}
	err = a.db.Update(ctx, func(tx *store.Tx) error {
		var number int64
		// The row's lock first: nodes take turns, and the numbers rise.
		if _, err := tx.Exec(ctx, `UPDATE authority SET crl_number = crl_number + 1 WHERE id = ?`, own.ID); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT crl_number FROM authority WHERE id = ?`, own.ID).Scan(&number); err != nil {
			return err
		}
		now := a.now()
		t := &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: now, NextUpdate: now.Add(crlLife)}
		if t.RevokedCertificateEntries, err = revokedEntries(ctx, tx, own.ID, now); err != nil {
			return err
		}
		if crl, err = x509.CreateRevocationList(rand.Reader, t, own.Cert, key); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE authority SET crl = ?, crl_at = ? WHERE id = ?`, crl, now.UnixMilli(), own.ID)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make revocation list: %w", err)
	}
	return crl, nil
}

// revokedEntries are the revoked certificates that would still hold.
func revokedEntries(ctx context.Context, tx *store.Tx, id string, now time.Time) (list []x509.RevocationListEntry, err error) {
	rows, err := tx.Query(ctx, `SELECT serial, revoked_at, reason FROM certificate WHERE authority = ? AND revoked_at > 0 AND expires_at > ? ORDER BY revoked_at`, id, now.UnixMilli())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var (
			serial     string
			at, reason int64
		)
		if err := rows.Scan(&serial, &at, &reason); err != nil {
			return nil, err
		}
		n, _ := new(big.Int).SetString(serial, 16)
		list = append(list, x509.RevocationListEntry{SerialNumber: n, RevocationTime: time.UnixMilli(at), ReasonCode: int(reason)})
	}
	return list, nil
}
