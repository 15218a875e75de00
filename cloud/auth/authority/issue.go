package authority

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// Request asks for a certificate of a device.
type Request struct {
	Device   ident.Device
	DeviceID int64
	CSR      []byte        // PEM; empty: the hub makes the key
	Life     time.Duration // 0: the default
}

// Issued is a certificate that was just made.
type Issued struct {
	Certificate
	Chain []byte            // PEM: the device's certificate and the authority's
	Key   credential.Secret // PEM, when the hub made it; it is kept nowhere
}

// maxHolding is how many certificates of a device may hold at a time: renewal overlaps, and a device that asks in a loop must end.
const maxHolding = 20

// Issue makes a certificate whose subject is the device's ClientID. Those that the device has already keep holding.
func (a *Authorities) Issue(ctx context.Context, req Request) (*Issued, error) {
	own, err := a.Own(ctx)
	if err != nil {
		return nil, err
	}
	public, private, err := a.keyFor(req)
	if err != nil {
		return nil, err
	}
	cert, err := a.sign(ctx, own, req, public)
	if err != nil {
		return nil, err
	}
	is := &Issued{Certificate: Certificate{Authority: own.ID, Serial: serialText(cert.SerialNumber), Device: req.Device, DeviceID: req.DeviceID,
		Fingerprint: ID(cert), Issued: a.now().UTC().Truncate(time.Millisecond), Expires: cert.NotAfter},
		Chain: append(encode("CERTIFICATE", cert.Raw), encode("CERTIFICATE", own.Cert.Raw)...), Key: private}
	return is, a.record(ctx, is)
}

// keyFor is the public key of a request, or of a new pair.
func (a *Authorities) keyFor(req Request) (public any, private credential.Secret, err error) {
	if len(req.CSR) > 0 {
		block, _ := pem.Decode(req.CSR)
		if block == nil || block.Type != "CERTIFICATE REQUEST" && block.Type != "NEW CERTIFICATE REQUEST" {
			return nil, "", &ErrInvalid{"csr", "is no certificate request in PEM"}
		}
		csr, err := x509.ParseCertificateRequest(block.Bytes)
		if err != nil || csr.CheckSignature() != nil {
			return nil, "", &ErrInvalid{"csr", "is no certificate request that can be read, or not signed with its own key"}
		}
		return csr.PublicKey, "", weakKey(csr.PublicKey, "csr")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, "", fmt.Errorf("make key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, "", fmt.Errorf("encode key: %w", err)
	}
	return &key.PublicKey, credential.Secret(encode("PRIVATE KEY", der)), nil
}

func (a *Authorities) sign(ctx context.Context, own *Authority, req Request, public any) (*x509.Certificate, error) {
	life := req.Life
	if life == 0 {
		life = a.cfg.Life
	}
	if life < time.Minute || life > a.cfg.MaxLife {
		return nil, &ErrInvalid{"days", fmt.Sprintf("must be up to %d", int(a.cfg.MaxLife.Hours()/24))}
	}
	key, err := a.key(ctx, own.ID)
	if err != nil {
		return nil, err
	}
	now := a.now()
	until := now.Add(life)
	if until.After(own.Cert.NotAfter) {
		until = own.Cert.NotAfter
	}
	t := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: req.Device.ClientID()}, NotBefore: now.Add(-backdate), NotAfter: until,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if a.cfg.CRLBase != "" {
		t.CRLDistributionPoints = []string{a.cfg.CRLBase + CRLPath(own.ID)}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, own.Cert, public, key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

func (a *Authorities) record(ctx context.Context, is *Issued) error {
	return a.db.Update(ctx, func(tx *store.Tx) error {
		var n int
		err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM certificate WHERE device = ? AND revoked_at = 0 AND expires_at > ?`, is.DeviceID, is.Issued.UnixMilli()).Scan(&n)
		if err != nil {
			return err
		}
		if n >= maxHolding {
			return &ErrInvalid{"device", fmt.Sprintf("has %d certificates that hold: revoke one", n)}
		}
		_, err = tx.Exec(ctx, `INSERT INTO certificate (authority, serial, device, product, sn, fingerprint, issued_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			is.Authority, is.Serial, is.DeviceID, is.Device.Product, is.Device.SN, is.Fingerprint, is.Issued.UnixMilli(), is.Expires.UnixMilli())
		return err
	})
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// PEM is the certificate of an authority.
func (a *Authority) PEM() []byte { return encode("CERTIFICATE", a.Cert.Raw) }
